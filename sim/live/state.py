"""What strategies keep over a restart: one file, replaced as a whole, read again at the next start.

``Strategy.save_state`` returns what JSON can hold, or bytes; None (the default) keeps nothing. The file says whose it
is: the run's name, its mode's venues and instruments, each lane's strategy class and parameters, and the form's
version. A state of another run is refused rather than given to a strategy that does not know it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sim.config import RunConfig
from sim.strategy import Strategy
from venues.errors import InputError
from venues.ports import Files

FORM: Final = 1


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    form: int
    run: str
    config: str
    saved_ns: int
    version: str
    lanes: list[Any]


class StateFile:
    """The state of one run's strategies."""

    def __init__(self, files: Files, path: Path, config: RunConfig, mode: str, version: str) -> None:
        self.path = path
        self.saved = 0
        self._files = files
        self._name = config.name
        self._config = config_digest(config, mode)
        self._version = version
        self._last: list[Any] = []

    def restore(self, strategies: Sequence[Strategy]) -> bool:
        """Give every strategy what it saved last; False when there is no file yet. Raises ``InputError``."""
        try:
            content = self._files.read(self.path)
        except FileNotFoundError:
            return False
        try:
            found = msgspec.json.decode(content, type=Saved)
        except msgspec.DecodeError as error:
            raise InputError(f"is no saved state: {error}", source=str(self.path)) from None
        cure = "move it away to start afresh"
        if found.form != FORM:
            raise InputError(f"has form {found.form}, this version reads {FORM}: {cure}", source=str(self.path))
        if found.run != self._name:
            raise InputError(f"is of the run {found.run!r}, not {self._name!r}: {cure}", source=str(self.path))
        if found.config != self._config or len(found.lanes) != len(strategies):
            raise InputError(
                f"was saved under other strategies, parameters, venues, instruments or in another mode: {cure}",
                source=str(self.path),
            )
        for strategy, state in zip(strategies, found.lanes, strict=True):
            if state is not None:
                strategy.restore_state(base64.b64decode(state["bytes"]) if set(state) == {"bytes"} else state["state"])
        return True

    def save(self, strategies: Sequence[Strategy], now_ns: int) -> bool:
        """Keep what the strategies say now; False when that is what the file says already. Raises ``InputError`` for a
        state that JSON cannot hold, ``OSError`` when the disk fails."""
        lanes = [_state(strategy.save_state(), lane) for lane, strategy in enumerate(strategies)]
        if all(state is None for state in lanes) or (self.saved and lanes == self._last):
            return False
        saved = Saved(
            form=FORM, run=self._name, config=self._config, saved_ns=now_ns, version=self._version, lanes=lanes
        )
        self._files.write_whole(self.path, msgspec.json.format(msgspec.json.encode(saved), indent=1) + b"\n")
        self._last = lanes
        self.saved += 1
        return True


def _state(state: Any, lane: int) -> Any:
    if state is None:
        return None
    if isinstance(state, bytes):
        return {"bytes": base64.b64encode(state).decode()}
    try:
        return {"state": msgspec.json.decode(msgspec.json.encode(state))}
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(f"save_state must return what JSON can hold, or bytes: {error}", source=f"lane {lane}") from (
            None
        )


def config_digest(config: RunConfig, mode: str) -> str:
    """What of a run file a saved state depends on, as a hash: strategies with parameters, venues, instruments, mode."""
    parts = {
        "mode": mode,
        "strategies": [
            one.model_dump(mode="json", by_alias=True)
            for one in (config.lanes or ([config.strategy] if config.strategy is not None else []))
        ],
        "venues": [venue.name for venue in config.venue],
        "instruments": [f"{config.venue[config.venue_of(one)].name}:{one.symbol}" for one in config.instrument],
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
