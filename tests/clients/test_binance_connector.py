"""binance-futures-connector, unmodified: all in the query string, the user stream joined by SUBSCRIBE."""

from __future__ import annotations

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("binance", "binance_connector", "binance_connector", "BTCUSDT")


def test_markets_books_and_account(seen: Seen) -> None:
    assert (seen["load"]["status"], seen["load"]["ping"]) == ("TRADING", {}) and seen["load"]["clock_ms"] < 2000
    assert seen["book"] == {"levels": 5, "mark": "BTCUSDT", "last": "BTCUSDT", "trades": True}
    told = seen["account"]
    assert float(told["wallet"]) == 100_000 and [float(text) for text in told["balance"]] == [100_000]
    assert told["leverage"] == 10 and told["brackets"] >= 1


def test_streams_by_subscription(seen: Seen) -> None:
    assert seen["streams"] == {"acks": [7, 8, 9], "wrapped": ["data", "stream"], "data": "depthUpdate"}


def test_orders(seen: Seen) -> None:
    assert seen["place_cancel"] == {"status": ["NEW", "NEW", "CANCELED"], "events": ["NEW", "CANCELED"]}
    assert seen["batch"] == {"placed": ["NEW", "NEW"], "swept": 200, "left": 0}
    told = seen["trade"]
    assert told["fills"] and told["orders"] and {"COMMISSION", "REALIZED_PNL"} <= set(told["income"])


@pytest.mark.parametrize(
    ("what", "code"), [("margin", -2019), ("post_only", -5022), ("unknown", -2011), ("signature", -1022)]
)
def test_refusals(seen: Seen, what: str, code: int) -> None:
    assert str(code) in seen.refused()[what]


def test_a_price_off_the_grid_is_refused(seen: Seen) -> None:
    assert "-1111" in seen.refused()["off_grid"] or "-4014" in seen.refused()["off_grid"]
