"""ccxt ``binancecoinm``, unmodified: contracts that settle in the coin."""

from __future__ import annotations

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("binance_coinm", "ccxt", "ccxt_binance_coin", "BTCUSD_PERP")


def test_markets_books_and_balance(seen: Seen) -> None:
    assert seen["load"] == {"id": "BTCUSD_PERP", "size": 100, "settle": "BTC", "inverse": True}
    assert seen["book"]["levels"] == 10 and not seen["book"]["crossed"] and seen["book"]["mark"] > 0
    assert seen["balance"] == {"free": 10, "used": 0, "total": 10}


def test_orders_and_a_trade(seen: Seen) -> None:
    assert seen["stream"] is False
    assert seen["place_amend_cancel"] == {"same_id": True, "amount": 4, "left": 0}
    assert seen["trade"] == {"position": [2, "long"], "amount": 2, "fee_asset": "BTC"}


def test_streams_and_refusals(seen: Seen) -> None:
    assert seen["market_streams"]["advanced"] and seen["market_streams"]["mark"] > 0
    refused = seen.refused()
    assert "-2027" in refused["position"] and "-2011" in refused["unknown_cancel"]
