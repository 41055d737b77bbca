"""Fault scripts: what goes wrong on the wire of an emulator, when and to whom; a TOML file, checked before it is used.

Theory of operation. A script is a list of faults. Each has a kind, says what it meets (``match``: a part of a frame or
of a request's line and body; ``path``: a part of the URL's path and query) and when: ``at`` (instants after the start,
for what happens to a connection by itself), between ``from`` and ``until``, on the ``nth`` matches, on ``every`` n-th,
or with a ``probability``; at most ``times``. Chance is drawn by the script's seed, the fault's place and the number of
the match, so that a script does the same in every run that sends the same.

    frames out      drop, duplicate, reorder (after the next one), delay (by), corrupt (cut in half), stall (for)
    connections     disconnect: how = "close" (code), "abort" (no close frame) or "silence" (open, but nothing passes)
                    refuse: the handshake is answered with ``status``
    requests        lose_reply: executed, never answered; how = "hang" (for) or "abort"
                    status: answered with ``status`` and ``body``, executed before if ``execute``
                    ban: from the match on, for ``for``, everything is answered with ``status`` and Retry-After
    time            clock_skew: the venue's clock for requests is off ``by``

A gap in the ids of a depth stream is ``drop`` with ``match = "depthUpdate"``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from matching.arith import draw
from sim.config_parts import Duration, PositiveDuration
from sim.toml import checked, read_toml
from sim.units import duration_ns

FRAME_KINDS: Final = ("drop", "duplicate", "reorder", "delay", "corrupt", "stall")
REQUEST_KINDS: Final = ("lose_reply", "status", "ban")
Kind = Literal[
    "drop", "duplicate", "reorder", "delay", "corrupt", "stall", "disconnect", "refuse", "lose_reply", "status", "ban",
    "clock_skew",
]  # fmt: skip
_FIELDS: Final[dict[str, set[str]]] = {  # what belongs to a kind beside what says when and whom
    "drop": set(), "duplicate": set(), "reorder": set(), "corrupt": set(), "delay": {"by"}, "stall": {"for_"},
    "disconnect": {"how", "code"}, "refuse": {"status", "retry_after"}, "lose_reply": {"how", "for_"},
    "status": {"status", "body", "execute", "retry_after"}, "ban": {"status", "for_"}, "clock_skew": {"by"},
}  # fmt: skip
_WHEN: Final = {"kind", "match", "path", "at", "from_", "until", "nth", "every", "probability", "times"}
_HOWS: Final = {"disconnect": ("close", "abort", "silence"), "lose_reply": ("hang", "abort")}


def _signed(value: Any) -> int:
    if isinstance(value, str) and value.strip().startswith("-"):
        return -duration_ns(value.strip()[1:])
    return duration_ns(value)


def _some(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _rising(values: list[int]) -> list[int]:
    if any(value < 1 for value in values):
        raise ValueError("must count from 1")
    return values


class Fault(BaseModel):
    """One entry of a script."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: Kind
    match: str = ""
    path: str = ""
    at: Annotated[list[Duration], BeforeValidator(_some)] = []
    from_: Duration = Field(0, alias="from")
    until: Duration | None = None
    nth: Annotated[list[int], BeforeValidator(_some), AfterValidator(_rising)] = []
    every: int | None = Field(None, ge=1)
    probability: Decimal | None = Field(None, gt=0, le=1)
    times: int | None = Field(None, ge=1)
    how: str = ""
    code: int = Field(1001, ge=1000, le=4999)
    by: Annotated[int, BeforeValidator(_signed)] = 0
    for_: PositiveDuration | None = Field(None, alias="for")
    status: int = Field(503, ge=400, le=599)
    body: str = ""
    execute: bool = False
    retry_after: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Fault:
        wrong = sorted(self.model_fields_set - _WHEN - _FIELDS[self.kind])
        if wrong:
            raise ValueError(f"{self.kind} has no {', '.join(name.rstrip('_') for name in wrong)}")
        hows = _HOWS.get(self.kind, ("",))
        if self.how and self.how not in hows:
            raise ValueError(f"how of {self.kind} must be one of {', '.join(hows)}")
        if self.at and self.kind != "disconnect":
            raise ValueError("at belongs to disconnect: nothing else happens by itself")
        if sum(bool(given) for given in (self.at, self.nth, self.every, self.probability)) > 1:
            raise ValueError("give one of at, nth, every, probability")
        if (self.kind in ("delay", "clock_skew") and not self.by) or (self.kind == "delay" and self.by < 0):
            raise ValueError(f"{self.kind} needs by")
        if self.kind in ("stall", "ban") and self.for_ is None:
            raise ValueError(f"{self.kind} needs for")
        return self


class Script(BaseModel):
    """A whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    fault: list[Fault] = []


def load_faults(path: str | Path) -> Script:
    """Read and check a script. Raises ``InputError`` naming file and key."""
    return check_faults(read_toml(Path(path)), str(path))


def check_faults(raw: dict[str, Any], name: str) -> Script:
    """Plain data as a ``Script``. Raises ``InputError`` with every mistake."""
    return checked(Script, raw, name)


@dataclass(slots=True)
class Rule:
    """A fault on its way through a session: what it has met and done so far."""

    fault: Fault
    seed: int
    place: int
    matches: int = 0
    done: int = 0
    instants: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.instants = sorted(self.fault.at)

    def hits(self, elapsed_ns: int, path: str, content: bytes) -> bool:
        """Whether it strikes what passes now, ``elapsed_ns`` after the start; counts the match."""
        fault = self.fault
        if fault.at or not self._is_on(elapsed_ns):
            return False
        if (fault.path and fault.path not in path) or (fault.match and fault.match.encode() not in content):
            return False
        self.matches += 1
        if fault.nth:
            strikes = self.matches in fault.nth
        elif fault.every is not None:
            strikes = self.matches % fault.every == 0
        elif fault.probability is not None:
            chance = draw(self.seed, self.place, self.matches, 0)
            strikes = chance < int(fault.probability * (1 << 64))
        else:
            strikes = True
        self.done += strikes
        return strikes

    def _is_on(self, elapsed_ns: int) -> bool:
        fault = self.fault
        if elapsed_ns < fault.from_ or (fault.until is not None and elapsed_ns >= fault.until):
            return False
        return fault.times is None or self.done < fault.times

    def due(self, elapsed_ns: int) -> bool:
        """Whether one of its instants has come; takes it."""
        if not self.instants or self.instants[0] > elapsed_ns:
            return False
        self.instants.pop(0)
        self.done += 1
        return True


def rules(script: Script | None) -> list[Rule]:
    """The rules of a script, at the start of a session."""
    if script is None:
        return []
    return [Rule(fault, script.seed, place) for place, fault in enumerate(script.fault)]
