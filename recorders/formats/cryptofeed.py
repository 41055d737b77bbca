"""Raw captures of cryptofeed: what its connections sent and got, in text files, for one or several venues.

Theory of operation. cryptofeed's raw data callback writes one file a connection, with lines of five forms:

    URL <-> TIME              the connection was opened
    URL <- TIME: JSON         something was sent
    URL -> TIME: BODY         a REST reply: a venue's instruments (NAME.0), a book (NAME.http...)
    TIME: FRAME               a frame as it came (NAME.ws...)
    configuration: JSON       what was subscribed

TIME is seconds with a fraction, as Python prints a float; its digits are taken as they stand, to the nanosecond. The
URL's host says which venue it is. Frames and books go to the importer of captures, a venue each, merged by their times;
a connection that is opened again is a gap for the books that came over it. Instruments are described by the venue's own
list where the files hold it, read by ``venues/<venue>/metadata.py``; contracts that no rule card knows (dated futures,
options, spot, what Bybit listed in 2021) are described by their grids alone, which is all that a book needs.

Form of the files: github.com/bmoscon/cryptofeed, ``cryptofeed/raw_data_collection.py`` and ``sample_data``.
"""

from __future__ import annotations

import heapq
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from matching.codes import GAP_DISCONNECT
from recorders.captures import MarketImport, book_asked_for
from recorders.files import SPOOL_PREFIX, writing
from recorders.formats.reading import Sample, open_bytes
from recorders.formats.request import Request
from recorders.lines import LAST_NS, LINE_BYTES_MAX, Line
from recorders.report import ImportReport
from recorders.stream import Shared
from recorders.writer import FeedWriter
from venues.binance.metadata import instrument_from_exchange_info
from venues.bybit import metadata as bybit_metadata
from venues.codecs import codec_venues
from venues.deribit import metadata as deribit_metadata
from venues.errors import InputError, LocalError
from venues.facts import date_of_ns
from venues.instruments import Instrument
from venues.metadata import parsed_json
from venues.okx import metadata as okx_metadata

OPENED, SENT, REPLY, FRAME = "<->", "<-", "->", ""
SNIFF_LINES: Final = 8
_EVENT: Final = re.compile(rb"(\S+://\S+) (<->|<-|->) (\d{9,12}(?:\.\d{1,9})?)(?:: |$)")
_FRAME: Final = re.compile(rb"(\d{9,12}(?:\.\d{1,9})?): (?=\S)")
_HOSTS: Final = (
    (re.compile(r"^(fapi|fstream)[.-].*binance|^fapi\.binance|^fstream"), "binance_usdm"),
    (re.compile(r"^(dapi|dstream)[.-].*binance|^dapi\.binance|^dstream"), "binance_coinm"),
    (re.compile(r"(^|\.)okx\.com$|(^|\.)okex\.com$"), "okx"),
    (re.compile(r"(^|\.)deribit\.com$"), "deribit"),
    (re.compile(r"(^|\.)hyperliquid\.xyz$"), "hyperliquid"),
    (re.compile(r"(^|\.)dydx\.(trade|exchange)$"), "dydx"),
)
_BYBIT: Final = re.compile(r"(^|\.)(bybit|bytick)\.com$")


def recognises(sample: Sample) -> bool:
    """Whether a file is a capture of cryptofeed."""
    lines = sample.head.split(b"\n")[:SNIFF_LINES]
    return any(_EVENT.match(line) for line in lines) or (bool(_FRAME.match(lines[0])) and b"." in lines[0][:12])


