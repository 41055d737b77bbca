"""Which kernels run: compiled or not, never stale, never a mixture; and what hides our packages is refused."""

from __future__ import annotations

import importlib.machinery
import os
import subprocess
import sys
from pathlib import Path

import pytest

import perpsim
from matching import _build

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with two kernels of which the second cimports a declaration file."""
    folder = tmp_path / "matching"
    folder.mkdir()
    (folder / "arith.py").write_text("A = 1\n")
    (folder / "ledger.py").write_text("B = 2\n")
    (folder / "ledger.pxd").write_text("from matching.codes cimport *\n")
    (folder / "codes.pxd").write_text("cdef enum:\n    BUY = 0\n")
    return tmp_path


def pretend_compiled(root: Path, name: str) -> Path:
    """A file that looks to the finder like the extension built from the sources as they are now."""
    stamp = _build.stamp_text(name, bounds_checked=False, cython="3", flags=["-O3", "-x"], root=root)
    path = _build.module_path(root, name, "")
    path = path.with_name(path.name + SUFFIX)
    path.write_bytes(b"\x7fELF\x00perpsim-build;\x00" + stamp.encode() + b"\x00tail")
    return path


def find(root: Path, name: str, *, pure: bool = False) -> str:
    spec = _build.KernelFinder(root, pure).find_spec(name)
    assert spec is not None and spec.origin is not None
    return spec.origin


def test_sources_of_a_kernel_follow_cimports(tree: Path) -> None:
    names = [path.name for path in _build.source_files("matching.ledger", tree)]
    assert names == ["codes.pxd", "ledger.pxd", "ledger.py"]


def test_a_fresh_extension_is_chosen(tree: Path) -> None:
    extension = pretend_compiled(tree, "matching.ledger")
    assert find(tree, "matching.ledger") == str(extension)
    stamp = _build.read_stamp(extension)
    assert stamp["module"] == "matching.ledger"
    assert stamp["flags"] == "-O3 -x"
    assert stamp["bounds_checked"] == "0"


@pytest.mark.parametrize("edited", ["ledger.py", "ledger.pxd", "codes.pxd"])
def test_an_edit_makes_the_extension_refuse_to_load(tree: Path, edited: str) -> None:
    pretend_compiled(tree, "matching.ledger")
    path = tree / "matching" / edited
    path.write_text(path.read_text() + "# edited\n")
    with pytest.raises(ImportError, match=r"ledger.*was built from other sources.*codes\.pxd.*Rebuild it with"):
        find(tree, "matching.ledger")


def test_an_extension_without_a_stamp_refuses_to_load(tree: Path) -> None:
    pretend_compiled(tree, "matching.ledger").write_bytes(b"\x7fELF")
    with pytest.raises(ImportError, match="carries no stamp"):
        find(tree, "matching.ledger")


def test_pure_takes_the_source_even_beside_a_fresh_extension(tree: Path) -> None:
    pretend_compiled(tree, "matching.ledger")
    assert find(tree, "matching.ledger", pure=True) == str(tree / "matching" / "ledger.py")
    assert find(tree, "matching.arith", pure=True) == str(tree / "matching" / "arith.py")


def test_a_mixture_is_refused(tree: Path) -> None:
    pretend_compiled(tree, "matching.ledger")
    with pytest.raises(ImportError, match=r"matching\.arith is not compiled but matching\.ledger is"):
        find(tree, "matching.arith")


def test_uncompiled_throughout_is_allowed_and_other_modules_are_left_alone(tree: Path) -> None:
    assert find(tree, "matching.arith") == str(tree / "matching" / "arith.py")
    assert _build.KernelFinder(tree, False).find_spec("matching.codes") is None
    assert _build.KernelFinder(tree, False).find_spec("json") is None


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {key: value for key, value in os.environ.items() if key not in ("PERPSIM_PURE", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=base | environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_pure_switch_reaches_every_kernel() -> None:
    code = (
        "import importlib, matching; from matching._build import kernel_modules\n"
        "print(*{importlib.import_module(n).__file__.rsplit('.', 1)[1] for n in kernel_modules()})\n"
        "print(matching.build_info()['compiled'], matching.build_info()['pure_forced'])\n"
    )
    done = run_python(code, PERPSIM_PURE="1", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    files, flags = done.stdout.splitlines()
    assert files == "py"
    assert flags == "False True"


def test_a_pure_switch_that_says_neither_is_refused() -> None:
    done = run_python("import matching", PERPSIM_PURE="yes", PYTHONPATH=str(ROOT))
    assert done.returncode != 0
    assert "PERPSIM_PURE='yes'" in done.stderr


def test_a_foreign_package_that_hides_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "__init__.py").write_text("")
    done = run_python("import perpsim", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert str(tmp_path / "sim") in last and "hides perpsim's own package 'sim'" in last


def test_every_public_name_resolves() -> None:
    assert sorted(perpsim._HOME) == sorted(perpsim.__all__)
    for name in perpsim.__all__:
        assert getattr(perpsim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = perpsim.nonsense


def test_importing_perpsim_loads_no_heavy_library() -> None:
    code = "import sys, perpsim\nprint(sorted({'numpy', 'polars', 'pyarrow', 'scipy', 'plotly'} & set(sys.modules)))"
    done = run_python(code, PYTHONPATH=str(ROOT))
    assert done.stdout.strip() == "[]", done.stderr
