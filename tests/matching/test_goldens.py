"""The anchors' market maker over the anchors' feeds gives the anchors' golden values exactly.

The feed is rebuilt here (`anchor_feed.py`) and checked against ``feed_sha256``, the maker is ``mm_loop`` of the
anchors' runner (`anchor_maker.py`), the values are ``golden.json`` beside it: of hftbacktest's no-partial-fill
exchange, and of correct partial fills. In the suite the feed of 1 M rows; ``PERPSIM_GOLDEN_5M=1`` adds the one of
5 M, and so does

    python -m tests.matching.test_goldens 1m 5m

which prints what it found as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.codes import (
    BUY,
    DEPTH,
    EXCHANGE_NOPARTIAL,
    EXCHANGE_PARTIAL,
    NEED_DATA,
    QUEUE_POWER3,
    SELL,
    SNAPSHOT,
    TRADE,
)
from matching.feed import FeedWindow, MemorySource, messages_from_rows
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger
from matching.reference import Reference
from matching.reference_account import Contract, ExactAccounts
from matching.reference_latency import ConstantLatency
from matching.reference_orders import MarketRules
from tests.matching import anchor_feed
from tests.matching.anchor_maker import START_NS, STEP_NS, AnchorMaker

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "anchors" / "hftbacktest" / "golden.json"
ROWS = {"1m": 1_000_000, "5m": 5_000_000}
SIZES = ("1m", "5m") if os.environ.get("PERPSIM_GOLDEN_5M") else ("1m",)
LATENCY_NS = 10_000_000
MAKER_E12, TAKER_E12 = -50_000_000, 700_000_000
VALUE_NUM, VALUE_DEN = 10_000, 1  # one tick times one lot, 0.1 * 0.001, at 1e-8


@cache
def golden(size: str) -> dict[str, Any]:
    if not GOLDEN.exists():
        pytest.skip(f"the anchors' golden values are not there ({GOLDEN})")
    values: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))["data"][size]
    return values


def window_of(columns: anchor_feed.Columns) -> FeedWindow:
    """The feed in the kernels' form. The anchors' kinds are 1 depth, 2 trade, 4 snapshot row; side is +1 or -1."""
    kinds = np.array([0, DEPTH, TRADE, 0, SNAPSHOT], dtype=np.uint8)
    return messages_from_rows(
        columns.exch_ts,
        columns.local_ts,
        kinds[columns.kind],
        (columns.side < 0).astype(np.uint8),
        columns.px_tick,
        columns.qty_lot,
    )


def kernel_core(exchange: int) -> tuple[Core, Ledger]:
    ledger = Ledger(1, 1, 1)
    ledger.configure_market(0, 0, False, VALUE_NUM, VALUE_DEN, 1, 1000, MAKER_E12, TAKER_E12)
    core = Core(1, 1, ledger)
    core.configure_lane(0, [0])
    core.configure_market(0, queue_model=QUEUE_POWER3, queue_param=3.0, exchange=exchange)
    core.set_latency(0, LatencyTable.constant(LATENCY_NS), LatencyTable.constant(LATENCY_NS))
    return core, ledger


def kernel_event(core: Core) -> tuple[int, int, int, int, int]:
    return core.ev_order_no, core.ev_kind, core.ev_ticks, core.ev_lots, core.ev_reason


def play(engine: Any, event: Any, window: FeedWindow, window_messages: int = 0) -> AnchorMaker:
    """A look every 100 ms from the feed's start until the last timer before its end, and one at the end."""
    maker = AnchorMaker(engine, event)
    source = MemorySource(window, window_messages)
    windows = list(iter(source.next_window, None))
    due_ns = START_NS

    def feed() -> None:
        engine.set_window(0, windows.pop(0), not windows)

    def advance() -> None:
        while engine.advance(due_ns) == NEED_DATA:
            feed()

    feed()
    while due_ns + STEP_NS <= source.last_ns:
        due_ns += STEP_NS
        advance()
        maker.step()
    due_ns += STEP_NS
    advance()
    maker.drain()
    return maker


def outcome(maker: AnchorMaker) -> dict[str, float]:
    """In golden.json's names and units: coins and USD, from exact ticks and lots."""
    return {
        "steps": maker.steps,
        "submits": maker.submits,
        "cancels_sent": maker.cancels_sent,
        "fills_full": maker.fills_full,
        "partial_events": maker.partial_events,
        "expired_gtx": maker.expired_gtx,
        "canceled": maker.canceled,
        "pos": float(Fraction(maker.position_lots, 1000)),
        "cash": float(Fraction(maker.cash_ticks_lots, 10_000)),
        "vol": float(Fraction(maker.volume_lots, 1000)),
        "fee": float(round(Fraction(maker.turnover_ticks_lots * MAKER_E12, 10_000 * 10**12), 6)),
    }


