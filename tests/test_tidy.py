"""House rules that a reader could forget and a program does not. Every violation is reported as file:line.

Import direction, size of functions and modules, no clock, randomness or socket outside the ports, no float in money
code, bounded queues, no notes of unfinished work, line length.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("matching", "venues", "recorders", "sim")  # each may import itself and those before it
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600
LINE_LENGTH_MAX = 120

LONG_MODULES = {
    "matching/kernel.py": "the hottest path is best one module of final classes: 1.5 ns a call across modules",
    "sim/strategy.py": "orders, events and their context share C state, and annotated strategies cimport all from here",
}
PORTS = "venues/ports.py"
OUTSIDE_PORTS = {
    "sim/bench/peers/": "scripts for the peers' own environments, in which perpsim is not installed",
}
BANNED_MODULES = {"time", "random", "uuid", "secrets", "socket"}
BANNED_ATTRIBUTES = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("np", "random"),
    ("numpy", "random"),
    ("os", "urandom"),
    ("asyncio", "open_connection"),
    ("asyncio", "start_server"),
}
QUEUE_MODULES = {"asyncio", "collections", "multiprocessing", "queue"}
# Files in which money is computed, and the functions in them that are not about money.
MONEY_FILES: dict[str, set[str]] = {
    "matching/accounts.py": set(),
    "matching/margin.py": set(),
    "matching/bookings.py": set(),
    "matching/settings.py": set(),
    "matching/ledger.py": set(),
    "matching/gate.py": set(),
    "matching/arith.py": {"ln1p", "power", "series", "log", "exp", "scale"},
}
# Money in exact fractions: there a division is one of Fractions, which mypy proves (int / int would be a float).
FRACTION_FILES = {"venues/funding.py", "venues/marks.py", "venues/schedule.py"}
UNFINISHED = re.compile("|".join((r"\bTO" + "DO", r"\bFIX" + "ME", r"\bXX" + "X", r"\bHA" + r"CK\b")))


@dataclass(frozen=True)
class Source:
    """A Python file: its path relative to the repository, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str | None:
        top = self.path.split("/")[0]
        return top if top in PACKAGES else None


@dataclass(frozen=True)
class Violation:
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def parse(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text, filename=path))


@functools.cache
def python_files() -> list[Source]:
    folders = [ROOT / name for name in (*PACKAGES, "tests")]
    paths = [p for folder in folders for suffix in ("*.py", "*.pyi") for p in folder.rglob(suffix)]
    paths += [ROOT / "perpsim.py", ROOT / "setup.py"]
    return [parse(p.relative_to(ROOT).as_posix(), p.read_text(encoding="utf-8")) for p in sorted(paths)]


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, module) of every absolute import, wherever it stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


def import_direction(source: Source) -> Iterator[Violation]:
    if source.package is None:
        return
    allowed = PACKAGES[: PACKAGES.index(source.package) + 1]
    for line, module in imported_modules(source.tree):
        top = module.split(".")[0]
        if top == "perpsim":
            yield Violation(source.path, line, "a package imports perpsim.py: import from the defining module")
        elif top in PACKAGES and top not in allowed:
            yield Violation(
                source.path, line, f"{source.package} imports {top}: only {', '.join(allowed)} lie below it"
            )


def function_length(source: Source) -> Iterator[Violation]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield Violation(source.path, node.lineno, f"{node.name} has {lines} lines, more than the allowed 70")


def module_length(source: Source) -> Iterator[Violation]:
    lines = source.text.count("\n")
    if lines > MODULE_LINES_MAX and source.path not in LONG_MODULES:
        yield Violation(source.path, lines, f"{lines} lines, more than {MODULE_LINES_MAX}: split it by concern")


def outside_world(source: Source) -> Iterator[Violation]:
    """Clock, randomness and sockets are the ports' business."""
    exempt = source.path == PORTS or any(source.path.startswith(prefix) for prefix in OUTSIDE_PORTS)
    if source.package is None or exempt:
        return
    for line, module in imported_modules(source.tree):
        if module.split(".")[0] in BANNED_MODULES or module.startswith("numpy.random"):
            yield Violation(source.path, line, f"imports {module}: use a port of {PORTS}")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and (_last_name(node.value), node.attr) in BANNED_ATTRIBUTES:
            what = f"{_last_name(node.value)}.{node.attr}"
            yield Violation(source.path, node.lineno, f"uses {what}: use a port of {PORTS}")


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def money_floats(source: Source) -> Iterator[Violation]:
    """Floats, true division and C doubles in the files where money is computed."""
    if source.path not in MONEY_FILES and source.path not in FRACTION_FILES:
        return
    exempt = MONEY_FILES.get(source.path, set())
    pending: list[ast.AST] = [source.tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef) and node.name.lstrip("_") in exempt:
            continue
        pending.extend(ast.iter_child_nodes(node))
        what = _float_use(node)
        if what and not (what == "true division" and source.path in FRACTION_FILES):
            yield Violation(source.path, getattr(node, "lineno", 0), f"{what} in money code: integers only")


