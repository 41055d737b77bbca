"""python-binance, unmodified: it pings the spot API first, deletes with a body and sends numbers by websocket."""

from __future__ import annotations

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("binance", "python_binance", "python_binance", "BTCUSDT")


def test_markets_books_and_quotes(seen: Seen) -> None:
    assert seen["load"]["status"] == "TRADING" and seen["load"]["time"] > 0
    assert seen["book"] == {"levels": 5, "crossed": False}
    quotes = seen["quotes"]
    assert float(quotes["mark"]) > 0 and float(quotes["last"]) > 0 and float(quotes["day"]) > 0
    assert quotes["top"] == "BTCUSDT" and quotes["bars"] == [12] and quotes["trades"] > 0


def test_account(seen: Seen) -> None:
    told = seen["account"]
    assert float(told["wallet"]) == 100_000 and [float(text) for text in told["balance"]] == [100_000]
    assert (told["leverage"], told["dual"], told["settings"]) == (10, False, 10) and told["brackets"] >= 1
    assert float(told["fees"]) == 0.0005


def test_orders(seen: Seen) -> None:
    assert seen["user_stream"] == []
    told = seen["place_amend_cancel"]
    assert told["status"] == ["NEW", "NEW", "NEW", "CANCELED"] and float(told["amount"]) == 0.02
    assert told["events"] == ["NEW", "AMENDMENT", "CANCELED"] and told["left"] == 0
    assert seen["batch"] == {"placed": ["NEW"] * 2, "canceled": ["CANCELED"] * 2, "swept": [200, "CANCELED"]}
    assert seen["stops"] == {"waiting": 1, "left": 0}


def test_a_position_and_its_fills(seen: Seen) -> None:
    told = seen["trade"]
    assert told["status"] == "NEW" and told["filled"] == 0.01 and told["position"] == 0.01
    assert {"COMMISSION", "REALIZED_PNL"} <= set(told["income"])
    assert {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"} <= set(told["events"])


def test_the_websocket_trading_api(seen: Seen) -> None:
    told = seen["by_websocket"]
    assert told["status"] == ["NEW", "NEW", "NEW", "CANCELED"] and told["text"] == ["str", "str", "bool"]
    assert told["balance"] >= 1 and told["book"] == 5


def test_market_data_streams(seen: Seen) -> None:
    told = seen["market_streams"]
    assert set(told) == {"depth", "mark", "top", "two", "bars"}
    assert told["two"] == told["top"] == ["data", "stream"]


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("margin", -2019), ("off_grid", -4014), ("too_small", -4164), ("post_only", -5022), ("unknown_cancel", -2011),
        ("unknown_fetch", -2013), ("symbol", -1121), ("signature", -1022), ("missing", -1102), ("timestamp", -1021),
        ("by_websocket", -2019),
    ],
)  # fmt: skip
def test_refusals(seen: Seen, what: str, code: int) -> None:
    told = seen.refused()[what]
    assert told.startswith("BinanceAPIException") and str(code) in told
