"""``perpsim compile``: a strategy file runs the same interpreted, compiled, and annotated and compiled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matching import build_info
from sim.compiling import CALLBACKS, compile_strategy, compiled_beside, extension_beside, prepared, types_text
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PLAIN = """\
from perpsim import GTX, Strategy


class Maker(Strategy):
    def __init__(self, edge=1):
        self.edge = edge
        self.steps = 0

    def on_start(self):
        self.ctx.every("50ms")

    def on_timer(self):
        self.steps += 1
        book = self.ctx.book(0)
        if not book.is_valid:
            return
        self.ctx.cancel_all(0)
        self.ctx.submit(0, 0, book.best_bid_ticks - self.edge, 2, GTX)
        self.ctx.submit(0, 1, book.best_ask_ticks + self.edge, 2, GTX)
"""
ANNOTATED = """\
import cython

from perpsim import (
    GTX,
    Book,
    Fill,
    Order,
    Strategy,
)


@cython.cclass
class Maker(Strategy):
    edge: cython.longlong
    steps = cython.declare(cython.longlong, visibility="public")
    heard = cython.declare(cython.longlong, visibility="public")

    def __init__(self, edge: cython.longlong = 1):
        self.edge = edge
        self.steps = self.heard = 0

    def on_start(self) -> None:
        self.ctx.every("50ms")
    def on_book(self, i: int) -> None: self.heard += 1
    def on_trade(
        self, i: int,
        trade,
    ) -> None:
        # every print
        self.heard += trade.lots
    def on_data(self, name, row) -> None:
        pass

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.heard += fill.lots

    def on_timer(self) -> None:
        self.steps += 1
        book: Book = self.ctx.book(0)
        if not book.is_valid:
            return
        self.ctx.cancel_all(0)
        bid: cython.longlong = book.best_ticks(0)
        ask: cython.longlong = book.best_ticks(1)
        assert (bid + ask) / 2 == book.mid_in_ticks() and (-bid) // 7 == -((bid + 6) // 7)
        self.ctx.submit(0, 0, book.best_ticks(0) - self.edge, 2, GTX)
        self.ctx.submit(0, 1, book.best_ticks(1) + self.edge, 2, GTX)
"""
RUNNER = """\
import sys
from pathlib import Path
from sim.loading import load_class
from tests.sim.markets import random_tape, run

kind = load_class(sys.argv[1] + ":Maker", Path(), "test")
strategy = kind(edge=2)
result = run(strategy, random_tape(4, 400), Path(sys.argv[2]))
module = sys.modules[kind.__module__]
heard = getattr(strategy, "heard", 0)
print(result.hash, strategy.steps, heard, result.summary["orders"], module.__file__.endswith(".so"))
"""

needs_kernels = pytest.mark.skipif(not build_info()["compiled"], reason="the kernels of this process are not compiled")


def outcome(file: Path, out: Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(file), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_kernels
@pytest.mark.parametrize("source", [PLAIN, ANNOTATED], ids=["plain", "annotated"])
def test_all_forms_give_the_same_run(tmp_path: Path, source: str) -> None:
    file = tmp_path / "maker_strategy.py"
    file.write_text(source)
    interpreted = outcome(file, tmp_path)
    assert interpreted[4] == "False" and int(interpreted[3]) > 50
    assert int(interpreted[2]) > 100 or source is PLAIN
    extension = compile_strategy(file)
    assert extension == extension_beside(file) and sorted(p.name for p in tmp_path.glob("*.py")) == [file.name]
    assert outcome(file, tmp_path) == [*interpreted[:4], "True"]
    assert outcome(file, tmp_path, PERPSIM_PURE="1") == interpreted, "uncompiled kernels take the file itself"


@needs_kernels
def test_an_extension_older_than_its_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "stale_strategy.py"
    file.write_text(PLAIN)
    assert compiled_beside(file) is None
    extension_beside(file).write_bytes(b"not made by us")
    with pytest.raises(InputError, match=r"was compiled from another version.*run perpsim compile"):
        compiled_beside(file)


@needs_kernels
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "broken_strategy.py"
    file.write_text("import cython\n\nclass Maker(:\n    pass\n")
    with pytest.raises(InputError, match=r"broken_strategy\.py:3: invalid syntax: class Maker"):
        compile_strategy(file)
    file.write_text("import cython\n\nx: cython.longlong = unknown_name\ncython.cast(1)\n")
    with pytest.raises(InputError, match=r"(?s)broken_strategy\.py: could not be compiled.*broken_strategy\.py:4"):
        compile_strategy(file)
    assert not list(tmp_path.glob(".perpsim-build*"))
    with pytest.raises(InputError, match="a name that Python can import"):
        other = tmp_path / "not-a-name.py"
        other.write_text(PLAIN)
        compile_strategy(other)


def test_the_callbacks_are_those_of_the_base_class() -> None:
    """Names and C types of every callback, as strategy.pxd declares them."""
    declared = (ROOT / "sim/strategy.pxd").read_text().split("cdef class Strategy:")[1]
    found = dict(re.findall(r"cpdef object (on_\w+)\(self(?:, )?(.*)\)", declared))
    words = {"cython.longlong": "long long", "": "object"}
    assert set(found) == set(CALLBACKS)
    for name, types in CALLBACKS.items():
        kinds = [argument.rsplit(" ", 1)[0] for argument in found[name].split(", ") if argument]
        assert kinds == [words.get(kind, kind) for kind in types], name


def test_lines_keep_their_numbers() -> None:
    lines = prepared(PLAIN, "x.py").splitlines()
    assert lines[0] == "from perpsim import GTX" and lines[1:] == PLAIN.splitlines()[1:]


def test_only_used_types_are_declared() -> None:
    assert types_text(PLAIN) == "from sim.strategy cimport Strategy\n"
    text = types_text(prepared(ANNOTATED, "x.py"))
    assert text == "from sim.strategy cimport Book, Fill, Order, Strategy, Trade\n"
    assert types_text("x = 1\n") == ""
