"""Importer of captured Binance futures streams, USD-M and COIN-M: raw lines in, day files of the lake out.

Theory of operation. Lines (``recorders/lines.py``) come by receive time; the venue's codec decodes them; each
instrument's records go to its ``_Stream``, which cuts them into *recordings* (contiguous sessions of the recorder,
across day files) and writes those to a spool. When a recording ends, its clock is estimated, its messages are put in
venue order, and the lake's writer lays them down while the audit book checks them.

A recording ends where the recorder was away: nothing of the instrument was received for ``SESSION_SILENCE_NS`` (or,
from one file to the next, for ``FILE_SILENCE_NS``) and the next depth diff does not follow the last one. Records
received between such a silence and the diff that decides are held back (at most ``UNDECIDED_MAX``). The snapshot with
which the next recording starts is its join, not the repair of a gap. A chain that breaks otherwise is a gap within
the recording.

Prints: ``trade`` messages are TRADE, those whose type is not MARKET (insurance fund, ADL) OFFBOOK; ``aggTrade``
stands in where a recording has no single prints. Nothing is lost silently: what is malformed, unknown, repeated or
out of place is counted and named (``recorders/report.py``).
"""

from __future__ import annotations

import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matching.codes import BBO, BUY, FORCE, MARK, OFFBOOK, SELL, TRADE
from recorders.clock import LATENCY_FLOOR_NS
from recorders.files import SourceFile, fingerprint, writing
from recorders.joining import BookJoin
from recorders.lines import Line, RawFile, merged_lines, open_files
from recorders.report import ImportReport, Problems, RecordingReport
from recorders.spool import AGGREGATE, Spool
from recorders.writer import FeedWriter
from venues import known_instrument
from venues.binance.codec import (
    AggTrade,
    Batch,
    BinanceCodec,
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    ForceOrder,
    MarkPrice,
    Other,
    Trade,
)
from venues.errors import InputError, InstrumentError, PayloadError, VenueError
from venues.instruments import Instrument
from venues.rules import DAY_NS

USDM: Final = "binance_usdm"
COINM: Final = "binance_coinm"
VENUES: Final = (USDM, COINM)
SESSION_SILENCE_NS: Final = 60_000_000_000
FILE_SILENCE_NS: Final = 5_000_000_000
LATE_NS: Final = 60_000_000_000  # engine time this far off the messages before it is no engine time
UNDECIDED_MAX: Final = 4096
UNASSIGNED_MAX: Final = 64
IDS_REMEMBERED: Final = 8192
STREAMS_MAX: Final = 4096
_COINM_SYMBOL: Final = re.compile(r"^[A-Z0-9]+USD_(PERP|\d{6})$")
_EVENTS: Final = frozenset({"depthUpdate", "trade", "aggTrade", "bookTicker", "markPriceUpdate", "forceOrder"})
_SNAPSHOT_START: Final = b'"lastUpdateId"'
_SIDES: Final = (b"\0", b"\1")


def venue_of(symbol: str) -> str:
    """Which of Binance's futures venues has a symbol: inverse contracts end in USD_PERP or USD_yymmdd."""
    return COINM if _COINM_SYMBOL.match(symbol) else USDM


