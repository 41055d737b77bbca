"""Market streams of the emulated Binance: who follows what, conflation, and what is due when.

Theory of operation. A stream is a name, such as ``btcusdt@depth@100ms``. Its followers are clients, plain or combined;
each event is encoded once. Records pass through at once where a stream is as fast as the feed. Slower depth streams
gather changes (a level's last quantity) until the next whole multiple of their interval and leave with ``U`` of the
first diff, ``u`` of the last and ``pu`` the ``u`` of the event before on the same stream: a chain without a hole at
any speed. ``native_ns`` is the interval at which the feed's own diffs were recorded: streams of that speed and faster
pass them as they are.

A feed without best quotes has them derived from its book; one without single trades shows each aggregate as one.
What nobody follows is neither gathered nor encoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from typing import Any, Final

from venues.binance import emulator_shapes as shapes
from venues.binance.emulator_market import INTERVALS_MS, Levels, Market, closing_ms, opening_ms
from venues.binance.emulator_wire import encoded, ms
from venues.emulation import Action, Push
from venues.market_data import (
    AggTrade,
    Batch,
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    ForceOrder,
    MarkPrice,
    Record,
    Trade,
)
from venues.wire import MS

SECOND_NS: Final = 1_000_000_000
AGGREGATE_NS: Final = 100 * MS
SPEEDS_NS: Final = {"0ms": 0, "100ms": 100 * MS, "250ms": 250 * MS, "500ms": 500 * MS}
DEFAULT_SPEED: Final = "250ms"
_DEPTH: Final = re.compile(r"(.+)@depth(5|10|20)?(?:@(0ms|100ms|250ms|500ms))?$")
_KLINE: Final = re.compile(r"(.+)@(kline|continuousKline)_(\w+)$")

# streams that are due regularly: their names' endings and intervals
_MARK_SLOW_NS: Final = 3 * SECOND_NS
_MARK_LATE_NS: Final = 1_500 * MS
_TICKER_NS: Final = {"miniTicker": SECOND_NS, "ticker": 2 * SECOND_NS}
_ALL_TICKERS_NS: Final = SECOND_NS
_ALL_QUOTES_NS: Final = 5 * SECOND_NS
_KLINE_NS: Final = 250 * MS
_FORCED_NS: Final = SECOND_NS
_REGULAR_NS: Final = 50 * MS  # how often streams that are due regularly are looked at


class Followers:
    """Which clients follow which streams, plain and combined."""

    def __init__(self, actions: list[Action]) -> None:
        self._actions = actions
        self._plain: dict[str, dict[int, None]] = {}
        self._combined: dict[str, dict[int, None]] = {}
        self._wrapped: set[int] = set()
        self.of_client: dict[int, dict[str, None]] = {}

    def follow(self, client: int, names: Iterable[str]) -> None:
        mine = self.of_client.setdefault(client, {})
        table = self._combined if client in self._wrapped else self._plain
        for name in names:
            mine[name] = None
            table.setdefault(name, {})[client] = None

    def combine(self, client: int, combined: bool) -> None:
        """Wrap a client's events, or no longer."""
        if combined == (client in self._wrapped):
            return
        (self._wrapped.add if combined else self._wrapped.discard)(client)
        for name in self.of_client.get(client, ()):
            _drop(self._plain if combined else self._combined, name, client)
            (self._combined if combined else self._plain).setdefault(name, {})[client] = None

    def is_combined(self, client: int) -> bool:
        return client in self._wrapped

    def leave(self, client: int, names: Iterable[str]) -> None:
        mine = self.of_client.get(client, {})
        for name in list(names):
            mine.pop(name, None)
            _drop(self._plain, name, client)
            _drop(self._combined, name, client)

    def gone(self, client: int) -> None:
        self.leave(client, list(self.of_client.get(client, ())))
        self.of_client.pop(client, None)
        self._wrapped.discard(client)

    def any(self, name: str) -> bool:
        return name in self._plain or name in self._combined

    def names(self) -> list[str]:
        return list({**self._plain, **self._combined})

    def clients(self, name: str) -> list[int]:
        return [*self._plain.get(name, ()), *self._combined.get(name, ())]

    def publish_if(self, name: str, make: Callable[[], Any]) -> None:
        """Make and send an event only if somebody follows its stream."""
        if name in self._plain or name in self._combined:
            self.publish(name, make())

    def publish(self, name: str, event: Any, without: Container[int] = ()) -> None:
        """Send an event to all who follow a stream."""
        plain: Iterable[int] = self._plain.get(name, ())
        combined: Iterable[int] = self._combined.get(name, ())
        if without:
            plain = [client for client in plain if client not in without]
            combined = [client for client in combined if client not in without]
        if not plain and not combined:
            return
        payload = event if isinstance(event, bytes) else encoded(event)
        if plain:
            self._actions.append(Push(tuple(plain), payload))
        if combined:
            wrapped = b'{"stream":' + encoded(name) + b',"data":' + payload + b"}"
            self._actions.append(Push(tuple(combined), wrapped))


