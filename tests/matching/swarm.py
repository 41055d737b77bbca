"""Random cases for the event kernel and its reference: each case draws which features it has, then uses them heavily.

A case is a function of its seed. Run as a program, with first seed, count and size, this prints the results on the
kernel as the process has it (PERPSIM_PURE=1: uncompiled) as one JSON list of [events, digest].
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace

from matching.codes import (
    BBO,
    BUY,
    DEPTH,
    EXCHANGE_NOPARTIAL,
    EXCHANGE_PARTIAL,
    FLAG_REDUCE_ONLY,
    FOK,
    FORCE,
    FUNDING,
    GAP,
    GAP_SEQUENCE,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MARK,
    MARK_MID,
    MARK_RECORDED,
    MARKET,
    OFFBOOK,
    ON_BOOK,
    ON_GAP,
    ON_MARK,
    ON_PRIVATE,
    ON_TRADE,
    QUEUE_CUSTOM,
    QUEUE_LOG,
    QUEUE_LOG2,
    QUEUE_POWER,
    QUEUE_POWER2,
    QUEUE_POWER3,
    QUEUE_RISK_AVERSE,
    SELL,
    SNAPSHOT,
    TRADE,
)
from tests.matching.cases import (
    MS,
    START_NS,
    TICK_E8,
    Case,
    Command,
    LatencySettings,
    MarketSettings,
    Message,
    Row,
    run,
)

# (is_inverse, value_num, value_den, lot_num, lot_den); only the first two agree at 0.1 a tick, as margin needs it
CONTRACTS = (
    (False, 1000, 1, 1, 10_000),
    (True, 10**11, 1, 10**10, 1),
    (False, 123_457, 7, 1, 3),
    (True, 123_457_000, 7, 11, 3),
)
QUEUE_MODELS = (
    QUEUE_RISK_AVERSE, QUEUE_POWER, QUEUE_POWER2, QUEUE_POWER3, QUEUE_LOG, QUEUE_LOG2, QUEUE_CUSTOM,
)  # fmt: skip


class _Maker:
    """Draws one case; ``r`` decides everything."""

    def __init__(self, seed: int, size: int) -> None:
        self.r = random.Random(seed)
        self.seed = seed
        self.size = size
        r = self.r
        self.n_markets = r.choice((1, 1, 1, 2, 3))
        self.n_venues = r.choice((1, 2)) if self.n_markets > 1 else 1
        self.n_lanes = r.choice((1, 1, 2, 3))
        self.step_ns = r.choice((0, 1, 1000, MS, 5 * MS))
        self.is_crossed = r.random() < 0.25
        self.is_far = r.random() < 0.25
        self.is_drifting = r.random() < 0.3
        self.has_gaps = r.random() < 0.25
        self.has_quotes = r.random() < 0.4
        self.has_snapshots = r.random() < 0.3
        self.is_taking = r.random() < 0.4
        self.has_margin = r.random() < 0.2
        self.has_funding = self.has_margin or r.random() < 0.3
        self.is_coherent = r.random() < 0.6  # prints shrink their level in the next depth message
        self.tops: list[list[tuple[int, int, int]]] = []  # by market: (ts, best bid, best ask) after each message
        self.owed: list[Row] = []
        self.spread = r.choice((1, 2, 5, 20))
        self.lots_max = r.choice((2, 5, 30, 1000, 10**6))

    def market(self) -> MarketSettings:
        r = self.r
        is_inverse, value_num, value_den, lot_num, lot_den = r.choice(CONTRACTS[: 2 if self.has_margin else 4])
        model = r.choice(
            (QUEUE_RISK_AVERSE, QUEUE_POWER, QUEUE_POWER2, QUEUE_POWER3, QUEUE_LOG, QUEUE_LOG2, QUEUE_CUSTOM)
        )
        return MarketSettings(
            venue=r.randrange(self.n_venues),
            queue_model=model,
            queue_param=r.choice((0.5, 1.0, 2.0, 3.0, 2.5)),
            exchange=EXCHANGE_NOPARTIAL if r.random() < 0.2 else EXCHANGE_PARTIAL,
            l1_only=r.random() < 0.15,
            mark_source=MARK_MID if r.random() < 0.2 else MARK_RECORDED,
            post_only_reject=r.random() < 0.5,
            fok_reject=r.random() < 0.5,
            min_lots=r.choice((1, 1, 2)),
            max_lots=r.choice(((1 << 31) - 1, 20)),
            window_ticks=r.choice((64, 128, 1 << 12)),
            funding_from_marks=self.has_funding,
            is_inverse=is_inverse,
            has_margin=self.has_margin,
            value_num=value_num,
            value_den=value_den,
            lot_num=lot_num,
            lot_den=lot_den,
        )

    def latency(self) -> LatencySettings:
        r = self.r
        kind = r.random()
        if kind < 0.3:
            return LatencySettings()
        if kind < 0.6:
            return LatencySettings(values_ns=(r.choice((1, 1000, 3 * MS, 10 * MS)),))
        if kind < 0.75:
            return LatencySettings((), tuple(sorted(r.randrange(20 * MS) for _ in range(r.randrange(2, 9)))))
        times = sorted(START_NS + r.randrange(2_000 * MS) for _ in range(r.randrange(1, 8)))
        return LatencySettings(tuple(times), tuple(r.randrange(20 * MS) for _ in times))

    def feed(self, settings: MarketSettings, quotes_only: bool) -> tuple[Message, ...]:
        r = self.r
        mid = r.choice((1000, 100_000, 5_000_000))
        ts = START_NS
        ref = 0
        boundary = START_NS + r.randrange(1, 300) * MS
        messages: list[Message] = []
        books: tuple[dict[int, int], dict[int, int]] = ({}, {})
        rows_left = self.size
        self.owed = []
        self.tops.append([])
        if not quotes_only:
            messages.append(self.snapshot(ts, mid, books, ref))
        while rows_left > 0:
            ts += r.randrange(self.step_ns + 1) if r.random() < 0.7 else 0
            ts += r.randrange(3 * MS) if r.random() < 0.2 else 0
            ref += 1 if r.random() < 0.9 else 3
            mid += r.randrange(-3, 4) if self.is_drifting else r.choice((0, 0, 0, -1, 1))
            mid += r.choice((-90, 90)) if self.is_drifting and r.random() < 0.01 else 0
            mid = max(mid, 200)
            message = self.message(ts, mid, books, ref, quotes_only, boundary)
            if message.kind == MARK and message.ts_event >= boundary and r.random() < 0.5:
                boundary += r.randrange(1, 400) * MS
            messages.append(message)
            self.tops[-1].append((ts, max(books[BUY], default=mid), min(books[SELL], default=mid + 1)))
            rows_left -= max(1, len(message.rows))
        return tuple(messages)

    def recv(self, ts: int) -> int:
        return ts + (0 if self.r.random() < 0.2 else self.r.randrange(1, 8 * MS))

    def lots(self) -> int:
        return 0 if self.r.random() < 0.25 else self.r.randrange(1, self.lots_max + 1)

    def level(self, side: int, mid: int) -> int:
        """A price of this side: near the touch, sometimes beyond it, sometimes very far."""
        r = self.r
        distance = r.randrange(self.spread + 6)
        if self.is_far and r.random() < 0.1:
            distance = r.choice((50, 200, 3000, 100_000))
        if self.is_crossed and r.random() < 0.3:
            distance = -r.randrange(1, 5)
        return max(mid - distance if side == BUY else mid + 1 + distance, 1)

    def depth_rows(self, mid: int, books: tuple[dict[int, int], dict[int, int]]) -> tuple[Row, ...]:
        r = self.r
        rows: list[Row] = list(self.owed)
        self.owed = []
        for _ in range(r.choice((1, 1, 2, 6))):
            side = r.randrange(2)
            known = list(books[side])
            ticks = r.choice(known) if known and r.random() < 0.5 else self.level(side, mid)
            old = books[side].get(ticks, 0)
            lots = old if r.random() < 0.15 else self.lots()
            if not self.is_crossed and lots:
                rows += self.uncross(books, side, ticks)
            self.put(books, side, ticks, lots)
            rows.append((side, ticks, lots))
        return tuple(rows)

    def uncross(self, books: tuple[dict[int, int], dict[int, int]], side: int, ticks: int) -> list[Row]:
        """Deletes the other side's levels that a new one would cross, as a venue would have."""
        crossed = [t for t in books[1 - side] if (t <= ticks if side == BUY else t >= ticks)]
        for other in crossed:
            del books[1 - side][other]
        return [(1 - side, other, 0) for other in crossed]

    @staticmethod
    def put(books: tuple[dict[int, int], dict[int, int]], side: int, ticks: int, lots: int) -> None:
        if lots:
            books[side][ticks] = lots
        else:
            books[side].pop(ticks, None)

    def snapshot(self, ts: int, mid: int, books: tuple[dict[int, int], dict[int, int]], ref: int) -> Message:
        r = self.r
        if not books[BUY] or r.random() < 0.5:
            for side in (BUY, SELL):
                kept = {t: q for t, q in books[side].items() if r.random() < 0.3}
                books[side].clear()
                books[side].update(kept)
                for _ in range(r.randrange(1, 15)):
                    books[side][self.level(side, mid)] = max(self.lots(), 1)
            if not self.is_crossed:
                while books[BUY] and books[SELL] and max(books[BUY]) >= min(books[SELL]):
                    del books[BUY][max(books[BUY])]
        rows = tuple((side, t, q) for side in (BUY, SELL) for t, q in books[side].items())
        return Message(ts, self.recv(ts), SNAPSHOT, ref, rows)

    def quote(self, ts: int, mid: int, books: tuple[dict[int, int], dict[int, int]], ref: int) -> Message:
        r = self.r
        bid, ask = mid - r.randrange(2), mid + 1 + r.randrange(2)
        if r.random() < 0.5 and books[BUY] and books[SELL]:
            bid, ask = max(books[BUY]), min(books[SELL])
        rows = [(BUY, bid, max(self.lots(), 1)), (SELL, ask, max(self.lots(), 1))]
        for side, ticks, lots in rows:
            for other in [t for t in books[side] if (t > ticks if side == BUY else t < ticks)]:
                del books[side][other]
            self.put(books, side, ticks, lots)
        if r.random() < 0.03:
            rows.pop(r.randrange(2))
        return Message(ts, self.recv(ts), BBO, max(ref + r.choice((0, 0, 1, 2, -2)), 0), tuple(rows))

    def trade(self, ts: int, mid: int, books: tuple[dict[int, int], dict[int, int]], ref: int) -> Message:
        r = self.r
        side = r.randrange(2)
        rows = []
        for _ in range(r.choice((1, 1, 1, 3))):
            levels = books[1 - side]
            best = (max(levels) if side == SELL else min(levels)) if levels else mid
            away = r.choice((0, 0, 0, 0, -1, 1, 2, -3))
            ticks, lots = max(best + away, 1), r.randrange(1, self.lots_max + 1)
            rows.append((side, ticks, lots))
            if self.is_coherent and ticks in levels:
                self.put(books, 1 - side, ticks, max(levels[ticks] - lots, 0))
                self.owed.append((1 - side, ticks, levels.get(ticks, 0)))
        kind = TRADE if r.random() < 0.95 else r.choice((OFFBOOK, FORCE))
        return Message(ts, self.recv(ts), kind, ref, tuple(rows))

    def message(
        self,
        ts: int,
        mid: int,
        books: tuple[dict[int, int], dict[int, int]],
        ref: int,
        quotes_only: bool,
        boundary: int,
    ) -> Message:
        r = self.r
        pick = r.random()
        if pick < 0.3:
            return self.trade(ts, mid, books, ref)
        if self.has_funding and pick < 0.36:
            named = boundary if r.random() < 0.8 else r.choice((0, boundary - 200 * MS, boundary + 200 * MS))
            mark_e8 = mid * TICK_E8 + r.randrange(999)
            if self.has_margin:
                mark_e8 += mark_e8 * r.randrange(-15, 16) // 100
            return Message(ts, self.recv(ts), MARK, 0, (), (mark_e8, mid, 27_600_000, named))
        if self.has_funding and pick < 0.37:
            return Message(ts, self.recv(ts), FUNDING, 0, (), (-13_000_000, mid * TICK_E8, ts, 0))
        if self.has_gaps and pick > 0.985:
            return Message(ts, self.recv(ts), GAP, 0, (), (GAP_SEQUENCE, ref, ref + 1, 5))
        if quotes_only:
            if pick > 0.97:
                return Message(ts, self.recv(ts), DEPTH, ref, self.depth_rows(mid, books))
            return self.quote(ts, mid, books, ref)
        if (self.has_snapshots or self.has_gaps) and pick > 0.95:
            return self.snapshot(ts, mid, books, ref)
        if self.has_quotes and pick > 0.75:
            return self.quote(ts, mid, books, ref)
        return Message(ts, self.recv(ts), DEPTH, ref, self.depth_rows(mid, books))

    def commands(self) -> tuple[Command, ...]:
        r = self.r
        out: list[Command] = []
        for _ in range(self.size // r.choice((4, 8, 20, 60))):
            market = r.randrange(self.n_markets)
            ts, bid, ask = r.choice(self.tops[market])
            pick = r.random()
            kind = "submit" if pick < 0.75 else "cancel" if pick < 0.87 else "amend"
            side = r.randrange(2)
            away = r.choice((0, 0, 0, 1, 2, 5)) if r.random() < 0.7 else -r.randrange(1, 5)
            ticks = bid - away if side == BUY else ask + away
            if out and r.random() < 0.2:  # often several own orders at one price
                market, side, ticks = out[-1].market, out[-1].side, out[-1].ticks
            tif = r.choice((GTC, GTC, GTX, IOC, FOK)) if self.is_taking else r.choice((GTC, GTX, GTX, GTX, IOC))
            is_market = self.is_taking and r.random() < 0.2
            out.append(
                Command(
                    ts=ts + r.randrange(3),
                    lane=r.randrange(self.n_lanes),
                    kind=kind,
                    market=market,
                    side=side,
                    ticks=max(ticks, 1),
                    lots=r.choice((1, 2, 3, 7, r.randrange(1, 2 * self.lots_max + 1))),
                    tif=r.choice((GTC, IOC)) if is_market else tif,
                    type=MARKET if is_market else LIMIT,
                    flags=FLAG_REDUCE_ONLY if r.random() < 0.15 else 0,
                    rank=r.randrange(8),
                )
            )
        return tuple(sorted(out, key=lambda command: command.ts))

    def case(self) -> Case:
        r = self.r
        markets = tuple(self.market() for _ in range(self.n_markets))
        feeds = tuple(self.feed(settings, settings.l1_only) for settings in markets)
        masks = tuple(
            tuple(r.choice((0, 0, ON_PRIVATE, ON_PRIVATE | ON_TRADE, ON_BOOK, ON_MARK | ON_GAP)) for _ in markets)
            for _ in range(self.n_lanes)
        )
        return Case(
            seed=self.seed,
            lanes=self.n_lanes,
            markets=markets,
            latencies=tuple((self.latency(), self.latency()) for _ in range(self.n_venues)),
            feeds=feeds,
            commands=self.commands(),
            masks=masks,
            reacts=r.random() < 0.5,
            window_messages=r.choice((0, 0, 1, 7, 100)),
            checkpoint_ns=r.choice((5, 20, 100, 10_000)) * MS,
            deposit_e8=self.deposit_e8(markets[0]) if self.has_margin else 0,
            sample_ns=r.choice(((0, 0), (7 * MS, 0), (10 * MS, 30 * MS))),
            tables=tuple(self.table() for _ in markets),
        )

    def deposit_e8(self, settings: MarketSettings) -> int:
        """What one to thirty lots of the first market are worth."""
        ticks = self.tops[0][0][1]
        value_e8 = settings.value_num // ticks if settings.is_inverse else settings.value_num * ticks
        return value_e8 * self.r.choice((1, 3, 10, 30))

    def table(self) -> tuple[tuple[int, int, int, int], ...]:
        """Rows (ts, MARK, mark, 0) or (ts, FUNDING, rate, mark) of tables, at venue time."""
        r = self.r
        if not self.has_funding or r.random() < 0.5:
            return ()
        times = sorted(START_NS + r.randrange(400) * MS for _ in range(r.randrange(1, 5)))
        rows = [(ts, MARK, 10**12 + r.randrange(10**10), 0) for ts in times]
        rows += [(ts, FUNDING, r.randrange(-(10**9), 10**9), r.choice((0, 10**12))) for ts in times[1:]]
        return tuple(sorted(rows, key=lambda row: row[0]))


def make_case(seed: int, size: int) -> Case:
    """The case of a seed with about ``size`` feed rows a market. Negative entry latencies (refusals) included."""
    case = _Maker(seed, size).case()
    r = random.Random(seed + 1)
    if r.random() < 0.15:
        entry, response = case.latencies[0]
        values = tuple(-v if r.random() < 0.3 else v for v in entry.values_ns)
        if entry.ts_ns:
            case = replace(case, latencies=((replace(entry, values_ns=values), response), *case.latencies[1:]))
    return case


def main() -> None:
    from tests.matching.engines import kernel_engine

    first, count, size = (int(text) for text in sys.argv[1:4])
    cases = (make_case(seed, size) for seed in range(first, first + count))
    json.dump([[case.events, run(case, kernel_engine(case)).digest()] for case in cases], sys.stdout)


if __name__ == "__main__":
    main()
