from collections.abc import Callable, Sequence
from typing import Any, Protocol

from matching.feed import FeedSource
from matching.kernel import Core
from sim.strategy import Context, Strategy

class Stream(Protocol):
    """A data table: ``next_ns`` is the time of its next row, ``pop`` gives it and moves on."""

    @property
    def name(self) -> str: ...
    @property
    def next_ns(self) -> int: ...
    def pop(self) -> Any: ...

class Sink(Protocol):
    """Takes what a run leaves behind."""

    def drain(self, core: Core, final: bool, /) -> None: ...
    def window(self, now_ns: int, /) -> None: ...

class Services(Protocol):
    """Answers what contexts ask of the run beside acting."""

    def index(self, name: str, /) -> int: ...
    def history(self, i: int, span_ns: int, now_ns: int, kind: str, bar: int | str | None, /) -> Any: ...
    def log(self, lane: int, now_ns: int, message: str, values: dict[str, object], /) -> None: ...

class Loop:
    core: Core
    start_ns: int
    wakes: int
    private_events: int
    stop_reason: str
    stopped: bool
    calling: int
    def __init__(
        self,
        core: Core,
        sources: Sequence[FeedSource],
        start_ns: int,
        streams: Sequence[Stream],
        sink: Sink,
        services: Services,
    ) -> None: ...
    def add_lane(self, strategy: Strategy, ctx: Context, delay: Callable[[int], int] | None = None) -> None: ...
    def run(self) -> None: ...
    def begin(self) -> None: ...
    def step(self, until_ns: int) -> None: ...
    def finish(self) -> None: ...
    def next_due_ns(self) -> int: ...