def _drop(table: dict[str, dict[int, None]], name: str, client: int) -> None:
    found = table.get(name)
    if found is not None:
        found.pop(client, None)
        if not found:
            del table[name]


class DepthLane:
    """One depth stream of a symbol that is slower than its feed."""

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self.is_followed = False
        self.previous_id = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._first_id = 0
        self._last_id = 0
        self._times = (0, 0)
        self.due_ns = 0

    def gather(self, changes: Levels, ids: tuple[int, int], times: tuple[int, int], now_ns: int) -> None:
        if not self.due_ns:
            self._first_id = ids[0]
            self.due_ns = now_ns - now_ns % self.interval_ns + self.interval_ns
        self._bids.update(changes.bids)
        self._asks.update(changes.asks)
        self._last_id = ids[1]
        self._times = times

    def take(self, market: Market) -> dict[str, Any]:
        """What has gathered, as one event."""
        bids, asks = sorted(self._bids.items()), sorted(self._asks.items())
        event = shapes.depth(
            market,
            self._times,
            (self._first_id, self._last_id, self.previous_id),
            shapes.rows(market, bids),
            shapes.rows(market, asks),
        )
        self.previous_id = self._last_id
        self.drop()
        return event

    def drop(self) -> None:
        self._bids.clear()
        self._asks.clear()
        self.due_ns = 0


class Lanes:
    """A symbol's lanes, and what of its other streams is waiting."""

    def __init__(self) -> None:
        self.depth = {name: DepthLane(speed) for name, speed in SPEEDS_NS.items() if speed}
        self.stream_id = 0  # u of the last event on the unconflated stream
        self.aggregate: AggTrade | None = None
        self.aggregate_until_ns = 0
        self.next_aggregate_id = 1
        self.best: tuple[int, int, int, int] = (0, 0, 0, 0)
        self.mark_slow_due_ns = 0
        self.mark_seen_ns = 0
        self.forced: ForceOrder | None = None
        self.forced_due_ns = 0
        self.bars: dict[str, tuple[int, int, int]] = {}


