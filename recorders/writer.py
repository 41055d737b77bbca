"""Writing a feed into the lake: blocks, days, recordings, and what is already there.

Theory of operation. A ``FeedWriter`` takes one instrument's recordings in time order, each as a stream of message
blocks in venue order, and lays them out in day files. It keeps the audit book (``BookTrack``) as it goes, so that
every block of a file begins with a checkpoint. A day that already has a file is merged: recordings made from the same
source files are replaced, others are carried over where they do not overlap in time, and an overlap is refused unless
the caller asked for replacement. Files are published when no later recording can touch their day; until then only
partial files exist.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from matching import codes
from recorders.blocks import MessageBlock, empty_block, join
from recorders.book import BookCounts, BookTrack
from recorders.dayfile import BLOCK_MESSAGES, BLOCK_ROWS, DayFile, DayWriter
from recorders.files import SourceFile, make_folder
from venues.errors import InputError
from venues.instruments import Instrument
from venues.rules import DAY_NS, date_of_ns

SUFFIX: Final = ".parquet"
WHOLE_BOOKS: Final = (codes.SNAPSHOT, codes.ORDER_BOOK)
BOOK_CHANGES: Final = (codes.DEPTH, codes.ORDER_ADD, codes.ORDER_CHANGE, codes.ORDER_GONE, codes.ORDER_FILL)
NEVER_NS: Final = 2**63 - 1


def day_path(root: Path, venue: str, symbol: str, day: str) -> Path:
    """Where the lake keeps a day of an instrument."""
    return root / venue / symbol / f"{day}{SUFFIX}"


def instrument_fields(instrument: Instrument) -> dict[str, Any]:
    """An instrument as JSON-ready fields; ``instrument_from`` is its inverse."""
    found: dict[str, Any] = {}
    for item in fields(instrument):
        if item.init:
            value = getattr(instrument, item.name)
            found[item.name] = format(value, "f") if isinstance(value, Decimal) else value
    found["tick_steps"] = [[format(above, "f"), format(tick, "f")] for above, tick in instrument.tick_steps]
    return found


def instrument_from(values: dict[str, Any]) -> Instrument:
    """The instrument that ``instrument_fields`` wrote down."""
    return Instrument.from_fields({**values, "unverified": tuple(values.get("unverified", ()))})


@cache
def code_version() -> dict[str, str]:
    """Version of the distribution, and a hash of the modules that decide what an import yields."""
    try:
        version = importlib.metadata.version("perpsim")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    digest = hashlib.sha256()
    here = Path(__file__).resolve().parent
    for path in sorted([*here.rglob("*.py"), *(here.parent / "venues").rglob("*.py")]):
        digest.update(path.relative_to(here.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {"version": version, "sources_sha256": digest.hexdigest()}


class OverlapError(InputError):
    """The lake holds another recording of the same instrument and time."""


@dataclass(slots=True)
class _Day:
    """A day file in the making. ``kept`` are the recordings of the file it replaces that are still to be copied."""

    day: str
    writer: DayWriter
    reports: list[dict[str, Any]]
    clocks: dict[str, Any]
    old: DayFile | None
    kept: list[int]

    def old_first_event(self, index: int) -> int:
        assert self.old is not None
        return min(block.first_event for block in self.old.blocks if block.recording == index)

    def carry_over(self, before_ns: int | None) -> None:
        """Copy kept recordings that begin before an instant (None: all of them)."""
        while self.kept and (before_ns is None or self.old_first_event(self.kept[0]) < before_ns):
            index = self.kept.pop(0)
            assert self.old is not None
            report = self.old.about["recordings"][index]
            clocks = self.old.clock()
            if report["recording"] in clocks:
                self.clocks[report["recording"]] = clocks[report["recording"]]
            place = len(self.reports)
            self.reports.append(report)
            for info in self.old.blocks:
                if info.recording == index:
                    before = BookTrack()
                    before.resume(self.old.checkpoint(info), info)
                    self.writer.write(self.old.message_block(info), place, before)


class FeedWriter:
    """Writes one instrument's feed. Use ``begin``, ``append``..., ``end`` for each recording, then ``close``."""

    def __init__(
        self,
        root: Path,
        instrument: Instrument,
        sources: list[SourceFile],
        *,
        replace: bool = False,
        owns: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        """``owns`` says of the report of a recording in the lake whether it is from the same source, to be replaced;
        by default it is when all its source files are among ``sources``. Where it is said, a day file that comes out
        the same is left as it is."""
        self._owns = owns
        self.root = root
        self.instrument = instrument
        self.sources = sources
        self.replace = replace
        self.track = BookTrack()
        self.rows = 0
        self.messages = 0
        self.paths: list[Path] = []  # what was written
        self.days: dict[Path, list[str]] = {}  # every day file that was made, with its recordings from this source
        self.replaced: list[str] = []
        self._days: dict[str, _Day] = {}
        self._days_of_recording: list[_Day] = []
        self._pending: list[MessageBlock] = []
        self._span = (0, 0)
        self._name = ""
        self._book_from_ns = 0  # when the book is whole for the first time; 0: there has been no message about it

    def book_before(self, ts_ns: int) -> tuple[str, BookTrack] | None:
        """The recording that ends last before an instant, with its book at its end, if that is valid.

        Recordings made from the files that are being imported do not count: they will be replaced."""
        folder = day_path(self.root, self.instrument.venue, self.instrument.symbol, "").parent
        mine = {source.sha256 for source in self.sources}
        for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
            if path.stem > date_of_ns(ts_ns):
                continue
            file = DayFile(path)
            for block in reversed(file.blocks):
                report = file.about["recordings"][block.recording]
                if block.last_event < ts_ns and not any(s["sha256"] in mine for s in report.get("sources", [])):
                    track = BookTrack()
                    track.resume(file.checkpoint(block), block)
                    track.run(file.message_block(block))
                    return (report["recording"], track) if track.valid else None
        return None

    def begin(self, recording: str, first_ns: int, last_ns: int, *, continues: bool = False) -> None:
        """Start a recording whose messages have venue times within ``first_ns..last_ns``; one that ``continues`` the
        recording before carries its book on."""
        first_day = date_of_ns(first_ns)
        for day in [d for d in self._days if d < first_day]:
            self._finish(day)
        if continues:
            self.track.counts = BookCounts()
        else:
            self.track.restart()
        self.rows = self.messages = 0
        self._book_from_ns = first_ns if self.track.valid else 0
        self._span, self._name = (first_ns, last_ns), recording
        self._days_of_recording = []

    def append(self, block: MessageBlock) -> None:
        """Add messages, which follow the earlier ones in venue order."""
        while len(block):
            day_end = (int(block.ts_event[0]) // DAY_NS + 1) * DAY_NS
            stop = int(block.ts_event.searchsorted(day_end))
            head, block = block.cut(0, stop), block.cut(stop, len(block))
            self._collect(head)
            if len(block):
                self._flush(everything=True)

    def _collect(self, block: MessageBlock) -> None:
        self._pending.append(block)
        if sum(map(len, self._pending)) >= BLOCK_MESSAGES or sum(b.rows for b in self._pending) >= BLOCK_ROWS:
            self._flush(everything=False)

    def _flush(self, *, everything: bool) -> None:
        if not self._pending:
            return
        block = join(self._pending)
        start = 0
        while start < len(block):
            row_limit = int(block.row_start.searchsorted(block.row_start[start] + BLOCK_ROWS, side="right")) - 1
            stop = min(start + BLOCK_MESSAGES, max(start + 1, row_limit), len(block))
            if stop == len(block) and not everything:
                break
            self._write(block.cut(start, stop))
            start = stop
        self._pending = [block.cut(start, len(block))] if start < len(block) else []

    def _write(self, block: MessageBlock) -> None:
        day = self._day(int(block.ts_event[0]))
        if day not in self._days_of_recording:
            day.carry_over(int(block.ts_event[0]))
            self._days_of_recording.append(day)
            day.reports.append({"recording": self._name})
        day.writer.write(block, len(day.reports) - 1, self.track)
        self.track.run(block)
        self._look_for_book(block)
        self.rows += block.rows
        self.messages += len(block)

    def _look_for_book(self, block: MessageBlock) -> None:
        if 0 < self._book_from_ns < NEVER_NS:
            return
        whole = np.flatnonzero(np.isin(block.kind, WHOLE_BOOKS))
        if len(whole):
            self._book_from_ns = int(block.ts_event[whole[0]])
        elif np.isin(block.kind, BOOK_CHANGES).any():
            self._book_from_ns = NEVER_NS

    def _day(self, ts_ns: int) -> _Day:
        name = date_of_ns(ts_ns)
        if name not in self._days:
            path = day_path(self.root, self.instrument.venue, self.instrument.symbol, name)
            make_folder(path.parent)
            old = DayFile(path) if path.exists() else None
            kept = self._kept(old) if old is not None else []
            self._days[name] = _Day(name, DayWriter(path), [], {}, old, kept)
        return self._days[name]

    def _kept(self, old: DayFile) -> list[int]:
        """Which recordings of an existing file stay. Raises ``InputError`` where times overlap and nobody said
        replace."""
        mine = {source.sha256 for source in self.sources}
        kept = []
        for index, report in enumerate(old.about["recordings"]):
            blocks = [block for block in old.blocks if block.recording == index]
            overlaps = blocks[0].first_event <= self._span[1] and self._span[0] <= blocks[-1].last_event
            theirs = {source["sha256"] for source in report.get("sources", [])}
            # All its files again; with some of them its clock would be another.
            same = bool(theirs) and theirs <= mine if self._owns is None else self._owns(report)
            if overlaps and not same and not self.replace:
                raise OverlapError(
                    f"already holds recording {report['recording']}, which overlaps {self._name} and comes from "
                    + ("more or other files; import all of them together, or " if self._owns is None else "another; ")
                    + "ask for replacement (--replace)",
                    source=str(old.path),
                )
            if same or overlaps:
                self.replaced.append(f"{old.path.name}: {report['recording']}")
            else:
                kept.append(index)
        return kept

    def _is_mine(self, report: dict[str, Any]) -> bool:
        return self._owns is None or self._owns(report)

    def end(self, report: dict[str, Any], clock: dict[str, Any] | None) -> None:
        """Finish the recording; its report and clock series go into the footer of every day it touches. The report
        gets ``book_from_ns``: when the book was whole for the first time; the end of the recording, exclusive, if it
        never was; 0 where nothing is about a book."""
        book_from_ns = min(self._book_from_ns, report["last_ns"] + 1)
        report = {**report, "book_from_ns": book_from_ns}
        for day in self._days_of_recording:
            day.reports[-1] = report
            if clock is not None:
                day.clocks[self._name] = clock

    def flush(self) -> BookCounts:
        """Write what is pending; the audit's counts are then complete."""
        self._flush(everything=True)
        return self.track.counts

    def close(self) -> list[Path]:
        """Publish every file; returns their paths."""
        for day in list(self._days):
            self._finish(day)
        return self.paths

    def abandon(self) -> None:
        """Drop every unpublished file."""
        for day in self._days.values():
            day.writer.abandon()
        self._days.clear()
        self._pending.clear()

    def _finish(self, name: str) -> None:
        day = self._days[name]
        day.carry_over(None)
        about = {
            "code": code_version(),
            "venue": self.instrument.venue,
            "symbol": self.instrument.symbol,
            "day": day.day,
            "instrument": instrument_fields(self.instrument),
            "recordings": day.reports,
        }
        if day.writer.finish(about, day.clocks, unless_same=self._owns is not None):
            self.paths.append(day.writer.path)
        self.days[day.writer.path] = [report["recording"] for report in day.reports if self._is_mine(report)]
        del self._days[name]


__all__ = ["FeedWriter", "code_version", "day_path", "empty_block", "instrument_fields", "instrument_from"]
