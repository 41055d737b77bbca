"""Binance's own SDK for USD-M futures, unmodified. It compares every answer with its models."""

from __future__ import annotations

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("binance", "binance_sdk", "binance_sdk", "BTCUSDT")


def test_answers_fit_the_models_of_the_sdk(seen: Seen) -> None:
    assert seen["misfits"] == []


def test_markets_books_and_quotes(seen: Seen) -> None:
    told = seen["load"]
    assert told["status"] == "TRADING" and [float(tick) for tick in told["tick"]] == [0.1] and told["clock_ms"] < 2000
    assert {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"} <= set(told["filters"])
    assert sorted(told["limits"]) == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    book = seen["book"]
    assert book["levels"] == 10 and not book["crossed"] and book["weight"]
    quotes = seen["quotes"]
    assert float(quotes["mark"]["markPrice"]) > 0 and float(quotes["top"]["bidPrice"]) > 0
    assert quotes["bars"] == 12 and quotes["groups"] > 0 and quotes["funding"] == "list"


def test_account(seen: Seen) -> None:
    told = seen["account"]
    assert {float(text) for text in told["wallet"]} == {100_000} and [float(t) for t in told["balance"]] == [100_000]
    assert (told["can_trade"], told["dual"], told["multi"], told["leverage"]) == (True, False, False, 10)
    assert float(told["fees"]["takerCommissionRate"]) == 0.0005


def test_orders(seen: Seen) -> None:
    told = seen["place_amend_cancel"]
    assert told["status"] == ["NEW", "NEW", "NEW", "NEW", "CANCELED"]
    assert float(told["changed"][0]) == 0.02 and told["changed"][1:] == [True, True]
    assert told["events"] == ["NEW", "AMENDMENT", "CANCELED"] and (told["left"], told["history"]) == (0, 1)


def test_batches(seen: Seen) -> None:
    told = seen["batch"]
    assert told["placed"] == ["NEW", "NEW", -1111] or told["placed"] == ["NEW", "NEW", -4014]
    assert [float(text) for text in told["changed"]] == [0.02, 0.02] and told["canceled"] == ["CANCELED"] * 2
    assert (told["swept"], told["left"]) == (200, 0)


def test_stop_orders(seen: Seen) -> None:
    told = seen["stops"]
    assert (told["placed"], told["waiting"], told["trigger"], told["left"]) == ("NEW", [True], True, 0)
    assert told["events"] == ["NEW", "CANCELED"]


def test_a_stop_that_is_reached_trades(seen: Seen) -> None:
    assert seen["triggered"] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]


def test_a_position_and_its_fills(seen: Seen) -> None:
    told = seen["trade"]
    assert told["bought"] == ["FILLED", 0.01] and told["fills"] == [0.01, False, "USDT"]
    assert told["position"] == 0.01 and told["older"] == [0.01]
    assert told["update"][:2] == ["ORDER", ["a", "bc", "cw", "wb"]]
    assert {"s", "pa", "ep", "bep", "cr", "up", "mt", "iw", "ps"} <= set(told["update"][2])
    assert told["events"][0] == "NEW" and set(told["events"][1:]) == {"TRADE"}
    closed = seen["close"]
    assert not any(closed["left"]) and closed["orders"]
    assert {"COMMISSION", "REALIZED_PNL"} <= set(closed["income"])


def test_the_countdown_cancels(seen: Seen) -> None:
    assert seen["countdown"]["symbol"] == "BTCUSDT"


def test_the_websocket_trading_api(seen: Seen) -> None:
    told = seen["by_websocket"]
    assert told["status"] == ["NEW", "NEW", "NEW", "CANCELED"] and told["book"] == 5
    assert told["balances"] >= 1 and float(told["account"]) > 90_000 and told["positions"] == "list"
    assert "-2011" in str(told["refused"])


def test_market_data_streams(seen: Seen) -> None:
    told = seen["market_streams"]
    assert told["linked"]
    assert told["keys"]["depth"] == ["E", "T", "U", "a", "b", "e", "pu", "s", "u"]
    assert {"E", "T", "a", "A", "b", "B", "e", "s", "u"} <= set(told["keys"]["top"])
    assert {"E", "P", "T", "e", "i", "p", "r", "s"} <= set(told["keys"]["mark"])


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("margin", -2019), ("off_step", -1111), ("too_small", -4164), ("post_only", -5022), ("fill_or_kill", -5021),
        ("symbol", -1121), ("stop_type", -4120), ("reduce_only", -2022), ("unknown_cancel", -2011),
        ("unknown_fetch", -2013), ("leverage", -4028), ("signature", -1022), ("key", -2015), ("late", -1021),
        ("early", -1021),
    ],
)  # fmt: skip
def test_refusals(seen: Seen, what: str, code: int) -> None:
    assert str(code) in seen.refused()[what]


def test_a_price_off_the_grid_is_refused(seen: Seen) -> None:
    assert "-1111" in seen.refused()["off_grid"] or "-4014" in seen.refused()["off_grid"]
