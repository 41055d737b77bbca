"""The lake: normalised feeds by venue, instrument and day, derived from recordings and never edited.

    LAKE/<venue>/<symbol>/<YYYY-MM-DD>.parquet        (form: recorders/dayfile.py)

There is no catalogue file that could disagree with the data: listings read the files' footers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from recorders.coverage import clock_row, day_row, gap_rows, recordings_of, totals
from recorders.dayfile import DayFile
from recorders.hot import HotCache, hot_cache
from recorders.source import WINDOW_MESSAGES, LakeSource
from recorders.verify import verified
from recorders.writer import SUFFIX, instrument_from
from venues.errors import InputError
from venues.instruments import Instrument
from venues.rules import DAY_NS, date_ns, date_of_ns

if TYPE_CHECKING:
    from recorders.access import Market
    from recorders.instants import Instant

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class Feed:
    """The files of one instrument, in order of days."""

    venue: str
    symbol: str
    paths: list[Path]


class Lake:
    """A folder of day files. Opening it reads nothing; a missing folder is an ``InputError`` when it is read.

    ``hot``: whether sources use the hot cache (where the environment has not switched it off).
    """

    def __init__(self, path: str | Path, *, hot: bool = True) -> None:
        self.path = Path(path)
        self._hot = hot

    def cache(self) -> HotCache | None:
        """The lake's hot cache as the environment says; None where there is none."""
        return hot_cache(self.path) if self._hot else None

    def feeds(self, venue: str | None = None, symbol: str | None = None) -> list[Feed]:
        """The instruments in the lake (of a venue, of a name), by venue and symbol."""
        if not self.path.is_dir():
            raise InputError("is no folder: import a recording first (perpsim data import)", source=str(self.path))
        found = []
        for venue_dir in sorted(p for p in self.path.iterdir() if p.is_dir() and venue in (None, p.name)):
            if venue_dir.name.startswith("."):  # the hot cache, a writer's temporary files
                continue
            for symbol_dir in sorted(p for p in venue_dir.iterdir() if p.is_dir() and symbol in (None, p.name)):
                paths = sorted(p for p in symbol_dir.glob(f"*{SUFFIX}") if _DAY.match(p.stem))
                if paths:
                    found.append(Feed(venue_dir.name, symbol_dir.name, paths))
        return found

    def feed(self, venue: str, symbol: str) -> Feed:
        """One instrument's files. Raises ``InputError`` naming what the lake has instead."""
        found = self.feeds(venue, symbol)
        if not found:
            others = ", ".join(f"{f.venue} {f.symbol}" for f in self.feeds()) or "nothing"
            raise InputError(f"has no {venue} {symbol}; it holds {others}", source=str(self.path))
        return found[0]

    # -- reading

    def source(
        self,
        venue: str,
        symbol: str,
        from_ns: int | None = None,
        to_ns: int | None = None,
        window_messages: int = WINDOW_MESSAGES,
    ) -> LakeSource:
        """The feed of an instrument in [from_ns, to_ns) of venue time, as a ``FeedSource``.

        Starts from a book checkpoint: if the book was valid at ``from_ns`` the first message is a SNAPSHOT of it.
        Raises ``InputError`` when the lake has no such instrument or nothing in that range.
        """
        feed = self.feed(venue, symbol)
        paths = [path for path in feed.paths if self._in_range(path, from_ns, to_ns)]
        name = f"{self.path}: {venue} {symbol}"
        return LakeSource(paths or feed.paths, name, from_ns, to_ns, window_messages, self.cache())

    def market(
        self, venue: str, symbol: str, from_: Instant | None = None, to: Instant | None = None, *, book: str = "auto"
    ) -> Market:
        """An instrument between two instants of venue time, [from_, to), for research: frames, books, bars.

        Instants are ISO text (UTC unless it says otherwise), datetimes or ns. ``book``: ``l1``, ``l2``, ``l3`` or
        what the feed shows to be. Raises ``InputError`` as ``source`` does.
        """
        from recorders.access import Market  # polars is loaded where frames are made

        return Market(self, venue, symbol, from_, to, book=book)

    @staticmethod
    def _in_range(path: Path, from_ns: int | None, to_ns: int | None) -> bool:
        start = date_ns(path.stem)
        return (from_ns is None or start + DAY_NS > from_ns) and (to_ns is None or start < to_ns)

    def instrument(self, venue: str, symbol: str, at_ns: int | None = None) -> Instrument:
        """The instrument as of a day of the recording (the last one by default)."""
        paths = self.feed(venue, symbol).paths
        if at_ns is not None:
            day = date_of_ns(at_ns)
            paths = [path for path in paths if path.stem <= day] or paths[:1]
        return instrument_from(DayFile(paths[-1]).about["instrument"])

    # -- listings: plain data, ready for JSON

    def ls(self) -> list[dict[str, Any]]:
        """One entry an instrument: days, span, messages, rows, bytes, recordings, gaps."""
        found = []
        for feed in self.some(None, None):
            files = [DayFile(path) for path in feed.paths]
            blocks = [block for file in files for block in file.blocks]
            reports = recordings_of(files)
            found.append(
                {
                    "venue": feed.venue,
                    "symbol": feed.symbol,
                    "days": [path.stem for path in feed.paths],
                    "first_ns": min(block.first_event for block in blocks),
                    "last_ns": max(block.last_event for block in blocks),
                    "messages": sum(block.count for block in blocks),
                    "rows": sum(block.rows for block in blocks),
                    "bytes": sum(path.stat().st_size for path in feed.paths),
                    "recordings": len(reports),
                    "gaps": sum(report.get("gaps", 0) for report in reports),
                }
            )
        return found

    def info(self, venue: str | None = None, symbol: str | None = None) -> list[dict[str, Any]]:
        """Everything the footers say, and messages by day and stream: instrument, files, recordings with their reports,
        receive clocks."""
        found = []
        for feed in self.some(venue, symbol):
            files = [DayFile(path) for path in feed.paths]
            reports = recordings_of(files)
            clocks: dict[str, Any] = {}
            for file in files:
                clocks |= file.clock()
            found.append(
                {
                    "venue": feed.venue,
                    "symbol": feed.symbol,
                    "instrument": files[-1].about["instrument"],
                    "files": [day_row(path, file, reports) for path, file in zip(feed.paths, files, strict=True)],
                    "recordings": reports,
                    "clocks": clocks,
                    "clock": [clock_row(report, clocks.get(report["recording"])) for report in reports],
                }
            )
        return found

    def gaps(self, venue: str | None = None, symbol: str | None = None) -> list[dict[str, Any]]:
        """Every hole: gaps within recordings (by kind, as in ``matching.codes``) and the ends between recordings."""
        return [
            {"venue": feed.venue, "symbol": feed.symbol, **row}
            for feed in self.some(venue, symbol)
            for row in gap_rows(recordings_of([DayFile(path) for path in feed.paths]))
        ]

    def assumptions(self, venue: str, symbol: str, from_ns: int | None = None, to_ns: int | None = None) -> list[str]:
        """What importers took for granted in the recordings of a stretch of a feed, a sentence each."""
        found: dict[str, None] = {}
        for report in recordings_of([DayFile(path) for path in self.feed(venue, symbol).paths]):
            before = from_ns is not None and report["last_ns"] < from_ns
            if not before and (to_ns is None or report["first_ns"] < to_ns):
                found |= dict.fromkeys(report.get("assumptions", []))
        return list(found)

    def coverage(
        self, venue: str | None = None, symbol: str | None = None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """How much of each feed's time is there, and of the time that all of them share (``recorders/coverage.py``)."""
        feeds = self.some(venue, symbol)
        reports = [(feed.venue, feed.symbol, recordings_of([DayFile(path) for path in feed.paths])) for feed in feeds]
        return totals(reports)

    def some(self, venue: str | None, symbol: str | None) -> list[Feed]:
        """The feeds of a venue, of a symbol, of both, or all. Raises ``InputError`` where there is none."""
        if venue is not None and symbol is not None:
            return [self.feed(venue, symbol)]
        found = self.feeds(venue, symbol)
        if not found and (venue or symbol):
            raise InputError(f"has nothing of {venue or symbol}", source=str(self.path))
        if not found:
            raise InputError(f"is no lake: it has no file VENUE/SYMBOL/YYYY-MM-DD{SUFFIX}", source=str(self.path))
        return found

    # -- verification

    def verify(self, venue: str | None = None, symbol: str | None = None) -> list[dict[str, Any]]:
        """Read everything and check it; what is checked: ``recorders/verify.py``.

        One entry a file with ``findings`` and the same as text in ``problems`` (empty when all is well); a damaged file
        is an entry, never an exception.
        """
        cache = self.cache()
        feeds = self.some(venue, symbol)
        return [entry for feed in feeds for entry in verified(feed.venue, feed.symbol, feed.paths, cache)]
