"""The fill rules of docs/fills.md, one scene each; every scene runs on the reference and on the kernel.

Scenes read as a trader would tell them: a book, what was sent when, what the market did, and the events that follow.
`test_documented_rules_exist` holds the page to the tests that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from matching.codes import (
    EXCHANGE_NOPARTIAL,
    FLAG_REDUCE_ONLY,
    FOK,
    GTX,
    IOC,
    MARK_MID,
    MARKET,
    QUEUE_LOG,
    QUEUE_LOG2,
    QUEUE_POWER,
    QUEUE_POWER2,
    QUEUE_POWER3,
    QUEUE_RISK_AVERSE,
)
from tests.matching.scenes import Scene

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "fills.md"


def book(**settings: object) -> Scene:
    """Bids 99 x 5 and 98 x 5, asks 101 x 5 and 102 x 5."""
    scene = Scene(dict(settings))
    scene.snapshot(0, {99: 5, 98: 5}, {101: 5, 102: 5})
    return scene


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


# -- reduce-only


def test_reduce_only_is_cut_to_the_position() -> None:
    scene = book()
    scene.buy(1, 3, 101)
    wrong, right = scene.buy(2, 1, 99, flags=FLAG_REDUCE_ONLY), scene.sell(2, 9, 99, flags=FLAG_REDUCE_ONLY)
    after = scene.sell(3, 1, 99, flags=FLAG_REDUCE_ONLY)
    played = scene.play()
    assert played.order(wrong) == ["REJECTED 1@99 REDUCE_ONLY"]
    assert played.order(right) == ["ACCEPTED 3@99", "FILLED 3@99 TAKER"]
    assert played.order(after) == ["REJECTED 1@99 REDUCE_ONLY"]


def test_resting_reduce_only_expires_with_what_it_cannot_reduce() -> None:
    scene = book()
    scene.buy(1, 3, 101)
    first, second = scene.sell(2, 3, 103, flags=FLAG_REDUCE_ONLY), scene.sell(2, 2, 104, flags=FLAG_REDUCE_ONLY)
    scene.sell(3, 1, 99)
    scene.bought(4, (110, 1))
    played = scene.play()
    assert played.order(first)[1:] == ["FILLED 2@103 THROUGH", "EXPIRED 1@103 REDUCE_ONLY"]
    assert played.order(second)[1:] == ["EXPIRED 2@104 REDUCE_ONLY"]
    assert played.position == 0


def test_amended_reduce_only_is_cut_again() -> None:
    scene = book()
    scene.buy(1, 4, 101)
    order = scene.sell(2, 4, 103, flags=FLAG_REDUCE_ONLY)
    scene.sell(3, 3, 99)
    scene.amend(4, 4, 98)
    played = scene.play()
    assert played.order(order)[1:] == ["AMENDED 1@98", "FILLED 1@99 TAKER"]
    assert played.position == 0


# -- cancel and amend


def test_cancel_of_a_closed_order_is_refused() -> None:
    scene = book()
    scene.response_ms = 5
    order = scene.buy(1, 1, 101)
    scene.cancel(2)  # the fill is still on its way to us
    assert scene.play().order(order) == ["ACCEPTED 1@101", "FILLED 1@101 TAKER", "CANCEL_REJECTED UNKNOWN_ORDER"]


def test_amend_loses_the_place_in_the_queue() -> None:
    scene = book()
    order = scene.buy(1, 4, 99)
    scene.sold(2, (99, 3))
    scene.amend(3, 3, 99)
    played = scene.play()
    assert (played.front(order, 2), played.front(order, 3)) == (2, 5)
    assert played.order(order) == ["ACCEPTED 4@99", "AMENDED 3@99"]


def test_amend_counts_what_is_filled() -> None:
    scene = book()
    order = scene.buy(1, 4, 99)
    scene.sold(2, (99, 8))
    scene.amend(3, 5, 98)
    scene.amend(4, 3, 98)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 4@99", "FILLED 3@99 QUEUE", "AMENDED 5@98", "CANCELED 2@98 USER"]


def test_amend_that_changes_nothing_is_refused() -> None:
    scene = book()
    order = scene.buy(1, 4, 99)
    scene.amend(2, 4, 99)
    assert scene.play().order(order) == ["ACCEPTED 4@99", "AMEND_REJECTED NO_CHANGE"]


def test_amend_into_the_other_side_takes_or_expires() -> None:
    taking, post_only = book(), book(post_only_reject=True)
    first, second = taking.buy(1, 6, 99), post_only.buy(1, 6, 99, tif=GTX)
    taking.amend(2, 6, 101)
    post_only.amend(2, 6, 101)
    assert taking.play().order(first)[1:] == ["AMENDED 6@101", "FILLED 5@101 TAKER"]
    assert post_only.play().order(second)[1:] == ["EXPIRED 6@101 POST_ONLY"]


def test_amend_refused_leaves_the_order_as_it_was() -> None:
    scene = book(max_lots=5)
    order = scene.buy(1, 4, 99)
    scene.sold(2, (99, 3))
    scene.amend(3, 6, 98)
    scene.gap(4)
    scene.amend(5, 3, 98)
    played = scene.play()
    assert played.order(order) == ["ACCEPTED 4@99", "AMEND_REJECTED LOT_SIZE", "AMEND_REJECTED NO_BOOK"]
    assert played.front(order, 5) == 2


# -- mark, funding, liquidation


def test_funding_is_charged_on_the_position_at_the_boundary() -> None:
    """Rate and mark of the last message that names it, booked when one names the next: 5 lots * 110 * 0.03 %."""
    scene = book(funding_from_marks=True)
    scene.buy(1, 5, 101)
    scene.mark(2, 10**10, 10**8, boundary_ms=10)
    scene.mark(9, 10**10, 2 * 10**8, boundary_ms=10)
    scene.buy(11, 3, 102)
    scene.mark(12, 11 * 10**9, 3 * 10**8, boundary_ms=10)
    scene.mark(13, 12 * 10**9, 4 * 10**8, boundary_ms=20)
    scene.mark(14, 12 * 10**9, 4 * 10**8, boundary_ms=10)  # a straggler charges nothing twice
    scene.mark(15, 12 * 10**9, 4 * 10**8, boundary_ms=20)
    played = scene.play()
    assert played.account() == [f"FUNDING 5@{11 * 10**9}"]
    (payment, sent, stamp) = (played.column(name, 0)[0] for name in ("fee_e8", "ts_sent_ns", "ts_event_ns"))
    assert payment == -(5 * 11 * 10**9 // 10_000) * 3 // 10_000
    assert (sent - stamp) == 3_000_000


def test_boundary_passes_without_a_message_of_its_own() -> None:
    """Nothing of the market is stamped between the announcement and long after the boundary."""
    scene = book(funding_from_marks=True)
    scene.mark(1, 10**10, 10**8, boundary_ms=10)
    scene.buy(12, 5, 101)
    scene.mark(20, 10**10, 10**8, boundary_ms=30)
    assert scene.play().account() == []


def test_earlier_boundary_replaces_an_announced_one() -> None:
    """A venue that shortens the interval announces a nearer boundary than before."""
    scene = book(funding_from_marks=True)
    scene.buy(1, 5, 101)
    scene.mark(2, 10**10, 10**8, boundary_ms=50)
    scene.mark(3, 10**10, 10**8, boundary_ms=10)
    scene.mark(11, 10**10, 10**8, boundary_ms=50)
    assert scene.play().account() == [f"FUNDING 5@{10**10}"]


def test_funding_message_carries_its_own_rate_and_mark() -> None:
    scene = book()
    scene.sell(1, 5, 99)
    scene.mark(2, 10**10)
    scene.funding(3, 10**8, 0)
    scene.funding(4, 10**8, 2 * 10**10)
    played = scene.play()
    assert played.account() == [f"FUNDING -5@{10**10}", f"FUNDING -5@{2 * 10**10}"]
    assert played.column("fee_e8", 0) == [500, 1000]


def test_mid_as_mark_is_sampled_at_whole_seconds() -> None:
    scene = book(mark_source=MARK_MID)
    scene.buy(1, 5, 101)
    scene.depth(999, asks={101: 0})
    scene.depth(1000, {99: 0})  # stamped at the second: the sample comes before it
    scene.funding(1001, 10**8, 0)
    assert scene.play().account() == [f"FUNDING 5@{(99 + 102) * 10**7 // 2}"]


def test_liquidation_reduces_by_the_book_then_hands_over() -> None:
    """10 lots at 1000 on a deposit of 0.006: at a mark of 950 equity still covers 1 %, at 949 it does not.

    Every own order is cancelled, the book is sold down to the bankruptcy price, and the insurance fund takes the rest.
    """
    scene = Scene({"has_margin": True})
    scene.deposit_e8 = 600_000
    scene.snapshot(0, {990: 1}, {1000: 10})
    scene.mark(1, 1000 * 10**7)
    scene.buy(2, 10, 1000)
    resting = scene.sell(3, 1, 1100)
    scene.mark(4, 950 * 10**7)
    scene.depth(5, {990: 0, 949: 4, 930: 50})
    scene.mark(6, 949 * 10**7)
    played = scene.play()
    assert played.order(resting)[1:] == ["EXPIRED 1@1100 LIQUIDATION"]
    assert played.account()[0] == "FILLED 4@949 LIQUIDATION LIQUIDATION"
    assert played.account()[1].startswith("LIQUIDATED 6@94")
    assert played.position == 0
    assert 0 <= played.accounts[0][0] < 6 * 1000  # less than a tick of what was handed over


def test_documented_rules_exist() -> None:
    """Every test that docs/fills.md names is in this folder, and every scene here is named there."""
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    defined = set(re.findall(r"^ *def (test_\w+)\(", sources, re.MULTILINE))
    here = set(re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= defined, f"docs/fills.md names tests that do not exist: {sorted(named - defined)}"
    assert here <= named | {"test_documented_rules_exist"}, f"undocumented: {sorted(here - named)}"
