"""What the tests of live feeds share: captures as raw records, and messages in a form that can be compared."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from matching.codes import FUNDING, GAP, MARK
from matching.feed import FeedWindow
from recorders.live.feed import FOREVER, LiveFeed
from recorders.raw import FRAME_IN, NOTE, REPLY, REQUEST, Note, Opened, RawRecord, Started, encode_note

Told = tuple[int, int, int, int, tuple[Any, ...]]  # v, ts_recv, kind, ref (0 where aux), rows or aux


class Records:
    """Raw records in memory. Wall and monotonic clocks are the same unless ``base_ns`` says otherwise."""

    def __init__(self, start_ns: int, base_ns: int = 0) -> None:
        self.found: list[RawRecord] = []
        self.base_ns = base_ns
        self.at_ns = start_ns
        self.note(Started())

    def put(self, kind: int, connection: int, at_ns: int, payload: bytes) -> None:
        self.at_ns = max(self.at_ns, at_ns)
        self.found.append(
            RawRecord(len(self.found) + 1, kind, connection, self.at_ns, self.at_ns - self.base_ns, payload)
        )

    def note(self, *notes: Note) -> Records:
        for note in notes:
            self.put(NOTE, 0, self.at_ns, encode_note(note))
        return self

    def opened(self, venue: str, *connections: int) -> Records:
        return self.note(*(Opened(number, venue, "wss://x", ("depth",)) for number in connections))

    def frame(self, at_ns: int, payload: bytes, connection: int = 1) -> Records:
        self.put(FRAME_IN, connection, at_ns, payload)
        return self

    def reply(self, at_ns: int, payload: bytes, symbol: str, connection: int = 99) -> Records:
        request = {"method": "GET", "url": "https://x/fapi/v1/depth", "symbol": symbol, "stream": "depth"}
        self.put(REQUEST, connection, at_ns, json.dumps(request).encode())
        self.put(REPLY, connection, at_ns, payload)
        return self


def captured(path: Path, venue: str, symbol: str, earlier_ns: int = 200_000_000) -> Records:
    """A captured file (lines of time and payload) as the records of a recorder."""
    found: Records | None = None
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            stamp, _, payload = line.strip().partition(b" ")
            stamp = stamp.rstrip(b":")
            if not stamp[:1].isdigit() or payload[:1] not in (b"{", b"["):
                continue
            at_ns = int(stamp) if b"." not in stamp else int(float(stamp) * 1e6) * 1000
            if found is None:
                found = Records(at_ns - earlier_ns).opened(venue, 1, 99)
            if b'"lastUpdateId"' in payload[:64]:
                found.reply(at_ns, payload, symbol)
            else:
                found.frame(at_ns, payload)
    assert found is not None
    return found


def told(window: FeedWindow | None) -> list[Told]:
    """A window's messages, one by one."""
    if window is None:
        return []
    found = []
    for j in range(len(window)):
        kind, ref = int(window.kind[j]), int(window.ref[j])
        rows = slice(int(window.row_start[j]), int(window.row_start[j + 1]))
        columns = (window.side[rows], window.px_ticks[rows], window.qty_lots[rows])
        content: tuple[Any, ...] = tuple(zip(*(column.tolist() for column in columns), strict=True))
        if kind in (MARK, FUNDING, GAP):
            content, ref = tuple(window.aux[ref - window.aux_base].tolist()), 0
        found.append((int(window.ts_event[j]), int(window.ts_recv[j]), kind, ref, content))
    return found


def run(feed: LiveFeed, records: Iterable[RawRecord], begin_ns: int | None = None) -> LiveFeed:
    """Everything at once; begun by hand if ``begin_ns`` says when."""
    if begin_ns is not None:
        feed.begin(begin_ns)
    for record in records:
        feed.take(record)
    return feed


def both_orders(feed: LiveFeed, m: int = 0) -> tuple[list[Told], list[Told]]:
    """All messages as the client and as the venue gets them."""
    venue = feed.venue_window(m, FOREVER)
    if venue is not None:
        venue.check()
    return told(feed.client_window(m)), told(venue)


def books(messages: Iterable[Told]) -> Iterator[tuple[int, tuple[dict[int, int], dict[int, int]]]]:
    """(update id, book) after each message about the book."""
    from matching.codes import DEPTH, SNAPSHOT

    book: tuple[dict[int, int], dict[int, int]] = ({}, {})
    valid = False
    for _, _, kind, ref, rows in messages:
        valid = kind == SNAPSHOT or (valid and kind != GAP)
        if kind == SNAPSHOT:
            book = ({}, {})
        if valid and kind in (DEPTH, SNAPSHOT):
            for side, ticks, lots in rows:
                if lots:
                    book[side][ticks] = lots
                else:
                    book[side].pop(ticks, None)
            yield ref, (dict(book[0]), dict(book[1]))
