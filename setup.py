"""Compiles the kernels (Cython 3, pure-Python mode). Everything else about the package is in pyproject.toml.

Environment:
  PERPSIM_REQUIRE_COMPILED=1  a kernel that cannot be compiled is an error (the default: say so and go on uncompiled)
  PERPSIM_BOUNDSCHECK=1       build with bounds and initialisation checks on (a variant for tests, about half the speed)
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
BOUNDS_CHECKED = os.environ.get("PERPSIM_BOUNDSCHECK") == "1"
REQUIRED = os.environ.get("PERPSIM_REQUIRE_COMPILED") == "1"
VARIANT = "checked" if BOUNDS_CHECKED else "fast"

# Floating-point results must be those of the written operations on every machine: no contraction into fused
# multiply-adds, no -march=native, no -ffast-math. Signed overflow wraps, as in every Python's own build.
COMPILE_FLAGS = ["-O3", "-ffp-contract=off", "-fwrapv", "-g0", "-Wno-unused-function", "-Wno-unreachable-code"]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": BOUNDS_CHECKED,
    "initializedcheck": BOUNDS_CHECKED,
    "wraparound": False,
    "nonecheck": False,
    "cdivision": True,  # so // and % truncate: kernels divide through floor_div and mul_div only
    "show_performance_hints": False,  # most are in code that runs once
    "cpow": True,  # otherwise ** between C integers and floats differs from the uncompiled file
}


def load_build_module() -> Any:
    """matching/_build.py by path: importing the package here would look for the kernels being built."""
    spec = importlib.util.spec_from_file_location("_perpsim_build", ROOT / "matching" / "_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = load_build_module()


def say(*paragraphs: str) -> None:
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, 110)]
    width = max(map(len, lines)) + 4
    print("\n".join(["*" * width, *(f"* {line.ljust(width - 4)} *" for line in lines), "*" * width]), file=sys.stderr)


def stamp_source(name: str, cython_version: str) -> str:
    """A C file holding the stamp that the extension carries; rewritten only when the stamp changes."""
    text = BUILD.stamp_text(
        name, bounds_checked=BOUNDS_CHECKED, cython=cython_version, flags=COMPILE_FLAGS[:3], root=ROOT
    )
    symbol = "perpsim_stamp_" + name.replace(".", "_")
    content = f'const char {symbol}[];\n__attribute__((used)) const char {symbol}[] = "{text}";\n'
    path = ROOT / "build" / "stamps" / f"{symbol}.c"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != content:
        # What decides is the content: a file copied or unpacked with an old date must not leave the old C in place.
        (ROOT / "build" / f"cython-{VARIANT}" / BUILD.module_path(Path(), name, ".c")).unlink(missing_ok=True)
        path.write_text(content)
    return str(path.relative_to(ROOT))


def extensions() -> list[Extension]:
    return [
        Extension(
            name,
            [str(BUILD.module_path(ROOT, name, ".py").relative_to(ROOT))],
            extra_compile_args=COMPILE_FLAGS,
            depends=[str(path.relative_to(ROOT)) for path in BUILD.source_files(name, ROOT)],
        )
        for name in BUILD.kernel_modules(ROOT)
    ]


def translate(modules: list[Extension]) -> None:
    """Replace the Python sources of each extension by the C that Cython makes of them, and add its stamp."""
    import Cython
    from Cython.Build import cythonize

    stamps = {extension.name: stamp_source(extension.name, Cython.__version__) for extension in modules}
    translated = cythonize(modules, build_dir=f"build/cython-{VARIANT}", compiler_directives=DIRECTIVES, quiet=True)
    sources = {extension.name: list(extension.sources) for extension in translated}
    for extension in modules:
        extension.sources = [*sources[extension.name], stamps[extension.name]]


class BuildKernels(build_ext):
    """All kernels or none: after a failure no extension is left, so that nothing runs as a mixture."""

    def run(self) -> None:
        try:
            if self.extensions:
                translate(self.extensions)
            super().run()
        except Exception as error:
            wrong_source = type(error).__module__.startswith("Cython.")
            if REQUIRED or wrong_source:
                raise
            self._drop_all()
            say(
                "perpsim: the kernels could not be compiled; going on WITHOUT them (about 190 times slower).",
                f"Reason: {type(error).__name__}: {str(error)[:300]}",
                "Wanted: Cython, a C compiler and the Python headers (Debian: apt-get install gcc python3-dev).",
                "PERPSIM_REQUIRE_COMPILED=1 makes this an error.",
            )

    def copy_extensions_to_source(self) -> None:
        """Replace rather than overwrite: a running process keeps the extension that it has mapped."""
        for extension in self.extensions:
            self._source_path(extension).unlink(missing_ok=True)
        super().copy_extensions_to_source()

    def _source_path(self, extension: Extension) -> Path:
        return ROOT / self.get_ext_filename(extension.name)

    def _drop_all(self) -> None:
        for extension in self.extensions or []:
            for path in (Path(self.get_ext_fullpath(extension.name)), self._source_path(extension)):
                path.unlink(missing_ok=True)
        self.extensions = []


@contextlib.contextmanager
def one_build_at_a_time() -> Iterator[None]:
    """Two builds of one tree would write the same files."""
    import fcntl

    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


os.chdir(ROOT)
with one_build_at_a_time():
    setup(
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildKernels},
        options={"build_ext": {"parallel": os.cpu_count() or 1}},
    )
