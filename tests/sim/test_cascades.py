"""Liquidation cascades of the synthetic market: who is due when, what a forced order does, and what it sets off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from matching.codes import BUY, CAUSE_LIQUIDATION, EV_LIQUIDATED, SELL
from recorders.commands import import_
from sim.backtest import Result, backtest
from sim.strategy import Strategy
from sim.synth import BTCUSDT, Crowd, SyntheticSession, sizes, write_raw
from sim.synth.cascade import CascadeLog, Holders
from sim.synth.session import DEFAULT_FUNDING_NS, SECOND_NS, SessionWriter

SEED = 7
CROWD = Crowd(holders=4000, lots=50)
PUSH = ((5 * SECOND_NS, SELL, 200_000),)
SESSION = SyntheticSession(
    start_ns=DEFAULT_FUNDING_NS - 3600 * SECOND_NS,
    duration_ns=60 * SECOND_NS,
    gap_after_ns=None,
    liquidation_after_ns=None,
    crowd=CROWD,
    forced=PUSH,
)


def played(session: SyntheticSession, seed: int = SEED) -> tuple[SessionWriter, list[str]]:
    writer = SessionWriter(BTCUSDT, session, seed)
    return writer, list(writer.lines())


def test_holders_are_due_where_their_margin_ends() -> None:
    holders = Holders(BTCUSDT, replace(CROWD, entry_spread_e4=0, holders=300), SEED)
    start = BTCUSDT.start_ticks
    prices = {(side, price) for side, price, _ in holders.waiting}
    assert prices == {
        (side, start + way * (start * (10_000 // leverage - 50) // 10_000))
        for side, way in ((BUY, -1), (SELL, 1))
        for leverage in (5, 10, 20, 25, 50, 75, 100)
    }
    first = start - start * (10_000 // 100 - 50) // 10_000
    assert holders.reached(first + 1) == []
    due = holders.reached(first)
    assert due and all(side == SELL for side, _ in due) and holders.reached(first) == []


def test_without_impact_one_forced_order_sets_off_nothing_with_it_hundreds() -> None:
    found = {}
    for impact in (0, 300, 600):
        writer, _ = played(replace(SESSION, crowd=replace(CROWD, impact_per_mille=impact)))
        found[impact] = sizes(writer.cascades.all())["orders"], writer._flow.ladders[BUY].best
    assert found[0][0] == 1 and found[300][0] > 100 and found[600][0] > 100
    assert found[0][1] - found[300][1] > 1_000, "the price does not come back"


def test_forced_orders_are_prints_and_published_and_the_book_is_never_crossed() -> None:
    writer, lines = played(SESSION)
    messages = [json.loads(line.partition(" ")[2]) for line in lines]
    inner = [message.get("data", message) for message in messages]
    forced = [message for message in inner if message.get("e") == "forceOrder"]
    cascades = writer.cascades.all()
    executed = round(sum(float(message["o"]["z"]) for message in forced) * 1000)
    assert executed == sum(cascade.lots for cascade in cascades)
    assert 100 < len(forced) <= sizes(cascades)["orders"]
    assert sum(cascade.unfilled_lots for cascade in cascades) > 0, "the bids ran out: the rest is the fund's"
    quotes = [message for message in inner if message.get("e") == "bookTicker"]
    assert quotes and all(float(quote["b"]) < float(quote["a"]) for quote in quotes)
    marks = [float(message["p"]) for message in inner if message.get("e") == "markPriceUpdate"]
    assert marks[0] - min(marks) > 100, "mark and index follow"


def test_the_same_seed_gives_the_same_cascade_and_no_crowd_the_market_as_it_was() -> None:
    first, lines = played(SESSION)
    again, repeated = played(SESSION)
    assert lines == repeated and first.cascades.all() == again.cascades.all()
    plain = replace(SESSION, crowd=None, forced=())
    idle = replace(SESSION, forced=(), crowd=replace(CROWD, holders=1, lots=1))
    assert played(plain)[1] == played(idle)[1], "a crowd that nothing reaches draws nothing from the market's streams"


def test_a_quiet_mark_ends_a_cascade() -> None:
    log = CascadeLog()
    log.mark(True)
    log.executed(1, 10, 3)
    log.mark(False)
    log.executed(2, 5, 4)
    log.mark(True)
    log.executed(9, 1, 1)
    first, second = log.all()
    assert (first.start_ns, first.marks, first.orders, first.lots, first.swept_ticks) == (1, 1, 2, 15, 7)
    assert (second.start_ns, second.orders) == (9, 1) and len(log.done) == 1
    assert sizes(log.all())["single"] == 1 and sizes([]) == {
        "cascades": 0, "single": 0, "orders": 0, "median": 0, "largest": 0, "largest_swept_ticks": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{"holders": 0}, {"long_per_mille": 1001}, {"maintenance_e4": 100}, {"impact_per_mille": -1}]
)
def test_impossible_crowds_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Crowd(**wrong)
    with pytest.raises(ValueError, match="forced order"):
        SyntheticSession(forced=((0, SELL, 1),))


class Leveraged(Strategy):
    """Long at about eighty-five times its deposit."""

    def on_start(self) -> None:
        self.ctx.at(self.ctx.now_ns + 3 * SECOND_NS, lambda: self.ctx.market(0, BUY, 1_000))


def through(session: SyntheticSession, folder: Path) -> Result:
    recording = write_raw(folder / "recording.gz", SEED, BTCUSDT, session)
    import_("binance", [recording.path], folder / "lake")
    document = {
        "feed": {"lake": str(folder / "lake")},
        "venue": [{"name": "binance_usdm", "latency": "5ms", "deposit": {"USDT": 330}}],
        "instrument": [{"symbol": "BTCUSDT", "leverage": 100, "funding": "none"}],
    }
    return backtest(document, Leveraged(), out=folder / "runs", html=False, show_progress=False)


def test_a_cascade_liquidates_a_run_that_the_single_order_would_not(tmp_path: Path) -> None:
    """28,150 long on 330: due 0.8 % lower. The forced order's own sweep is soon undone, the cascade's fall stays."""
    for folder in ("alone", "cascade"):
        (tmp_path / folder).mkdir()
    alone = through(replace(SESSION, crowd=replace(CROWD, impact_per_mille=0)), tmp_path / "alone")
    cascade = through(SESSION, tmp_path / "cascade")
    assert alone.summary["position"] == 1_000 and alone.fills.filter(pl.col("cause") == CAUSE_LIQUIDATION).is_empty()
    assert cascade.summary["position"] == 0 and cascade.summary["wallet_e8"] >= 0
    events = pl.read_parquet(cascade.path / "orders.parquet")
    assert not events.filter(pl.col("order_no") < 0).is_empty() or EV_LIQUIDATED in events["event"].to_list()
