"""Requests, private events and how they fold into an order's life."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest

from matching import codes
from venues import known_instrument, lifecycle, orders
from venues.errors import InstrumentError, LifecycleDefect
from venues.lifecycle import L_INTENDED, L_SENT, OrderState
from venues.orders import Accepted, Canceled, Filled, OrderRequest, Rejected, fold

BTCUSDT = known_instrument("binance_usdm", "BTCUSDT")
WHERE: dict[str, Any] = {"account": 0, "instrument": 0, "order_no": 1, "ts_event_ns": 10, "ts_recv_ns": 20}


def request(**changes: int) -> OrderRequest:
    fields = {"account": 0, "instrument": 0, "order_no": 1, "side": codes.BUY, "lots": 10, "ticks": 281_451}
    return OrderRequest(**(fields | changes))  # type: ignore[arg-type]


def test_a_possible_order_is_returned() -> None:
    order = request()
    assert order.checked(BTCUSDT) is order
    assert request(type=codes.MARKET, ticks=0, lots=120_000).checked(BTCUSDT)
    assert request(type=codes.MARKET, ticks=0, lots=0, close_position=True, leg=codes.FLAG_SHORT_LEG).checked(BTCUSDT)
    assert request(tif=codes.GTD, expires_ns=10**18, stp=codes.STP_NONE).checked(BTCUSDT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 2}, "side is 2"),
        ({"tif": 7}, "time in force 7"),
        ({"type": 5}, "order type 5"),
        ({"type": codes.MARKET, "tif": codes.GTX}, "GTX .* contradicts type MARKET"),
        ({"lots": 0}, "lots 0 outside 1..1000000"),
        ({"lots": 1_000_001}, "lots 1000001 outside"),
        ({"lots": 120_001, "type": codes.MARKET}, "lots 120001 outside 1..120000"),
        ({"ticks": 0}, "ticks 0 outside 5568..45297640"),
        ({"ticks": 45_297_641}, "ticks 45297641 outside"),
        ({"expires_ns": -1}, "expires_ns -1"),
        ({"stp": 9}, "self-trade prevention 9"),
        ({"leg": 1}, "leg is 1"),
        ({"close_position": True}, "close_position leaves the size to the venue, lots is 10"),
    ],
)
def test_an_impossible_order_names_the_field(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InstrumentError, match=rf"BTCUSDT order 1: .*{message}"):
        request(**changes).checked(BTCUSDT)


def test_every_order_event_has_the_integer_and_name_of_its_trigger() -> None:
    kinds = {name: getattr(found, "kind", 0) for name, found in inspect.getmembers(orders, inspect.isclass)}
    events = {kind: name for name, kind in kinds.items() if isinstance(kind, int) and kind}
    for kind, name in events.items():
        assert lifecycle.event_name(kind) == name
    assert set(range(1, 11)) <= set(events)
    assert {codes.EV_FUNDING, codes.EV_MARGIN_WARNING, codes.EV_LIQUIDATED, codes.EV_ADL} <= set(events)


def test_events_fold_into_a_life() -> None:
    state = OrderState(1, 5)
    state.apply(L_INTENDED)
    state.apply(L_SENT)
    fold(state, Accepted(**WHERE, venue_id="77"))
    filled = Filled(
        **WHERE, ticks=281_451, lots=2, leaves_lots=3, liquidity=codes.LIQ_MAKER, fee_e8=112_580, trade_id="9"
    )
    assert fold(state, filled) == 0
    assert fold(state, filled) == lifecycle.REPEAT
    fold(state, Canceled(**WHERE, event_id="e1"))
    assert (state.name, state.filled_lots, state.venue_ids) == ("canceled", 2, ["77"])
    with pytest.raises(LifecycleDefect):
        fold(state, Rejected(**WHERE, reason=codes.R_MARGIN))


def test_events_are_frozen_and_travel_as_msgpack() -> None:
    event = Rejected(**WHERE, reason=codes.R_POST_ONLY, code=-5022, text="post-only")
    with pytest.raises(AttributeError):
        event.reason = 0  # type: ignore[misc]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Rejected) == event
