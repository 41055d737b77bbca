"""``perpsim compile strategy.py``: a strategy file as an extension beside it, against the kernels' public types.

The file stays ordinary Python and runs uncompiled as well. Compiled as it is, it saves the interpreter's overhead; with
annotations it calls the kernels as C does. An annotated strategy looks like this:

    import cython
    from perpsim import Book, Context, Order, Strategy

    @cython.cclass
    class Maker(Strategy):
        half: cython.longlong
        bid: Order

        def __init__(self, half: int = 1) -> None:
            self.half = half

        def on_timer(self) -> None:
            book: Book = self.ctx.book(0)
            ...

Names imported from ``perpsim`` (or ``sim.strategy``) are known to the compiler as the C types of sim/strategy.pxd. A
``.pxd`` of the same name beside the file goes instead of the one made here.

The extension carries the hash of its source: one that is older than its file is refused, as the kernels' are.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from matching import build_info
from venues.errors import InputError

TYPES: Final = (
    "Bar", "Book", "Context", "Fill", "Funding", "Gap", "Liquidation", "Order", "OrderEvent", "Setting", "Strategy",
    "Trade",
)  # fmt: skip
FLAGS: Final = ("-O3", "-ffp-contract=off", "-fwrapv", "-g0", "-Wno-unused-function")
# The callbacks of Strategy with the types of their arguments; strategy.pxd declares the same.
CALLBACKS: Final[dict[str, tuple[str, ...]]] = {
    "on_start": (),
    "on_stop": (),
    "on_book": ("cython.longlong",),
    "on_trade": ("cython.longlong", "Trade"),
    "on_bar": ("cython.longlong", "Bar"),
    "on_data": ("str", ""),
    "on_order": ("Order", "OrderEvent"),
    "on_fill": ("Order", "Fill"),
    "on_funding": ("cython.longlong", "Funding"),
    "on_mark": ("cython.longlong",),
    "on_gap": ("cython.longlong", "Gap"),
    "on_liquidation": ("cython.longlong", "Liquidation"),
    "on_setting": ("cython.longlong", "Setting"),
    "on_force_order": ("cython.longlong", "Trade"),
    "on_timer": (),
}
TYPE_HOMES: Final = ("perpsim", "sim.strategy", "sim.bars")
# Python's own meaning throughout, so that a compiled strategy decides what the interpreted one does. A file may choose
# otherwise for itself with a line such as "# cython: boundscheck=False" at its top.
DIRECTIVES: Final = {"language_level": 3, "nonecheck": True, "cdivision": False, "cpow": False}
_STAMP: Final = re.compile(rb"perpsim-strategy;sha256=([0-9a-f]{64});")


def extension_beside(path: Path) -> Path:
    """Where the extension of a strategy file belongs, for the running Python."""
    return path.with_name(path.stem + importlib.machinery.EXTENSION_SUFFIXES[0])


def source_sha256(path: Path) -> str:
    """sha256 of a strategy's source and of the types that it was compiled against."""
    digest = hashlib.sha256(path.read_bytes())
    own = path.with_suffix(".pxd")
    if own.exists():
        digest.update(own.read_bytes())
    digest.update(_kernel_types().encode())
    return digest.hexdigest()


def _kernel_types() -> str:
    module = build_info()["modules"].get("sim.strategy", {})
    return str(module.get("source_sha256", ""))


def compiled_beside(path: Path) -> Path | None:
    """The extension to load in place of a strategy file, or None. Raises ``InputError`` if it is out of date."""
    extension = extension_beside(path)
    if not extension.exists() or not build_info()["compiled"]:
        return None
    stamp = _STAMP.search(extension.read_bytes())
    if stamp is None or stamp.group(1).decode() != source_sha256(path):
        raise InputError(
            f"was compiled from another version of {path.name} or of perpsim: run perpsim compile {path} again, or "
            "delete it",
            source=str(extension),
        )
    return extension


def compile_strategy(path: Path) -> Path:
    """Compile a strategy file and return the extension beside it.

    Raises ``InputError`` for what is wrong with the file, ``EnvironmentError`` where no compiler or compiled kernels
    are to be had.
    """
    if path.suffix != ".py" or not path.is_file():
        raise InputError("is no Python file", source=str(path))
    if not path.stem.isidentifier():
        raise InputError("must have a name that Python can import, such as my_strategy.py", source=str(path))
    if not build_info()["compiled"]:
        raise OSError("the kernels of this installation are not compiled, a strategy cannot be compiled against them")
    if shutil.which("gcc") is None and shutil.which("cc") is None:
        raise OSError("no C compiler was found (Debian: apt-get install gcc python3-dev)")
    work = path.resolve().parent / ".perpsim-build" / path.stem
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        return _build(path.resolve(), work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if work.parent.exists() and not any(work.parent.iterdir()):
            work.parent.rmdir()


def _build(path: Path, work: Path) -> Path:
    source = work / path.name
    source.write_text(prepared(path.read_text(encoding="utf-8"), str(path)), encoding="utf-8")
    own = path.with_suffix(".pxd")
    if own.exists():
        shutil.copy(own, work / own.name)
    else:
        source.with_suffix(".pxd").write_text(types_text(source.read_text(encoding="utf-8")), encoding="utf-8")
    stamp = work / "perpsim_stamp.c"
    text = f"perpsim-strategy;sha256={source_sha256(path)};"
    stamp.write_text(
        f'const char perpsim_strategy_stamp[];\n__attribute__((used)) const char perpsim_strategy_stamp[] = "{text}";\n'
    )
    setup = work / "setup.py"
    setup.write_text(_SETUP.format(name=path.stem, source=source.name, directives=DIRECTIVES, flags=list(FLAGS)))
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=work, capture_output=True, text=True,
        env=_environment(root), check=False,
    )  # fmt: skip
    made = extension_beside(work / path.name)
    if done.returncode or not made.exists():
        raise InputError(f"could not be compiled:\n{(done.stdout + done.stderr).strip()}", source=str(path))
    target = extension_beside(path)
    target.unlink(missing_ok=True)  # a running process keeps the extension that it has mapped
    shutil.move(made, target)
    return target