def _float_use(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return f"float literal {node.value}"
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        return "true division"
    if isinstance(node, ast.Name) and node.id == "float":
        return "float"
    if isinstance(node, ast.Attribute) and node.attr in ("double", "float", "floating", "float64"):
        return node.attr
    return None


def bounded_queues(source: Source) -> Iterator[Violation]:
    imported = {
        alias.asname or alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module in QUEUE_MODULES
        for alias in node.names
    }
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name, function = _last_name(node.func), node.func
        keywords = {keyword.arg for keyword in node.keywords}
        known = name in imported or (
            isinstance(function, ast.Attribute) and _last_name(function.value) in QUEUE_MODULES
        )
        if not known:
            continue
        if name == "SimpleQueue":
            yield Violation(source.path, node.lineno, "SimpleQueue has no bound: use Queue(maxsize=...)")
        elif name == "deque" and "maxlen" not in keywords and len(node.args) < 2:
            yield Violation(source.path, node.lineno, "deque without maxlen")
        elif name in ("Queue", "LifoQueue", "PriorityQueue") and "maxsize" not in keywords and not node.args:
            yield Violation(source.path, node.lineno, f"{name} without maxsize")


def unfinished_work(source: Source) -> Iterator[Violation]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield Violation(source.path, number, "a note of unfinished work: do it, or file it")


def line_length(source: Source) -> Iterator[Violation]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > LINE_LENGTH_MAX:
            yield Violation(source.path, number, f"{len(line)} characters, more than {LINE_LENGTH_MAX}")


RULES: tuple[Callable[[Source], Iterator[Violation]], ...] = (
    import_direction,
    function_length,
    module_length,
    outside_world,
    money_floats,
    bounded_queues,
    unfinished_work,
    line_length,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule(rule: Callable[[Source], Iterator[Violation]]) -> None:
    violations = [str(v) for source in python_files() for v in rule(source)]
    assert not violations, "\n" + "\n".join(violations)


def test_named_exceptions_still_exist() -> None:
    """An exception for a file that is gone would silently cover the next file of that name."""
    named = [*LONG_MODULES, *OUTSIDE_PORTS, *MONEY_FILES, PORTS]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_declarations_import_downwards_too() -> None:
    pattern = re.compile(r"^\s*(?:from\s+(\w+)[\w.]*\s+cimport|cimport\s+(\w+))")
    violations = []
    for index, package in enumerate(PACKAGES):
        for path in (ROOT / package).rglob("*.pxd"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                match = pattern.match(line)
                top = (match.group(1) or match.group(2)) if match else None
                if top in PACKAGES and PACKAGES.index(top) > index:
                    violations.append(f"{path.relative_to(ROOT)}:{number}: {package} cimports {top}")
    assert not violations, "\n" + "\n".join(violations)


BAD_SAMPLES = {
    "import_direction": ("matching/x.py", "def f():\n    from venues import orders\n", 2),
    "function_length": ("sim/x.py", "\ndef f():\n" + "    pass\n" * 70, 2),
    "module_length": ("sim/x.py", "pass\n" * (MODULE_LINES_MAX + 1), MODULE_LINES_MAX + 1),
    "outside_world": ("venues/x.py", "import os\nfrom datetime import datetime\na = datetime.now()\n", 3),
    "money_floats": ("matching/ledger.py", "def fee(value):\n    return value / 2\n", 2),
    "bounded_queues": ("recorders/x.py", "from collections import deque\nseen = deque()\n", 2),
    "unfinished_work": ("sim/x.py", "a = 1  # TO" + "DO later\n", 1),
    "line_length": ("sim/x.py", "a = 1\nb = '" + "x" * 120 + "'\n", 2),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_finds_what_it_is_for(rule: Callable[[Source], Iterator[Violation]]) -> None:
    path, text, line = BAD_SAMPLES[rule.__name__]
    assert [(v.path, v.line) for v in rule(parse(path, text))] == [(path, line)]


@pytest.mark.parametrize(
    "text",
    [
        "import time\n",
        "import random as r\n",
        "from time import perf_counter\n",
        "from socket import socket\n",
        "import uuid\n",
        "import numpy as np\nx = np.random.default_rng(1)\n",
        "from numpy.random import default_rng\n",
        "import datetime\nx = datetime.datetime.now()\n",
        "from datetime import date\nx = date.today()\n",
        "import os\nx = os.urandom(8)\n",
    ],
)
def test_every_way_to_the_outside_world_is_found(text: str) -> None:
    assert len(list(outside_world(parse("sim/x.py", text)))) == 1
    assert not list(outside_world(parse(PORTS, text)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import asyncio\nq = asyncio.Queue()\n", 1),
        ("from queue import SimpleQueue\nq = SimpleQueue()\n", 1),
        ("from queue import Queue\nq = Queue(maxsize=5)\n", 0),
        ("import collections\nq = collections.deque([], 5)\n", 0),
        ("class Queue: ...\nq = Queue()\n", 0),
    ],
)
def test_which_queues_count(text: str, found: int) -> None:
    assert len(list(bounded_queues(parse("sim/x.py", text)))) == found


@pytest.mark.parametrize("text", ["x = 0.5\n", "x = float('1')\n", "x /= 2\n", "x: cython.double\n"])
def test_every_float_in_money_code_is_found(text: str) -> None:
    assert len(list(money_floats(parse("matching/arith.py", text)))) == 1
    assert not list(money_floats(parse("matching/arith.py", f"def ln1p():\n    {text}")))
    assert not list(money_floats(parse("matching/kernel.py", text)))
