"""Conformance, fills: scenes in which simulators were found wrong. The table is docs/conformance.md.

Books are bids 99 x 5 and 98 x 5, asks 101 x 5 and 102 x 5 unless a scene builds its own; sizes are lots.
"""

from __future__ import annotations

from matching.codes import IOC, LIMIT, MARKET
from tests.matching.scenes import Scene, book


def test_a_partial_fill_is_booked_when_it_happens() -> None:
    """A resting buy of 10 behind 5 others: a print of 9 gives us 4, and they are ours at once."""
    scene = book()
    order = scene.buy(1, 10, 99)
    scene.sold(2, (99, 9))
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 10@99", "FILLED 4@99 QUEUE"]
    assert played.position == 4 and played.rests(order, 2)


def test_an_order_over_several_levels_books_all_of_them() -> None:
    scene = book()
    order = scene.buy(1, 8, type=MARKET)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 8@0", "FILLED 5@101 TAKER", "FILLED 3@102 TAKER"]
    assert played.position == 8


def test_an_immediate_or_cancel_order_keeps_what_it_got() -> None:
    scene = book()
    order = scene.buy(1, 9, 101, tif=IOC)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 9@101", "FILLED 5@101 TAKER", "EXPIRED 4@101 IOC_REMAINDER"]
    assert played.position == 5


def test_a_limit_order_takes_what_is_there_and_rests_with_the_rest() -> None:
    scene = book()
    order = scene.buy(1, 10, 101)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 10@101", "FILLED 5@101 TAKER"]
    assert played.position == 5 and played.rests(order, 1)


def test_an_order_filled_to_the_last_lot_is_gone() -> None:
    """A print of exactly what is ahead and what is left closes the order; nothing stays to be filled again."""
    scene = book()
    order = scene.buy(1, 4, 99)
    scene.sold(2, (99, 9))
    scene.sold(3, (99, 50))
    scene.cancel(4)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 4@99", "FILLED 4@99 QUEUE"]
    assert not played.rests(order, 2) and played.position == 4


def test_two_own_orders_share_one_print() -> None:
    """Behind 5 others a print of 8 has 3 lots for us, not 3 for each of two orders."""
    scene = book()
    first, second = scene.buy(1, 3, 99), scene.buy(1, 3, 99)
    scene.sold(2, (99, 8))
    played = scene.play()
    assert played.order(first)[1:] == ["FILLED 3@99 QUEUE"] and played.order(second)[1:] == []
    assert played.position == 3


def test_two_own_orders_cannot_take_the_same_liquidity() -> None:
    """The book shows 5 at 101 all along: the second order finds them taken."""
    scene = book()
    first, second = scene.buy(1, 5, 101, tif=IOC), scene.buy(2, 5, 101, tif=IOC)
    played = scene.play()
    assert played.order(first)[1:] == ["FILLED 5@101 TAKER"]
    assert played.order(second)[1:] == ["EXPIRED 5@101 IOC_REMAINDER"]


def test_a_taker_never_gets_more_than_is_offered() -> None:
    """Market order of 30 on a book of 10."""
    scene = book()
    order = scene.buy(1, 30, type=MARKET)
    played = scene.play()
    assert played.order(order)[1:] == ["FILLED 5@101 TAKER", "FILLED 5@102 TAKER", "EXPIRED 20@0 MARKET_REMAINDER"]
    assert played.position == 10


def test_a_deep_change_is_not_the_touch() -> None:
    """A row at 105 says nothing about 101: the market order executes at 101."""
    scene = book()
    scene.depth(1, asks={105: 7})
    scene.depth(2, {95: 7})
    buy, sell = scene.buy(3, 1, type=MARKET), scene.sell(4, 1, type=MARKET)
    played = scene.play()
    assert played.order(buy)[1:] == ["FILLED 1@101 TAKER"] and played.order(sell)[1:] == ["FILLED 1@99 TAKER"]


