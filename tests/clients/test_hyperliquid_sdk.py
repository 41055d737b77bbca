"""Hyperliquid's own SDK, unmodified: it signs as on testnet and listens in a thread."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.playing import Seen, played


@pytest.fixture(scope="module")
def seen() -> Seen:
    return played("hyperliquid", "hyperliquid_sdk", "hyperliquid_sdk", "BTC")


def test_markets_and_books(seen: Seen) -> None:
    assert seen["load"]["coin"] and float(seen["load"]["mark"]) > 0 and float(seen["load"]["oracle"]) > 0
    assert seen["book"]["mid_inside"] and seen["book"]["keys"] == ["n", "px", "sz"]
    assert seen["bars"] in ([], [["T", "c", "h", "i", "l", "n", "o", "s", "t", "v"]])


def test_account_and_settings(seen: Seen) -> None:
    told = seen["account"]
    assert float(told["value"]) == 100_000 and float(told["withdrawable"]) == 100_000 and told["positions"] == 0
    assert (told["taker"], told["maker"], told["role"]) == ("0.00045", "0.00015", "user")
    assert {"cumVlm", "nRequestsCap", "nRequestsUsed"} <= set(told["requests"])
    assert seen["settings"] == ["ok"] * 5


def test_orders(seen: Seen) -> None:
    assert seen["streams"]["fills_first"] is True
    told = seen["place_amend_cancel"]
    assert told["found"] == ["order", "open", True] and told["shown"] and told["new_id"]
    assert told["changed"][1] and float(told["changed"][0]) == 0.02 and told["canceled"] == "success"
    assert told["updates"] == [["open", "canceled"], ["open", "canceled"]]
    assert (told["left"], told["after"]) == (0, "canceled")


def test_batches(seen: Seen) -> None:
    told = seen["batch"]
    assert all("resting" in status for status in told["placed"][:2]) and "error" in told["placed"][2]
    assert told["canceled"] == ["success", "success"] and told["left"] == 0


def test_a_position_and_its_fills(seen: Seen) -> None:
    told = seen["trade"]
    assert float(told["filled"]) == 0.01 and round(told["fills"], 8) == round(told["streamed"], 8) == 0.01
    assert told["same"] and told["crossed"] and told["dir"] == "Open Long" and told["events"]
    assert told["fee"] == pytest.approx(0.00045, rel=0.01) and told["entry"] == pytest.approx(1, rel=1e-3)
    assert told["position"] == ["0.01", "cross"]
    assert float(seen["close"]["filled"]) == 0.01 and seen["close"]["left"] == 0


def test_stop_orders(seen: Seen) -> None:
    assert seen["stops"] == {"row": [True, True, "Stop Market", True], "canceled": "success"}


def test_histories(seen: Seen) -> None:
    told = seen["history"]
    assert told["orders"] and told["fills"]
    assert {told["funding_rates"], told["funding"], told["ledger"]} == {"list"}


def test_an_approved_agent_trades(seen: Seen) -> None:
    assert seen["agent"] == {"approved": "ok", "shown": [True], "canceled": "success"}


def test_market_data_streams(seen: Seen) -> None:
    told = seen["market_streams"]
    assert told["in_order"] and told["bbo"] == 2
    assert told["trade"] == ["coin", "hash", "px", "side", "sz", "tid", "time", "users"]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("margin", "Insufficient margin to place order."),
        ("off_grid", "Price must be divisible by tick size."),
        ("post_only", "Post only order would have immediately matched, bbo was"),
        ("ioc", "Order could not immediately match against any resting orders."),
        ("too_small", "Order must have minimum value of $10"),
        ("reduce_only", "Reduce only order would increase position."),
        ("trigger", "Invalid TP/SL price."),
        ("unknown_cancel", "Order was never placed, already canceled, or filled."),
        ("unknown_fetch", "unknownOid"),
        ("signature", "does not exist"),
        ("timestamp", "nonce"),
        ("expired", "expire"),
    ],
)
def test_refusals(seen: Seen, what: str, text: str) -> None:
    told: Any = seen["refused"][what]
    assert text.lower() in str(told).lower()


def test_an_unknown_request_is_an_error_of_the_client(seen: Seen) -> None:
    assert seen["refused"]["request"]["type"] == "ClientError"
