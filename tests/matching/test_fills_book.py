"""The rules of docs/fills.md about books: the feed's levels, quotes, gaps, and what a lane took of them."""

from __future__ import annotations

from matching.codes import (
    GTX,
    IOC,
    MARKET,
)
from tests.matching.scenes import Scene, book

# -- books


def test_levels_are_what_the_feed_says() -> None:
    scene = Scene()
    scene.snapshot(0, {105: 5}, {100: 5})  # crossed, and left so
    buy, sell = scene.buy(1, 3, type=MARKET), scene.sell(2, 3, type=MARKET)
    played = scene.play()
    assert played.order(buy)[1:] == ["FILLED 3@100 TAKER"]
    assert played.order(sell)[1:] == ["FILLED 3@105 TAKER"]


def test_newer_quote_sets_the_top_and_deletes_better_levels() -> None:
    scene = book()
    scene.quote(1, {98: 7}, {101: 5}, ref=10)
    sell = scene.sell(2, 20, type=MARKET)
    assert scene.play().order(sell)[1:] == ["FILLED 7@98 TAKER", "EXPIRED 13@0 MARKET_REMAINDER"]


def test_quote_that_is_not_newer_is_ignored() -> None:
    scene = book()
    scene.depth(1, {99: 6}, ref=10)
    scene.quote(2, {98: 7}, {101: 1}, ref=10)
    sell = scene.sell(3, 6, type=MARKET)
    assert scene.play().order(sell)[1:] == ["FILLED 6@99 TAKER"]


def test_older_depth_cannot_undo_a_quote() -> None:
    scene = book()
    scene.quote(1, {98: 7}, {102: 2}, ref=10)
    scene.depth(2, {99: 5, 98: 1, 97: 4}, {101: 5, 102: 9, 103: 1}, ref=9)
    buy, sell = scene.buy(3, 9, type=MARKET), scene.sell(3, 20, type=MARKET)
    played = scene.play()
    assert played.order(buy)[1:] == ["FILLED 2@102 TAKER", "FILLED 1@103 TAKER", "EXPIRED 6@0 MARKET_REMAINDER"]
    assert played.order(sell)[1:] == ["FILLED 7@98 TAKER", "FILLED 4@97 TAKER", "EXPIRED 9@0 MARKET_REMAINDER"]


def test_quote_without_a_side_empties_it() -> None:
    scene = book()
    scene.quote(1, {99: 4}, {}, ref=10)
    buy = scene.buy(2, 1, type=MARKET)
    assert scene.play().order(buy)[1:] == ["EXPIRED 1@0 MARKET_REMAINDER"]


def test_nothing_enters_before_the_first_snapshot_or_after_a_gap() -> None:
    scene = Scene()
    scene.depth(0, {99: 5}, {101: 5})
    early = scene.buy(1, 1, 99)
    scene.snapshot(2, {99: 5}, {101: 5})
    resting = scene.buy(3, 1, 99)
    scene.gap(4)
    late = scene.buy(5, 1, 99)
    scene.cancel(5)
    played = scene.play()
    assert played.order(early) == ["REJECTED 1@99 NO_BOOK"]
    assert played.order(late) == ["REJECTED 1@99 NO_BOOK"]
    assert played.order(resting) == ["ACCEPTED 1@99", "CANCELED 1@99 USER"]


def test_stale_book_ignores_depth_but_trades_still_fill() -> None:
    scene = book()
    order = scene.buy(1, 2, 99)
    scene.gap(2)
    scene.depth(3, {99: 0}, {99: 4})  # neither moves the queue nor crosses
    scene.sold(4, (99, 6))
    played = scene.play()
    assert played.front(order, 3) == 5
    assert played.order(order)[1:] == ["FILLED 1@99 QUEUE"]


def test_snapshot_ends_staleness_and_fills_what_it_crosses() -> None:
    scene = book()
    near, far = scene.buy(1, 2, 99), scene.buy(1, 3, 98)
    scene.gap(2)
    scene.snapshot(3, {98: 2}, {99: 1, 101: 5})
    played = scene.play()
    assert played.order(near)[1:] == ["FILLED 2@99 CROSS"]
    assert played.front(far, 3) == 2
    assert played.order(far) == ["ACCEPTED 3@98"]


def test_prints_off_the_book_touch_nothing() -> None:
    scene = book()
    order = scene.buy(1, 2, 99)
    scene.other_prints(2, (97, 100))
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 2@99"]
    assert played.front(order, 2) == 5


def test_best_quotes_only_front_is_learned_when_displayed() -> None:
    scene = Scene({"l1_only": True})
    scene.quote(0, {99: 5}, {101: 5})
    behind, inside, first = scene.buy(1, 2, 97), scene.buy(1, 2, 100), scene.buy(1, 2, 99)
    scene.sold(2, (97, 50))  # through 99 and 100; at 97 nobody knows how many stood ahead
    scene.quote(3, {97: 8}, {101: 5})
    scene.sold(4, (97, 9))
    played = scene.play()
    assert played.front(inside, 1) == 0
    assert played.front(first, 1) == 5
    assert played.front(behind, 1) is None
    assert played.front(behind, 3) == 8
    assert played.order(inside)[1:] == ["FILLED 2@100 THROUGH"]
    assert played.order(behind)[1:] == ["FILLED 1@97 QUEUE"]