def prepared(source: str, name: str) -> str:
    """The source as the compiler wants it; every line keeps its number wherever a blank line stands before a callback.

    Imports of perpsim's classes go (the ``.pxd`` declares them), and the callbacks of annotated classes are declared as
    what they override: C functions with the base class's signature.
    """
    try:
        tree = ast.parse(source, filename=name)
    except SyntaxError as error:
        raise InputError(f"{error.msg}: {(error.text or '').strip()}", source=name, place=error.lineno) from None
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in TYPE_HOMES:
            _drop_types(node, lines)
    callbacks = [
        method
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(_named(decorator, "cclass") for decorator in node.decorator_list)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name in CALLBACKS
    ]
    for method in sorted(callbacks, key=lambda found: -found.lineno):
        _declare(method, lines)
    return "".join(lines)


def _named(decorator: ast.expr, name: str) -> bool:
    return (decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", None)) == name


def _drop_types(node: ast.ImportFrom, lines: list[str]) -> None:
    kept = [alias for alias in node.names if alias.name not in TYPES or alias.asname is not None]
    if len(kept) == len(node.names):
        return
    names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in kept)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    lines[first] = " " * node.col_offset + (f"from {node.module} import {names}\n" if kept else "pass\n")
    lines[first + 1 : last + 1] = ["\n"] * (last - first)


def _declare(method: ast.FunctionDef, lines: list[str]) -> None:
    """Give a callback the signature that it overrides, in place of its own annotations."""
    if any(_named(decorator, "ccall") for decorator in method.decorator_list):
        return
    names = [argument.arg for argument in method.args.args]
    types = CALLBACKS[method.name]
    if len(names) != len(types) + 1:
        return  # the compiler says what is wrong with it
    typed = [f"{name}: {kind}" if kind else name for name, kind in zip(names[1:], types, strict=True)]
    first, body = method.lineno - 1, method.body[0]
    rest = lines[body.lineno - 1][body.col_offset :] if body.lineno == method.lineno else ""
    header = " " * method.col_offset + f"def {method.name}({', '.join([names[0], *typed])}):"
    end = first + 1 if rest else _header_end(method)
    lines[first:end] = [f"{header} {rest}" if rest else header + "\n", *["\n"] * (end - first - 1)]
    decorator = " " * method.col_offset + "@cython.ccall\n"
    top = min([method.lineno, *(found.lineno for found in method.decorator_list)]) - 1
    if top and not lines[top - 1].strip():
        lines[top - 1] = decorator
    else:
        lines.insert(top, decorator)


def _header_end(method: ast.FunctionDef) -> int:
    """The number of lines up to the end of a callback's header, comments between it and the body left alone."""
    arguments = [argument for argument in method.args.args if argument.end_lineno is not None]
    last = max([method.lineno, *(argument.end_lineno or 0 for argument in arguments)])
    if method.returns is not None:
        last = max(last, method.returns.end_lineno or 0)
    return last if last == method.lineno else method.body[0].lineno - 1


def _environment(root: Path) -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{inherited}" if inherited else str(root)}


def types_text(source: str) -> str:
    """The declarations that make perpsim's classes known to the compiler as C types: those the file uses."""
    used = [name for name in TYPES if re.search(rf"\b{name}\b", source)]
    return f"from sim.strategy cimport {', '.join(used)}\n" if used else ""


_SETUP: Final = """\
import sys
from pathlib import Path
from Cython.Build import cythonize
from setuptools import Extension, setup

root = {root_expression}
modules = cythonize(
    [Extension({name!r}, [{source!r}], extra_compile_args={flags!r})],
    compiler_directives={directives!r}, include_path=[root], quiet=True,
)
modules[0].sources.append("perpsim_stamp.c")
setup(name="perpsim-strategy", py_modules=[], ext_modules=modules)
""".replace("{root_expression}", "next(p for p in sys.path if (Path(p) / 'sim' / 'strategy.pxd').exists())")
