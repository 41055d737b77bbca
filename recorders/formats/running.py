"""Running an import: which instruments the files hold, and each of them through its assembly into the lake.

A format offers *parts*: for an instrument (venue, symbol) and a name, a function that makes a stream of its messages.
While it reads, it may find more instruments in a file and offer those too; an instrument is imported again when parts
were added to it, which replaces what the first pass wrote.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from matching.feed import I64
from recorders.blocks import MessageBlock
from recorders.files import SPOOL_PREFIX, writing
from recorders.formats.assembly import Assembly, Traits, assemble
from recorders.formats.request import Request
from recorders.report import ImportReport
from recorders.writer import FeedWriter
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument

Key = tuple[str, str]  # venue, symbol
Maker = Callable[[Instrument], Iterator[MessageBlock]]
INSTRUMENTS_MAX: Final = 4096
UNSTATED_RECEIPT: Final = (
    "the files have no receive times: each message is received {latency} after the venue's time, as --latency says"
)
ZERO_LATENCY: Final = (
    "the files have no receive times and no --latency was given: every message is received in the instant in which the "
    "venue made it, which no client can do"
)


class Run:
    """One import in progress."""

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report = ImportReport(str(request.lake))  # of the instrument that is being imported
        self.sources = request.fingerprints()
        self._parts: dict[Key, dict[str, Maker]] = {}
        self._ignored: set[str] = set()
        self._unknown: InstrumentError | None = None

    def assume(self, sentence: str) -> None:
        """Say once what the files do not say."""
        if sentence not in self.traits.assumptions:
            self.traits.assumptions.append(sentence)

    def offer(self, key: Key, name: str, maker: Maker) -> None:
        """A part of an instrument; parts of one name are one. Instruments that nobody asked for are left out."""
        if self.request.symbol not in (None, key[1]):
            self._ignored.add(f"{name} of {key[1]}: another symbol was asked for")
            return
        if key not in self._parts and len(self._parts) >= INSTRUMENTS_MAX:
            return
        self._parts.setdefault(key, {}).setdefault(name, maker)

    def unused(self, what: str, count: int) -> None:
        """Count what no recording takes."""
        if count:
            self.report.unused[what] = self.report.unused.get(what, 0) + count

    def receipt(self, ts_event: I64) -> I64:
        """Receive times for files that have none."""
        return ts_event + (self.request.latency_ns or 0)

    def assume_receipt(self) -> None:
        """Say how ``receipt`` makes receive times."""
        latency = self.request.latency_ns
        self.assume(UNSTATED_RECEIPT.format(latency=f"{latency / 1e6:g} ms") if latency else ZERO_LATENCY)

    def go(self) -> ImportReport:
        """Import every instrument. Raises ``InputError``, also when nothing could be imported."""
        root = self.request.lake
        done: dict[Key, frozenset[str]] = {}
        reports: dict[Key, ImportReport] = {}
        if not self._parts:
            raise InputError(f"hold nothing of {self.request.symbol}", source="the files")
        with writing(root), tempfile.TemporaryDirectory(prefix=SPOOL_PREFIX, dir=root) as folder:
            while todo := [key for key, parts in self._parts.items() if done.get(key) != frozenset(parts)]:
                key = todo[0]
                done[key] = frozenset(self._parts[key])
                reports[key] = self.report = ImportReport(str(root))
                self._instrument(key, Path(folder))
        whole = self._together(list(reports.values()))
        if not whole.recordings and self._unknown is not None:
            raise InputError(str(self._unknown), source=str(self.request.files[0]))
        return whole

    def _together(self, reports: list[ImportReport]) -> ImportReport:
        whole = ImportReport(str(self.request.lake))
        for report in reports:
            whole.recordings += report.recordings
            whole.written += [path for path in report.written if path not in whole.written]
            whole.replaced += report.replaced
            whole.problems.merge(report.problems)
            for what, count in report.unused.items():
                whole.unused[what] = whole.unused.get(what, 0) + count
        whole.unused |= dict.fromkeys(sorted(self._ignored), 1)
        whole.files = [
            {**source.as_dict(), "path": str(path)}
            for source, path in zip(self.sources, self.request.files, strict=True)
        ]
        whole.recordings.sort(key=lambda r: (r.venue, r.instrument, r.first_recv_ns))
        return whole

    def _instrument(self, key: Key, folder: Path) -> None:
        try:
            instrument = self.request.find(*key)
        except InstrumentError as error:
            self._unknown = self._unknown or error
            self.report.problems.add(self.sources[0].name, 0, "unknown_instrument", f"{error}; its rows are not used")
            return
        writer = FeedWriter(self.request.lake, instrument, self.sources, replace=self.request.replace)
        floor_ns = self.request.latency_floor_ns
        assembly = Assembly(instrument, self.sources, writer, self.report, folder, self.traits, floor_ns)
        try:
            assemble(assembly, [maker(instrument) for maker in list(self._parts[key].values())])
            self.report.written += [str(path) for path in writer.close()]
            self.report.replaced += writer.replaced
        except BaseException:
            writer.abandon()
            raise


__all__ = ["Key", "Maker", "Run", "Traits"]
