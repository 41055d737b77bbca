"""Recordings for researchers: any slice of the lake as polars frames, books at any instants, bars, own fills' markets.

    market = Lake("lake").market("binance_usdm", "BTCUSDT", "2023-04-04T23:52", "2023-04-05T00:05")
    market.trades()                                   the prints of the slice
    for frame in market.stream("depth"): ...          the same in pieces, memory flat
    market.books(times, depth=10, clock="recv")       what a client's book was
    market.bars("1m")  market.bars(lots=5_000)        bars of prints
    market.around(run_folder)                         own fills with the market around them

The slice is [from, to) of venue time and limits frames, bars and windows. Books and best quotes are answered for any
instant of the recording, also beyond the slice. Everything is read block by block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from matching.codes import BBO, BUY, DEPTH, GAP, ORDER_ADD, ORDER_BOOK, SELL, SNAPSHOT
from matching.feed import I64, FeedWindow
from recorders.bar_frames import BarFrames, empty_bars
from recorders.blocks import MessageBlock
from recorders.frames import Grid, best_columns, check_table, frame_of, nullable
from recorders.instants import Instant, instant_ns, instants_ns
from recorders.own_fills import HORIZONS, around
from recorders.report import GAP_NAMES
from recorders.resample import bar_spec
from recorders.snapshots import BEFORE, CLOCKS, ENDED, OK, STATUS, BookWalk, form_of
from recorders.spans import FOREVER, NEVER, Span
from venues.errors import InputError
from venues.instruments import Instrument
from venues.rules import DAY_NS, date_of_ns
from venues.units import instant_text

if TYPE_CHECKING:
    from recorders.lake import Lake

STREAM_ROWS: Final = 1 << 20
FORMS: Final = ("auto", "l1", "l2", "l3")


class Market:
    """One instrument of a lake in [from, to). Made by ``Lake.market``."""

    LATE_NS: Final = DAY_NS  # days beyond a span that may matter to it

    def __init__(
        self, lake: Lake, venue: str, symbol: str, from_: Instant | None, to: Instant | None, *, book: str = "auto"
    ) -> None:
        if book not in FORMS:
            raise InputError(f"{book!r} is none of {', '.join(FORMS)}", source="arguments", field="book")
        self.lake = lake
        self.venue = venue
        self.symbol = symbol
        self.from_ns = NEVER if from_ is None else instant_ns(from_, "from")
        self.to_ns = FOREVER if to is None else instant_ns(to, "to")
        if self.to_ns <= self.from_ns:
            raise InputError(
                f"the slice ends at {instant_text(self.to_ns)}, before it begins, at {instant_text(self.from_ns)}",
                source="arguments",
            )
        self._paths = lake.feed(venue, symbol).paths
        self._form = book
        self._grid: Grid | None = None
        self._span: tuple[list[Path], Span] | None = None

    def __repr__(self) -> str:
        ends = ["" if ns in (NEVER, FOREVER) else str(np.datetime64(ns, "ns")) for ns in (self.from_ns, self.to_ns)]
        return f"<Market {self.venue} {self.symbol} [{ends[0]} .. {ends[1]}) of {self.lake.path}>"

    @property
    def instrument(self) -> Instrument:
        """The instrument as of the slice's first day."""
        return self.grid.instrument

    @property
    def grid(self) -> Grid:
        if self._grid is None:
            at_ns = None if self.from_ns == NEVER else self.from_ns
            self._grid = Grid(self.lake.instrument(self.venue, self.symbol, at_ns))
        return self._grid

    @property
    def form(self) -> str:
        """What the feed states: ``l1`` best quotes, ``l2`` levels, ``l3`` single orders."""
        if self._form == "auto":
            self._form = form_of(self.span(self.from_ns, self.to_ns))
        return self._form

    # -- reading

    def span(self, from_ns: int, to_ns: int) -> Span:
        """The blocks of the days that touch [from_ns, to_ns)."""
        first = "" if from_ns <= 0 else date_of_ns(from_ns)
        last = "9999" if to_ns >= FOREVER // 2 else date_of_ns(max(to_ns, 0))
        paths = [path for path in self._paths if first <= path.stem <= last]
        if self._span is None or self._span[0] != paths:
            self._span = paths, Span(paths)
        return self._span[1]

    def blocks(self) -> Iterator[MessageBlock]:
        """The slice's messages as they are kept, a block at a time (at most 65,536 messages each)."""
        span = self.span(self.from_ns, self.to_ns)
        for place in span.within(self.from_ns, self.to_ns):
            block = self.part(span.message_block(place))
            if len(block):
                yield block

    def part(self, block: MessageBlock) -> MessageBlock:
        """The messages of a block that belong to the slice."""
        start, stop = block.ts_event.searchsorted((self.from_ns, self.to_ns))
        return block if stop - start == len(block) else block.cut(int(start), int(max(start, stop)))

    def windows(self, window_messages: int = 1 << 18) -> Iterator[FeedWindow]:
        """The slice as kernel columns, beginning with the book as of ``from``: what a run reads."""
        first, last = (None if ns in (NEVER, FOREVER) else ns for ns in (self.from_ns, self.to_ns))
        source = self.lake.source(self.venue, self.symbol, first, last, window_messages)
        while (window := source.next_window()) is not None:
            yield window

    def stream(self, table: str, *, rows: int = STREAM_ROWS, values: str = "ticks") -> Iterator[pl.DataFrame]:
        """A table in frames of at most ``rows`` rows (messages may be split); nothing for an empty slice."""
        check_table(table, values)
        if rows < 1:
            raise InputError(f"must be at least 1, not {rows}", source="arguments", field="rows")
        waiting: list[pl.DataFrame] = []
        count = 0
        for frame in self._frames(table, values):
            waiting.append(frame)
            count += len(frame)
            while count >= rows:
                whole = pl.concat(waiting)
                yield whole[:rows]
                waiting, count = [whole[rows:]], count - rows
        if count:
            yield pl.concat(waiting)

    def _frames(self, table: str, values: str) -> Iterator[pl.DataFrame]:
        base = 0
        for block in self.blocks():
            yield frame_of(table, block, base, self.grid, values)
            base += len(block)

    def table(self, table: str, values: str = "ticks") -> pl.DataFrame:
        """A table of the slice whole; ``recorders.frames`` says what each has."""
        check_table(table, values)
        frames = list(self._frames(table, values))
        if not frames:
            from recorders.blocks import empty_block

            return frame_of(table, empty_block(), 0, self.grid, values)
        return pl.concat(frames)

    def trades(self, values: str = "ticks") -> pl.DataFrame:
        """Prints on the book: trade_id, side of the aggressor (0 buy, 1 sell), ticks, lots."""
        return self.table("trades", values)

    def depth(self, values: str = "ticks") -> pl.DataFrame:
        """Level changes, a row a level: update_id, snapshot (the message is the whole book), side, ticks, lots (0:
        the level is gone)."""
        return self.table("depth", values)

    def quotes(self, values: str = "ticks") -> pl.DataFrame:
        """Best-quote messages: update_id, bid_ticks, bid_lots, ask_ticks, ask_lots; null where a side has none."""
        return self.table("quotes", values)

    def marks(self) -> pl.DataFrame:
        """Mark messages: mark_e8, index_e8, rate_e12, next_funding_ns."""
        return self.table("marks")

    def funding(self) -> pl.DataFrame:
        """Funding messages (venues that state the charge): rate_e12, mark_e8, boundary_ns."""
        return self.table("funding")

    def liquidations(self, values: str = "ticks") -> pl.DataFrame:
        """Liquidation orders of others: side, ticks, lots."""
        return self.table("liquidations", values)

    def orders(self, values: str = "ticks") -> pl.DataFrame:
        """Order-by-order feeds: event, order_id, side, ticks, lots; ``orders`` of an order_book event says how many
        order_add rows after it are the whole book."""
        return self.table("orders", values)

    def messages(self) -> pl.DataFrame:
        """Every message without its rows: kind (``matching.codes``), ref (update or trade id), number of rows."""
        return self.table("messages")

    def gaps(self) -> pl.DataFrame:
        """Every stretch of the slice in which the book was not known.

        Columns: why (sequence, disconnect, session_end, checksum, recorder), start_ns and end_ns of venue time (null:
        no whole book came any more), first_lost_id, last_lost_id (0 where unknown).
        """
        rows: list[list[Any]] = []
        span = self.span(self.from_ns, self.to_ns)
        chain, last_ns = -1, 0
        for place in span.within(self.from_ns, self.to_ns):
            if chain not in (-1, place.chain):
                rows.append(["session_end", last_ns, None, 0, 0])
            chain = place.chain
            block = span.message_block(place)
            telling = (block.kind == GAP) | (block.kind == SNAPSHOT) | (block.kind == ORDER_BOOK)
            if self.form == "l1":
                telling |= block.kind == BBO
            telling &= (block.ts_event >= self.from_ns) & (block.ts_event < self.to_ns)
            for j in np.flatnonzero(telling).tolist():
                ts = int(block.ts_event[j])
                if block.kind[j] == GAP:
                    kind, first, final, _ = block.aux[block.ref[j]].tolist()
                    rows.append([GAP_NAMES.get(kind, str(kind)), ts, None, first, final])
                else:
                    _close(rows, ts)
            last_ns = place.block.last_event
        names = ("why", "start_ns", "end_ns", "first_lost_id", "last_lost_id")
        kinds = (pl.String, pl.Int64, pl.Int64, pl.Int64, pl.Int64)
        return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")

    # -- books

    def walk(self, first_ns: int, last_ns: int, clock: str = "event", *, quotes: bool = True) -> BookWalk:
        """A book that can be brought to rising instants between two; see ``recorders.snapshots``."""
        if clock not in CLOCKS:
            raise InputError(f"{clock!r} is none of {', '.join(CLOCKS)}", source="arguments", field="clock")
        # Also the day before (an instant may lie before its own day's first block, or its messages may be received
        # late), the day after (whether the recording goes on); of single orders all, for lack of checkpoints.
        early = NEVER if self.form == "l3" else first_ns - self.LATE_NS
        span = self.span(early, min(last_ns, FOREVER // 2) + self.LATE_NS)
        return BookWalk(span, clock, quotes=quotes, form=self.form)

    def books(
        self, times: Any, depth: int | None = 10, *, clock: str = "event", quotes: bool = True, values: str = "ticks"
    ) -> pl.DataFrame:
        """The book at each instant, a row each, in the order given.

        ``depth`` levels a side (None: all). ``clock="event"``: the venue's book of all messages made up to the
        instant; ``"recv"``: a client's, of all messages received up to it. ``quotes=False`` leaves best-quote
        messages out. Columns: time_ns; status (``ok``; ``stale``: no whole book since a gap or since the start;
        ``ended``, ``before``: outside of the recordings); valid; age_ns (since the last message about the book),
        update_id of that message; bid_ticks, bid_lots, ask_ticks, ask_lots: lists from the best on, null without a
        book.
        """
        if depth is not None and depth < 1:
            raise InputError(f"must be at least 1, or None for all, not {depth}", source="arguments", field="depth")
        check_table("depth", values)
        wanted, order = _sorted(times)
        rows = _Rows(len(wanted))
        found = _Levels(len(wanted))
        walk = self._walk_over(wanted, clock, quotes)
        for k, ts_ns in enumerate(wanted.tolist()):
            assert walk is not None
            if rows.note(k, ts_ns, walk, clock) == OK:
                found.take(k, walk, depth)
        return _unsorted(pl.DataFrame(rows.columns(wanted) | found.columns(rows.ok, self.grid, values)), order)

    def tops(self, times: Any, *, clock: str = "event", quotes: bool = True, values: str = "ticks") -> pl.DataFrame:
        """Best quotes at each instant, as ``books`` but with single numbers: bid_ticks, bid_lots, ask_ticks,
        ask_lots, and mid_half_ticks = bid + ask (the mid in half ticks)."""
        check_table("quotes", values)
        wanted, order = _sorted(times)
        rows = _Rows(len(wanted))
        best = np.zeros((len(wanted), 4), np.int64)
        walk = self._walk_over(wanted, clock, quotes)
        for k, ts_ns in enumerate(wanted.tolist()):
            assert walk is not None
            if rows.note(k, ts_ns, walk, clock) == OK:
                best[k] = walk.best()
        columns = rows.columns(wanted) | best_columns(best)
        self.grid.add(columns, values)
        return _unsorted(pl.DataFrame(columns), order)

    def top_series(
        self, *, clock: str = "event", quotes: bool = True, values: str = "ticks", rows: int = STREAM_ROWS
    ) -> Iterator[pl.DataFrame]:
        """Every change of the best quotes of the slice, as frames of ``tops``' columns: the state after each instant
        (several messages of one instant count as one), where it differs from the one before. Streamed."""
        before: pl.DataFrame | None = None
        walk: BookWalk | None = None
        for times in self._changing(clock):
            walk = walk or self._walk_over(np.array([times[0], min(self.to_ns, FOREVER - 1)]), clock, quotes)
            assert walk is not None
            state = np.zeros(len(times), np.int64)
            best = np.zeros((len(times), 4), np.int64)
            for k, ts_ns in enumerate(times.tolist()):
                state[k] = walk.seek(ts_ns)
                if state[k] == OK:
                    best[k] = walk.best()
            columns: dict[str, Any] = {"time_ns": times, "valid": state == OK} | best_columns(best)
            self.grid.add(columns, values)
            frame = pl.DataFrame(columns)
            joined = frame if before is None else pl.concat([before, frame])
            told = pl.struct("valid", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
            kept = joined.filter((told != told.shift(1)).fill_null(value=True))
            kept = kept if before is None else kept[1:]
            before = joined[-1:]
            for start in range(0, len(kept), rows):
                yield kept[start : start + rows]

    def _changing(self, clock: str) -> Iterator[I64]:
        """The instants of messages about the book, by a clock, sorted, each once; a block at a time."""
        known = np.zeros(0, np.int64)
        for block in self.blocks():
            about = np.isin(block.kind, (DEPTH, SNAPSHOT, BBO, GAP)) | (block.kind >= ORDER_ADD)
            found = np.unique((block.ts_event if clock == "event" else block.ts_recv)[about])
            known = np.union1d(known, found)
            ready = int(known.searchsorted(block.ts_event[-1]))  # a later block may hold this instant, none before it
            if ready:
                yield known[:ready]
                known = known[ready:]
        if len(known):
            yield known

    # -- bars

    def stream_bars(self, every: Any, *, clock: str = "event", quotes: bool = True) -> Iterator[pl.DataFrame]:
        """The bars of ``bars``, a frame for each block of the lake that completes some."""
        if clock not in CLOCKS:
            raise InputError(f"{clock!r} is none of {', '.join(CLOCKS)}", source="arguments", field="clock")
        return BarFrames(self, bar_spec(every, self.instrument), clock, quotes=quotes).frames()

    def bars(self, every: Any, *, clock: str = "event", quotes: bool = True) -> pl.DataFrame:
        """Bars of the slice's prints: ``"1m"``, ``"500 trades"``, ``"5000 lots"``, ``"1000000 value"`` (in quote
        currency), ``"2000 imbalance"`` (lots bought minus sold); ``recorders.resample`` defines each.

        Columns, all integers: start_ns, end_ns (the bar holds (start, end]); first_ns, last_ns of its prints;
        open_ticks, high_ticks, low_ticks, close_ticks; lots, buy_lots, sell_lots; value_ticks_lots (over lots: the
        volume-weighted average price); trades; gap (the feed had a hole in it); bid_ticks, bid_lots, ask_ticks,
        ask_lots, mid_half_ticks (bid + ask) at the end, null without a book (left out without ``quotes``); complete
        (False: the slice ended before the bar did).
        """
        frames = list(self.stream_bars(every, clock=clock, quotes=quotes))
        return pl.concat(frames) if frames else empty_bars(quotes=quotes)

    # -- own fills

    def around(self, run: Any, *, horizons: Sequence[int | str] = HORIZONS, values: str = "ticks") -> pl.DataFrame:
        """Own fills with the market around them, a row a fill, in the order given.

        ``run``: a run folder, a ``Result``, a ``fills.parquet``, or a frame with ts_event_ns, side, ticks and lots (and
        sent_ns, arrived_ns, if known). To its columns are added sent_ns and arrived_ns; for ``decision_``, ``arrival_``
        and ``fill_``: bid_ticks, bid_lots, ask_ticks, ask_lots, mid_half_ticks, level_lots (shown at the fill's price
        on its own side); ``markout_<horizon>_half_ticks``; ``before_`` and ``after_`` print_ns, print_side,
        print_ticks, print_lots. ``recorders.own_fills`` defines them. Null: nothing was known.
        """
        check_table("trades", values)
        return around(self, run, horizons, values)

    def _walk_over(self, wanted: I64, clock: str, quotes: bool) -> BookWalk | None:
        if not len(wanted):
            return None
        return self.walk(int(wanted[0]), int(wanted[-1]), clock, quotes=quotes)


class _Rows:
    """What every row of ``books`` and ``tops`` begins with."""

    def __init__(self, count: int) -> None:
        self._status = np.zeros(count, np.int64)
        self._last = np.zeros((count, 2), np.int64)
        self._known = np.zeros(count, np.bool_)

    def note(self, k: int, ts_ns: int, walk: BookWalk, clock: str) -> int:
        """Bring the walk to an instant and keep what it says."""
        status = walk.seek(ts_ns)
        self._status[k] = status
        if status not in (BEFORE, ENDED):
            last = walk.last()
            if last is not None:
                self._known[k] = True
                self._last[k] = ts_ns - (last.ts_event if clock == "event" else last.ts_recv), last.ref
        return status

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self._status == OK)

    def columns(self, wanted: I64) -> dict[str, Any]:
        names = pl.Series([STATUS[status] for status in self._status.tolist()], dtype=pl.String)
        return {
            "time_ns": wanted,
            "status": names,
            "valid": self.ok,
            "age_ns": nullable(np.ascontiguousarray(self._last[:, 0]), self._known),
            "update_id": nullable(np.ascontiguousarray(self._last[:, 1]), self._known),
        }


class _Levels:
    """Levels of both sides of many books, as list columns."""

    def __init__(self, count: int) -> None:
        self._starts = np.zeros((2, count + 1), np.int64)  # first the number of levels of each book
        self._ticks: tuple[list[int], list[int]] = ([], [])
        self._lots: tuple[list[int], list[int]] = ([], [])

    def take(self, k: int, walk: BookWalk, depth: int | None) -> None:
        """Note the book of row ``k``; rows come in order."""
        for side in (BUY, SELL):
            found = walk.levels(side, depth)
            self._starts[side, k + 1] = len(found)
            self._ticks[side].extend([ticks for ticks, _ in found])
            self._lots[side].extend([lots for _, lots in found])

    def columns(self, ok: npt.NDArray[np.bool_], grid: Grid, values: str) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for side, name in ((BUY, "bid"), (SELL, "ask")):
            flat: dict[str, Any] = {
                "ticks": np.array(self._ticks[side], np.int32), "lots": np.array(self._lots[side], np.int32)
            }  # fmt: skip
            grid.add(flat, values)
            starts = pa.array(np.cumsum(self._starts[side]))
            for ending, column in flat.items():
                items = column.to_arrow() if isinstance(column, pl.Series) else pa.array(column)
                lists = pa.LargeListArray.from_arrays(starts, items, mask=pa.array(~ok))
                columns[f"{name}_{ending}"] = pl.from_arrow(lists)
        return columns


def _close(rows: list[list[Any]], ts_ns: int) -> None:
    for row in reversed(rows):
        if row[2] is not None:
            return
        row[2] = ts_ns


def _sorted(times: Any) -> tuple[I64, I64]:
    given = instants_ns(times)
    order = np.argsort(given, kind="stable")
    return given[order], order


def _unsorted(frame: pl.DataFrame, order: I64) -> pl.DataFrame:
    if len(order) < 2 or (np.diff(order) > 0).all():
        return frame
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return frame[back]
