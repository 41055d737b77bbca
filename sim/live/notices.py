"""What a session without a view says all the same: its problems, each once, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

WAITS_S: Final = 5  # a session that has not begun its warm-up by then says what it waits for
SAID_MAX: Final = 1_000  # the last so many are not said again
_BEGINS: Final = ("connecting", "opening accounts")
_PROBLEMS: Final = ("warning", "error")


class Notices:
    """Takes a session's status as a view does."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._said: dict[str, None] = {}

    def show(self, status: dict[str, Any]) -> None:
        """Say what is new in it."""
        for message in status["messages"]:
            if message["level"] in _PROBLEMS:
                self._say(f"{message['level']}: {message['text']}")
        if status["elapsed_s"] < WAITS_S:
            return
        for one in status["connections"]:
            if not one["open"] and one["why"]:
                self._say(f"warning: {one['name']}: {one['why']}")
        if status["phase"] in _BEGINS:
            heard = f"; last heard: {status['messages'][-1]['text']}" if status["messages"] else ""
            self._say(f"{status['phase']}: not done after {WAITS_S} s{heard}", status["phase"])

    def _say(self, text: str, key: str = "") -> None:
        key = key or text
        if key in self._said:
            return
        if len(self._said) >= SAID_MAX:
            del self._said[next(iter(self._said))]  # far more than a status has at once
        self._said[key] = None
        self._write(text)
