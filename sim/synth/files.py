"""Synthetic sessions as files."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sim.synth.market import BTCUSDT, SyntheticMarket
from sim.synth.session import SessionWriter, SyntheticSession

LINES_PER_WRITE: Final = 1000


@dataclass(frozen=True, slots=True)
class SyntheticRecording:
    """What ``write_raw`` wrote: the file, the market and session behind it, its lines, and sha256 of the plain text."""

    path: Path
    market: SyntheticMarket
    session: SyntheticSession
    seed: int
    lines: int
    sha256: str


def raw_lines(seed: int, market: SyntheticMarket = BTCUSDT, session: SyntheticSession | None = None) -> Iterator[str]:
    """The session's lines ``receive_time json`` in order of receipt, without line ends."""
    return SessionWriter(market, session or SyntheticSession(), seed).lines()


def write_raw(
    path: str | Path,
    seed: int,
    market: SyntheticMarket = BTCUSDT,
    session: SyntheticSession | None = None,
) -> SyntheticRecording:
    """Write one market's session as raw captured lines; compressed if ``path`` ends in ``.gz``.

    The text depends on the arguments alone (compressed bytes also on the zlib at hand; ``sha256`` is of the text).
    Raises OSError if the file cannot be written, ValueError for options outside their documented range.
    """
    path = Path(path)
    chosen = session or SyntheticSession()
    if path.suffix == ".gz":
        with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
            count, digest = _write_lines(packed, raw_lines(seed, market, chosen))
    else:
        with path.open("wb") as plain:
            count, digest = _write_lines(plain, raw_lines(seed, market, chosen))
    return SyntheticRecording(path, market, chosen, seed, count, digest)


def _write_lines(target: IO[bytes] | gzip.GzipFile, lines: Iterator[str]) -> tuple[int, str]:
    digest = hashlib.sha256()
    count = 0
    block: list[str] = []
    for line in lines:
        block.append(line)
        count += 1
        if len(block) == LINES_PER_WRITE:
            _write_block(target, block, digest)
    _write_block(target, block, digest)
    return count, digest.hexdigest()


def _write_block(target: IO[bytes] | gzip.GzipFile, block: list[str], digest: hashlib._Hash) -> None:
    data = "".join(f"{line}\n" for line in block).encode()
    digest.update(data)
    target.write(data)
    block.clear()


def write_session(
    directory: str | Path,
    seed: int,
    markets: Sequence[SyntheticMarket] = (BTCUSDT,),
    session: SyntheticSession | None = None,
    suffix: str = ".dat",
) -> list[SyntheticRecording]:
    """Write one session of several markets, of one or several venues: a file each, ``<venue>_<symbol><suffix>``.

    Markets of one base asset follow the same price factor. ``suffix`` ``.dat.gz`` compresses.
    """
    names = [(market.venue, market.symbol) for market in markets]
    if len(set(names)) != len(names):
        raise ValueError(f"synthetic session: a market is named twice: {names}")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_raw(folder / f"{market.venue}_{market.symbol.lower()}{suffix}", seed, market, session)
        for market in markets
    ]
