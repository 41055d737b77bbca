"""Third-party clients against ``perpsim serve``: starts the emulator, plays a scenario in the client's environment."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.client_envs import ROOT, CannotMakeError, python_of

SCENARIOS = ROOT / "tests" / "clients" / "scenarios"
START_SECONDS = 60
PLAY_SECONDS = 240
PRESET = "synth:volatile"  # much happens: a stop close to the market fires, trades come at once


class Seen:
    """What a scenario saw, by step."""

    def __init__(self, steps: dict[str, dict[str, Any]]) -> None:
        self.steps = steps

    def __getitem__(self, step: str) -> Any:
        """What the step saw; the test fails if the step did."""
        told = self.steps[step]
        assert told["ok"], f"{step}: {told['error']}"
        return told["saw"]

    def refused(self, step: str = "refused") -> dict[str, str]:
        """How each call of a step was refused, as ``type: text``."""
        return {name: f"{told['type']}: {told['text']}" for name, told in self[step].items()}


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The first line of a started emulator."""
    lines: queue.Queue[str] = queue.Queue(maxsize=1)
    out = process.stdout
    assert out is not None
    threading.Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START_SECONDS)
    except queue.Empty:
        raise AssertionError(f"the emulator said nothing within {START_SECONDS} s") from None
    if not line:
        assert process.stderr is not None
        raise AssertionError(f"the emulator did not start: {process.stderr.read()}")
    return dict(json.loads(line))


@contextlib.contextmanager
def serving(venue: str, *arguments: str, feed: str = PRESET) -> Iterator[dict[str, Any]]:
    """An emulator of a venue for as long as the block lasts: its first line. It must end cleanly."""
    command = [sys.executable, "-m", "sim.cli", "serve", venue, "--feed", feed, "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield first_line(process)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    process.send_signal(signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors


def setting_of(line: dict[str, Any], symbol: str, account: int = 0) -> dict[str, Any]:
    """What a scenario is given of the emulator's first line."""
    given: dict[str, Any] = {"http": line["rest"], "ws": line["ws"], "symbol": symbol}
    shown = line["accounts"][account]
    if "address" in shown:
        return given | {"address": shown["address"], "secret": shown["private_key"]}
    return given | {"key": shown["key"], "secret": shown["secret"]}


def play(environment: str, scenario: str, given: dict[str, Any]) -> Seen:
    """A scenario's steps. Skips, with the reason, where its environment cannot be made."""
    try:
        python = python_of(environment)
    except CannotMakeError as error:
        pytest.skip(str(error))
    command = [str(python), str(SCENARIOS / f"{scenario}.py"), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PLAY_SECONDS, check=False, cwd=Path("/"))
    assert done.returncode == 0, done.stderr[-3000:]
    return Seen(json.loads(done.stdout.splitlines()[-1]))


def played(venue: str, environment: str, scenario: str, symbol: str) -> Seen:
    """A scenario against an emulator of its own."""
    try:
        python_of(environment)
    except CannotMakeError as error:
        pytest.skip(str(error))
    with serving(venue) as line:
        return play(environment, scenario, setting_of(line, symbol))
