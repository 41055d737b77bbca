"""The rules of docs/fills.md about resting orders: their queue, prints at and through their price, crossings."""

from __future__ import annotations

import pytest

from matching.codes import (
    QUEUE_LOG,
    QUEUE_LOG2,
    QUEUE_POWER,
    QUEUE_POWER2,
    QUEUE_POWER3,
    QUEUE_RISK_AVERSE,
)
from tests.matching.scenes import Scene, book

# -- queue


def test_order_rests_behind_the_displayed_quantity() -> None:
    scene = book()
    there, empty = scene.buy(1, 2, 98), scene.buy(1, 2, 97)
    played = scene.play()
    assert (played.front(there, 1), played.front(empty, 1)) == (5, 0)


def test_print_serves_the_queue_ahead_first() -> None:
    scene = book()
    order = scene.buy(1, 4, 99)
    scene.sold(2, (99, 3))
    scene.sold(3, (99, 3), (99, 1))
    scene.sold(4, (99, 50))
    played = scene.play()
    assert played.front(order, 2) == 2
    assert played.order(order)[1:] == ["FILLED 1@99 QUEUE", "FILLED 1@99 QUEUE", "FILLED 2@99 QUEUE"]


def test_print_by_the_same_side_does_not_count() -> None:
    scene = book()
    order = scene.buy(1, 4, 99)
    scene.bought(2, (99, 50))
    played = scene.play()
    assert played.front(order, 2) == 5
    assert played.order(order) == ["ACCEPTED 4@99"]


def test_own_orders_at_one_price_share_a_print() -> None:
    scene = Scene()
    scene.snapshot(0, {98: 5}, {101: 5})
    first, second, third = scene.buy(1, 3, 99), scene.buy(2, 4, 99), scene.buy(3, 4, 99)
    scene.sold(4, (99, 5))
    played = scene.play()
    assert played.order(first)[1:] == ["FILLED 3@99 QUEUE"]
    assert played.order(second)[1:] == ["FILLED 2@99 QUEUE"]
    assert played.order(third) == ["ACCEPTED 4@99"]


def test_print_never_fills_more_than_itself() -> None:
    """With a power below 1 the estimate of the queue ahead can fall far below zero."""
    scene = Scene({"queue_model": QUEUE_POWER, "queue_param": 0.5})
    scene.snapshot(0, {99: 1}, {101: 5})
    order = scene.buy(1, 7, 99)
    scene.depth(2, {99: 100})
    scene.depth(3, {99: 0})
    scene.sold(4, (99, 2))
    played = scene.play()
    assert played.front(order, 3) == pytest.approx(1 - 100 / (1 + 99**0.5))
    assert played.order(order)[1:] == ["FILLED 2@99 QUEUE"]


@pytest.mark.parametrize(
    ("model", "front"),
    [
        (QUEUE_RISK_AVERSE, 6.0),
        (QUEUE_POWER, 6 - 4 * 36 / 52),
        (QUEUE_POWER2, 6 - 4 * (1 - 16 / 100)),
        (QUEUE_POWER3, 6 - 4 * (6 / 10) ** 2),
        (QUEUE_LOG, 3.810724),
        (QUEUE_LOG2, 4.684753),
    ],
)
def test_a_smaller_level_moves_the_queue_by_its_model(model: int, front: float) -> None:
    """Level 10 with 6 ahead of us and 4 behind becomes 6; exponent 2; the logarithms are ln 5, ln 7 and ln 11."""
    scene = Scene({"queue_model": model, "queue_param": 2.0})
    scene.snapshot(0, {99: 6}, {101: 5})
    order = scene.buy(1, 1, 99)
    scene.depth(2, {99: 10})
    scene.depth(3, {99: 6})
    played = scene.play()
    assert played.front(order, 2) == 6
    assert played.front(order, 3) == pytest.approx(front, abs=2e-6)


def test_traded_quantity_is_not_counted_twice() -> None:
    scene = Scene({"queue_model": QUEUE_POWER3, "queue_param": 3.0})
    scene.snapshot(0, {99: 6}, {101: 5})
    order = scene.buy(1, 1, 99)
    scene.sold(2, (99, 2))
    scene.depth(3, {99: 4})  # the print's own trace in the depth
    played = scene.play()
    assert (played.front(order, 2), played.front(order, 3)) == (4, 4)


def test_a_larger_level_does_not_move_the_queue() -> None:
    scene = book()
    order = scene.buy(1, 1, 99)
    scene.depth(2, {99: 50})
    assert scene.play().front(order, 2) == 5


def test_queue_is_never_longer_than_its_level() -> None:
    scene = book()
    order = scene.buy(1, 1, 99)
    scene.depth(2, {99: 2})
    assert scene.play().front(order, 2) == 2


def test_depth_alone_never_fills() -> None:
    scene = book(queue_model=QUEUE_POWER, queue_param=0.5)
    order = scene.buy(1, 1, 99)
    scene.depth(2, {99: 0, 98: 0})
    assert scene.play().order(order) == ["ACCEPTED 1@99"]


# -- trades and quotes through an order


def test_trade_through_the_price_fills_whole() -> None:
    scene = book()
    at, above, below = scene.buy(1, 50, 98), scene.buy(1, 50, 99), scene.buy(1, 50, 97)
    scene.sold(2, (98, 1))
    played = scene.play()
    assert played.order(above)[1:] == ["FILLED 50@99 THROUGH"]
    assert played.front(at, 2) == 4
    assert played.order(below) == ["ACCEPTED 50@97"]


def test_opposite_quote_reaching_the_price_fills_whole() -> None:
    scene = book()
    buy, sell = scene.buy(1, 50, 99), scene.sell(1, 50, 101)
    scene.depth(2, {101: 1})
    scene.depth(3, asks={98: 1})
    played = scene.play()
    assert played.order(buy)[1:] == ["FILLED 50@99 CROSS"]
    assert played.order(sell)[1:] == ["FILLED 50@101 CROSS"]


def test_best_price_fills_first_then_the_oldest() -> None:
    scene = book()
    orders = [scene.buy(1, 1, 98), scene.buy(1, 2, 99), scene.buy(1, 3, 99)]
    scene.sold(2, (90, 1))
    log = [row for row in scene.play().log if row[5] == 3]
    assert [row[20] for row in sorted(log, key=lambda row: row[20])] == [2, 5, 6]  # the position after each
    assert {row[3]: row[20] for row in log} == dict(zip(orders, (6, 2, 5), strict=True))


def test_row_by_row_in_the_feeds_order() -> None:
    """A level that comes and goes within one message fills what it reached."""
    scene = book()
    order = scene.buy(1, 1, 100)
    scene.messages.append(scene.messages[0].__class__(
        scene.messages[0].ts_event + 2_000_000, scene.messages[0].ts_recv + 2_000_000, 1, 9, ((1, 100, 3), (1, 100, 0)),
    ))  # fmt: skip
    assert scene.play().order(order)[1:] == ["FILLED 1@100 CROSS"]
