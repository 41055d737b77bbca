"""Importer of captured market data of any venue: raw lines in, day files of the lake out.

Theory of operation. Frames come by receive time (``recorders/lines.py`` from files, ``recorders/building.py`` from raw
recordings); the venue's codec decodes them, one codec a connection, since a codec may remember what the venue sends in
pieces; each instrument's records go to its stream (``recorders/stream.py``), which cuts them into recordings, has them
put in order and checked, and writes them down. The venue is named, or told by the form of its frames. Instruments are
those that are described, or all that are documented in ``venues``; a Binance snapshot that names none goes to the
instrument whose prices it has.

Prints on the book are TRADE, others (insurance fund, ADL) OFFBOOK; aggregate trades stand in where a recording has no
single prints. Nothing is lost silently: what is malformed, unknown, repeated or out of place is counted and named
(``recorders/report.py``).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from recorders.clock import LATENCY_FLOOR_NS
from recorders.files import SPOOL_PREFIX, fingerprint, writing
from recorders.lines import Line, RawFile, merged_lines, open_files
from recorders.report import ImportReport
from recorders.stream import InstrumentStream, Shared
from recorders.writer import FeedWriter
from venues import known_instrument, known_symbols
from venues.codecs import MarketCodec, codec_venues, market_codec
from venues.errors import InputError, InstrumentError, PayloadError, VenueError
from venues.instruments import Instrument
from venues.market_data import Batch, BookTicker, DepthDiff, DepthSnapshot, Other, Trade

USDM: Final = "binance_usdm"
COINM: Final = "binance_coinm"
BINANCE: Final = (USDM, COINM)
UNASSIGNED_MAX: Final = 64
STREAMS_MAX: Final = 4096
SNIFF_LINES: Final = 64
SNIFF_BYTES: Final = 400
_COINM_SYMBOL: Final = re.compile(r"^[A-Z0-9]+USD_(PERP|\d{6})$")
_BINANCE_EVENTS: Final = frozenset(
    {"depthUpdate", "trade", "aggTrade", "bookTicker", "markPriceUpdate", "forceOrder", "depth snapshot"}
)
_SNAPSHOT_START: Final = b'"lastUpdateId"'
_BYBIT_TOPICS: Final = rb"orderbook|publicTrade|tickers|allLiquidation|orderBookL2_25|orderBook_200|trade"  # v5, v2
_BOOK_PATHS: Final = re.compile(r"depth|orderbook|order_book|/books", re.IGNORECASE)
_SYMBOL_KEYS: Final = ("symbol", "instId", "instrument_name")
# Venues whose codecs count all messages of a connection, whatever they are about.
_WHOLE_CONNECTIONS: Final = frozenset({"dydx"})
# What only one venue's frames have near their start.
_SIGNS: Final = (
    (re.compile(rb'"channel"\s*:\s*"v4_'), "dydx"),
    (re.compile(rb'"channel"\s*:\s*"(l2Book|bbo|activeAssetCtx|allMids|subscriptionResponse)"'), "hyperliquid"),
    (re.compile(rb'"arg"\s*:\s*\{\s*"channel"'), "okx"),
    (re.compile(rb'"topic"\s*:\s*"(%s)\.[^"]*USD"' % _BYBIT_TOPICS), "bybit_inverse"),
    (re.compile(rb'"topic"\s*:\s*"(%s)\.' % _BYBIT_TOPICS), "bybit_linear"),
    (re.compile(rb'"jsonrpc"\s*:\s*"2\.0"'), "deribit"),
)


def venue_of(symbol: str) -> str:
    """Which of Binance's futures venues has a symbol: inverse contracts end in USD_PERP or USD_yymmdd."""
    return COINM if _COINM_SYMBOL.match(symbol) else USDM


def venue_of_frame(raw: bytes) -> str:
    """The venue whose form a frame has, "" if it could be Binance's or nobody's."""
    head = raw[:SNIFF_BYTES]
    return next((venue for sign, venue in _SIGNS if sign.search(head)), "")