class _Seen:
    """What the last ``IDS_REMEMBERED`` messages of a stream were, to drop those that a recorder received twice."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int | tuple[int, ...], None] = OrderedDict()

    def repeats(self, key: int | tuple[int, ...]) -> bool:
        if key in self._ids:
            return True
        self._ids[key] = None
        if len(self._ids) > IDS_REMEMBERED:
            self._ids.popitem(last=False)
        return False


@dataclass(slots=True)
class _Shared:
    """What all streams of one import share."""

    files: list[RawFile]
    sources: list[SourceFile]
    problems: Problems
    report: ImportReport
    spool_folder: Path
    floor_ns: int


class _Stream:
    """One instrument's records, cut into recordings."""

    def __init__(self, shared: _Shared, instrument: Instrument, writer: FeedWriter) -> None:
        self._shared = shared
        self.instrument = instrument
        self.writer = writer
        self.price_ticks = 0  # about where the market is
        self._undecided: list[tuple[Any, Line]] | None = None
        self._recv_last = 0
        self._file_last = -1
        self._silence_ns = 0
        self._count = 0
        self._start()

    def _start(self) -> None:
        """A new recording."""
        self.report = RecordingReport("", self.instrument.venue, self.instrument.symbol)
        self._spool = Spool(self._shared.spool_folder, f"{self.instrument.symbol}-{self._count}")
        self._count += 1
        self._join = BookJoin(self._spool, self.report, self._shared.problems)
        self._seq = 0
        self._quiet_ns = 0  # longest silence since the last diff
        self._made_last = self._event_last = self._recv_of_made = 0
        self._trades = _Seen()
        self._aggregates = _Seen()
        self._quotes = _Seen()
        self._marks = _Seen()
        self._forced = _Seen()
        self._ids: tuple[int, int] | None = None
        self._files: set[int] = set()

    # -- recordings

    def take(self, record: Any, line: Line) -> None:
        """Take in a record of this instrument."""
        silence_ns = line.recv_ns - self._recv_last if self._recv_last else 0
        moved_on = self._file_last >= 0 and line.file != self._file_last
        self._recv_last, self._file_last = line.recv_ns, line.file
        if self._undecided is None and (
            silence_ns >= SESSION_SILENCE_NS or (moved_on and silence_ns >= FILE_SILENCE_NS)
        ):
            self._undecided = []
            self._silence_ns = silence_ns
        if self._undecided is None:
            self._put(record, line, silence_ns)
            return
        self._undecided.append((record, line))
        if isinstance(record, DepthDiff):
            self._decide(not self._join.continues(record) or self._join.last_id is None)
        elif len(self._undecided) >= UNDECIDED_MAX:
            self._decide(self._silence_ns >= SESSION_SILENCE_NS)

    def _decide(self, another: bool) -> None:
        """After a silence: whether what came since belongs to another recording."""
        held, self._undecided = self._undecided or [], None
        if another:
            self.finish()
        for record, line in held:
            self._put(record, line, self._silence_ns)

    def close(self) -> None:
        """The input has ended."""
        if self._undecided is not None:
            self._decide(self._silence_ns >= SESSION_SILENCE_NS)
        self.finish()

    def finish(self) -> None:
        """End the recording: estimate its clock, put it in order, write it."""
        report, spool, writer = self.report, self._spool, self.writer
        self._join.finish()
        spool.flush()
        if spool.messages:
            report.recording = f"{report.venue}/{report.instrument}/{report.first_recv_ns}"
            report.sources = [self._shared.sources[k].as_dict() for k in sorted(self._files)]
            series = spool.clock.series(self._shared.floor_ns)
            report.clock_offset_ns = spool.clock.offset_ns
            report.clock_corrected = series is not None
            report.latency_floor_ns = self._shared.floor_ns
            report.latency_least_ns = self._shared.floor_ns if series is not None else report.clock_offset_ns
            writer.begin(report.recording, spool.first_ns, spool.last_ns)
            first_ns = last_ns = 0
            for block in spool.venue_order(series, aggregates=not report.trades):
                first_ns = first_ns or int(block.ts_event[0])
                last_ns = int(block.ts_event[-1])
                writer.append(block)
            counts = writer.flush()
            report.first_ns, report.last_ns = first_ns, last_ns
            report.messages, report.rows = writer.messages, writer.rows
            report.crossed, report.bbo_equal, report.bbo_different = (
                counts.crossed,
                counts.bbo_equal,
                counts.bbo_different,
            )
            report.bbo_examples = counts.examples
            self._close_gaps(report, last_ns)
            writer.end(report.as_dict(), None if series is None else series.as_dict())
            self._shared.report.recordings.append(report)
        spool.discard()
        self._start()

    def _close_gaps(self, report: RecordingReport, last_ns: int) -> None:
        if report.trades:
            if self._ids is not None:
                low, high = self._ids
                report.trades_missing = max(0, high - low + 1 - report.trades - report.offbook)
        else:
            report.trades, report.aggregates_unused = report.aggregates_unused, 0
        report.stale_at_end = not self._join.valid
        stale_from = None
        for gap in report.gap_list:
            end_ns = last_ns if gap["end_ns"] is None else gap["end_ns"]
            gap["stale_ns"] = end_ns - gap["start_ns"]
            if stale_from is None or gap["start_ns"] >= stale_from:
                report.stale_ns += gap["stale_ns"]
            stale_from = end_ns

    # -- records

    def _put(self, record: Any, line: Line, silence_ns: int) -> None:
        report = self.report
        self._quiet_ns = max(self._quiet_ns, silence_ns)
        report.first_recv_ns = report.first_recv_ns or line.recv_ns
        report.last_recv_ns = line.recv_ns
        report.lines += 1
        report.reordered += line.moved
        self._files.add(line.file)
        if not self._sane_time(record, line):
            return
        handler = _HANDLERS[type(record)]
        if handler is not None:
            handler(self, record, line)
        elif isinstance(record, DepthDiff):
            self._depth(record, line)
        else:
            self._join.snapshot(record, line.recv_ns, self._name(line), line.number)

    def _name(self, line: Line) -> str:
        return self._shared.files[line.file].name

    def _sane_time(self, record: Any, line: Line) -> bool:
        """Refuse engine times that cannot be: they would bend the clock estimate and the order of everything else."""
        event, made, recv = record.ts_event_ns, max(record.ts_event_ns, record.ts_push_ns), line.recv_ns
        snapshot = isinstance(record, DepthSnapshot)  # its engine time is the book's last change, however long ago
        why = ""
        if abs(recv - made) > DAY_NS:
            why = "more than a day from its receive time"
        elif self._made_last and made > self._made_last + max(0, recv - self._recv_of_made) + LATE_NS:
            why = f"{(made - self._made_last) / 1e9:.3f} s ahead of the message before"
        elif not snapshot and event < self._event_last - LATE_NS:
            why = f"{(self._event_last - event) / 1e9:.3f} s behind the message before"
        if why:
            self.refuse(line, f"venue time {made} is {why}")
            return False
        if made > self._made_last:
            self._made_last, self._recv_of_made = made, recv
        self._event_last = max(self._event_last, 0 if snapshot else event)
        return True

    def refuse(self, line: Line, why: str) -> None:
        """Count and name a line that cannot be used."""
        self.report.malformed += 1
        self._shared.files[line.file].malformed += 1
        self._shared.problems.add(self._name(line), line.number, "malformed", why)

    def _repeated(self, line: Line, what: str) -> None:
        self.report.duplicates += 1
        self._shared.problems.add(self._name(line), line.number, "duplicate", f"{what} was seen before; dropped")

    def _add(
        self, kind: int, record: Any, line: Line, ref: int, sides: bytes, ticks: list[int], lots: list[int]
    ) -> None:
        self._seq += 1
        event = record.ts_event_ns
        made = max(event, record.ts_push_ns)
        self._spool.add(kind, event, made, line.recv_ns, ref, self._seq, sides, ticks, lots)

    def _depth(self, record: DepthDiff, line: Line) -> None:
        if record.bid_ticks:
            self.price_ticks = max(record.bid_ticks)
        self._join.diff(record, line.recv_ns, self._name(line), line.number, self._quiet_ns)
        self._quiet_ns = 0

    def _trade(self, record: Trade, line: Line) -> None:
        if self._trades.repeats(record.trade_id):
            self._repeated(line, f"trade {record.trade_id}")
            return
        low, high = self._ids or (record.trade_id, record.trade_id)
        self._ids = (min(low, record.trade_id), max(high, record.trade_id))
        if record.on_book:
            self.report.trades += 1
            self.price_ticks = record.ticks
        else:
            self.report.offbook += 1
        kind = TRADE if record.on_book else OFFBOOK
        self._add(kind, record, line, record.trade_id, _SIDES[record.side], [record.ticks], [record.lots])

    def _aggregate(self, record: AggTrade, line: Line) -> None:
        if self._aggregates.repeats(record.agg_id):
            self._repeated(line, f"aggregate trade {record.agg_id}")
            return
        self.report.aggregates_unused += 1
        self._add(AGGREGATE, record, line, record.last_trade_id, _SIDES[record.side], [record.ticks], [record.lots])

    def _quote(self, record: BookTicker, line: Line) -> None:
        key = (record.update_id, record.bid_ticks, record.bid_lots, record.ask_ticks, record.ask_lots)
        if self._quotes.repeats(key):
            self._repeated(line, f"best quote {record.update_id}")
            return
        self.report.quotes += 1
        sides, ticks, lots = b"", [], []
        if record.bid_lots:
            sides, ticks, lots = _SIDES[BUY], [record.bid_ticks], [record.bid_lots]
            self.price_ticks = record.bid_ticks
        if record.ask_lots:
            sides, ticks, lots = sides + _SIDES[SELL], [*ticks, record.ask_ticks], [*lots, record.ask_lots]
        self._add(BBO, record, line, record.update_id, sides, ticks, lots)

    def _mark(self, record: MarkPrice, line: Line) -> None:
        if self._marks.repeats(record.ts_event_ns):
            self._repeated(line, f"mark price of {record.ts_event_ns}")
            return
        self.report.marks += 1
        self._seq += 1
        event = record.ts_event_ns
        self._spool.add(
            MARK,
            event,
            max(event, record.ts_push_ns),
            line.recv_ns,
            0,
            self._seq,
            b"",
            [],
            [],
            (record.mark_e8, record.index_e8, record.rate_e12 or 0, record.next_funding_ns),
        )

    def _force(self, record: ForceOrder, line: Line) -> None:
        if self._forced.repeats((record.ts_event_ns, record.side, record.ticks, record.lots)):
            self._repeated(line, f"liquidation order of {record.ts_event_ns}")
            return
        self.report.forced += 1
        self._add(FORCE, record, line, 0, _SIDES[record.side], [record.ticks], [record.lots])


