"""Good-till orders: how long a venue lets them live (docs/fills.md, section 11)."""

from __future__ import annotations

from typing import Any

import pytest

from matching.codes import EXPIRY_BLOCK, EXPIRY_DAY, EXPIRY_TIME, GTC, GTD, GTX, R_EXPIRY
from matching.forms import DAY_NS, OrderForms
from tests.matching.desk import MS, Desk, book, depth, sold

TIME = {"expiry": EXPIRY_TIME, "expiry_min_ns": 100 * MS, "expiry_max_ns": 300 * MS}
BLOCKS = {"expiry": EXPIRY_BLOCK, "block_ns": 10 * MS, "expiry_blocks": 4}


def desk_of(*messages: Any, **forms: Any) -> Desk:
    desk = Desk([book(), *messages, depth(900, {97: 1})], forms=OrderForms(**forms))
    desk.at(1)
    return desk


def times_ms(desk: Desk, number: int) -> list[float]:
    return [row[6] / MS for row in desk.core.canonical_log() if row[2] == number]


def test_an_order_ends_at_its_time_and_what_executed_before_stays() -> None:
    desk = desk_of(sold(50, 98, 1), **TIME)
    number, gone = desk.buy(98, 3, tif=GTD, until_ms=150), desk.buy(99, 3, tif=GTD, until_ms=140)
    desk.at(149)
    assert desk.resting() == {number: 3} and desk.said(gone)[-1] == "FILLED 3@99"
    desk.end()
    assert desk.said(number) == ["ACCEPTED 3@98", "EXPIRED 3@98 EXPIRED"] and times_ms(desk, number)[-1] == 150
    assert len(desk.said(gone)) == 2


def test_market_data_of_the_instant_comes_after_the_end() -> None:
    desk = desk_of(sold(150, 97, 1), **TIME)
    number = desk.buy(98, 3, tif=GTD, until_ms=150)
    desk.end()
    assert desk.said(number)[-1] == "EXPIRED 3@98 EXPIRED" and desk.position() == 0


@pytest.mark.parametrize("until_ms", [None, 0, 50, 101, 302])
def test_an_end_too_near_or_too_far_is_refused(until_ms: int | None) -> None:
    desk = desk_of(**TIME)
    assert desk.said(desk.buy(99, 3, tif=GTD, until_ms=until_ms)) == ["REJECTED 3@99 EXPIRY"]


@pytest.mark.parametrize("until_ms", [102, 301])
def test_ends_at_the_limits_are_taken(until_ms: int) -> None:
    desk = desk_of(**TIME)
    number = desk.buy(99, 3, tif=GTC, until_ms=until_ms)
    desk.end()
    assert times_ms(desk, number)[-1] == until_ms


def test_ends_are_cut_to_the_venues_resolution() -> None:
    desk = desk_of(**TIME, expiry_resolution_ns=50 * MS)
    number = desk.buy(99, 3, tif=GTD, until_ms=199)
    desk.end()
    assert times_ms(desk, number)[-1] == 150


def test_a_venue_without_good_till_orders_refuses_them() -> None:
    desk = desk_of()
    assert desk.said(desk.buy(99, 3, tif=GTD, until_ms=500)) == ["REJECTED 3@99 UNSUPPORTED"]


def test_good_till_block_lives_through_its_last_block() -> None:
    desk = desk_of(**BLOCKS)
    desk.at(12)  # in block 1
    number = desk.buy(99, 3, tif=GTX, until_ms=35)  # until block 3
    too_far, past = desk.buy(99, 3, tif=GTD, until_ms=60), desk.buy(99, 3, tif=GTD, until_ms=19)
    assert desk.said(too_far) == desk.said(past) == ["REJECTED 3@99 EXPIRY"]
    desk.end()
    assert times_ms(desk, number)[-1] == 40 and desk.said(number)[-1] == "EXPIRED 3@99 EXPIRED"


def test_a_replaced_order_ends_at_the_last_block_possible_and_must_end_later_than_before() -> None:
    desk = desk_of(**BLOCKS)
    number, last = desk.buy(99, 3, tif=GTD, until_ms=25), desk.buy(98, 3, tif=GTD, until_ms=49)
    desk.amend(last, 98, 4)
    desk.at(8)
    desk.amend(number, 98, 4)
    desk.end()
    assert desk.said(last) == ["ACCEPTED 3@98", "EXPIRED 3@98 EXPIRED", "AMEND_REJECTED EXPIRY"]
    assert desk.said(number) == ["ACCEPTED 3@99", "AMENDED 4@98", "EXPIRED 4@98 EXPIRED"]
    assert times_ms(desk, number)[-1] == 50


def test_day_orders_end_with_the_venues_day() -> None:
    forms = OrderForms(expiry=EXPIRY_DAY, day_end_ns=DAY_NS // 3)
    assert forms.end_of(0, 0) == DAY_NS // 3
    assert forms.end_of(DAY_NS // 3, 0) == DAY_NS // 3 + DAY_NS
    assert forms.end_of(DAY_NS // 3 - 1, DAY_NS // 3) == DAY_NS // 3
    assert forms.end_of(5, 77) == -R_EXPIRY
    desk = desk_of(expiry=EXPIRY_DAY, day_end_ns=70 * MS)
    number = desk.buy(99, 3, tif=GTD)
    desk.end()
    assert times_ms(desk, number)[-1] == 70


def test_a_slot_used_again_does_not_inherit_an_end() -> None:
    desk = desk_of(**TIME)
    first = desk.buy(98, 3, tif=GTD, until_ms=150)
    desk.cancel(first)
    while desk.core.pop_private():
        pass
    second = desk.buy(98, 3)
    assert desk.slots[0, second] == desk.slots[0, first]
    desk.end()
    assert desk.said(second) == ["ACCEPTED 3@98"]


@pytest.mark.parametrize("forms", [{"expiry": 9}, {"expiry": EXPIRY_BLOCK}, {"watches": (7,)}])
def test_forms_that_are_none_are_refused(forms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="order forms"):
        OrderForms(**forms)
