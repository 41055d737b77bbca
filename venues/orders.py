"""Order requests and private events: what crosses the execution interface, typed.

Commands go out, events come in, in the simulated venue and in every live connector alike. A command returns at once;
its outcome always arrives as an event. Prices are ticks, sizes lots, money 1e-8 of the settlement asset, rates 1e-12,
times nanoseconds UTC. Each event class carries the integer of ``matching.codes`` as ``kind``, so that the compiled
side and this one name the same thing; ``fold`` applies an order event to the order's lifecycle.

``order_no`` counts 1, 2, 3 ... within an account; ``instrument`` is the instrument's place in the run file.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from matching import codes
from matching.triggers import Trigger
from venues import lifecycle
from venues.errors import InstrumentError
from venues.instruments import Instrument

TIME_IN_FORCE_NAMES = {
    codes.GTC: "GTC", codes.IOC: "IOC", codes.FOK: "FOK", codes.GTX: "GTX", codes.GTD: "GTD",
}  # fmt: skip
TYPE_NAMES = {codes.LIMIT: "LIMIT", codes.MARKET: "MARKET"}


# -- commands


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A new order. ``side`` BUY or SELL, ``tif`` GTC, IOC, FOK, GTX (post-only) or GTD, ``type`` LIMIT or MARKET.

    ``trigger`` makes it conditional. ``expires_ns`` is its good-till instant (0: none). ``stp`` is a self-trade
    prevention of its own (STP_*; None: the account's or the venue's). ``leg`` is FLAG_LONG_LEG or FLAG_SHORT_LEG in
    hedge mode. ``close_position``: ``lots`` is 0, the venue sizes it when it executes. ``client_id``: a name of the
    sender's own (None: whoever sends it makes one).
    """

    account: int
    instrument: int
    order_no: int
    side: int
    lots: int
    ticks: int = 0
    tif: int = codes.GTC
    type: int = codes.LIMIT
    reduce_only: bool = False
    trigger: Trigger | None = None
    expires_ns: int = 0
    stp: int | None = None
    leg: int = 0
    close_position: bool = False
    client_id: str | None = None

    def checked(self, instrument: Instrument) -> OrderRequest:
        """This request, if the venue could take it at all; else ``InstrumentError`` naming the field.

        Checks form only: sides and kinds that exist, a size within the instrument's limits, a price where one belongs.
        Price bands, margin and notional depend on the moment and are the venue's business.
        """
        who = f"{instrument.symbol} order {self.order_no}"
        if self.side not in (codes.BUY, codes.SELL):
            raise InstrumentError(f"{who}: side is {self.side}, wanted BUY (0) or SELL (1)")
        if self.type not in TYPE_NAMES or self.tif not in TIME_IN_FORCE_NAMES:
            raise InstrumentError(f"{who}: no such order type {self.type} or time in force {self.tif}")
        if self.type == codes.MARKET and self.tif == codes.GTX:
            raise InstrumentError(f"{who}: tif GTX (post-only) contradicts type MARKET")
        self._check_rarer(who)
        most = instrument.max_market_lots if self.type == codes.MARKET else instrument.max_lots
        least = 0 if self.close_position else instrument.min_lots
        if self.lots < least or (most is not None and self.lots > most):
            raise InstrumentError(f"{who}: lots {self.lots} outside {least}..{most or 'unlimited'}")
        if self.type == codes.LIMIT:
            low, high = instrument.min_ticks or 1, instrument.max_ticks
            if self.ticks < low or (high is not None and self.ticks > high):
                raise InstrumentError(f"{who}: ticks {self.ticks} outside {low}..{high or 'unlimited'}")
        return self

    def _check_rarer(self, who: str) -> None:
        if self.expires_ns < 0:
            raise InstrumentError(f"{who}: expires_ns {self.expires_ns} is no instant")
        if self.stp is not None and not codes.STP_NONE <= self.stp <= codes.STP_REJECT_TAKER:
            raise InstrumentError(f"{who}: no such self-trade prevention {self.stp}")
        if self.leg not in (0, codes.FLAG_LONG_LEG, codes.FLAG_SHORT_LEG):
            raise InstrumentError(f"{who}: leg is {self.leg}, wanted FLAG_LONG_LEG, FLAG_SHORT_LEG or 0")
        if self.close_position and self.lots:
            raise InstrumentError(f"{who}: close_position leaves the size to the venue, lots is {self.lots}")


class AmendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A new price and a new total size for an open order; of a held one also a new trigger price (0: as it is)."""

    account: int
    instrument: int
    order_no: int
    ticks: int
    lots: int
    trigger_ticks: int = 0


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel one order."""

    account: int
    instrument: int
    order_no: int


class CancelAllRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel every open order of an account in one instrument."""

    account: int
    instrument: int


class SettingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Change a setting of the account: ``setting`` and ``value`` are SETTING_* and what codes.py says of it.
    ``number`` counts the account's requests of this kind, 1, 2, 3 ...; the answer carries it."""

    account: int
    instrument: int
    number: int
    setting: int
    value: int


# -- events about an order


class _OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """``ts_event_ns`` is the venue's time (0 where the wire has none), ``ts_recv_ns`` when it reached us.

    ``venue_id`` is the order's id at the venue, ``event_id`` the message's own id; None where the venue gives none."""

    kind: ClassVar[int] = 0

    account: int
    instrument: int
    order_no: int
    ts_event_ns: int
    ts_recv_ns: int
    venue_id: str | None = None
    event_id: str | None = None


class Accepted(_OrderEvent, frozen=True, kw_only=True):
    """The venue has the order; it rests, or is being matched."""

    kind: ClassVar[int] = codes.EV_ACCEPTED


class Held(_OrderEvent, frozen=True, kw_only=True):
    """The venue has the order and waits for its trigger price."""

    kind: ClassVar[int] = codes.EV_HELD


class Triggered(_OrderEvent, frozen=True, kw_only=True):
    """A held order has entered the book."""

    kind: ClassVar[int] = codes.EV_TRIGGERED


class Rejected(_OrderEvent, frozen=True, kw_only=True):
    """The venue refused the order. ``code`` and ``text`` are its own words (code 0: none)."""

    kind: ClassVar[int] = codes.EV_REJECTED

    reason: int
    code: int = 0
    text: str = ""


class Filled(_OrderEvent, frozen=True, kw_only=True):
    """An execution, partial or whole. ``fee_e8`` is negative for a rebate; ``leaves_lots`` as the venue says it."""

    kind: ClassVar[int] = codes.EV_FILLED

    ticks: int
    lots: int
    leaves_lots: int
    liquidity: int
    fee_e8: int
    realized_e8: int = 0
    trade_id: str | None = None
    other_fee_e8: int = 0  # charged in an asset that the instrument does not settle in: not in ``fee_e8``
    other_asset: str | None = None


class FillVoided(_OrderEvent, frozen=True, kw_only=True):
    """A fill was taken back."""

    kind: ClassVar[int] = lifecycle.EV_FILL_VOIDED

    lots: int
    trade_id: str


class Canceled(_OrderEvent, frozen=True, kw_only=True):
    """The order was canceled, by us or by hand."""

    kind: ClassVar[int] = codes.EV_CANCELED

    reason: int = codes.R_USER


class Expired(_OrderEvent, frozen=True, kw_only=True):
    """The venue closed the order: remainder of an IOC, post-only, reduce-only, liquidation ..."""

    kind: ClassVar[int] = codes.EV_EXPIRED

    reason: int


class CancelRejected(_OrderEvent, frozen=True, kw_only=True):
    """The venue refused a cancel. "Unknown order" does not say that the order never filled."""

    kind: ClassVar[int] = codes.EV_CANCEL_REJECTED

    reason: int
    code: int = 0
    text: str = ""


class Amended(_OrderEvent, frozen=True, kw_only=True):
    """The order now has this price and this total size."""

    kind: ClassVar[int] = codes.EV_AMENDED

    ticks: int
    lots: int


