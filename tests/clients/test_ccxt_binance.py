"""ccxt ``binanceusdm``, unmodified: REST, the websocket trading API and pro's streams."""

from __future__ import annotations

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("binance", "ccxt", "ccxt_binance", "BTCUSDT")


def test_markets_and_books(seen: Seen) -> None:
    market = seen["load"]
    assert (market["id"], market["linear"], market["tick"], market["step"]) == ("BTCUSDT", True, 0.1, 0.001)
    assert market["smallest_cost"] == 50 and market["clock_ms"] < 2000
    book = seen["book"]
    assert book["levels"] == 20 and not book["crossed"] and book["id"] > 0


def test_quotes_bars_and_funding(seen: Seen) -> None:
    quotes = seen["quotes"]
    assert quotes["last"] > 0 and quotes["bid"] > 0 and quotes["mark"] > 0
    assert set(quotes["bars"]) == {6} and set(quotes["trades"]) <= {"buy", "sell"} and quotes["trades"]
    rate = seen["funding_rate"]
    assert abs(rate["rate"]) < 0.02 and rate["next"] > 0


def test_account_and_settings(seen: Seen) -> None:
    assert seen["balance"] == {"free": 100_000, "used": 0, "total": 100_000}
    settings = seen["settings"]
    assert (settings["leverage"], settings["hedged"]) == (10, False)
    assert settings["tiers"] >= 1 and (settings["maker"], settings["taker"]) == (0.0002, 0.0005)


def test_orders(seen: Seen) -> None:
    assert seen["streams"] == []
    told = seen["place_amend_cancel"]
    assert told["placed"] == ["open", "first-1"] and told["is_open"] and told["same_id"]
    assert told["found"] == [0.02, True, "open"] and (told["canceled"], told["left"]) == ("canceled", 0)
    assert seen["post_only"] == ["PO", True]


def test_batches(seen: Seen) -> None:
    told = seen["batch"]
    assert told["placed"] == ["open", "open"] and told["canceled"] == ["canceled", "canceled"]
    assert (told["after_cancel_all"], told["left"]) == ("canceled", 0)


def test_stop_orders(seen: Seen) -> None:
    assert seen["stops"] == {"prices": [True], "open": 2, "left": 0}


def test_a_position_and_its_fills(seen: Seen) -> None:
    told = seen["trade"]
    assert told["amount"] == 0.01 and told["takers"] == ["taker"]
    assert told["fee"] == pytest.approx(0.0005) and told["fee_asset"] == "USDT"
    assert told["position"] == [0.01, "long", None] and told["streamed"] == [0.01, "long"]
    assert told["entry"] == pytest.approx(1, rel=1e-4)
    closed = seen["close"]
    assert (closed["status"], closed["filled"], closed["balances"]) == ("closed", 0.01, True)
    assert not any(closed["left"])


def test_histories(seen: Seen) -> None:
    told = seen["history"]
    assert {"commission", "trade"} <= set(told["types"]) and told["orders"]


def test_the_websocket_trading_api(seen: Seen) -> None:
    told = seen["by_websocket"]
    assert (told["placed"], told["changed"], told["found"], told["canceled"]) == ("open", True, "open", "canceled")
    assert 99_000 < told["balance"] < 101_000
    refused = seen.refused("refused_by_websocket")
    assert refused["margin"].startswith("InsufficientFunds") and "-2019" in refused["margin"]
    assert refused["unknown"].startswith("OrderNotFound") and "-2011" in refused["unknown"]


def test_market_data_streams(seen: Seen) -> None:
    told = seen["market_streams"]
    assert told["advanced"] and not told["crossed"] and told["top"] and told["mark"] > 0
    more = seen["more_market_streams"]
    assert more["trade"] in ("buy", "sell") and more["last"] > 0 and more["bar"] == 6


@pytest.mark.parametrize(
    ("what", "kind", "code"),
    [
        ("margin", "InsufficientFunds", -2019),
        ("post_only", "OrderNotFillable", -5022),
        ("off_grid", "BadRequest", -4014),
        ("too_small", "InvalidOrder", -4164),
        ("reduce_only", "InvalidOrder", -2022),
        ("unknown_cancel", "OrderNotFound", -2011),
        ("unknown_fetch", "OrderNotFound", -2013),
        ("symbol", "BadSymbol", -1121),
        ("signature", "AuthenticationError", -1022),
        ("key", "AuthenticationError", -2015),
        ("timestamp", "InvalidNonce", -1021),
    ],
)
def test_refusals(seen: Seen, what: str, kind: str, code: int) -> None:
    told = seen.refused()[what]
    assert told.split(":")[0] == kind and str(code) in told
