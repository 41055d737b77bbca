"""codes.py and codes.pxd state the same integers: a difference would make compiled kernels disagree with the rest."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from matching import codes

PXD = Path(codes.__file__).with_name("codes.pxd")


def declared_in_pxd() -> dict[str, int]:
    text = PXD.read_text(encoding="utf-8")
    found = re.findall(r"^ {4}([A-Z][A-Z0-9_]*) = (-?\d+)$", text, re.MULTILINE)
    assert len(found) == len(dict(found)), "a name stands twice in codes.pxd"
    lines = [line for line in text.splitlines() if line.startswith("    ") and line.strip()]
    assert len(found) == len(lines), "a line of codes.pxd is not NAME = integer"
    return {name: int(value) for name, value in found}


def stated_in_python() -> dict[str, int]:
    return {name: value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}


def test_codes_of_python_and_cython_agree() -> None:
    python, cython = stated_in_python(), declared_in_pxd()
    wide = {name for name, value in python.items() if not -(1 << 31) <= value < 1 << 31}
    assert {name: value for name, value in python.items() if name not in wide | set(cython)} in ({}, {"E8": codes.E8})
    assert cython == {name: python[name] for name in cython}
    assert wide <= {"NO_PRICE", "E12"}, "constants that do not fit a C enum must be written out where they are used"


def test_every_code_is_defined_once() -> None:
    source = Path(codes.__file__).read_text(encoding="utf-8")
    counts = Counter(re.findall(r"^([A-Z][A-Z0-9_]*) = ", source, re.MULTILINE))
    assert [name for name, count in counts.items() if count > 1] == []


def test_codes_of_one_family_differ() -> None:
    """An event, reason or cause must not be mistaken for another of its kind."""
    python = stated_in_python()
    for prefix in ("EV_", "R_", "CAUSE_", "LIQ_", "QUEUE_", "EXCHANGE_", "WAKE_", "GAP_", "L_"):
        values = [value for name, value in python.items() if name.startswith(prefix)]
        assert len(values) == len(set(values)), prefix
    kinds = [codes.DEPTH, codes.TRADE, codes.BBO, codes.SNAPSHOT, codes.MARK, codes.FUNDING, codes.GAP, codes.OFFBOOK]
    assert len({*kinds, codes.FORCE}) == 9
    bits = [codes.ON_BOOK, codes.ON_TRADE, codes.ON_MARK, codes.ON_GAP, codes.ON_FORCE, codes.ON_PRIVATE]
    assert sum(bits) == 63
    assert all(bit & (bit - 1) == 0 for bit in bits)