def test_a_change_of_one_side_leaves_the_other() -> None:
    scene = book()
    scene.depth(1, {99: 6})
    scene.bought(2, (100, 1))  # the last trade is elsewhere
    order = scene.buy(3, 2, type=MARKET)
    assert scene.play().order(order)[1:] == ["FILLED 2@101 TAKER"]


def test_a_print_through_the_price_fills() -> None:
    scene = book()
    order = scene.buy(1, 3, 98)
    scene.sold(2, (97, 1))
    assert scene.play().order(order)[1:] == ["FILLED 3@98 THROUGH"]


def test_the_book_falling_through_the_price_fills() -> None:
    scene = book()
    order = scene.buy(1, 3, 98)
    scene.depth(2, {99: 0, 98: 0}, {101: 0, 97: 4})
    assert scene.play().order(order)[1:] == ["FILLED 3@98 CROSS"]


def test_below_the_touch_others_are_ahead_too() -> None:
    scene = book()
    order = scene.buy(1, 3, 98)
    scene.depth(2, {99: 0})
    scene.sold(3, (98, 4))
    played = scene.play()
    assert played.front(order, 1) == 5 and played.front(order, 3) == 1
    assert played.position == 0


def test_touching_is_not_filling() -> None:
    """Prints at our price go to those ahead of us first."""
    scene = book()
    order = scene.buy(1, 1, 99)
    scene.sold(2, (99, 5))
    scene.sold(3, (99, 1))
    assert scene.play().order(order)[1:] == ["FILLED 1@99 QUEUE"]


def test_a_wide_snapshot_has_the_touch_it_says() -> None:
    """A thousand levels a side around 100,000, far wider than any window of prices kept at hand."""
    scene = Scene({"window_ticks": 64})
    scene.snapshot(0, {100_000 - 50 * k: 2 for k in range(1000)}, {100_010 + 50 * k: 2 for k in range(1000)})
    buy, sell = scene.buy(1, 3, type=MARKET), scene.sell(2, 3, type=MARKET)
    played = scene.play()
    assert played.order(buy)[1:] == ["FILLED 2@100010 TAKER", "FILLED 1@100060 TAKER"]
    assert played.order(sell)[1:] == ["FILLED 2@100000 TAKER", "FILLED 1@99950 TAKER"]


def test_levels_far_away_are_kept() -> None:
    """A price far outside the window neither crashes nor is forgotten: it is the touch when the rest is gone."""
    scene = Scene({"window_ticks": 64})
    scene.snapshot(0, {1000: 1, 200: 3}, {1001: 1, 900_000: 3})
    scene.depth(1, {1000: 0}, {1001: 0})
    order = scene.sell(2, 5, 200, type=LIMIT, tif=IOC)
    assert scene.play().order(order)[1:] == ["FILLED 3@200 TAKER", "EXPIRED 2@200 IOC_REMAINDER"]


def test_a_snapshot_leaves_no_ghosts() -> None:
    """Levels that a new snapshot does not name are gone, on both sides."""
    scene = book()
    scene.snapshot(1, {90: 1}, {110: 1})
    order = scene.buy(2, 9, type=MARKET)
    assert scene.play().order(order)[1:] == ["FILLED 1@110 TAKER", "EXPIRED 8@0 MARKET_REMAINDER"]


def test_a_book_without_trades_is_enough_for_a_market_order() -> None:
    """Depth alone: no quote and no print was ever sent."""
    scene = Scene()
    scene.snapshot(0, {99: 5}, {101: 5})
    scene.depth(1, {99: 6}, {101: 6})
    order = scene.buy(2, 2, type=MARKET)
    assert scene.play().order(order)[1:] == ["FILLED 2@101 TAKER"]


def test_prints_off_the_book_are_not_trades() -> None:
    """An insurance fund's print and somebody's forced order far from the market."""
    scene = book()
    order = scene.buy(1, 3, 98)
    scene.other_prints(2, (50, 100))
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 3@98"] and played.front(order, 2) == 5