def book_asked_for(url: str) -> str:
    """The symbol whose book a REST request asks for; "" if it asks for something else."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL at all
        return ""
    if not _BOOK_PATHS.search(parts.path):
        return ""
    asked = parse_qs(parts.query)
    return next((asked[key][0] for key in _SYMBOL_KEYS if key in asked), parts.path.rpartition("/")[2])


def documented(venues: Iterable[str]) -> list[Instrument]:
    """All instruments of some venues that ``venues`` documents."""
    return [known_instrument(venue, symbol) for venue in venues for symbol in known_symbols(venue)]


class MarketImport:
    """Frames of one venue (or of both of Binance's, ``venue`` None) to the streams of its instruments.

    ``given`` describes the instruments to take; without any, all documented ones are, and others are named. ``only``
    restricts what is written to some symbols, and unless this importer ``speaks`` (says what is wrong with frames of no
    instrument) frames that mention none of them are not even decoded; ``owns`` is handed to the lake's writer."""

    def __init__(
        self,
        shared: Shared,
        root: Path,
        venue: str | None,
        given: Sequence[Instrument],
        *,
        replace: bool = False,
        only: frozenset[str] | None = None,
        speaks: bool = True,
        owns: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        self._shared = shared
        self._root = root
        self._venue = venue
        self._notices = shared.problems if shared.notices is None else shared.notices
        self._given = bool(given)
        self._replace = replace
        self._only = only
        self._mentions = None if speaks or only is None or venue in _WHOLE_CONNECTIONS else _mentions(only)
        self._owns = owns
        instruments = list(given) or documented([venue] if venue is not None else BINANCE)
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._codecs: dict[int, MarketCodec] = {}
        self._carries: dict[int, set[str]] = {}  # whose book comes over a connection
        self._binance = venue in (None, *BINANCE)
        self._prices: dict[str, int] = {}  # about where the market is, in ticks
        self._unknown: set[str] = set()
        self._unassigned: list[Line] = []
        self._early_malformed = 0  # before the first instrument was known: charged to that one
        self.streams: dict[str, InstrumentStream] = {}

    def run(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.line(line)
        self.finish()

    def finish(self) -> None:
        """No more frames will come."""
        for line in self._unassigned:
            self._refuse(line, "a depth snapshot that names no symbol, and no other line says whose it could be")
        self._unassigned.clear()
        for stream in self.streams.values():
            stream.close()

    @property
    def symbols(self) -> list[str]:
        """The instruments whose market data have come so far."""
        return list(self.streams)

    # -- connections

    def restart(self, connection: int) -> None:
        """A connection begins anew."""
        if connection in self._codecs:
            self._codecs[connection].restart()
        self._carries.pop(connection, None)

    def forget(self, connection: int) -> None:
        """A connection is gone and will not come again."""
        self._codecs.pop(connection, None)
        self._carries.pop(connection, None)

    def interrupted(self, kind: int, line: Line, why: str, symbols: Iterable[str] | None = None) -> None:
        """Books are unknown from ``line`` on: of ``symbols``, or (None) all whose book came over its connection."""
        for symbol in sorted(self._carries.get(line.connection, set()) if symbols is None else symbols):
            if symbol in self.streams:
                self.streams[symbol].interrupted(kind, line, why)

    # -- frames

    def line(self, line: Line) -> None:
        """Take in a frame; whatever is wrong with it is reported."""
        if self._mentions is not None and not line.symbol and not self._mentions.search(line.raw):
            return
        try:
            if self._binance and not line.symbol and _SNAPSHOT_START in line.raw[:64] and b'"symbol"' not in line.raw:
                self._nameless(line)
                return
            self._dispatch(self._decode(line, line.symbol), line)
        except PayloadError as error:
            self._refuse(line, f"field {error.field}: {error.why}" if error.field != "$" else error.why)
        except VenueError as error:
            self._refuse(line, str(error))

    def _decode(self, line: Line, symbol: str) -> Any:
        codec = self._codecs.get(line.connection)
        if codec is None:
            codec = market_codec(self._venue or USDM, self._instruments.values())
            self._codecs[line.connection] = codec
        return codec.decode(line.raw, symbol)

    def _dispatch(self, record: Any, line: Line) -> None:
        if isinstance(record, Batch):
            for part in record.records:
                self._dispatch(part, line)
            return
        if isinstance(record, Other):
            self._other(record, line)
            return
        symbol = record.symbol
        if price := _price_of(record):
            self._prices[symbol] = price
        if self._only is not None and symbol not in self._only:
            return
        if isinstance(record, DepthDiff) or (isinstance(record, DepthSnapshot) and record.in_stream):
            self._carries.setdefault(line.connection, set()).add(symbol)
        stream = self.streams.get(symbol)
        if stream is None:
            stream = self._new_stream(symbol)
        stream.take(record, line)

    def _other(self, record: Other, line: Line) -> None:
        self._name_unknown(record, line)
        name = f"{record.symbol} {record.event}".strip()
        unused = self._shared.report.unused
        if name not in unused and len(unused) >= STREAMS_MAX:
            name = "others"
        unused[name] = unused.get(name, 0) + 1

    def _name_unknown(self, record: Other, line: Line) -> None:
        """Say so once when an instrument's market data cannot be used because nobody describes it."""
        symbol = record.symbol
        if not symbol or symbol in self._instruments or symbol in self._unknown:
            return
        if self._given or len(self._unknown) >= STREAMS_MAX:
            return  # only what was asked for; the rest is counted as unused
        if self._binance and record.event not in _BINANCE_EVENTS:
            return
        try:
            known_instrument(self._venue or venue_of(symbol), symbol)
        except InstrumentError as error:
            self._unknown.add(symbol)
            name = self._shared.files[line.file].name
            why = f"{error}; its lines are counted as unused (--instrument describes it)"
            self._notices.add(name, line.number, "unknown_instrument", why)

    def _new_stream(self, symbol: str) -> InstrumentStream:
        instrument = self._instruments[symbol]
        writer = FeedWriter(self._root, instrument, self._shared.sources, replace=self._replace, owns=self._owns)
        stream = InstrumentStream(self._shared, instrument, writer)
        self.streams[symbol] = stream
        stream.report.malformed, self._early_malformed = self._early_malformed, 0
        waiting, self._unassigned = self._unassigned, []
        for line in waiting:
            self.line(line)
        return stream

    # -- snapshots that name no symbol (REST of Binance USD-M)

    def _candidates(self) -> list[str]:
        return list(self.streams or (self._instruments if self._given else ()))

    def _nameless(self, line: Line) -> None:
        candidates = self._candidates()
        if not self.streams and len(candidates) != 1:
            if len(self._unassigned) < UNASSIGNED_MAX:
                self._unassigned.append(line)
            else:
                self._refuse(line, "a depth snapshot that names no symbol, and too many such are waiting already")
            return
        fits = [symbol for symbol in candidates if len(candidates) == 1 or self._fits(symbol, line)]
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
        if self._instruments[symbol].venue == COINM:
            return False  # COIN-M snapshots name theirs
        try:
            record = self._decode(line, symbol)
        except VenueError:
            return False
        price = self._prices.get(symbol, 0)
        best = record.bid_ticks[0] if isinstance(record, DepthSnapshot) and record.bid_ticks else 0
        return bool(best) and abs(best - price) * 10 <= price

    def _refuse(self, line: Line, why: str) -> None:
        """A frame that cannot be decoded: charged to the instrument it names, or to the only one there is."""
        named: list[InstrumentStream] = []
        if not self._shared.daily:  # there, what is charged must not depend on which instruments are built together
            head = line.raw[:256].lower()
            named = [s for s in self.streams.values() if s.instrument.symbol.lower().encode() in head]
            if not named and len(self.streams) == 1:
                named = list(self.streams.values())
            self._early_malformed += not self.streams
        if named:
            named[0].refuse(line, why)
        else:
            file = self._shared.files[line.file]
            file.malformed += 1
            self._notices.add(file.name, line.number, "malformed", why)


def _mentions(symbols: Iterable[str]) -> re.Pattern[bytes]:
    """Finds any of some symbols in a frame."""
    return re.compile(b"|".join(re.escape(symbol.encode()) for symbol in sorted(symbols)) or b"(?!)")


def _price_of(record: Any) -> int:
    """About where the market is, in ticks; 0 if the record does not say."""
    kind = type(record)
    if kind is BookTicker:
        return int(record.bid_ticks) if record.bid_lots else 0
    if kind is DepthDiff:
        return max(record.bid_ticks, default=0)
    return int(record.ticks) if kind is Trade and record.on_book else 0


# -- files of captured lines


def sniffed_venue(files: Sequence[RawFile]) -> str | None:
    """The venue that the first frames of some files speak of; None for Binance's two."""
    found: set[str] = set()
    for file in files:
        probe = RawFile(file.path, 0)
        for k, (_, _, raw) in enumerate(probe.parsed()):
            if venue := venue_of_frame(raw):
                found.add(venue)
                break
            if k >= SNIFF_LINES:
                break
    if len(found) > 1:
        raise InputError(
            f"the files are of {' and '.join(sorted(found))}; import them apart, or give --venue", source="import"
        )
    return found.pop() if found else None


def import_captures(
    files: Sequence[str | Path],
    lake: str | Path,
    venue: str | None = None,
    instrument: Instrument | Sequence[Instrument] | None = None,
    *,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
) -> ImportReport:
    """Import files of captured lines ``receive_time raw_json`` into a lake.

    ``venue`` is one whose market data can be decoded (None: told by the frames, and Binance's two by the symbols).
    ``instrument`` describes the contracts to take (None: all that are documented in ``venues``; others are named and
    counted). ``latency_floor_ns`` is the least latency that remains after a clock correction. Bad lines are reported,
    never raised; ``InputError`` is raised for files that cannot be opened, a wrong ``venue``, or a day of the lake that
    other files have filled already.
    """
    if venue is not None and venue not in codec_venues():
        raise InputError(f"is none of {', '.join(codec_venues())}", source="venue " + repr(venue))
    if not files:
        raise InputError("no files to import", source="import")
    given = [instrument] if isinstance(instrument, Instrument) else list(instrument or ())
    raw_files = open_files([Path(file) for file in files])
    if venue is None:
        venue = sniffed_venue(raw_files)
    return _import_files(
        raw_files, Path(lake), venue, given, merged_lines(raw_files), latency_floor_ns=latency_floor_ns, replace=replace
    )


def _import_files(
    raw_files: list[RawFile],
    root: Path,
    venue: str | None,
    given: Sequence[Instrument],
    lines: Iterable[Line],
    *,
    latency_floor_ns: int,
    replace: bool,
) -> ImportReport:
    sources = [fingerprint(file.path) for file in raw_files]
    report = ImportReport(str(root))
    with writing(root), tempfile.TemporaryDirectory(prefix=SPOOL_PREFIX, dir=root) as folder:
        shared = Shared(raw_files, sources, report.problems, report, Path(folder), latency_floor_ns)
        run = MarketImport(shared, root, venue, given, replace=replace)
        try:
            run.run(lines)
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
