"""Importer of captured Binance futures streams, USD-M and COIN-M: raw lines in, day files of the lake out.

Theory of operation. Lines (``recorders/lines.py``) come by receive time; the venue's codec decodes them; each
instrument's records go to its stream (``recorders/stream.py``), which cuts them into recordings, has them put in
order and checked, and writes them down. Instruments are found by the symbols that lines name; a REST snapshot of
USD-M names none and goes to the instrument whose prices it has.

Prints: ``trade`` messages are TRADE, those whose type is not MARKET (insurance fund, ADL) OFFBOOK; ``aggTrade``
stands in where a recording has no single prints. Nothing is lost silently: what is malformed, unknown, repeated or
out of place is counted and named (``recorders/report.py``).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from recorders.clock import LATENCY_FLOOR_NS
from recorders.files import SPOOL_PREFIX, fingerprint, writing
from recorders.lines import Line, merged_lines, open_files
from recorders.report import ImportReport, RecordingReport
from recorders.stream import InstrumentStream, Shared
from recorders.writer import FeedWriter
from venues import known_instrument
from venues.binance.codec import BinanceCodec
from venues.errors import InputError, InstrumentError, PayloadError, VenueError
from venues.instruments import Instrument
from venues.market_data import Batch, DepthSnapshot, Other

USDM: Final = "binance_usdm"
COINM: Final = "binance_coinm"
VENUES: Final = (USDM, COINM)
UNASSIGNED_MAX: Final = 64
STREAMS_MAX: Final = 4096
_COINM_SYMBOL: Final = re.compile(r"^[A-Z0-9]+USD_(PERP|\d{6})$")
_EVENTS: Final = frozenset({"depthUpdate", "trade", "aggTrade", "bookTicker", "markPriceUpdate", "forceOrder"})
_SNAPSHOT_START: Final = b'"lastUpdateId"'


def venue_of(symbol: str) -> str:
    """Which of Binance's futures venues has a symbol: inverse contracts end in USD_PERP or USD_yymmdd."""
    return COINM if _COINM_SYMBOL.match(symbol) else USDM


class _Import:
    """One run of the importer: lines to streams."""

    def __init__(
        self, shared: Shared, root: Path, venue: str | None, given: Sequence[Instrument], replace: bool
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
        self.streams: dict[str, InstrumentStream] = {}

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

    def _new_stream(self, symbol: str) -> InstrumentStream:
        instrument = self._instruments[symbol]
        writer = FeedWriter(self._root, instrument, self._shared.sources, replace=self._replace)
        stream = InstrumentStream(self._shared, instrument, writer)
        self.streams[symbol] = stream
        stream.report.malformed, self._early_malformed = self._early_malformed, 0
        waiting, self._unassigned = self._unassigned, []
        for line in waiting:
            self._line(line)
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
    with writing(root), tempfile.TemporaryDirectory(prefix=SPOOL_PREFIX, dir=root) as folder:
        shared = Shared(raw_files, sources, report.problems, report, Path(folder), latency_floor_ns)
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