def venue_of_url(url: str) -> str:
    """The venue of a URL; for Bybit's lists of instruments, and for hosts that nobody knows, the host itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _BYBIT.search(host):
        if parts.path.startswith(("/realtime_public", "/v5/public/linear")):
            return "bybit_linear"
        if parts.path.startswith(("/realtime", "/v5/public/inverse")):
            return "bybit_inverse"
        return "bybit"
    return next((venue for pattern, venue in _HOSTS if pattern.search(host)), host)


def exact_ns(text: bytes) -> int:
    """Nanoseconds of seconds written as a decimal number, exactly."""
    whole, _, part = text.partition(b".")
    return int(whole) * 1_000_000_000 + int(part.ljust(9, b"0") or b"0")


@dataclass(slots=True)
class CaptureFile:
    """A file, the venue whose capture it is, and what has been read of it."""

    path: Path
    index: int
    venue: str = ""
    lines: int = 0
    malformed: int = 0
    reordered: int = 0
    first_recv_ns: int = 0
    last_recv_ns: int = 0
    unread: list[tuple[int, str]] = field(default_factory=list)  # lines of no known form, the first of them

    @property
    def name(self) -> str:
        return self.path.name

    def events(self) -> Iterator[tuple[str, str, Line]]:
        """(form, URL, line) of everything but empty lines and the configuration."""
        with open_bytes(self.path) as stream:
            number = 0
            while raw := stream.readline(LINE_BYTES_MAX):
                number += 1
                text = raw.strip()
                if not text or text.startswith(b"configuration: "):
                    continue
                found = _EVENT.match(text)
                frame = None if found else _FRAME.match(text)
                time = found[3] if found else frame[1] if frame else b""
                recv_ns = exact_ns(time) if time else LAST_NS + 1
                if recv_ns > LAST_NS:
                    self.malformed += 1
                    if len(self.unread) < 200:
                        self.unread.append((number, "is none of cryptofeed's lines: a URL or a time stands first"))
                    continue
                rest = text[found.end() :] if found else text[frame.end() :] if frame else b""
                line = Line(recv_ns, self.index, number, rest, False, None, self.index)
                form = found[2].decode() if found else FRAME
                yield form, found[1].decode("utf-8", "replace") if found else "", line

    def count(self, line: Line) -> None:
        self.lines += 1
        self.first_recv_ns = self.first_recv_ns or line.recv_ns
        self.reordered += line.recv_ns < self.last_recv_ns
        self.last_recv_ns = max(self.last_recv_ns, line.recv_ns)


# -- instruments


def _grid(
    venue: str, row: Any, as_of: str, symbol: str, base: str, quote: str, tick: Any, lot: Any, inverse: bool = False,
    size: Any = 1, settle: str = "",
) -> Instrument:  # fmt: skip
    return Instrument(
        venue, symbol, base, quote, settle or (base if inverse else quote), inverse, Decimal(str(tick)),
        Decimal(str(lot)), Decimal(str(size)), source="the venue's list of instruments, grids only", as_of=as_of,
    )  # fmt: skip


def _binance(body: Any, venue: str, as_of: str) -> Iterator[Callable[[], Instrument]]:
    for row in body["symbols"]:
        yield lambda row=row: instrument_from_exchange_info(row, venue, as_of)  # type: ignore[misc]


def _okx(body: Any, venue: str, as_of: str) -> Iterator[Callable[[], Instrument]]:
    for row in body["data"]:
        yield lambda row=row: _okx_one(row, as_of)  # type: ignore[misc]


def _okx_one(row: Any, as_of: str) -> Instrument:
    if row["instType"] == "SWAP":
        (listing,) = okx_metadata.listings({"data": [row]}, as_of=as_of).values()
        return listing.instrument
    base, _, quote = (row["uly"] or row["instId"]).partition("-")
    inverse = row["ctType"] == "inverse"
    return _grid(
        "okx", row, as_of, row["instId"], base, quote, row["tickSz"], row["lotSz"], inverse, row["ctVal"] or 1,
        row["settleCcy"],
    )  # fmt: skip


def _deribit(body: Any, venue: str, as_of: str) -> Iterator[Callable[[], Instrument]]:
    for row in body["result"]:
        yield lambda row=row: _deribit_one(row, as_of)  # type: ignore[misc]


def _deribit_one(row: Any, as_of: str) -> Instrument:
    found = {}
    if row["kind"] == "future" and "instrument_type" in row:
        found = deribit_metadata.listings({"result": [row]}, as_of=as_of)
    if found:
        return next(iter(found.values())).instrument
    inverse = row["kind"] == "future" and row.get("future_type", "reversed") == "reversed"
    lot = row["contract_size"] if inverse else row["min_trade_amount"]
    return _grid(
        "deribit", row, as_of, row["instrument_name"], row["base_currency"], row["quote_currency"], row["tick_size"],
        lot, inverse, 1, row.get("settlement_currency", row["base_currency"]),
    )  # fmt: skip


def _bybit(body: Any, venue: str, as_of: str) -> Iterator[Callable[[], Instrument]]:
    rows = body["result"]
    if isinstance(rows, dict):  # v5
        for listing in bybit_metadata.listings(body, as_of=as_of).values():
            yield lambda listing=listing: listing.instrument  # type: ignore[misc]
        return
    for row in rows:
        yield lambda row=row: _bybit_v2(row, as_of)  # type: ignore[misc]


def _bybit_v2(row: Any, as_of: str) -> Instrument:
    inverse = row["quote_currency"] == "USD"
    venue = "bybit_inverse" if inverse else "bybit_linear"
    return _grid(
        venue, row, as_of, row["name"], row["base_currency"], row["quote_currency"], row["price_filter"]["tick_size"],
        row["lot_size_filter"]["qty_step"], inverse,
    )  # fmt: skip


_LISTS: Final[dict[str, tuple[str, Any]]] = {
    "binance_usdm": ("exchangeInfo", _binance),
    "binance_coinm": ("exchangeInfo", _binance),
    "okx": ("instruments", _okx),
    "deribit": ("get_instruments", _deribit),
    "bybit": ("", _bybit),
}


class _Lists:
    """The venues' own descriptions of instruments that the files hold."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Instrument] = {}

    def take(self, venue: str, url: str, line: Line, file: CaptureFile) -> bool:
        """Take in a REST reply if it is such a list. Raises ``InputError`` for one that cannot be read."""
        path, read = _LISTS.get(venue, ("", None))
        if read is None or path not in urlsplit(url).path:
            return False
        as_of = date_of_ns(line.recv_ns)
        try:
            described = list(read(parsed_json(line.raw), venue, as_of))
        except (LocalError, KeyError, TypeError, ValueError) as error:
            why = f"is no list of instruments of {venue}: {error}"
            raise InputError(why, source=file.name, place=f"line {line.number}") from None
        for make in described:
            try:
                one = make()
            except (LocalError, KeyError, TypeError, ValueError, ArithmeticError):
                continue  # a contract that cannot be described is one that is not taken
            self.found[one.venue, one.symbol] = one
        return True