_HANDLERS: Final[dict[type, Any]] = {
    DepthDiff: None,
    DepthSnapshot: None,
    Trade: _Stream._trade,
    AggTrade: _Stream._aggregate,
    BookTicker: _Stream._quote,
    MarkPrice: _Stream._mark,
    ForceOrder: _Stream._force,
}


class _Import:
    """One run of the importer: lines to streams."""

    def __init__(
        self, shared: _Shared, root: Path, venue: str | None, given: Sequence[Instrument], replace: bool
    ) -> None:
        self._shared = shared
        self._root = root
        self._venue = venue
        self._given = {instrument.symbol: instrument for instrument in given}
        self._replace = replace
        self._instruments: dict[str, Instrument] = dict(self._given)
        self._codec = BinanceCodec(self._instruments.values()) if self._instruments else None
        self._unknown: set[str] = set()
        self._unassigned: list[Line] = []
        self._early_malformed = 0  # before the first instrument was known: charged to that one
        self.streams: dict[str, _Stream] = {}

    def run(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._line(line)
        for line in self._unassigned:
            self._refuse(line, "a depth snapshot that names no symbol, and no other line says whose it could be")
        for stream in self.streams.values():
            stream.close()

    def _line(self, line: Line) -> None:
        try:
            if _SNAPSHOT_START in line.raw[:64] and b'"symbol"' not in line.raw:
                self._nameless(line)
                return
            self._dispatch(self._decode(line), line)
        except PayloadError as error:
            self._refuse(line, f"field {error.field}: {error.why}" if error.field != "$" else error.why)
        except VenueError as error:
            self._refuse(line, str(error))

    def _decode(self, line: Line, symbol: str = "") -> Any:
        if self._codec is None:
            self._learn(_first_symbol(line.raw), line)
        codec = self._codec or _EMPTY_CODEC
        record = codec.decode(line.raw, symbol)
        if isinstance(record, Other) and self._learn(record.symbol, line, record.event):
            assert self._codec is not None
            record = self._codec.decode(line.raw, symbol)
        return record

    def _learn(self, symbol: str, line: Line, event: str = "depthUpdate") -> bool:
        """Find the instrument of a symbol that is new; False if there is nothing new."""
        if (
            not symbol
            or symbol in self._instruments
            or symbol in self._unknown
            or event not in _EVENTS | {"depth snapshot"}
        ):
            return False
        if self._given or len(self._unknown) >= STREAMS_MAX:
            return False  # only what was asked for; the rest is counted as unused
        venue = self._venue or venue_of(symbol)
        try:
            self._instruments[symbol] = known_instrument(venue, symbol)
        except InstrumentError as error:
            self._unknown.add(symbol)
            name = self._shared.files[line.file].name
            self._shared.problems.add(
                name,
                line.number,
                "unknown_instrument",
                f"{error}; its lines are counted as unused (--instrument describes it)",
            )
            return False
        self._codec = BinanceCodec(self._instruments.values())
        return True

    def _dispatch(self, record: Any, line: Line) -> None:
        if isinstance(record, Batch):
            for part in record.records:
                self._dispatch(part, line)
            return
        if isinstance(record, Other):
            name = f"{record.symbol} {record.event}".strip()
            unused = self._shared.report.unused
            if name in unused or len(unused) < STREAMS_MAX:
                unused[name] = unused.get(name, 0) + 1
            else:
                unused["others"] = unused.get("others", 0) + 1
            return
        stream = self.streams.get(record.symbol)
        if stream is None:
            stream = self._new_stream(record.symbol)
        stream.take(record, line)

    def _new_stream(self, symbol: str) -> _Stream:
        instrument = self._instruments[symbol]
        writer = FeedWriter(self._root, instrument, self._shared.sources, replace=self._replace)
        stream = _Stream(self._shared, instrument, writer)
        self.streams[symbol] = stream
        stream.report.malformed, self._early_malformed = self._early_malformed, 0
        waiting, self._unassigned = self._unassigned, []
        for line in waiting:
            self._nameless(line)
        return stream

    # -- snapshots that name no symbol (REST, USD-M)

    def _nameless(self, line: Line) -> None:
        if not self.streams and len(self._instruments) != 1:
            if len(self._unassigned) < UNASSIGNED_MAX:
                self._unassigned.append(line)
            else:
                self._refuse(line, "a depth snapshot that names no symbol, and too many such are waiting already")
            return
        fits = [symbol for symbol in (self.streams or self._instruments) if self._fits(symbol, line)]
        if len(fits) != 1:
            whose = " and ".join(fits) or "no instrument here"
            raise PayloadError(
                f"a depth snapshot that names no symbol, and its prices fit {whose}",
                venue=self._venue or USDM,
                field="symbol",
            )
        self._dispatch(self._decode(line, fits[0]), line)

    def _fits(self, symbol: str, line: Line) -> bool:
        """Whether a snapshot can be this symbol's: it decodes, and its best bid is within a tenth of the market."""
        if len(self.streams) == 1 or (not self.streams and len(self._instruments) == 1):
            return True
        if self._instruments[symbol].venue == COINM:
            return False  # COIN-M snapshots name theirs
        try:
            record = self._decode(line, symbol)
        except VenueError:
            return False
        price = self.streams[symbol].price_ticks
        best = record.bid_ticks[0] if isinstance(record, DepthSnapshot) and record.bid_ticks else 0
        return bool(best) and abs(best - price) * 10 <= price

    def _refuse(self, line: Line, why: str) -> None:
        """A line that cannot be decoded: charged to the instrument it names, or to the only one there is."""
        named = [s for s in self.streams.values() if s.instrument.symbol.lower().encode() in line.raw[:256].lower()]
        if not named and len(self.streams) == 1:
            named = list(self.streams.values())
        if named:
            named[0].refuse(line, why)
        else:
            self._early_malformed += not self.streams
            self._shared.files[line.file].malformed += 1
            name = self._shared.files[line.file].name
            self._shared.problems.add(name, line.number, "malformed", why)


def _first_symbol(raw: bytes) -> str:
    found = re.search(rb'"s(?:ymbol)?"\s*:\s*"([A-Za-z0-9_]{1,40})"', raw)
    return found.group(1).decode() if found else ""


# Decodes everything to ``Other``: used until the first instrument is known.
_EMPTY_CODEC: Final = BinanceCodec(
    [Instrument.from_fields({"venue": USDM, "symbol": "-", "base": "-", "quote": "-", "tick_size": 1, "lot_size": 1})]
)


def import_binance(
    files: Sequence[str | Path],
    lake: str | Path,
    venue: str | None = None,
    instrument: Instrument | Sequence[Instrument] | None = None,
    *,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
) -> list[RecordingReport]:
    """Import captured lines; one report a recording and instrument. ``import_binance_report`` says more."""
    return import_binance_report(
        files, lake, venue, instrument, latency_floor_ns=latency_floor_ns, replace=replace
    ).recordings


def import_binance_report(
    files: Sequence[str | Path],
    lake: str | Path,
    venue: str | None = None,
    instrument: Instrument | Sequence[Instrument] | None = None,
    *,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
) -> ImportReport:
    """Import files of captured lines ``receive_time raw_json`` into a lake.

    ``venue`` is binance_usdm or binance_coinm (None: told by the symbols). ``instrument`` describes the contracts to
    take (None: all that are documented in ``venues``; others are named and counted). ``latency_floor_ns`` is the
    least latency that remains after a clock correction. Bad lines are reported, never raised; ``InputError`` is
    raised for files that cannot be opened, a wrong ``venue``, or a day of the lake that other files have filled
    already.
    """
    if venue is not None and venue not in VENUES:
        raise InputError(f"is none of {', '.join(VENUES)}", source="venue " + repr(venue))
    if not files:
        raise InputError("no files to import", source="import")
    given = [instrument] if isinstance(instrument, Instrument) else list(instrument or ())
    root = Path(lake)
    raw_files = open_files([Path(file) for file in files])
    sources = [fingerprint(file.path) for file in raw_files]
    report = ImportReport(str(root))
    with writing(root), tempfile.TemporaryDirectory(prefix=".spool-", dir=root) as folder:
        shared = _Shared(raw_files, sources, report.problems, report, Path(folder), latency_floor_ns)
        run = _Import(shared, root, venue, given, replace)
        try:
            run.run(merged_lines(raw_files))
            for stream in run.streams.values():
                report.written += [str(path) for path in stream.writer.close()]
                report.replaced += stream.writer.replaced
        except BaseException:
            for stream in run.streams.values():
                stream.writer.abandon()
            raise
    for file, source in zip(raw_files, sources, strict=True):
        report.files.append(
            {
                **source.as_dict(),
                "path": str(file.path),
                "lines": file.lines,
                "malformed": file.malformed,
                "reordered": file.reordered,
                "unit_ns": file.unit_ns,
                "first_recv_ns": file.first_recv_ns,
                "last_recv_ns": file.last_recv_ns,
            }
        )
        report.problems.merge(file.problems)
    report.recordings.sort(key=lambda r: (r.venue, r.instrument, r.first_recv_ns))
    return report