@cache
def run_size(size: str, exchange: int) -> tuple[AnchorMaker, Ledger]:
    core, ledger = kernel_core(exchange)
    return play(core, kernel_event, window_of(anchor_feed.columns(ROWS[size]))), ledger


@pytest.mark.parametrize("size", SIZES)
def test_feed_is_the_anchors_feed(size: str) -> None:
    expected = golden(size)["feed_sha256"]
    assert anchor_feed.columns(ROWS[size]).sha256() == expected


@pytest.mark.parametrize("size", SIZES)
def test_no_partial_fill_exchange(size: str) -> None:
    expected = golden(size)["nopartial_0.01"]
    found = outcome(run_size(size, EXCHANGE_NOPARTIAL)[0])
    names = ("steps", "submits", "cancels_sent", "fills_full", "expired_gtx", "canceled")
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}
    money = {"true_pos": "pos", "true_cash": "cash", "true_fee": "fee", "true_vol": "vol"}
    assert {name: found[ours] for name, ours in money.items()} == {name: expected[name] for name in money}


@pytest.mark.parametrize("size", SIZES)
def test_partial_fills(size: str) -> None:
    expected = golden(size)["partial_0.01_reference"]
    found = outcome(run_size(size, EXCHANGE_PARTIAL)[0])
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("size", SIZES)
def test_best_prices_on_the_grid(size: str) -> None:
    """The client's best bid and ask at every step, folded into the anchors' checksum."""
    expected = golden(size)["bbo_cksum"]
    assert f"{run_size(size, EXCHANGE_PARTIAL)[0].checksum:016x}" == expected


@pytest.mark.parametrize("exchange", [EXCHANGE_NOPARTIAL, EXCHANGE_PARTIAL])
def test_ledger_closes_on_the_makers_own_count(exchange: int) -> None:
    """Wallet plus open profit at the last mid is cash plus position minus fees, but for half a 1e-8 a fill."""
    golden("1m")
    maker, ledger = run_size("1m", exchange)
    mid_e8 = (maker.engine.best_ticks(0, BUY) + maker.engine.best_ticks(0, SELL)) * 5_000_000
    ledger.set_mark(0, mid_e8)
    counted = Fraction(maker.cash_ticks_lots * VALUE_NUM, VALUE_DEN) + Fraction(maker.position_lots * mid_e8, 1000)
    counted -= Fraction(maker.turnover_ticks_lots * VALUE_NUM * MAKER_E12, 10**12)
    assert ledger.position(0, 0) == maker.position_lots
    assert abs(ledger.equity_e8(0, 0) - counted) <= (maker.fills_full + maker.partial_events) / 2


def test_reference_quotes_alike() -> None:
    """On a shorter feed of the same generator the naive engine and the kernel, fed in windows, do the same."""
    window = window_of(anchor_feed.generate(30_000))
    core, _ = kernel_core(EXCHANGE_PARTIAL)
    reference = Reference(
        1, 1, ExactAccounts([Contract(0, False, VALUE_NUM, VALUE_DEN, 1, 1000, MAKER_E12, TAKER_E12)])
    )
    rules = MarketRules(queue_model=QUEUE_POWER3, queue_param=3.0, post_only_reject=False)
    reference.configure_market(0, rules)
    reference.set_latency(0, ConstantLatency(LATENCY_NS), ConstantLatency(LATENCY_NS))
    ours = play(core, kernel_event, window, 1000)
    naive = play(reference, lambda e: (e.ev.order_no, e.ev.event, e.ev.ticks, e.ev.lots, e.ev.reason), window)
    assert outcome(ours) == outcome(naive)
    assert ours.checksum == naive.checksum
    assert core.state_hash() == reference.state_hash()
    assert ours.fills_full > 50


def main() -> None:
    found = {}
    for size in sys.argv[1:] or SIZES:
        columns = anchor_feed.columns(ROWS[size])
        runs = {"nopartial_0.01": EXCHANGE_NOPARTIAL, "partial_0.01_reference": EXCHANGE_PARTIAL}
        makers = {name: run_size(size, exchange)[0] for name, exchange in runs.items()}
        found[size] = {name: outcome(maker) for name, maker in makers.items()} | {
            "feed_sha256": columns.sha256(),
            "bbo_cksum": f"{makers['partial_0.01_reference'].checksum:016x}",
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
