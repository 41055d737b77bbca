"""The lake: normalised feeds by venue, instrument and day, derived from recordings and never edited.

    LAKE/<venue>/<symbol>/<YYYY-MM-DD>.parquet        (form: recorders/dayfile.py)

There is no catalogue file that could disagree with the data: listings read the files' footers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from matching.codes import FORCE, OFFBOOK, ORDER_BOOK, SELL, TRADE
from recorders.blocks import has_aux
from recorders.book import BookTrack
from recorders.dayfile import BLOCK_MESSAGES, BlockInfo, DayFile, digest_of
from recorders.hot import HotCache, hot_cache
from recorders.source import WINDOW_MESSAGES, LakeSource
from recorders.writer import SUFFIX, instrument_from
from venues.errors import InputError
from venues.instruments import Instrument
from venues.rules import DAY_NS, date_ns, date_of_ns

if TYPE_CHECKING:
    from recorders.access import Market
    from recorders.instants import Instant

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}$")
LAST_KIND: Final = ORDER_BOOK


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
        for feed in self.feeds():
            files = [DayFile(path) for path in feed.paths]
            blocks = [block for file in files for block in file.blocks]
            reports = _recordings(files)
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
        """Everything the footers say: instrument, files with sizes and hashes of sources, recordings with their
        reports."""
        found = []
        for feed in self._some(venue, symbol):
            files = [DayFile(path) for path in feed.paths]
            clocks: dict[str, Any] = {}
            for file in files:
                clocks |= file.clock()
            found.append(
                {
                    "venue": feed.venue,
                    "symbol": feed.symbol,
                    "instrument": files[-1].about["instrument"],
                    "files": [
                        {
                            "day": path.stem,
                            "path": str(path),
                            "bytes": path.stat().st_size,
                            "blocks": len(file.blocks),
                            "messages": file.messages,
                            "rows": file.rows,
                            "code": file.about["code"],
                        }
                        for path, file in zip(feed.paths, files, strict=True)
                    ],
                    "recordings": _recordings(files),
                    "clocks": clocks,
                }
            )
        return found

    def gaps(self, venue: str | None = None, symbol: str | None = None) -> list[dict[str, Any]]:
        """Every hole: gaps within recordings (kind sequence or disconnect) and the ends between recordings."""
        found: list[dict[str, Any]] = []
        for feed in self._some(venue, symbol):
            name = {"venue": feed.venue, "symbol": feed.symbol}
            before: dict[str, Any] | None = None
            for report in _recordings([DayFile(path) for path in feed.paths]):
                if before is not None and report.get("continues") != before["recording"]:
                    found.append(
                        {
                            **name,
                            "recording": before["recording"],
                            "kind": "session_end",
                            "start_ns": before["last_ns"],
                            "end_ns": report["first_ns"],
                            "span_ns": report["first_ns"] - before["last_ns"],
                            "first_lost_id": None,
                            "last_lost_id": None,
                            "resynced": report.get("snapshots", 0) > 0,
                        }
                    )
                found += [{**name, "recording": report["recording"], **gap} for gap in report.get("gap_list", [])]
                before = report
        return found

    def _some(self, venue: str | None, symbol: str | None) -> list[Feed]:
        if venue is not None and symbol is not None:
            return [self.feed(venue, symbol)]
        found = self.feeds(venue, symbol)
        if not found and (venue or symbol):
            raise InputError(f"has nothing of {venue or symbol}", source=str(self.path))
        return found

    # -- verification

    def verify(self, venue: str | None = None, symbol: str | None = None) -> list[dict[str, Any]]:
        """Read everything and check it: page checksums, digests, order, references, checkpoints.

        One entry a file with ``problems`` (empty when all is well); a damaged file is an entry, never an exception.
        """
        found = []
        for feed in self._some(venue, symbol):
            follow = BookTrack()
            recording = ""
            for path in feed.paths:
                entry: dict[str, Any] = {
                    "venue": feed.venue,
                    "symbol": feed.symbol,
                    "day": path.stem,
                    "path": str(path),
                    "messages": 0,
                    "rows": 0,
                    "problems": [],
                }
                try:
                    recording = self._verify_file(feed, path, entry, follow, recording)
                except InputError as error:
                    entry["problems"].append(error.why)
                    recording = ""
                found.append(entry)
        return found

    def _verify_file(self, feed: Feed, path: Path, entry: dict[str, Any], follow: BookTrack, recording: str) -> str:
        file = DayFile(path)
        problems: list[str] = entry["problems"]
        about = file.about
        if (about["venue"], about["symbol"], about["day"]) != (feed.venue, feed.symbol, path.stem):
            problems.append(f"holds {about['venue']} {about['symbol']} {about['day']}, not what its path says")
        start_ns = date_ns(path.stem)
        last_event = start_ns
        for number, info in enumerate(file.blocks):
            name = about["recordings"][info.recording]["recording"]
            if name != recording:
                # The first block of a recording that began on an absent earlier day starts from its own checkpoint.
                follow.restart()
                follow.resume(file.checkpoint(info), info)
                recording = name
            where = f"block {number}"
            problems += [f"{where}: {why}" for why in _block_problems(file, info, follow)]
            if info.first_event < last_event or info.last_event >= start_ns + DAY_NS:
                problems.append(f"{where}: venue time leaves the day or goes back")
            last_event = info.last_event
            entry["messages"] += info.count
            entry["rows"] += info.rows
        if follow.counts.crossed:
            problems.append(f"{follow.counts.crossed} crossed books")
            follow.counts.crossed = 0
        return recording


def _recordings(files: list[DayFile]) -> list[dict[str, Any]]:
    """The recordings of consecutive files, each once, by first venue time."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        for report in file.about["recordings"]:
            found[report["recording"]] = report
    return sorted(found.values(), key=lambda report: (report["first_ns"], report["recording"]))


