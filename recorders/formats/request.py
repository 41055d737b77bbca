"""What an import is asked for, and the instruments it may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recorders.clock import LATENCY_FLOOR_NS
from recorders.files import SourceFile, fingerprint
from recorders.formats.reading import ADVICE
from recorders.instruments import instruments_from_file
from venues import known_instrument
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Request:
    """Files to import into a lake. ``venue`` and ``symbol`` name, or restrict, what is taken; ``instrument`` is a JSON
    file of instruments. ``latency_ns`` None: not said. Times in ns."""

    files: tuple[Path, ...]
    lake: Path
    venue: str | None = None
    symbol: str | None = None
    instrument: Path | None = None
    latency_floor_ns: int = LATENCY_FLOOR_NS
    latency_ns: int | None = None
    replace: bool = False

    def fingerprints(self) -> list[SourceFile]:
        """The files as they are now. Raises ``InputError`` for one that is given twice."""
        found = [fingerprint(path) for path in self.files]
        seen: dict[str, Path] = {}
        for path, source in zip(self.files, found, strict=True):
            if source.sha256 in seen:
                raise InputError(f"is the same file as {seen[source.sha256]}", source=str(path))
            seen[source.sha256] = path
        return found

    def described(self) -> Mapping[str, Instrument]:
        """The instruments that the user's file describes, by symbol."""
        if self.instrument is None:
            return {}
        return {one.symbol: one for one in instruments_from_file(self.instrument, self.venue)}

    def find(self, venue: str, symbol: str) -> Instrument:
        """The instrument of a venue that has a symbol: the user's, else a documented one. Raises ``InstrumentError``
        with what to do."""
        described = self.described().get(symbol)
        if described is not None and described.venue in (venue, self.venue):
            return described
        try:
            return known_instrument(self.venue or venue, symbol)
        except InstrumentError as error:
            raise InstrumentError(f"{error} ({ADVICE})") from None
