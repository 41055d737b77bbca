"""The transition table itself, the stories that traders know, and the page drawn from it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest

from matching import codes
from matching.codes import EV_HELD
from venues import lifecycle, lifecycle_doc
from venues.errors import LifecycleDefect
from venues.lifecycle import (
    ABSENT_ROW,
    CLOSED,
    CLOSED_ROW,
    DISCARDED_ROW,
    EV_ADOPTED,
    EV_FILL_VOIDED,
    EV_NOT_FOUND,
    EXTERNAL,
    FLAT,
    L_AMEND_SENT,
    L_CANCEL_SENT,
    L_DISCARDED,
    L_INTENDED,
    L_OUTCOME_LOST,
    L_REQUEST_LOST,
    L_SENT,
    LATE,
    OPEN,
    REFUSED_ROW,
    REPEAT,
    ROWS,
    SENT,
    TRIGGERS,
    UNKNOWN,
    OrderState,
    Status,
)

ACCEPTED, REJECTED, FILLED, CANCELED, CANCEL_REJECTED, AMENDED, AMEND_REJECTED, EXPIRED, TRIGGERED = range(1, 10)


Step: TypeAlias = int | tuple[int, Mapping[str, Any]]


def cell(row: int, pending: int, trigger: int) -> int:
    return FLAT[(row * 4 + pending) * TRIGGERS + trigger]


def told(lots: int, *story: Step) -> OrderState:
    """An order of ``lots`` lots after a story of triggers."""
    order = OrderState(7, lots)
    for part in story:
        trigger, arguments = part if isinstance(part, tuple) else (part, {})
        order.apply(trigger, **arguments)
    return order


def fill(lots: int, **more: Any) -> Step:
    return FILLED, {"lots": lots, **more}


# -- the table


def test_codes_are_those_of_the_kernels() -> None:
    names = [name for name in dir(codes) if name.startswith("EV_") and getattr(codes, name) < 20]
    assert sorted(getattr(codes, name) for name in names) == list(range(1, 11))
    for name in names:
        words = "".join(word.capitalize() for word in name.removeprefix("EV_").split("_"))
        assert lifecycle.event_name(getattr(codes, name)) == words


def test_status_integers_are_fixed() -> None:
    assert [status.name for status in Status] == ["INTENT", "SENT", "UNKNOWN", "HELD", "OPEN", "CLOSED"]
    assert [int(status) for status in Status] == [0, 1, 2, 3, 4, 5]


def test_unknown_is_left_only_on_the_venues_word() -> None:
    for pending, trigger in itertools.product(range(4), range(24, TRIGGERS)):
        entry = cell(UNKNOWN, pending, trigger)
        assert entry < 0 or entry & 15 == UNKNOWN, lifecycle.event_name(trigger)


def test_nothing_of_ours_closes_an_order_that_may_be_at_the_venue() -> None:
    for row, pending, trigger in itertools.product(range(ROWS), range(4), range(24, TRIGGERS)):
        entry = cell(row, pending, trigger)
        if entry >= 0 and CLOSED_ROW <= entry & 15 <= DISCARDED_ROW and row not in (entry & 15,):
            assert (row, trigger) == (lifecycle.INTENT, L_DISCARDED)


def test_a_closed_order_never_opens_again() -> None:
    for row, pending, trigger in itertools.product((CLOSED_ROW, REFUSED_ROW, DISCARDED_ROW), range(4), range(TRIGGERS)):
        entry = cell(row, pending, trigger)
        assert entry < 0 or entry & 15 in (CLOSED_ROW, REFUSED_ROW)


def test_a_discarded_order_hears_nothing() -> None:
    assert all(cell(DISCARDED_ROW, pending, t) < 0 for pending in range(4) for t in range(TRIGGERS))


def test_fills_are_taken_wherever_the_order_may_have_been() -> None:
    for row in (SENT, UNKNOWN, lifecycle.HELD, OPEN, CLOSED_ROW, REFUSED_ROW):
        for pending in range(4):
            assert cell(row, pending, FILLED) >= 0
            assert cell(row, pending, lifecycle.EV_FILLED_WHOLE) & 15 == CLOSED_ROW


def test_every_row_is_reached_and_every_trigger_used() -> None:
    reached = {entry & 15 for entry in FLAT if entry >= 0}
    assert reached == set(range(ROWS)) - {ABSENT_ROW}
    used = {index % TRIGGERS for index, entry in enumerate(FLAT) if entry >= 0}
    assert used == set(lifecycle.TRIGGER_NAMES)


def test_two_rules_for_one_cell_are_refused() -> None:
    with pytest.raises(ValueError, match="two rules for Accepted in SENT"):
        lifecycle._flatten((*lifecycle.TABLE, lifecycle.Rule((SENT,), ACCEPTED, CLOSED_ROW)))


def test_flat_table_for_compiled_code_is_the_table() -> None:
    flat = lifecycle.flat_table()
    assert flat.itemsize == 2
    assert tuple(flat) == FLAT


# -- stories

SENT_ORDER: tuple[Step, ...] = (L_INTENDED, L_SENT)
OPEN_ORDER: tuple[Step, ...] = (*SENT_ORDER, ACCEPTED)
CLOSE = {"reason": codes.R_USER}

STORIES: dict[str, tuple[int, tuple[Step, ...], str, int]] = {
    "rests and fills in parts": (5, (*OPEN_ORDER, fill(2), fill(3)), "filled", 5),
    "fills whole at once": (5, (*OPEN_ORDER, fill(5)), "filled", 5),
    "partly filled": (5, (*OPEN_ORDER, fill(2)), "partially filled", 2),
    "fill before acknowledgement": (5, (*SENT_ORDER, fill(2), ACCEPTED), "partially filled", 2),
    "whole fill before acknowledgement": (5, (*SENT_ORDER, fill(5), ACCEPTED), "filled", 5),
    "post-only refused": (5, (*SENT_ORDER, (REJECTED, {"reason": codes.R_POST_ONLY})), "rejected", 0),
    "IOC remainder": (5, (*OPEN_ORDER, fill(2), (EXPIRED, {"reason": codes.R_IOC_REMAINDER})), "expired", 2),
    "cancel under way": (5, (*OPEN_ORDER, L_CANCEL_SENT), "pending cancel", 0),
    "canceled": (5, (*OPEN_ORDER, L_CANCEL_SENT, (CANCELED, CLOSE)), "canceled", 0),
    "cancel loses the race": (
        5, (*OPEN_ORDER, L_CANCEL_SENT, fill(5), (CANCEL_REJECTED, {"reason": codes.R_UNKNOWN_ORDER})), "filled", 5,
    ),
    "refused cancel leaves it open": (5, (*OPEN_ORDER, L_CANCEL_SENT, CANCEL_REJECTED), "open", 0),
    "two cancels, one refused": (5, (*OPEN_ORDER, L_CANCEL_SENT, L_CANCEL_SENT, CANCEL_REJECTED), "pending cancel", 0),
    "lost cancel stays pending": (5, (*OPEN_ORDER, L_CANCEL_SENT, L_REQUEST_LOST), "pending cancel", 0),
    "fill while a cancel is lost": (5, (*OPEN_ORDER, L_CANCEL_SENT, L_REQUEST_LOST, fill(2)), "pending cancel", 2),
    "amend under way": (5, (*OPEN_ORDER, (L_AMEND_SENT, {"lots": 8})), "pending amend", 0),
    "amended up": (
        5, (*OPEN_ORDER, (L_AMEND_SENT, {"lots": 8}), (AMENDED, {"lots": 8}), fill(5)), "partially filled", 5,
    ),
    "fills past the old size while the amend is under way": (
        5, (*OPEN_ORDER, (L_AMEND_SENT, {"lots": 8}), fill(6), (AMENDED, {"lots": 8})), "partially filled", 6,
    ),
    "old size filled, then the amend is made": (
        5, (*OPEN_ORDER, (L_AMEND_SENT, {"lots": 8}), fill(5), (AMENDED, {"lots": 8}), fill(3)), "filled", 8,
    ),
    "old size filled, amend refused": (
        5, (*OPEN_ORDER, (L_AMEND_SENT, {"lots": 8}), fill(5), AMEND_REJECTED), "filled", 5,
    ),
    "amended to what is filled": (
        5, (*OPEN_ORDER, fill(3), (L_AMEND_SENT, {"lots": 3}), (AMENDED, {"lots": 3})), "filled", 3,
    ),
    "amended below what is filled, so canceled": (
        5, (*OPEN_ORDER, fill(3), (L_AMEND_SENT, {"lots": 2}), (CANCELED, CLOSE)), "canceled", 3,
    ),
    "timeout": (5, (*SENT_ORDER, L_OUTCOME_LOST), "unknown", 0),
    "timeout, then acknowledged": (5, (*SENT_ORDER, L_OUTCOME_LOST, ACCEPTED), "open", 0),
    "timeout, then filled": (5, (*SENT_ORDER, L_OUTCOME_LOST, fill(1)), "partially filled", 1),
    "timeout, never existed": (5, (*SENT_ORDER, L_OUTCOME_LOST, EV_NOT_FOUND), "rejected", 0),
    "timeout after the stream had answered": (5, (*OPEN_ORDER, L_OUTCOME_LOST), "open", 0),
    "crash between intent and sending": (5, (L_INTENDED, L_OUTCOME_LOST), "unknown", 0),
    "refused by our own risk check": (5, (L_INTENDED, (L_DISCARDED, {"reason": codes.R_MARGIN})), "rejected", 0),
    "stop order": (5, (*SENT_ORDER, EV_HELD), "untriggered", 0),
    "stop order triggers and fills": (5, (*SENT_ORDER, EV_HELD, TRIGGERED, fill(5)), "filled", 5),
    "stop order refused when it triggers": (
        5, (*SENT_ORDER, EV_HELD, (REJECTED, {"reason": codes.R_MARGIN})), "expired", 0,
    ),
    "liquidation closes it": (5, (*OPEN_ORDER, (EXPIRED, {"reason": codes.R_LIQUIDATION})), "expired", 0),
    "canceled by hand": (5, (*OPEN_ORDER, (CANCELED, CLOSE)), "canceled", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    lots, story, view, filled_lots = STORIES[name]
    order = told(lots, *story)
    assert (order.name, order.filled_lots) == (view, filled_lots)


def test_late_fill_counts_and_is_flagged_and_keeps_the_reason() -> None:
    order = told(5, *OPEN_ORDER, fill(1), L_CANCEL_SENT, (CANCELED, CLOSE))
    assert order.apply(FILLED, lots=4) & LATE
    assert (order.status, order.reason, order.filled_lots) == (CLOSED, codes.R_USER, 5)
    assert order.flags & LATE
    with pytest.raises(LifecycleDefect, match="1 lots, but only 0 were left"):
        order.apply(FILLED, lots=1)


def test_filled_is_never_overwritten() -> None:
    order = told(5, *OPEN_ORDER, fill(5))
    for trigger in (CANCELED, EXPIRED):
        with pytest.raises(LifecycleDefect, match="closed with reason 'filled' before"):
            order.apply(trigger, reason=codes.R_USER)
    assert (order.status, order.reason, order.filled_lots) == (CLOSED, codes.R_FILLED, 5)


def test_voided_fill_of_a_closed_order() -> None:
    order = told(5, *OPEN_ORDER, fill(2, trade_id="a"), fill(3, trade_id="b"))
    assert order.apply(EV_FILL_VOIDED, lots=3, trade_id="b") & LATE
    assert (order.status, order.reason, order.filled_lots) == (CLOSED, codes.R_FILLED, 2)
    assert order.apply(EV_FILL_VOIDED, lots=3, trade_id="b") == REPEAT
    assert order.filled_lots == 2
    assert order.apply(FILLED, lots=3, trade_id="b") & LATE  # the chain took it back in
    assert order.filled_lots == 5


def test_a_fill_that_was_never_made_cannot_be_voided() -> None:
    order = told(5, *OPEN_ORDER, fill(2, trade_id="a"))
    with pytest.raises(LifecycleDefect, match="takes back 2 lots"):
        order.apply(EV_FILL_VOIDED, lots=2, trade_id="z")
    with pytest.raises(LifecycleDefect, match="takes back 3 lots"):
        order.apply(EV_FILL_VOIDED, lots=3)


def test_a_trade_id_counts_once() -> None:
    order = told(5, *OPEN_ORDER, fill(2, trade_id="a"))
    assert order.apply(FILLED, lots=2, trade_id="a") == REPEAT
    assert order.filled_lots == 2


def test_an_event_id_counts_once_even_after_the_end() -> None:
    order = told(5, *OPEN_ORDER, (AMENDED, {"lots": 6, "event_id": "m1"}), (AMENDED, {"lots": 4, "event_id": "m2"}))
    assert order.apply(AMENDED, lots=6, event_id="m1") == REPEAT
    assert order.lots == 4
    order.apply(CANCELED, reason=codes.R_USER)
    assert order.apply(AMENDED, lots=4, event_id="m2") == REPEAT


def test_only_so_many_event_ids_are_kept() -> None:
    order = told(5, *OPEN_ORDER)
    for number in range(lifecycle.EVENT_IDS + 10):
        order.apply(ACCEPTED, event_id=str(number))
    assert len(order._seen) == lifecycle.EVENT_IDS


def test_the_venues_ids_are_kept_in_order() -> None:
    story = (*SENT_ORDER, (ACCEPTED, {"venue_id": "10"}), (AMENDED, {"lots": 6, "venue_id": "11"}))
    order = told(5, *story, (ACCEPTED, {"venue_id": "11"}))
    assert order.venue_ids == ["10", "11"]


def test_the_venue_says_that_nothing_is_left() -> None:
    order = told(5, *OPEN_ORDER, fill(2, leaves_lots=0))
    assert (order.name, order.filled_lots) == ("filled", 2)
    assert order.apply(FILLED, lots=3, leaves_lots=0) & LATE
    with pytest.raises(LifecycleDefect, match="the venue leaves 4 lots, we 3"):
        told(5, *OPEN_ORDER, fill(2, leaves_lots=4))


def test_external_order_is_adopted_open() -> None:
    order = OrderState.adopted("x1", 5, "900", filled_lots=2)
    assert (order.status, order.flags, order.venue_ids, order.name) == (OPEN, EXTERNAL, ["900"], "partially filled")
    held = OrderState.adopted("x2", 5, "901", held=True)
    assert held.name == "untriggered"
    with pytest.raises(LifecycleDefect, match="5 of 5 lots filled, yet open"):
        OrderState.adopted("x3", 5, "902", filled_lots=5)


DEFECTS: dict[str, tuple[Step, ...]] = {
    "accepted before it was sent": (L_INTENDED,),
    "accepted after it was refused": (*SENT_ORDER, (REJECTED, {"reason": codes.R_MARGIN})),
    "accepted after it was not found": (*SENT_ORDER, L_OUTCOME_LOST, EV_NOT_FOUND),
    "accepted without existing": (),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_acknowledgement_of_an_order_that_cannot_be_there(name: str) -> None:
    order = told(5, *DEFECTS[name])
    before = copy.deepcopy([getattr(order, slot) for slot in order.__slots__])
    with pytest.raises(LifecycleDefect, match=r"order 7: Accepted in state .*: the table does not allow it"):
        order.apply(ACCEPTED)
    assert before == [getattr(order, slot) for slot in order.__slots__]


@pytest.mark.parametrize(
    ("story", "trigger"),
    [
        (OPEN_ORDER, REJECTED),
        (OPEN_ORDER, CANCEL_REJECTED),
        (OPEN_ORDER, AMEND_REJECTED),
        (OPEN_ORDER, EV_NOT_FOUND),
        (OPEN_ORDER, L_SENT),
        (OPEN_ORDER, EV_ADOPTED),
        (OPEN_ORDER, 31),
        (OPEN_ORDER, 99),
        (OPEN_ORDER, -1),
        ((*OPEN_ORDER, (CANCELED, CLOSE)), L_CANCEL_SENT),
        ((*SENT_ORDER, L_OUTCOME_LOST), L_SENT),
        ((*SENT_ORDER, L_OUTCOME_LOST), L_AMEND_SENT),
    ],
)
def test_what_the_table_does_not_allow_is_a_defect(story: tuple[Step, ...], trigger: int) -> None:
    order = told(5, *story)
    with pytest.raises(LifecycleDefect) as caught:
        order.apply(trigger, lots=5)
    assert caught.value.order == 7
    assert caught.value.event == lifecycle.event_name(trigger)


def test_an_order_of_no_lots_is_refused() -> None:
    with pytest.raises(LifecycleDefect, match="an order of 0 lots"):
        OrderState(1, 0)


# -- the page


def test_the_page_is_up_to_date() -> None:
    assert lifecycle_doc.PATH.read_text(encoding="utf-8") == lifecycle_doc.render(), (
        "docs/lifecycle.md differs from the transition table: run python -m venues.lifecycle_doc"
    )


def test_the_page_shows_every_rule() -> None:
    assert lifecycle_doc.table().count("\n") == len(lifecycle.TABLE)
    shown = lifecycle_doc.diagram()
    for status in Status:
        assert f" {status.name}" in shown
