"""Settings as requests: leverage, margin mode and isolated margin from the strategy to the venue and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching.codes import (
    BUY,
    EV_SETTING,
    EV_SETTING_REJECTED,
    MODE_CROSS,
    MODE_ISOLATED,
    R_MARGIN,
    R_NONE,
    R_OPEN_POSITION,
    R_SAME_SETTING,
    R_UNSUPPORTED,
    SELL,
    SETTING_LEVERAGE,
    SETTING_MARGIN,
    SETTING_MODE,
)
from sim.strategy import Liquidation, Setting, Strategy
from tests.sim.markets import MS, T0, S, Tape, run
from venues.errors import InputError

BRACKETS = "floor,cap,max_leverage,rate\n0,1000000,20,0.01\n"
E8 = 10**8


class Asker(Strategy):
    """Asks for settings at given times (ms) and writes down each answer with its delay."""

    def __init__(self, asks: list[tuple[int, str, tuple[Any, ...]]]) -> None:
        self.asks = asks
        self.answers: list[tuple[int, int, int, int]] = []
        self.taken: list[int] = []

    def on_start(self) -> None:
        for ms, name, arguments in self.asks:
            self.ctx.at(T0 + ms * MS, lambda name=name, arguments=arguments: getattr(self.ctx, name)(*arguments))

    def on_setting(self, i: int, setting: Setting) -> None:
        assert i == setting.instrument == 0 and setting.is_accepted == (setting.reason == R_NONE)
        assert setting.ts_ns == self.ctx.now_ns and setting.ts_ns - setting.ts_event_ns == 10 * MS
        self.answers.append(((self.ctx.now_ns - T0) // MS, setting.kind, setting.value, setting.reason))

    def on_liquidation(self, i: int, event: Liquidation) -> None:
        self.taken.append(event.ticks)


def market(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "brackets.csv").write_text(BRACKETS)
    instrument = {"symbol": "BTCUSDT", "mark": "recorded", "funding": "none", "margin": str(folder / "brackets.csv")}
    venue = {
        "name": "binance_usdm", "latency": "10ms", "fees": {"maker": 0, "taker": 0}, "deposit": {"USDT": "100"},
    }  # fmt: skip
    venue |= changes.pop("venue", {})
    return {"venue": [venue], "instrument": [{**instrument, "leverage": 20, **changes}]}


def tape() -> Tape:
    """100.0 to 100.1, a mark of 100, which falls to 95 after two seconds."""
    made = Tape().snapshot(0, 1000, 1001, lots=1000).mark(10 * MS, 100 * E8)
    made.depth(1900 * MS, *[(BUY, 1000 - k, 0) for k in range(10)])
    made.depth(1901 * MS, (BUY, 900, 600))
    for k in range(5):
        made.mark(2 * S + k * 100 * MS, (99 - k) * E8)
    return made.depth(3 * S, (SELL, 1100, 3))


def test_requests_travel_and_are_answered_with_the_venues_reason(tmp_path: Path) -> None:
    strategy = Asker(
        [
            (100, "set_margin_mode", (0, "isolated")),
            (200, "set_margin_mode", (0, MODE_ISOLATED)),
            (300, "set_leverage", (0, 10)),
            (400, "set_leverage", (0, 21)),
            (500, "market", (0, BUY, 1000)),
            (600, "set_leverage", (0, 5)),
            (700, "set_margin_mode", (0, "cross")),
            (800, "add_margin", (0, 20 * E8)),
            (900, "add_margin", (0, 80 * E8)),
        ]
    )
    result = run(strategy, tape(), tmp_path / "runs", **market(tmp_path))
    assert strategy.answers == [
        (120, SETTING_MODE, MODE_ISOLATED, R_NONE),
        (220, SETTING_MODE, MODE_ISOLATED, R_SAME_SETTING),
        (320, SETTING_LEVERAGE, 10, R_NONE),
        (420, SETTING_LEVERAGE, 21, R_UNSUPPORTED),
        (620, SETTING_LEVERAGE, 5, R_OPEN_POSITION),
        (720, SETTING_MODE, MODE_CROSS, R_OPEN_POSITION),
        (820, SETTING_MARGIN, 20 * E8, R_NONE),
        (920, SETTING_MARGIN, 80 * E8, R_MARGIN),
    ]
    logged = result.orders.filter(pl.col("event").is_in([EV_SETTING, EV_SETTING_REJECTED]))
    assert logged["event"].to_list() == [24, 25, 24, 25, 25, 25, 24, 25]
    assert logged["reason"].to_list() == [answer[3] for answer in strategy.answers]
    assert logged["venue_code"].to_list() == [0, -4046, 0, -4028, -4161, -4048, 0, -2019]


@pytest.mark.parametrize(("mode", "taken"), [("isolated", True), ("cross", False)])
def test_an_isolated_position_is_liquidated_where_a_cross_one_is_not(tmp_path: Path, mode: str, taken: bool) -> None:
    """1 BTC at 100.1 on 5.005 of isolated margin, 100 in the wallet: gone at a mark of 95, and nothing but that."""
    strategy = Asker([(500, "market", (0, BUY, 1000))])
    result = run(strategy, tape(), tmp_path / "runs", **market(tmp_path, margin_mode=mode))
    account = result.summary["accounts"][0]
    assert bool(account["positions"][0]["position_lots"]) != taken
    assert account["wallet_e8"] == (9_500_000_000 if taken else 100 * E8)
    assert strategy.taken == ([951] if taken else [])
    banner = (result.path / "manifest.json").read_text()
    assert (", isolated" in banner) == taken


def test_what_a_run_file_cannot_ask_for(tmp_path: Path) -> None:
    pool = {"multi_assets": True, "collateral": {"USDT": {"index": "1"}}}
    for changes, says in (
        (
            {"margin": "none", "leverage": None, "margin_mode": "isolated"},
            "'margin_mode': has no effect without margin",
        ),
        ({"margin_mode": "isolated", "venue": pool}, "'margin_mode': multi-assets mode excludes isolated"),
        ({"venue": {"multi_assets": True}}, "'collateral': needs a rate for USDT"),
        ({"venue": {"collateral": pool["collateral"]}}, "'collateral': has no effect without multi_assets"),
    ):
        with pytest.raises(InputError, match=says):
            run(Asker([]), tape(), tmp_path / "runs", **market(tmp_path, **changes))


SCALED = {
    "symbol": "SOL-USD",
    "mark": "recorded",
    "funding": "none",
    "tick_size": "0.1",
    "lot_size": "0.1",
    "settle": "USDC",
}


@pytest.mark.parametrize(("millions", "bought"), [(None, True), (40, True), (70, False)])
def test_open_interest_raises_the_initial_rate_of_dydx(tmp_path: Path, millions: int | None, bought: bool) -> None:
    """1,000 USDC at 5 % takes 50 of 100; half way between the caps of 40 and 100 millions the rate is 52.5 %."""
    strategy = Asker([(500, "market", (0, BUY, 100))])
    given = {} if millions is None else {"open_interest": millions * 10**6}
    venue = {"name": "dydx", "latency": "10ms", "fees": {"maker": 0, "taker": 0}, "deposit": {"USDC": "100"}}
    quiet = Tape().snapshot(0, 1000, 1001, lots=1000).mark(10 * MS, 100 * E8).depth(3 * S, (SELL, 1100, 3))
    result = run(strategy, quiet, tmp_path / "runs", venue=[venue], instrument=[SCALED | given])
    assert bool(result.summary["accounts"][0]["positions"][0]["position_lots"]) == bought
    banner = (result.path / "manifest.json").read_text()
    assert ("open interest 70,000,000 (an input, constant)" in banner) == (millions == 70)


def test_open_interest_is_refused_where_no_rate_rises_with_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'open_interest': has no effect: no initial rate rises with it"):
        run(Asker([]), tape(), tmp_path / "runs", **market(tmp_path, open_interest=10**6))


def test_another_asset_carries_the_position_in_multi_assets_mode(tmp_path: Path) -> None:
    """0.001 BTC counts 45 USDT after its buffer: 9 lots of 0.1 at 20x need 4.5; without the mode there is no money."""
    collateral = {"USDT": {"index": "1"}, "BTC": {"index": "50000", "bid_buffer": "0.1", "ask_buffer": "0.1"}}
    venue = {"multi_assets": True, "collateral": collateral, "deposit": {"BTC": "0.001"}}
    strategy = Asker([(500, "market", (0, BUY, 1000)), (600, "set_margin_mode", (0, "isolated"))])
    result = run(strategy, tape(), tmp_path / "runs", **market(tmp_path, venue=venue))
    assert result.summary["fills"] == 1 and result.summary["rejects"] == 0
    assert [answer[3] for answer in strategy.answers] == [37]  # -4168
    accounts = {account["asset"]: account["wallet_e8"] for account in result.summary["accounts"]}
    assert set(accounts) == {"USDT", "BTC"} and accounts["BTC"] == 100_000  # what carries it is in the summary too
