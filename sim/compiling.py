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

import hashlib
import importlib.machinery
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from matching import build_info
from venues.errors import InputError

TYPES: Final = (
    "Bar", "Book", "Context", "Fill", "Funding", "Gap", "Liquidation", "Order", "OrderEvent", "Strategy", "Trade",
)  # fmt: skip
FLAGS: Final = ("-O3", "-ffp-contract=off", "-fwrapv", "-g0", "-Wno-unused-function")
DIRECTIVES: Final = {
    "language_level": 3, "boundscheck": False, "wraparound": False, "initializedcheck": False, "nonecheck": True,
    "cdivision": True, "cpow": True,
}  # fmt: skip
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
    shutil.copy(path, source)
    own = path.with_suffix(".pxd")
    if own.exists():
        shutil.copy(own, work / own.name)
    else:
        source.with_suffix(".pxd").write_text(types_text(path.read_text(encoding="utf-8")), encoding="utf-8")
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


def _environment(root: Path) -> dict[str, str]:
    import os

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