def _block_problems(file: DayFile, info: BlockInfo, follow: BookTrack) -> Iterator[str]:
    """What is wrong with a block; ``follow`` is walked through it."""
    block = file.message_block(info)
    if len(block) != info.count or block.rows != info.rows or len(block.px_ticks) != block.rows:
        yield f"has {len(block)} messages and {block.rows} rows, the index says {info.count} and {info.rows}"
        return
    if not 0 < len(block) <= BLOCK_MESSAGES:
        yield f"has {len(block)} messages"
    if digest_of(block) != info.digest:
        yield "its columns do not match their digest"
    if (np.diff(block.ts_event) < 0).any() or block.ts_event[0] != info.first_event:
        yield "venue time goes back"
    if (block.ts_recv < block.ts_event).any():
        yield "a message is received before it was made"
    if block.kind.min() < 1 or block.kind.max() > LAST_KIND:
        yield "an unknown kind of message"
    shown = np.repeat(np.isin(block.kind, (TRADE, OFFBOOK, FORCE)), np.diff(block.row_start))
    if (block.side > SELL).any() or (block.qty_lots < 0).any() or (block.px_ticks[shown] < 0).any():
        yield "a row has no side, or a negative price or size"
    carries = has_aux(block.kind)
    if (block.ref[carries] != np.arange(info.aux)).any() or (np.diff(block.row_start)[carries] != 0).any():
        yield "marks or gaps do not refer to their payload"
    order = file.local_shift(info) + np.arange(len(block), dtype=np.int32)
    if (np.sort(order) != np.arange(len(block))).any() or (np.diff(block.ts_recv[order]) < 0).any():
        yield "the client's order is not by receive time"
    stored, expected = file.checkpoint(info), follow.book.columns()
    same = not follow.valid or all(np.array_equal(stored[k], expected[k]) for k in range(len(stored)))
    if info.valid != follow.valid or not same:
        yield "its checkpoint is not the book that the messages before it make"
        follow.resume(file.checkpoint(info), info)
    follow.run(block)
