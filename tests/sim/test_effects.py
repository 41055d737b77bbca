"""What a run file asks for and would not get is an error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matching.codes import MODE_CROSS, MODE_ISOLATED
from sim.backtest import backtest
from sim.requests import mode_of
from sim.strategy import Strategy
from tests.sim.markets import Tape
from venues.errors import InputError

COIN = {
    "symbol": "COIN", "base": "BTC", "quote": "USDT", "settle": "USDT", "tick_size": "0.1", "lot_size": "0.001",
    "mark": "mid", "funding": "none", "margin": "none",
}  # fmt: skip
POOL = {"multi_assets": True, "collateral": {"USDT": {"index": "1"}}}


def start(tmp_path: Path, venue: dict[str, Any], one: dict[str, Any], other: str | None = None) -> None:
    names = [venue.get("name", "binance_usdm")] + ([other] if other else [])
    (tmp_path / "brackets.csv").write_text("floor,cap,max_leverage,rate\n0,1000000,20,0.01\n")
    plain = {"latency": "1ms", "deposit": {"USDT": 1000}}
    venues = [{"name": name} | plain | (venue if place == 0 else {}) for place, name in enumerate(names)]
    ones = [COIN | {"venue": name} | (one if place == 0 else {}) for place, name in enumerate(names)]
    for each in ones:
        if each["margin"] == "brackets":
            each["margin"] = str(tmp_path / "brackets.csv")
    feeds = {place: Tape().snapshot(0).trade(1, 0, 1001, 1).source() for place in range(len(names))}
    document = {"venue": venues, "instrument": ones}
    backtest(document, Strategy(), feeds=feeds, out=tmp_path / "runs", html=False, show_progress=False)


@pytest.mark.parametrize(
    ("venue", "one", "message"),
    [
        ({"insurance": {"USDT": 5}}, {}, "'insurance': has no effect without margin"),
        ({"liquidation": {"stale_mark": "5s"}}, {}, "'liquidation': has no effect without margin"),
        ({"liquidation": {"lanes_share": True}}, {}, "'liquidation': has no effect without margin"),
        (POOL, {}, "'multi_assets': has no effect without margin"),
        ({"insurance": {"BTC": 5}}, {"margin": "brackets"}, "'insurance': BTC is the settlement asset of none"),
        ({"traded": 100}, {}, "'traded': earns no requests at Binance"),
        ({"name": "hyperliquid", "traded": 5, "rate_limits": "none"}, {}, "'traded': earns no requests with its lim"),
        ({}, {"funding_interval": "4h"}, "'funding_interval': has no effect without funding"),
        ({}, {"funding_drift": "4s"}, "'funding_drift': has no effect without funding"),
        ({}, {"funding_holes": "skip"}, "'funding_holes': has no effect without funding"),
        ({}, {"book": "l3", "queue": "power2"}, "'queue': has no effect with book"),
    ],
)
def test_what_has_no_effect_is_refused(
    venue: dict[str, Any], one: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        start(tmp_path, venue, one)


def test_what_has_an_effect_is_taken(tmp_path: Path) -> None:
    start(tmp_path, {"insurance": {"USDT": 5}, "liquidation": {"stale_mark": "5s"}}, {"margin": "brackets"})
    start(tmp_path, POOL, {"margin": "brackets"})
    start(tmp_path, {"name": "hyperliquid", "traded": 5}, {})


def test_a_limited_fund_is_one_venues(tmp_path: Path) -> None:
    """Funds are kept by asset: one of two venues that settle in it cannot have its own."""
    with pytest.raises(InputError, match="'insurance': a run keeps one fund for USDT"):
        start(tmp_path, {"insurance": {"USDT": 5}}, {"margin": "brackets"}, "okx")


@pytest.mark.parametrize("wrong", [{"index": "0"}, {"index": "1", "bid_buffer": "-2"}, {"index": 1, "ask_buffer": -1}])
def test_rates_of_collateral_are_checked(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"collateral\.USDT"):
        start(tmp_path, {"multi_assets": True, "collateral": {"USDT": wrong}}, {"margin": "brackets"})


@pytest.mark.parametrize("mode", ["crossed", 7, None])
def test_a_margin_mode_that_is_none_is_refused_at_once(mode: Any) -> None:
    with pytest.raises(ValueError, match=f"margin mode {mode!r}: must be one of cross, isolated"):
        mode_of(mode)
    assert (mode_of("isolated"), mode_of(MODE_CROSS)) == (MODE_ISOLATED, MODE_CROSS)
