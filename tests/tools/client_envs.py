"""Makes the environments in which third-party clients run against the emulator: one a requirements file.

    python tests/tools/client_envs.py [NAME ...]      all of tests/clients/requirements when none is named

Each is a virtual environment under build/clients/NAME (another folder: PERPSIM_CLIENTS=DIR), with exactly the versions
of tests/clients/requirements/NAME.txt. One that is there already with those versions, for this Python, is left as it
is. Exit code 1 if one cannot be made, with pip's reason.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = ROOT / "tests" / "clients" / "requirements"
MADE = ".made"
SECONDS_MAX = 600


class CannotMakeError(Exception):
    """An environment that could not be made; the text says why."""


def environments() -> list[str]:
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def folder() -> Path:
    return Path(os.environ.get("PERPSIM_CLIENTS") or ROOT / "build" / "clients").resolve()


def python_of(name: str) -> Path:
    """The interpreter of an environment, made now unless it is there. Raises CannotMakeError."""
    place = folder() / name
    wanted = _wanted(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_made(place, wanted):
            _make(name, place, wanted)
    return place / "bin" / "python"


def _wanted(name: str) -> str:
    path = REQUIREMENTS / f"{name}.txt"
    if not path.exists():
        raise CannotMakeError(f"no environment {name!r}; there are {', '.join(environments())}")
    python = f"{sys.version_info[0]}.{sys.version_info[1]} {sys.base_prefix}\n"
    return hashlib.sha256(python.encode() + path.read_bytes()).hexdigest()


def _is_made(place: Path, wanted: str) -> bool:
    made = place / MADE
    return made.exists() and made.read_text() == wanted and (place / "bin" / "python").exists()


def _make(name: str, place: Path, wanted: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=False, symlinks=True)
    command = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--no-deps", "--retries", "1"]
    command += ["--timeout", "30", "-r", str(REQUIREMENTS / f"{name}.txt")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        raise CannotMakeError(f"{name}: pip took more than {SECONDS_MAX} s") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if "ERROR" in line] or ["no reason given"]
        raise CannotMakeError(f"{name}: pip failed: {lines[-1]}")
    (place / MADE).write_text(wanted)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    names = parser.parse_args().names or environments()
    failed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, future in [(name, pool.submit(python_of, name)) for name in names]:
            try:
                print(f"{name}: {future.result()}")
            except CannotMakeError as error:
                failed = 1
                print(f"client_envs: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
