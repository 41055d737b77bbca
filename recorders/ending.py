"""The end of a recording: from its spool into the lake, for captures, raw recordings and archives alike.

Theory of operation. When a recording has been read to its end, its clock is estimated, its messages are put in venue
order, and the lake's writer lays them down while the audit book checks them. The report gets what only then is known:
times, clock, counts of the audit, and how long the book was unknown.

A recording that may still grow is counted and written ``daily``: each of its days is a recording that ``continues`` the
day before, so that what comes later changes no day that is past. Archives are not: their files are all there when they
are imported, and an import of more files is another recording, with another clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from recorders.blocks import MessageBlock
from recorders.clock import ClockEstimate
from recorders.report import Problems, RecordingReport
from recorders.spool import Spool
from recorders.writer import FeedWriter
from venues.instruments import Instrument
from venues.rules import DAY_NS

CLOCK_MARGIN_NS: Final = 120_000_000_000  # of the clock series kept with a day, on either side of it


@dataclass(slots=True)
class Day:
    """A day of a recording, or all of it."""

    report: RecordingReport
    ids: tuple[int, int] | None = None  # least and largest id of a print
    files: set[int] = field(default_factory=set)


class Days:
    """The days of a recording by number since 1970; one with number 0 if it is not ``daily``."""

    def __init__(self, instrument: Instrument, *, daily: bool = False) -> None:
        self._instrument = instrument
        self.daily = daily
        self._days: dict[int, Day] = {}
        if not daily:
            self.of(0)

    def of(self, ts_ns: int) -> Day:
        """The day of an instant of venue time."""
        number = ts_ns // DAY_NS if self.daily else 0
        if number not in self._days:
            self._days[number] = Day(RecordingReport("", self._instrument.venue, self._instrument.symbol))
        return self._days[number]

    def __iter__(self) -> Iterator[Day]:
        return iter([self._days[number] for number in sorted(self._days)])


@dataclass(frozen=True, slots=True)
class Rules:
    """How a recording ends. ``floor_ns``: least latency of a corrected clock. ``shifts_ns``: how far the wall clock was
    from the receive times, stretch by stretch. ``since_ns``: when the recorder began, if what was made before is to be
    left out. ``counted``: trade ids are consecutive numbers."""

    floor_ns: int
    counted: bool
    shifts_ns: Sequence[int] = (0,)
    since_ns: int | None = None


class Ending:
    """Writes a spooled recording. ``has_book``: False where no message is of the book, so that none can be stale."""

    def __init__(self, spool: Spool, writer: FeedWriter, days: Days, rules: Rules, *, has_book: bool = True) -> None:
        self._spool = spool
        self._writer = writer
        self._days = days
        self._rules = rules
        self._has_book = has_book
        shift_ns, self._clock = self._true_clock()
        self._shift_ns = shift_ns
        self._series = self._clock.series(rules.floor_ns)

    def write(self, problems: Problems) -> None:
        """Through its clock and venue order into the lake. Names a recording of whose depth nothing can be used."""
        spool = self._spool
        since_ns = self._rules.since_ns
        if since_ns is not None:
            since_ns += self._shift_ns - self._clock.first_least(CLOCK_MARGIN_NS)
        aggregates = not any(day.report.trades for day in self._days)
        now: Day | None = None
        for block in spool.venue_order(self._series, aggregates=aggregates, shift_ns=self._shift_ns, since_ns=since_ns):
            now = self._append(block, now)
        if now is not None:
            now.report.before_start = spool.before_start
            self._end(now)
        reports = [day.report for day in self._days]
        stale = self._has_book and not self._writer.track.valid
        if any(report.diffs for report in reports) and stale and not any(report.gap_list for report in reports):
            first = reports[0]
            problems.add(
                first.sources[0]["name"], 0, "no_snapshot",
                f"{first.venue} {first.instrument}: no snapshot that the depth updates join: the book is unknown from "
                "the first message to the last",
            )  # fmt: skip

    def _append(self, block: MessageBlock, now: Day | None) -> Day | None:
        """Write messages; returns the day that is being written."""
        while len(block):
            first_ns = int(block.ts_event[0])
            day = self._days.of(first_ns)
            if day is not now:
                before = self._end(now) if now is not None else ""
                self._begin(day, before, first_ns, int(block.ts_recv_raw[0]))
                now = day
            stop = len(block)
            if self._days.daily:
                stop = int(block.ts_event.searchsorted((first_ns // DAY_NS + 1) * DAY_NS))
            self._writer.append(block.cut(0, stop))
            day.report.last_ns = int(block.ts_event[stop - 1])
            block = block.cut(stop, len(block))
        return now

    def _true_clock(self) -> tuple[int, ClockEstimate]:
        """How far receive times are to be moved, and the clock estimate then. Where the wall clock stepped, the stretch
        counts in which it was nearest to the venue's."""
        clock = self._spool.clock
        if not clock.least:
            return 0, clock
        shift_ns = min(self._rules.shifts_ns, key=lambda shift: abs(clock.offset_ns + shift))
        return shift_ns, clock.moved(shift_ns) if shift_ns else clock

    def _begin(self, day: Day, before: str, first_ns: int, raw_ns: int) -> None:
        """Start writing a recording, or the next day of one, in which ``before`` is the name of the day before."""
        report, spool = day.report, self._spool
        report.first_recv_ns = report.first_recv_ns or raw_ns
        report.last_recv_ns = report.last_recv_ns or raw_ns
        report.recording = f"{report.venue}/{report.instrument}/{report.first_recv_ns}"
        report.continues = before or report.continues
        report.first_ns = first_ns
        low, high = spool.first_ns, spool.last_ns
        if self._days.daily:
            low, high = first_ns, spool.last_of_day(first_ns // DAY_NS)
        if spool.own_clock:  # as far as the correction can move them
            high += self._rules.floor_ns - min(0, self._clock.offset_ns) + max(self._rules.shifts_ns)
        self._writer.begin(report.recording, low, high, continues=bool(before))

    def _end(self, day: Day) -> str:
        """Finish what ``_begin`` started; returns its name."""
        report, writer, series = day.report, self._writer, self._series
        offset_ns = self._clock.offset_ns
        if self._days.daily:
            start_ns = report.first_ns // DAY_NS * DAY_NS
            limits = start_ns - CLOCK_MARGIN_NS, start_ns + DAY_NS + CLOCK_MARGIN_NS
            offset_ns = self._clock.least_between(*limits)
            series = None if series is None else series.between(*limits)
        report.clock_offset_ns = offset_ns
        report.clock_corrected = series is not None
        report.latency_floor_ns = self._rules.floor_ns
        report.latency_least_ns = self._rules.floor_ns if series is not None else report.clock_offset_ns
        counts = writer.flush()
        report.messages, report.rows = writer.messages, writer.rows
        report.crossed, report.bbo_equal = counts.crossed, counts.bbo_equal
        report.bbo_different, report.bbo_examples = counts.bbo_different, counts.examples
        report.stale_at_end = self._has_book and not writer.track.valid
        self._settle(day)
        writer.end(report.as_dict(), None if series is None else series.as_dict())
        return report.recording

    def _settle(self, day: Day) -> None:
        """What the counts of prints and gaps come to."""
        report = day.report
        if not any(other.report.trades for other in self._days):
            report.trades, report.aggregates_unused = report.aggregates_unused, 0
        elif day.ids is not None and self._rules.counted:
            low, high = day.ids
            report.trades_missing = max(0, high - low + 1 - report.trades - report.offbook)
        report.close_gaps()
