"""The rules of docs/fills.md about reduce-only orders, cancels and amends; and about marks, funding and liquidation."""

from __future__ import annotations

from matching.codes import (
    FLAG_REDUCE_ONLY,
    GTX,
    MARK_MID,
)
from tests.matching.scenes import Scene, book

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
    """Announced, passed and followed by a fill while nobody was to be woken: the fill is not charged."""
    scene = book(funding_from_marks=True)
    order = scene.buy(0, 5, 99)
    scene.mark(2, 10**10, 10**8, boundary_ms=10)
    scene.sold(12, (99, 10))
    scene.mark(20, 10**10, 10**8, boundary_ms=30)
    played = scene.play()
    assert played.order(order)[1:] == ["FILLED 5@99 QUEUE"]
    assert played.account() == []


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
    forced = played.order(-1)  # the venue's own order
    assert forced[0].startswith("ACCEPTED 10@94") and forced[2].startswith("EXPIRED 6@94")
    assert forced[1] == "FILLED 4@949 LIQUIDATION LIQUIDATION" and len(forced) == 3
    assert played.account()[0].startswith("LIQUIDATED 6@94")
    assert played.position == 0
    assert 0 <= played.accounts[0][0] < 6 * 1000  # less than a tick of what was handed over
