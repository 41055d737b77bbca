"""Funding of a position, as ccxt reads it back at either venue."""

from __future__ import annotations

import pytest

from tests.clients.playing import play, serving, setting_of


@pytest.mark.parametrize(("venue", "symbol", "asset"), [("binance", "BTCUSDT", "USDT"), ("hyperliquid", "BTC", "USDC")])
def test_a_payment_is_in_the_history(venue: str, symbol: str, asset: str) -> None:
    with serving(venue, "--speed", "12", "--rate", "0.1", feed="synth:funding") as line:
        told = play("ccxt", "ccxt_funding", setting_of(line, symbol))["paid"]
    assert told["code"] == asset and told["rate"] > 0
    assert told["amount"] == pytest.approx(-told["value"] * told["rate"], rel=0.01)