# -- the import


def _opened(request: Request) -> tuple[list[CaptureFile], _Lists]:
    """The files with their venues, and the instruments they describe. A venue that is not known is refused."""
    files = [CaptureFile(path, k) for k, path in enumerate(request.files)]
    lists = _Lists()
    for file in files:
        for form, url, line in file.events():
            if form == FRAME:
                break  # frames follow the line that opens their connection
            file.venue = venue_of_url(url)
            known = {*codec_venues(), "bybit"}
            if file.venue not in known:
                raise InputError(
                    f"is a capture of {file.venue}, a venue whose market data perpsim does not decode; it decodes "
                    f"{', '.join(codec_venues())}",
                    source=str(file.path),
                )
            if form == REPLY:
                lists.take(file.venue, url, line, file)
        if not file.venue:
            if request.venue is None:
                raise InputError("does not say whose frames these are: give --venue", source=str(file.path))
            file.venue = request.venue
        file.malformed = 0
        file.unread.clear()
    return files, lists


class _Capture:
    """One venue's files on their way to its importer."""

    def __init__(self, target: MarketImport, files: Sequence[CaptureFile], report: ImportReport) -> None:
        self._target = target
        self._files = {file.index: file for file in files}
        self._report = report
        self._open: set[int] = set()

    def run(self) -> None:
        streams = [file.events() for file in self._files.values()]
        for form, url, line in heapq.merge(*streams, key=lambda event: event[2].recv_ns):
            self._files[line.file].count(line)
            if form == FRAME:
                self._target.line(line)
            elif form == OPENED:
                if line.connection in self._open:
                    self._target.interrupted(GAP_DISCONNECT, line, "the connection was opened again")
                    self._target.restart(line.connection)
                self._open.add(line.connection)
            elif form == REPLY:
                symbol = book_asked_for(url)
                if symbol:
                    self._target.line(line._replace(symbol=symbol))
                else:
                    self._unused(f"REST {urlsplit(url).path}")
            else:
                self._unused("what was sent")
        self._target.finish()

    def _unused(self, name: str) -> None:
        self._report.unused[name] = self._report.unused.get(name, 0) + 1


def import_cryptofeed(request: Request) -> ImportReport:
    """Import raw captures of cryptofeed: all files of one session together. Raises ``InputError`` for a venue that is
    not known here, or files that cannot be read; lines that cannot be used are reported."""
    files, lists = _opened(request)
    sources = request.fingerprints()
    report = ImportReport(str(request.lake))
    venues = dict.fromkeys(file.venue for file in files if file.venue != "bybit")
    with writing(request.lake), tempfile.TemporaryDirectory(prefix=SPOOL_PREFIX, dir=request.lake) as folder:
        shared = Shared(files, sources, report.problems, report, Path(folder), request.latency_floor_ns)
        writers: list[FeedWriter] = []
        try:
            for venue in venues:
                if request.venue not in (None, venue):
                    continue
                target = MarketImport(
                    shared, request.lake, venue, _instruments(request, lists, venue), replace=request.replace
                )
                try:
                    _Capture(target, [file for file in files if file.venue == venue], report).run()
                finally:
                    writers += [stream.writer for stream in target.streams.values()]
            for writer in writers:
                report.written += [str(path) for path in writer.close()]
                report.replaced += writer.replaced
        except BaseException:
            for writer in writers:
                writer.abandon()
            raise
    for file, source in zip(files, sources, strict=True):
        _tell(report, file, source.as_dict())
    report.recordings.sort(key=lambda one: (one.venue, one.instrument, one.first_recv_ns))
    return report


def _instruments(request: Request, lists: _Lists, venue: str) -> list[Instrument]:
    found = {symbol: one for (at, symbol), one in lists.found.items() if at == venue}
    found |= {symbol: one for symbol, one in request.described().items() if one.venue == venue}
    if request.symbol is None:
        return list(found.values())
    return [found.get(request.symbol) or request.find(venue, request.symbol)]


def _tell(report: ImportReport, file: CaptureFile, source: dict[str, Any]) -> None:
    for number, why in file.unread:
        report.problems.add(file.name, number, "malformed", why)
    report.files.append(
        {
            **source,
            "path": str(file.path),
            "venue": file.venue,
            "lines": file.lines,
            "malformed": file.malformed,
            "reordered": file.reordered,
            "first_recv_ns": file.first_recv_ns,
            "last_recv_ns": file.last_recv_ns,
        }
    )


__all__ = ["exact_ns", "import_cryptofeed", "recognises", "venue_of_url"]
