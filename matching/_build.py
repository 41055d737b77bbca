"""Which kernels this process runs: compiled extensions or the ``.py`` files they were made from, never a mixture.

The kernels are ordinary Python files that Cython compiles in place. Three things can go wrong with that, and this
module is where each is stopped:

* a stale extension hides edits. Every extension carries the sha256 of the sources it was built from (its ``.py``, its
  ``.pxd`` and every ``.pxd`` of ours that these cimport); one that differs from the files beside it refuses to load;
* half the kernels compiled and half not: refused, naming both. ``PERPSIM_PURE=1`` runs the ``.py`` files of all of
  them, in this process and its children, which is how tests compare the two;
* nobody notices that nothing is compiled: ``build_info()`` says, and ``uncompiled_notice()`` is a sentence for people.

``setup.py`` loads this file by path, so it imports nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# In the order in which they depend on each other. A name whose .py does not exist is skipped.
KERNEL_MODULES = (
    "venues.digits",
    "matching.arith",
    "matching.accounts",
    "matching.margin",
    "matching.bookings",
    "matching.settings",
    "matching.ledger",
    "matching.order_book",
    "matching.gate",
    "matching.kernel",
    "recorders.joining",
    "recorders.messages",
    "recorders.live.market",
    "recorders.live.feed",
    "sim.bars",
    "sim.strategy",
    "sim.lanes",
    "sim.loop",
    "sim.bench.compiled_maker",
)
REBUILD = "python setup.py build_ext --inplace"
STAMP = "perpsim-build"
_STAMP_PATTERN = re.compile(rb"perpsim-build;((?:[a-z_]+=[^;\x00]*;)+)")
_CIMPORT_PATTERN = re.compile(r"^\s*(?:from\s+([\w.]+)\s+cimport\b|cimport\s+([\w.]+))", re.MULTILINE)


def project_root() -> Path:
    """The folder that holds ``matching/`` and ``sim/`` (repository root, or site-packages)."""
    return Path(__file__).resolve().parent.parent


def module_path(root: Path, name: str, suffix: str) -> Path:
    return root.joinpath(*name.split(".")).with_suffix(suffix)


def source_files(name: str, root: Path | None = None) -> list[Path]:
    """The files that decide what the extension of a kernel module is: its .py, its .pxd, all .pxd of ours below it."""
    base = root or project_root()
    found = {module_path(base, name, ".py")}
    pending = [name]
    while pending:
        pxd = module_path(base, pending.pop(), ".pxd")
        if pxd in found or not pxd.exists():
            continue
        found.add(pxd)
        for match in _CIMPORT_PATTERN.finditer(pxd.read_text(encoding="utf-8")):
            pending.append(match.group(1) or match.group(2))
    return sorted(found)


def source_sha256(name: str, root: Path | None = None) -> str:
    """sha256 over paths (relative to the root) and contents of ``source_files(name)``."""
    base = root or project_root()
    digest = hashlib.sha256()
    for path in source_files(name, base):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(base).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def stamp_text(name: str, *, bounds_checked: bool, cython: str, flags: Sequence[str], root: Path) -> str:
    """What an extension carries about its own making, as one line to be found in its bytes."""
    return (
        f"{STAMP};module={name};source={source_sha256(name, root)};bounds_checked={int(bounds_checked)};"
        f"cython={cython};flags={' '.join(flags)};"
    )


def read_stamp(extension: Path) -> dict[str, str]:
    """The stamp of a compiled extension as a dict; empty if it carries none."""
    match = _STAMP_PATTERN.search(extension.read_bytes())
    if match is None:
        return {}
    pairs = match.group(1).decode("utf-8").rstrip(";").split(";")
    return dict(pair.split("=", 1) for pair in pairs)


def extension_path(name: str, root: Path | None = None) -> Path | None:
    """The compiled extension of a kernel module for the running Python, or None."""
    base = module_path(root or project_root(), name, "")
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = base.with_name(base.name + suffix)
        if path.exists():
            return path
    return None


def pure_forced() -> bool:
    """True if ``PERPSIM_PURE=1`` asks for the uncompiled kernels."""
    value = os.environ.get("PERPSIM_PURE", "")
    if value not in ("", "0", "1"):
        raise ImportError(f"PERPSIM_PURE={value!r}: set it to 1 (uncompiled kernels) or 0, or unset it")
    return value == "1"


def kernel_modules(root: Path | None = None) -> list[str]:
    """The kernel modules that exist here."""
    base = root or project_root()
    return [name for name in KERNEL_MODULES if module_path(base, name, ".py").exists()]


def _check_fresh(name: str, extension: Path, root: Path) -> None:
    built_from = read_stamp(extension).get("source")
    if built_from == source_sha256(name, root):
        return
    why = "was built from other sources than the files beside it" if built_from else "carries no stamp of its sources"
    raise ImportError(
        f"{extension}: this compiled kernel {why} ({', '.join(p.name for p in source_files(name, root))}). "
        f"Rebuild it with `{REBUILD}` in {root}, or set PERPSIM_PURE=1 to run the .py files.",
        name=name,
        path=str(extension),
    )


class KernelFinder(MetaPathFinder):
    """Finds the kernel modules, and only these: the one place that chooses between .so and .py."""

    def __init__(self, root: Path, pure: bool) -> None:
        self.root = root
        self.pure = pure

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in KERNEL_MODULES:
            return None
        source = module_path(self.root, fullname, ".py")
        extension = None if self.pure else extension_path(fullname, self.root)
        if extension is not None:
            _check_fresh(fullname, extension, self.root)
            loader = importlib.machinery.ExtensionFileLoader(fullname, str(extension))
            return importlib.util.spec_from_file_location(fullname, extension, loader=loader)
        if not source.exists():
            return None
        if not self.pure:
            self._refuse_mixture(fullname)
        return importlib.util.spec_from_file_location(
            fullname, source, loader=importlib.machinery.SourceFileLoader(fullname, str(source))
        )

    def _refuse_mixture(self, fullname: str) -> None:
        compiled = [name for name in kernel_modules(self.root) if extension_path(name, self.root)]
        if compiled:
            raise ImportError(
                f"{fullname} is not compiled but {', '.join(compiled)} is, and the two must not be mixed. "
                f"Rebuild with `{REBUILD}` in {self.root}, or set PERPSIM_PURE=1 to run the .py files of all.",
                name=fullname,
            )


def install() -> None:
    """Put the finder first on ``sys.meta_path``, once a process. Called by ``matching`` and ``sim`` on import."""
    if not any(isinstance(finder, KernelFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, KernelFinder(project_root(), pure_forced()))


def build_info() -> dict[str, Any]:
    """How the kernels of this process are run, for banners, manifests and bug reports.

    ``compiled`` (all of them), ``pure_forced``, ``bounds_checked``, ``python``, ``platform`` and per module ``path``,
    ``compiled``, ``source_sha256`` and, where compiled, ``cython`` and ``flags``.
    """
    root, forced = project_root(), pure_forced()
    modules: dict[str, dict[str, Any]] = {}
    for name in kernel_modules(root):
        extension = None if forced else extension_path(name, root)
        stamp = read_stamp(extension) if extension else {}
        modules[name] = {
            "path": str(extension or module_path(root, name, ".py")),
            "compiled": extension is not None,
            "source_sha256": source_sha256(name, root),
            "bounds_checked": stamp.get("bounds_checked") == "1",
            "cython": stamp.get("cython"),
            "flags": stamp.get("flags"),
        }
    return {
        "compiled": bool(modules) and all(module["compiled"] for module in modules.values()),
        "pure_forced": forced,
        "bounds_checked": any(module["bounds_checked"] for module in modules.values()),
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": sys.platform,
        "modules": modules,
    }


def uncompiled_notice() -> str | None:
    """A sentence for people if the kernels run uncompiled without anybody having asked for it, else None."""
    root = project_root()
    if pure_forced() or all(extension_path(name, root) for name in kernel_modules(root)):
        return None
    return (
        "perpsim: the kernels are not compiled and run about 190 times slower. Install a C compiler and the Python "
        f"headers (Debian: apt-get install gcc python3-dev), then `{REBUILD}` in {root} or reinstall."
    )