class AmendRejected(_OrderEvent, frozen=True, kw_only=True):
    """The venue refused an amendment; the order is as it was."""

    kind: ClassVar[int] = codes.EV_AMEND_REJECTED

    reason: int
    code: int = 0
    text: str = ""


class NotFound(_OrderEvent, frozen=True, kw_only=True):
    """Asked after its settle window, the venue knows no such order."""

    kind: ClassVar[int] = lifecycle.EV_NOT_FOUND


OrderEvent: TypeAlias = (
    Accepted | Held | Triggered | Rejected | Filled | FillVoided | Canceled | Expired | CancelRejected | Amended
    | AmendRejected | NotFound
)  # fmt: skip


# -- events about the account


class _AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """``ts_event_ns`` is the venue's time, ``ts_recv_ns`` when it reached us."""

    kind: ClassVar[int] = 0

    account: int
    ts_event_ns: int
    ts_recv_ns: int


class PositionChanged(_AccountEvent, frozen=True, kw_only=True):
    """The venue's own statement of a position (signed lots); ``leg`` FLAG_LONG_LEG or FLAG_SHORT_LEG in hedge mode."""

    instrument: int
    position_lots: int
    leg: int = 0


class BalanceChanged(_AccountEvent, frozen=True, kw_only=True):
    """The venue's own statement of a wallet."""

    asset: str
    wallet_e8: int


class FundingPaid(_AccountEvent, frozen=True, kw_only=True):
    """Funding booked for a boundary; ``payment_e8`` is positive when received."""

    kind: ClassVar[int] = codes.EV_FUNDING

    instrument: int
    boundary_ns: int
    position_lots: int
    rate_e12: int
    mark_e8: int
    payment_e8: int


class MarginWarning(_AccountEvent, frozen=True, kw_only=True):
    """The account is near its maintenance margin."""

    kind: ClassVar[int] = codes.EV_MARGIN_WARNING

    margin_e8: int
    maintenance_e8: int


class Liquidated(_AccountEvent, frozen=True, kw_only=True):
    """A position was taken over; ``side`` is the side of the taking trade, ``ticks`` the bankruptcy price, rounded."""

    kind: ClassVar[int] = codes.EV_LIQUIDATED

    instrument: int
    side: int
    ticks: int
    lots: int
    realized_e8: int
    fee_e8: int = 0


class AutoDeleveraged(_AccountEvent, frozen=True, kw_only=True):
    """A position was reduced against a bankrupt account's."""

    kind: ClassVar[int] = codes.EV_ADL

    instrument: int
    side: int
    ticks: int
    lots: int
    realized_e8: int


class SettingChanged(_AccountEvent, frozen=True, kw_only=True):
    """A setting is as asked for."""

    kind: ClassVar[int] = codes.EV_SETTING

    instrument: int
    number: int
    setting: int
    value: int


class SettingRejected(_AccountEvent, frozen=True, kw_only=True):
    """The venue refused to change a setting. ``code`` and ``text`` are its own words (code 0: none)."""

    kind: ClassVar[int] = codes.EV_SETTING_REJECTED

    instrument: int
    number: int
    setting: int
    value: int
    reason: int
    code: int = 0
    text: str = ""


AccountEvent: TypeAlias = PositionChanged | BalanceChanged | FundingPaid | MarginWarning | Liquidated | AutoDeleveraged


def fold(state: lifecycle.OrderState, event: OrderEvent) -> int:
    """Apply an order event to the order's lifecycle; returns the effects (``lifecycle.LATE`` ...).

    Raises ``LifecycleDefect`` for an event that the transition table does not allow."""
    return state.apply(
        event.kind,
        lots=getattr(event, "lots", 0),
        reason=getattr(event, "reason", codes.R_NONE),
        leaves_lots=getattr(event, "leaves_lots", None),
        trade_id=getattr(event, "trade_id", None),
        venue_id=event.venue_id,
        event_id=event.event_id,
    )