class Streams:
    """Turns records into the events of streams. ``marks`` makes a symbol's mark where its feed has none."""

    def __init__(
        self,
        markets: list[Market],
        followers: Followers,
        make_mark: Callable[[Market], MarkPrice | None],
        native_ns: int,
    ) -> None:
        self._markets = markets
        self._followers = followers
        self._make_mark = make_mark
        self._native_ns = native_ns
        self._lanes = [Lanes() for _ in markets]
        self._by_low = {market.symbol.lower(): market for market in markets}
        self._by_pair = {market.pair.lower(): market for market in reversed(markets)}
        self._dues: dict[str, int] = {}
        self._periodic: dict[str, tuple[int, Callable[[int], None]]] = {}
        self._now_ns = 0
        self._regular_due_ns = 0
        self._handlers: dict[type, Callable[[Market, Lanes, Any], None]] = {
            DepthDiff: self._diff,
            DepthSnapshot: self._snapshot,
            Trade: self._trade,
            AggTrade: self._aggregate,
            BookTicker: self._quote,
            MarkPrice: self._mark,
            ForceOrder: self._forced,
        }

    # -- records

    def on_record(self, index: int, record: Record, now_ns: int) -> None:
        self.on_time(now_ns)
        if isinstance(record, Batch):
            for part in record.records:
                self.on_record(index, part, now_ns)
            return
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(self._markets[index], self._lanes[index], record)

    def _diff(self, market: Market, lanes: Lanes, diff: DepthDiff) -> None:
        times = (diff.ts_push_ns or self._now_ns, diff.ts_event_ns or self._now_ns)
        ids = (diff.first_id, diff.last_id, diff.previous_id)
        changes = Levels(
            list(zip(diff.bid_ticks, diff.bid_lots, strict=True)), list(zip(diff.ask_ticks, diff.ask_lots, strict=True))
        )
        market.book.apply(diff)
        lanes.stream_id = diff.last_id
        self._changed(market, lanes, changes, ids, times)

    def _snapshot(self, market: Market, lanes: Lanes, snapshot: DepthSnapshot) -> None:
        """A book that begins says nothing to the streams; one that is replaced goes on by what is different."""
        was_known = market.book.last_id > 0
        before = lanes.stream_id or market.book.last_id
        changes = market.book.replace(snapshot)
        times = (snapshot.ts_push_ns or self._now_ns, snapshot.ts_event_ns or self._now_ns)
        if not was_known:
            lanes.stream_id = snapshot.last_id
        elif (changes.bids or changes.asks) and snapshot.last_id > before:
            lanes.stream_id = snapshot.last_id
            self._changed(market, lanes, changes, (before + 1, snapshot.last_id, before), times)

    def _changed(
        self, market: Market, lanes: Lanes, changes: Levels, ids: tuple[int, int, int], times: tuple[int, int]
    ) -> None:
        low, follows = market.symbol.lower(), self._followers.any
        event: dict[str, Any] | None = None
        for name, speed in SPEEDS_NS.items():
            passes = speed <= self._native_ns
            for stream in (f"{low}@depth@{name}", *((f"{low}@depth",) if name == DEFAULT_SPEED else ())):
                if passes and follows(stream):
                    if event is None:
                        bids, asks = shapes.rows(market, changes.bids), shapes.rows(market, changes.asks)
                        event = shapes.depth(market, times, ids, bids, asks)
                    self._followers.publish(stream, event)
            if not passes:
                lane = lanes.depth[name]
                if self._is_followed(low, name, lane):
                    if not lane.is_followed:
                        lane.is_followed, lane.previous_id = True, ids[2]
                        lane.drop()
                    lane.gather(changes, ids[:2], times, self._now_ns)
                else:
                    lane.is_followed = False
        self._derive_quote(market, lanes, ids[1], times)

    def _is_followed(self, low: str, speed: str, lane: DepthLane) -> bool:
        follows = self._followers.any
        return follows(f"{low}@depth@{speed}") or (speed == DEFAULT_SPEED and follows(f"{low}@depth"))

    def _derive_quote(self, market: Market, lanes: Lanes, update_id: int, times: tuple[int, int]) -> None:
        low = market.symbol.lower()
        if market.has_quotes or not market.book.is_valid:
            return
        if not (self._followers.any(f"{low}@bookTicker") or self._followers.any("!bookTicker")):
            return
        bid, ask = market.book.best(0), market.book.best(1)
        if (*bid, *ask) != lanes.best and bid[1] and ask[1]:
            lanes.best = (*bid, *ask)
            made = BookTicker(market.symbol, times[1], times[0], update_id, *bid, *ask)
            self._followers.publish(f"{low}@bookTicker", shapes.quote(market, made, times[0]))

    def _trade(self, market: Market, lanes: Lanes, trade: Trade) -> None:
        low, push_ns = market.symbol.lower(), trade.ts_push_ns or self._now_ns
        self._followers.publish_if(f"{low}@trade", lambda: shapes.trade(market, trade, push_ns))
        if not trade.on_book:
            return
        market.take_trade(trade)
        waiting = lanes.aggregate
        if waiting is not None and (waiting.ticks, waiting.side) == (trade.ticks, trade.side):
            lanes.aggregate = AggTrade(
                waiting.symbol, trade.ts_event_ns, push_ns, waiting.agg_id, waiting.first_trade_id, trade.trade_id,
                waiting.side, waiting.ticks, waiting.lots + trade.lots,
            )  # fmt: skip
            return
        self._flush_aggregate(market, lanes)
        lanes.aggregate = AggTrade(
            trade.symbol, trade.ts_event_ns, push_ns, lanes.next_aggregate_id, trade.trade_id, trade.trade_id,
            trade.side, trade.ticks, trade.lots,
        )  # fmt: skip
        lanes.aggregate_until_ns = self._now_ns + AGGREGATE_NS
        lanes.next_aggregate_id += 1

    def _flush_aggregate(self, market: Market, lanes: Lanes) -> None:
        waiting, lanes.aggregate = lanes.aggregate, None
        if waiting is not None:
            market.aggregates.append((waiting.agg_id, market.take_aggregate(waiting)))
            self._publish_aggregate(market, waiting)

    def _publish_aggregate(self, market: Market, one: AggTrade) -> None:
        push_ns = one.ts_push_ns or self._now_ns
        name = f"{market.symbol.lower()}@aggTrade"
        self._followers.publish_if(name, lambda: shapes.aggregate(market, one, push_ns))

    def _aggregate(self, market: Market, lanes: Lanes, one: AggTrade) -> None:
        found = market.take_aggregate(one)
        market.aggregates.append((one.agg_id, found))
        self._publish_aggregate(market, one)
        if not market.has_trades:
            as_trade = Trade(
                one.symbol, one.ts_event_ns, one.ts_push_ns, one.last_trade_id, one.side, one.ticks, one.lots, "MARKET",
                True,
            )  # fmt: skip
            push_ns = one.ts_push_ns or self._now_ns
            name = f"{market.symbol.lower()}@trade"
            self._followers.publish_if(name, lambda: shapes.trade(market, as_trade, push_ns))

    def _quote(self, market: Market, lanes: Lanes, quote: BookTicker) -> None:
        market.has_quotes = True
        market.quote = quote
        push_ns = quote.ts_push_ns or self._now_ns
        name = f"{market.symbol.lower()}@bookTicker"
        self._followers.publish_if(name, lambda: shapes.quote(market, quote, push_ns))

    def _mark(self, market: Market, lanes: Lanes, mark: MarkPrice) -> None:
        lanes.mark_seen_ns = self._now_ns
        self._publish_mark(market, lanes, mark)

    def _publish_mark(self, market: Market, lanes: Lanes, mark: MarkPrice) -> None:
        market.take_mark(mark)
        low = market.symbol.lower()
        self._followers.publish_if(f"{low}@markPrice@1s", lambda: shapes.mark(market, mark))
        if market.index == 0:
            self._all_marks("!markPrice@arr@1s")
        if self._now_ns >= lanes.mark_slow_due_ns:
            lanes.mark_slow_due_ns = self._now_ns - self._now_ns % _MARK_SLOW_NS + _MARK_SLOW_NS
            self._followers.publish_if(f"{low}@markPrice", lambda: shapes.mark(market, mark))
            if market.index == 0:
                self._all_marks("!markPrice@arr")

    def _all_marks(self, name: str) -> None:
        def made() -> list[dict[str, Any]]:
            return [shapes.mark(market, market.mark) for market in self._markets if market.mark is not None]

        self._followers.publish_if(name, made)

    def _forced(self, market: Market, lanes: Lanes, one: ForceOrder) -> None:
        """At most one a second leaves, the largest; the first of a while at once."""
        if self._now_ns >= lanes.forced_due_ns:
            lanes.forced_due_ns = self._now_ns + _FORCED_NS
            self._publish_forced(market, one)
        elif lanes.forced is None or one.lots > lanes.forced.lots:
            lanes.forced = one

    def _publish_forced(self, market: Market, one: ForceOrder) -> None:
        push_ns = one.ts_push_ns or self._now_ns
        for name in (f"{market.symbol.lower()}@forceOrder", "!forceOrder@arr"):
            self._followers.publish_if(name, lambda: shapes.forced(market, one, push_ns))

    # -- time

    def on_time(self, now_ns: int) -> None:
        """Send what is due by the engine's clock."""
        if now_ns <= self._now_ns:
            return
        self._now_ns = now_ns
        for market, lanes in zip(self._markets, self._lanes, strict=True):
            self._due(market, lanes, now_ns)
        if now_ns >= self._regular_due_ns:
            self._regular_due_ns = now_ns - now_ns % _REGULAR_NS + _REGULAR_NS
            for name in self._followers.names():
                self._regular(name, now_ns)

    def _due(self, market: Market, lanes: Lanes, now_ns: int) -> None:
        low = market.symbol.lower()
        for name, lane in lanes.depth.items():
            if lane.due_ns and now_ns >= lane.due_ns:
                event = encoded(lane.take(market))
                self._followers.publish(f"{low}@depth@{name}", event)
                if name == DEFAULT_SPEED:
                    self._followers.publish(f"{low}@depth", event)
        if lanes.aggregate is not None and now_ns >= lanes.aggregate_until_ns:
            self._flush_aggregate(market, lanes)
        if lanes.forced is not None and now_ns >= lanes.forced_due_ns:
            one, lanes.forced = lanes.forced, None
            lanes.forced_due_ns = now_ns + _FORCED_NS
            self._publish_forced(market, one)
        if now_ns - lanes.mark_seen_ns >= _MARK_LATE_NS and now_ns // SECOND_NS != lanes.mark_seen_ns // SECOND_NS:
            made = self._make_mark(market)
            if made is not None:
                lanes.mark_seen_ns = now_ns - now_ns % SECOND_NS - _MARK_LATE_NS + SECOND_NS
                self._publish_mark(market, lanes, made)

    def _regular(self, name: str, now_ns: int) -> None:
        if now_ns < self._dues.get(name, 0):
            return
        known = self._periodic.get(name) or self._plan(name)
        if known is None:
            return
        interval_ns, send = known
        self._dues[name] = now_ns - now_ns % interval_ns + interval_ns
        send(now_ns)

    def _plan(self, name: str) -> tuple[int, Callable[[int], None]] | None:
        """How often a stream is due and what it sends then; None: it is not one of those."""
        if len(self._periodic) > 4096:
            self._periodic.clear()
            self._dues.clear()
        found = self._plan_symbol(name) or self._plan_all(name)
        if found is not None:
            self._periodic[name] = found
        return found

    def _plan_symbol(self, name: str) -> tuple[int, Callable[[int], None]] | None:
        low, _, what = name.partition("@")
        market = self._by_low.get(low)
        partial = _DEPTH.match(name)
        kline = _KLINE.match(name)
        if kline is not None:
            if kline[2] == "continuousKline":
                low, _, kind = kline[1].partition("_")
                market = self._by_pair.get(low) if kind == "perpetual" else None
            if market is None or kline[3] not in INTERVALS_MS:
                return None
            chosen, interval, shape = market, kline[3], kline[2]
            shape = "continuous_kline" if shape == "continuousKline" else "kline"
            return _KLINE_NS, lambda now_ns: self._kline(chosen, interval, name, shape, now_ns)
        if market is None:
            return None
        one = market
        if partial is not None and partial[2]:
            speed_ns = SPEEDS_NS[partial[3] or DEFAULT_SPEED] or 100 * MS
            return speed_ns, lambda now_ns: self._partial(one, int(partial[2]), name)
        if what in _TICKER_NS:
            shape_of = shapes.mini if what == "miniTicker" else shapes.ticker

            def send(now_ns: int) -> None:
                bar = one.day(ms(now_ns))
                if bar is not None:
                    self._followers.publish(name, shape_of(one, bar, ms(now_ns)))

            return _TICKER_NS[what], send
        return None

    def _plan_all(self, name: str) -> tuple[int, Callable[[int], None]] | None:
        if name in ("!miniTicker@arr", "!ticker@arr"):
            shape_of = shapes.mini if name == "!miniTicker@arr" else shapes.ticker

            def send(now_ns: int) -> None:
                bars = [(market, market.day(ms(now_ns))) for market in self._markets]
                found = [shape_of(market, bar, ms(now_ns)) for market, bar in bars if bar is not None]
                if found:
                    self._followers.publish(name, found)

            return _ALL_TICKERS_NS, send
        if name == "!bookTicker":
            return _ALL_QUOTES_NS, self._all_quotes
        return None

    def _all_quotes(self, now_ns: int) -> None:
        for market in self._markets:
            bid, bid_lots, ask, ask_lots, time_ms, update_id = market.best()
            if bid_lots and ask_lots:
                made = BookTicker(market.symbol, time_ms * MS, now_ns, update_id, bid, bid_lots, ask, ask_lots)
                self._followers.publish("!bookTicker", shapes.quote(market, made, now_ns))

    def _partial(self, market: Market, count: int, name: str) -> None:
        book = market.book
        lanes = self._lanes[market.index]
        if not book.is_valid or lanes.bars.get(name, (0, 0, 0))[0] == book.last_id:
            return
        previous = lanes.bars.get(name, (0, 0, 0))[0] or book.last_id
        lanes.bars[name] = (book.last_id, 0, 0)
        bids, asks = (shapes.rows(market, book.top(side, count)) for side in (0, 1))
        ids = (previous + 1 if previous < book.last_id else previous, book.last_id, previous)
        self._followers.publish(name, shapes.depth(market, (book.push_ns, book.event_ns), ids, bids, asks))

    def _kline(self, market: Market, interval: str, name: str, shape: str, now_ns: int) -> None:
        """The bar at hand where it has changed; a bar that is over once more, closed, before the next."""
        lanes, now_ms = self._lanes[market.index], ms(now_ns)
        bar = market.bars.current(interval)
        if bar is None:
            return
        before = lanes.bars.get(name)
        state = (bar.open_ms, bar.last_id, int(now_ms > closing_ms(interval, bar.open_ms)))
        if state == before:
            return
        if before is not None and before[0] != bar.open_ms and not before[2]:
            old = market.bars.of(interval, before[0], before[0])
            if old:
                self._followers.publish(name, shapes.kline(market, interval, old[-1], now_ms, shape))
        lanes.bars[name] = state
        if opening_ms(interval, now_ms) == bar.open_ms or state[2]:
            self._followers.publish(name, shapes.kline(market, interval, bar, now_ms, shape))
