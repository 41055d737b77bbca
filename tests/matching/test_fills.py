"""The fill rules of docs/fills.md, one scene each; every scene runs on the reference and on the kernel.

Scenes read as a trader would tell them: a book, what was sent when, what the market did, and the events that follow.
Here: orders that arrive. `test_fills_book.py`, `test_fills_maker.py` and `test_fills_account.py` hold the others, and
`test_documented_rules_exist` the page to the tests that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from matching.codes import (
    EXCHANGE_NOPARTIAL,
    FOK,
    GTX,
    IOC,
    MARKET,
)
from tests.matching.cases import MS, START_NS, LatencySettings
from tests.matching.scenes import book

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fills.md"


# -- arrival


def test_order_meets_the_book_after_its_latency() -> None:
    scene = book()
    scene.entry_ms, scene.response_ms = 5, 3
    order = scene.buy(1, 4, 102, tif=IOC)
    scene.depth(6, asks={101: 3})  # at the instant of arrival: the market comes first
    scene.depth(7, asks={101: 1})
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 4@102", "FILLED 3@101 TAKER", "FILLED 1@102 TAKER"]
    assert played.times_ms(order) == [(6, 9), (6, 9), (6, 9)]


def test_events_of_one_order_arrive_in_their_order() -> None:
    """A response that would be quicker than the one before it waits for it; another order's does not."""
    scene = book()
    scene.responses = LatencySettings((START_NS + MS, START_NS + 3 * MS), (10 * MS, 2 * MS))
    order = scene.buy(1, 2, 99)
    other = scene.buy(3, 2, 98)
    scene.sold(3, (98, 1))
    scene.other_prints(20, (98, 1))
    played = scene.play()
    assert played.times_ms(order) == [(1, 11), (3, 11)]
    assert played.times_ms(other) == [(3, 5)]


def test_price_below_one_tick_is_refused() -> None:
    scene = book()
    order, amended = scene.buy(1, 1, 0), scene.buy(1, 1, 50)
    scene.cancel(2, rank=1)
    played = scene.play()
    assert played.order(order) == ["REJECTED 1@0 PRICE_BAND"]
    assert played.order(amended)[0] == "ACCEPTED 1@50"


def test_lots_outside_the_limits_are_refused() -> None:
    scene = book(min_lots=2, max_lots=4)
    few, many, right = scene.buy(1, 1, 99), scene.buy(1, 5, 99), scene.buy(1, 4, 99)
    played = scene.play()
    assert played.order(few) == ["REJECTED 1@99 LOT_SIZE"]
    assert played.order(many) == ["REJECTED 5@99 LOT_SIZE"]
    assert played.order(right) == ["ACCEPTED 4@99"]


@pytest.mark.parametrize(("rejects", "event"), [(True, "REJECTED"), (False, "EXPIRED")])
def test_post_only_that_would_cross_never_rests(rejects: bool, event: str) -> None:
    scene = book(post_only_reject=rejects)
    at, beyond, below = scene.buy(1, 1, 101, tif=GTX), scene.sell(1, 1, 98, tif=GTX), scene.buy(1, 1, 100, tif=GTX)
    played = scene.play()
    assert played.order(at) == [f"{event} 1@101 POST_ONLY"]
    assert played.order(beyond) == [f"{event} 1@98 POST_ONLY"]
    assert played.order(below) == ["ACCEPTED 1@100"]


def test_limit_order_takes_level_by_level_then_rests() -> None:
    scene = book()
    order = scene.buy(1, 12, 102)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 12@102", "FILLED 5@101 TAKER", "FILLED 5@102 TAKER"]
    assert played.resting[1][order][5] == 2
    assert played.front(order, 1) == 0


def test_immediate_or_cancel_never_rests() -> None:
    scene = book()
    some, none = scene.buy(1, 7, 101, tif=IOC), scene.buy(2, 7, 100, tif=IOC)
    played = scene.play()
    assert played.order(some) == ["ACCEPTED 7@101", "FILLED 5@101 TAKER", "EXPIRED 2@101 IOC_REMAINDER"]
    assert played.order(none) == ["ACCEPTED 7@100", "EXPIRED 7@100 IOC_REMAINDER"]


@pytest.mark.parametrize(
    ("rejects", "refusal"), [(True, ["REJECTED 11@102 FOK"]), (False, ["ACCEPTED 11@102", "EXPIRED 11@102 FOK"])]
)
def test_fill_or_kill_fills_whole_or_not_at_all(rejects: bool, refusal: list[str]) -> None:
    scene = book(fok_reject=rejects)
    too_many, enough = scene.buy(1, 11, 102, tif=FOK), scene.buy(1, 10, 102, tif=FOK)
    played = scene.play()
    assert played.order(too_many) == refusal
    assert played.order(enough) == ["ACCEPTED 10@102", "FILLED 5@101 TAKER", "FILLED 5@102 TAKER"]


def test_market_order_walks_without_limit() -> None:
    scene = book(window_ticks=64)
    scene.depth(1, asks={5000: 3})  # far outside the ladder
    order = scene.buy(2, 14, type=MARKET)
    fills = ["FILLED 5@101 TAKER", "FILLED 5@102 TAKER", "FILLED 3@5000 TAKER", "EXPIRED 1@0 MARKET_REMAINDER"]
    assert scene.play().order(order)[1:] == fills


def test_no_partial_fill_exchange_takes_any_size_at_the_best() -> None:
    scene = book(exchange=EXCHANGE_NOPARTIAL)
    first, second = scene.buy(1, 50, 101), scene.buy(2, 50, 105, tif=FOK)
    maker = scene.buy(2, 9, 99)
    scene.sold(3, (99, 6))
    played = scene.play()
    assert played.order(first)[1:] == ["FILLED 50@101 TAKER"]
    assert played.order(second)[1:] == ["FILLED 50@101 TAKER"]
    assert played.order(maker)[1:] == ["FILLED 9@99 QUEUE"]


def test_documented_rules_exist() -> None:
    """Every test that docs/fills.md names is there, and it names every scene."""
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    tests = Path(__file__).parents[1].rglob("test_*.py")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in tests)
    defined = set(re.findall(r"^ *def (test_\w+)\(", sources, re.MULTILINE))
    scenes = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_fills*.py"))
    here = set(re.findall(r"^def (test_\w+)\(", scenes, re.MULTILINE))
    assert named <= defined, f"docs/fills.md names tests that do not exist: {sorted(named - defined)}"
    assert here <= named | {"test_documented_rules_exist"}, f"undocumented: {sorted(here - named)}"
