"""ccxt ``hyperliquid``, unmodified: it signs as on mainnet and approves its builder fee first."""

from __future__ import annotations

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("hyperliquid", "ccxt", "ccxt_hyperliquid", "BTC")


def test_markets_books_and_quotes(seen: Seen) -> None:
    assert seen["load"]["swap"] and seen["load"]["step"] == 0.00001
    assert seen["book"]["levels"] >= 5 and not seen["book"]["crossed"]
    quotes = seen["quotes"]
    assert quotes["bid"] > 0 and quotes["mark"] > 0 and abs(quotes["rate"]) < 0.04
    assert quotes["bars"] in ([], [6]) and (quotes["history"], quotes["status"]) == ("list", "ok")


def test_account_and_settings(seen: Seen) -> None:
    assert seen["balance"] == {"free": 100_000, "used": 0, "total": 100_000}
    assert seen["settings"] == {"leverage": "ok", "taker": 0.00045, "maker": 0.00015}


def test_orders(seen: Seen) -> None:
    assert seen["streams"] == []
    told = seen["place_amend_cancel"]
    assert told["found"] == ["open", 0.01, True] and told["shown"] and told["new_id"]
    assert told["changed"] == [0.02, True] and (told["left"], told["after"]) == (0, "canceled")
    assert seen["batch"]["left"] == 0 and len(seen["batch"]["placed"]) == 2
    assert seen["stops"] == {"trigger": True, "left": 0}


def test_a_position_and_its_fills(seen: Seen) -> None:
    told = seen["trade"]
    assert told["amount"] == 0.01 and told["takers"] == ["taker"] and told["position"] == [0.01, "long", 10]
    assert told["fee"] == pytest.approx(0.00045, rel=0.01)
    assert seen["close"] == {"status": "closed", "filled": 0.01, "left": []}
    assert seen["history"] == {"orders": True, "funding": "list", "ledger": "list"}


def test_websocket_orders_and_streams(seen: Seen) -> None:
    assert seen["by_websocket"] == {"new_id": True, "left": 0}
    told = seen["market_streams"]
    assert told["advanced"] and not told["crossed"] and told["ticker"]
    assert told["trade"] in ("buy", "sell") and told["bar"] == 6


@pytest.mark.parametrize(
    ("what", "kind", "text"),
    [
        ("margin", "InsufficientFunds", "Insufficient margin to place order."),
        ("post_only", "InvalidOrder", "Post only order would have immediately matched, bbo was"),
        ("ioc", "InvalidOrder", "Order could not immediately match against any resting orders."),
        ("too_small", "InvalidOrder", "Order must have minimum value of $10"),
        ("unknown_cancel", "OrderNotFound", "Order was never placed, already canceled, or filled."),
        ("unknown_fetch", "OrderNotFound", "unknownOid"),
        ("signature", "InvalidOrder", "User or API Wallet 0x"),
        ("margin_by_websocket", "InsufficientFunds", "Insufficient margin to place order."),
    ],
)
def test_refusals(seen: Seen, what: str, kind: str, text: str) -> None:
    told = seen.refused()[what]
    assert told.split(":")[0] == kind and text in told