def test_best_quotes_only_worse_level_keeps_its_queue() -> None:
    scene = Scene({"l1_only": True})
    scene.quote(0, {99: 5}, {102: 5})
    order = scene.buy(1, 2, 99)
    scene.quote(2, {100: 1}, {102: 5})  # 99 is no longer displayed, but nobody left it
    scene.quote(3, {99: 9}, {102: 5})
    scene.quote(4, {98: 9}, {102: 5})  # now it is empty
    played = scene.play()
    assert [played.front(order, ms) for ms in (1, 2, 3, 4)] == [5, 5, 5, 0]


def test_best_quotes_only_ignores_depth_and_reads_a_snapshots_best() -> None:
    scene = Scene({"l1_only": True})
    scene.snapshot(0, {99: 5, 98: 5}, {101: 5, 102: 5})
    scene.depth(1, {100: 4})
    sell = scene.sell(2, 20, type=MARKET)
    assert scene.play().order(sell)[1:] == ["FILLED 5@99 TAKER", "EXPIRED 15@0 MARKET_REMAINDER"]


# -- overlay: what a lane took is gone for that lane


def test_taken_quantity_is_gone_for_the_lane() -> None:
    scene = book()
    scene.buy(1, 3, 101)
    second, third, post_only = (
        scene.buy(2, 4, 101, tif=IOC),
        scene.buy(3, 1, 102, tif=IOC),
        scene.buy(4, 1, 101, tif=GTX),
    )
    played = scene.play()
    assert played.order(second)[1:] == ["FILLED 2@101 TAKER", "EXPIRED 2@101 IOC_REMAINDER"]
    assert played.order(third)[1:] == ["FILLED 1@102 TAKER"]
    assert played.order(post_only) == ["ACCEPTED 1@101"]


def test_restated_level_is_no_refresh() -> None:
    scene = book()
    scene.buy(1, 5, 101)
    scene.depth(2, asks={101: 5})
    second = scene.buy(3, 1, 101, tif=IOC)
    scene.snapshot(4, {99: 5}, {101: 5, 102: 5})
    third = scene.buy(5, 1, 101, tif=IOC)
    scene.depth(6, asks={101: 4})
    fourth = scene.buy(7, 9, 101, tif=IOC)
    played = scene.play()
    assert played.order(second)[1:] == ["EXPIRED 1@101 IOC_REMAINDER"]
    assert played.order(third)[1:] == ["EXPIRED 1@101 IOC_REMAINDER"]
    assert played.order(fourth)[1:] == ["FILLED 4@101 TAKER", "EXPIRED 5@101 IOC_REMAINDER"]


def test_levels_outside_the_ladder_obey_the_same_rules() -> None:
    """What a lane took is forgotten also where the market has moved far away from the level."""
    scene = Scene({"window_ticks": 64})
    scene.snapshot(0, {1000: 5}, {1001: 5, 1002: 5, 1003: 5})
    scene.buy(1, 15, 1003)
    scene.snapshot(2, {99: 5}, {101: 1, 1001: 5, 1002: 5, 1003: 5})  # restated; 1001 and more now wait outside
    scene.depth(3, asks={1001: 5, 1002: 4})  # restated, changed
    scene.snapshot(4, {99: 5}, {101: 1, 1001: 5, 1002: 4, 1003: 2})  # restated, restated, changed
    order = scene.buy(5, 20, type=MARKET)
    taken = ["FILLED 1@101 TAKER", "FILLED 4@1002 TAKER", "FILLED 2@1003 TAKER", "EXPIRED 13@0 MARKET_REMAINDER"]
    assert scene.play().order(order)[1:] == taken


def test_lanes_do_not_see_each_others_takes() -> None:
    scene = book()
    scene.lanes = 2
    scene.buy(1, 5, 101, lane=0)
    other = scene.buy(2, 5, 101, tif=IOC, lane=1)
    assert scene.play().order(other, lane=1)[1:] == ["FILLED 5@101 TAKER"]


def test_crossing_is_judged_in_the_lanes_view() -> None:
    """The remainder of a taker rests above levels it took; only what it has not taken can cross it."""
    scene = Scene()
    scene.snapshot(0, {99: 5}, {101: 5, 105: 1})
    order = scene.buy(1, 9, 103)
    scene.depth(2, asks={101: 5})  # restated: still taken
    scene.depth(3, asks={104: 5})  # beyond the limit
    scene.depth(4, asks={102: 5})  # not the displayed best, but the lane's
    assert scene.play().order(order)[1:] == ["FILLED 5@101 TAKER", "FILLED 4@103 CROSS"]


def test_queue_starts_behind_what_the_lane_did_not_take() -> None:
    scene = book()
    scene.sell(1, 3, 99, tif=IOC)
    order = scene.buy(2, 1, 99)
    assert scene.play().front(order, 2) == 2
