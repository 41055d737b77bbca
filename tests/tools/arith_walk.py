"""Runs the same pseudo-random operations of matching.arith and prints a digest of all results, one line per family.

`python tests/tools/arith_walk.py SEED COUNT`, with and without PERPSIM_PURE=1: the lines must be equal.
"""

from __future__ import annotations

import hashlib
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from matching import arith

INT64_MAX = (1 << 63) - 1


def integer(rng: random.Random) -> int:
    """An int64 of any magnitude, edges more often than chance would."""
    value = rng.choice((rng.getrandbits(rng.randrange(1, 64)), 0, 1, 2, INT64_MAX, INT64_MAX - 1, 10**8, 10**12))
    return rng.choice((value, -value, -value - 1 if value < INT64_MAX else arith.INVALID))


def integers(seed: int, count: int) -> str:
    rng, digest = random.Random(seed), hashlib.sha256()
    for _ in range(count):
        a, b, c, d, e = (integer(rng) for _ in range(5))
        results = [arith.add_exact(a, b), arith.sub_exact(a, b), arith.floor_div(a, b)]
        for rounding in (arith.FLOOR, arith.CEIL, arith.TRUNC, arith.HALF_EVEN):
            results += [arith.mul_div(a, b, c, rounding), arith.mul3_div(a, b, c, d, e, rounding)]
            results.append(arith.mul_div(2 * rng.randrange(1000) + 1, rng.randrange(-9, 9), 2, rounding))  # ties
        digest.update(struct.pack(f"<{len(results)}q", *results))
    return digest.hexdigest()


def floats(seed: int, count: int) -> str:
    rng, digest = random.Random(seed), hashlib.sha256()
    for _ in range(count):
        x = rng.choice((rng.uniform(-0.999, 5.0), 10.0 ** rng.uniform(-12, 12), 10.0 ** rng.uniform(-320, 308), 0.0))
        n = rng.choice((rng.uniform(-9, 9), float(rng.randint(-64, 64)), 0.5, 3.0))
        digest.update(struct.pack("<3d", arith.ln1p(x), arith.power(x, n), arith.power(abs(x), n)))
    return digest.hexdigest()


def draws(seed: int, count: int) -> str:
    rng, digest = random.Random(seed), hashlib.sha256()
    for _ in range(count):
        bits = arith.draw(*(rng.getrandbits(64) for _ in range(4)))
        digest.update(struct.pack("<2Q", bits, arith.below(bits, rng.getrandbits(rng.randrange(1, 64)))))
    return digest.hexdigest()


if __name__ == "__main__":
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    for family in (integers, floats, draws):
        print(family.__name__, family(seed, count))
