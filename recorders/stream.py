"""One instrument's captured records, cut into recordings and written to the lake.

Theory of operation. A recording is a contiguous session of the recorder, across day files. It ends where the recorder
was away: nothing of the instrument was received for ``SESSION_SILENCE_NS`` (or, from one file to the next, for
``FILE_SILENCE_NS``) and the next depth diff does not follow the last one. Records received between such a silence and
the diff that decides are held back (at most ``UNDECIDED_MAX``). The snapshot with which the next recording starts is
its join, not the repair of a gap. A chain that breaks otherwise is a gap within the recording. Files of one session
that are imported one by one are recordings of their own; the first diff of the later one then follows the last one in
the lake, whose book is carried on (``continues``), and no end of a session lies between them.

While a recording lasts, its messages go to a spool in receive order. When it ends, ``Ending`` writes it.

A raw recording says itself when it was away, so silence cuts nothing there (``by_silence``). It may still be growing,
so each of its days is counted and written down apart (``daily``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recorders.ending import Day, Days, Ending, Rules
from recorders.files import SourceFile
from recorders.lines import Line
from recorders.messages import InputFile, RecordStream
from recorders.report import ImportReport, Problems, RecordingReport, Tally
from recorders.spool import Spool
from recorders.writer import FeedWriter, OverlapError
from venues.instruments import Instrument
from venues.market_data import DepthDiff, DepthSnapshot
from venues.rules import DAY_NS

SESSION_SILENCE_NS: Final = 60_000_000_000
FILE_SILENCE_NS: Final = 5_000_000_000
UNDECIDED_MAX: Final = 4096


@dataclass(slots=True)
class Shared:
    """What all streams of one import share."""

    files: Sequence[InputFile]
    sources: list[SourceFile]
    problems: Problems
    report: ImportReport
    spool_folder: Path
    floor_ns: int
    by_silence: bool = True
    daily: bool = False
    notices: Problems | None = None  # for problems of frames that concern no instrument, if not among the others
    since_ns: int | None = None  # when the recorder began: what was made before is history that a venue sent again
    shifts_ns: Sequence[int] = (0,)  # how far the wall clock was from the receive times, stretch by stretch


class InstrumentStream(RecordStream):
    """One instrument's records, cut into recordings."""

    def __init__(self, shared: Shared, instrument: Instrument, writer: FeedWriter) -> None:
        super().__init__(instrument, shared.files, shared.problems)
        self._shared = shared
        self.writer = writer
        self._undecided: list[tuple[Any, Line]] | None = None
        self._recv_last = 0
        self._file_last = -1
        self._silence_ns = 0
        self._count = 0
        self._start()

    def _start(self) -> None:
        """A new recording."""
        self._days = Days(self.instrument, daily=self._shared.daily)
        self._day = Day(RecordingReport("", self.instrument.venue, self.instrument.symbol))
        if not self._shared.daily:
            self._day = self._days.of(0)
        self._day_number = 0
        self._spool = Spool(self._shared.spool_folder, f"{self.instrument.symbol}-{self._count}")
        self._count += 1
        self.begin(self._spool, Tally(self._day.report))

    def _turn(self, ts_ns: int) -> None:
        """Count what happens at an instant of venue time where it belongs."""
        if not self._shared.daily or ts_ns // DAY_NS == self._day_number:
            return
        self._day_number = ts_ns // DAY_NS
        self._day = self._days.of(ts_ns)
        self._tally.report = self._day.report

    # -- recordings

    def take(self, record: Any, line: Line) -> None:
        """Take in a record of this instrument."""
        silence_ns = line.recv_ns - self._recv_last if self._recv_last else 0
        moved_on = self._file_last >= 0 and line.file != self._file_last
        self._recv_last, self._file_last = line.recv_ns, line.file
        if (
            self._shared.by_silence
            and self._undecided is None
            and (silence_ns >= SESSION_SILENCE_NS or (moved_on and silence_ns >= FILE_SILENCE_NS))
        ):
            self._undecided = []
            self._silence_ns = silence_ns
        if self._undecided is None:
            self.put(record, line, silence_ns)
            return
        self._undecided.append((record, line))
        if isinstance(record, DepthDiff):
            self._decide(not self._join.continues(record) or self._join.last_id is None)
        elif (isinstance(record, DepthSnapshot) and record.in_stream) or len(self._undecided) >= UNDECIDED_MAX:
            self._decide(self._silence_ns >= SESSION_SILENCE_NS)

    def _decide(self, another: bool) -> None:
        """After a silence: whether what came since belongs to another recording."""
        held, self._undecided = self._undecided or [], None
        if another:
            self.finish()
        for record, line in held:
            self.put(record, line, self._silence_ns)

    def close(self) -> None:
        """The input has ended."""
        if self._undecided is not None:
            self._decide(self._silence_ns >= SESSION_SILENCE_NS)
        self.finish()

    def interrupted(self, kind: int, line: Line, why: str) -> None:
        """The recorder says that from here on something of the book is missing."""
        if self._undecided is not None:
            self._decide(False)
        self._turn(line.recv_ns)
        super().interrupted(kind, line, why)

    def finish(self) -> None:
        """End the recording and write it."""
        shared, spool = self._shared, self._spool
        self._join.finish()
        spool.flush()
        if spool.messages:
            for day in self._days:
                day.report.sources = [shared.sources[k].as_dict() for k in sorted(day.files)]
            rules = Rules(shared.floor_ns, self._feed.trades_counted, shared.shifts_ns, shared.since_ns)
            try:
                Ending(spool, self.writer, self._days, rules).write(shared.problems)
                shared.report.recordings += [day.report for day in self._days if day.report.lines]
            except OverlapError as error:
                if not shared.daily:
                    raise
                self._overlaps(error)
        spool.discard()
        self._start()

    def _overlaps(self, error: OverlapError) -> None:
        """Two recorders ran at once: the lake has one of them, and everything else is built all the same. The days
        before the overlap are written; that day and what follows it are left out."""
        self.writer.abandon()
        written = {name for names in self.writer.days.values() for name in names}
        self._shared.problems.add(self._shared.sources[0].name, 0, "overlap", f"{error}; it was left out")
        self._shared.report.recordings += [day.report for day in self._days if day.report.recording in written]

    # -- records

    def put(self, record: Any, line: Line, silence_ns: int) -> None:
        """Take in a record of the recording at hand."""
        self._turn(record.ts_event_ns or record.ts_push_ns or line.recv_ns)
        report = self.report
        wall_ns = line.recv_ns if line.wall_ns is None else line.wall_ns
        report.first_recv_ns = report.first_recv_ns or wall_ns
        report.last_recv_ns = wall_ns
        report.lines += 1
        report.reordered += line.moved
        self._day.files.add(line.file)
        super().put(record, line, silence_ns)

    def _depth(self, record: DepthDiff, line: Line) -> None:
        if self._shared.by_silence and self._count == 1 and not self.report.diffs and self._join.last_id is None:
            found = self.writer.book_before(record.ts_event_ns)
            if found is not None and found[1].update_id == record.previous_id:
                self.report.continues = found[0]
                self._join.carry_on(record, line.recv_ns, found[1].book)
        super()._depth(record, line)

    def _numbered(self, trade_id: int) -> None:
        low, high = self._day.ids or (trade_id, trade_id)
        self._day.ids = (min(low, trade_id), max(high, trade_id))
