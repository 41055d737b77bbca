"""The orders of a trading session: what the gateway has been told of each, so that it is told everything once.

Theory of operation. A venue says the same thing twice (the reply and the stream), late, or in another order than it
happened. ``Orders`` takes what was heard and emits what the gateway has not heard yet, in an order that the table of
``venues/lifecycle.py`` allows and that does not depend on the order of arrival:

- Any evidence that an order reached the venue (a fill, an end, an amendment) is its ``Accepted`` too, if that has not
  been emitted; of a held order it is its ``Triggered``.
- A fill counts by its trade id. Where the venue states the cumulative quantity, a fill waits for those before it, and
  the end of the order waits for all fills that the venue counts; ``gaps`` names the orders whose fills must be asked
  for because some are missing.
- An amendment heard by reply and by stream is one ``Amended``; which request is meant is told by its price and size.
- What arrives after the end emits nothing more, except fills and answers to requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from matching import codes
from venues.orders import (
    Accepted,
    Amended,
    AmendRejected,
    AmendRequest,
    Canceled,
    CancelRejected,
    Expired,
    Filled,
    Held,
    NotFound,
    OrderRequest,
    Rejected,
    Triggered,
)
from venues.trading import Event, OrderAt
from venues.trading_parts import ClientIds

SENT, HELD, OPEN, ENDED = range(4)
REPLY, STREAM = 1, 2  # where an amendment was heard of
ENDED_MAX: Final = 20_000  # ended orders remembered, for what comes late
EARLY_MAX: Final = 1024  # fills of one order that wait for those before them


class Fill(NamedTuple):
    """One execution as heard. ``filled_lots`` is the order's total after it (-1: not said), ``total_lots`` the order's
    size at that time (0: not said)."""

    trade_id: str
    ticks: int
    lots: int
    liquidity: int
    fee_e8: int
    realized_e8: int
    ts_event_ns: int
    filled_lots: int = -1
    total_lots: int = 0
    other_fee_e8: int = 0
    other_asset: str | None = None


class End(NamedTuple):
    """The end of an order as heard: canceled or expired, with ``filled_lots`` executed before it (-1: not said)."""

    canceled: bool
    reason: int
    filled_lots: int
    ts_event_ns: int


@dataclass(slots=True)
class Amend:
    """A request to amend; ``heard`` is the sum of REPLY and STREAM."""

    number: int
    ticks: int
    lots: int
    heard: int = 0


class Track:
    """One order. ``stage``: SENT, HELD, OPEN or ENDED; ``lots`` its size as last confirmed. ``executed`` has every id
    that the venue has given it, in their order, and what was executed under each, where its session counts that."""

    __slots__ = (
        "amended_ns", "amends", "cancels", "client_id", "conditional", "early", "end", "executed", "filled_lots",
        "instrument", "leg",
        "lots", "market", "order_no", "reduce_only", "side", "stage", "ticks", "tif", "told_lots", "trades", "venue_id",
    )  # fmt: skip

    def __init__(self, order_no: int, instrument: int, client_id: str, side: int, ticks: int, lots: int) -> None:
        self.order_no = order_no
        self.instrument = instrument
        self.client_id = client_id
        self.side = side
        self.ticks = ticks
        self.lots = lots
        self.tif = codes.GTC
        self.market = self.conditional = self.reduce_only = False
        self.leg = 0
        self.venue_id = ""
        self.executed: dict[str, int] = {}
        self.stage = SENT
        self.filled_lots = 0
        self.told_lots = 0  # the most that the venue has said to be filled
        self.trades: dict[str, int] = {}  # trade id to lots; at most one entry a lot
        self.early: dict[int, Fill] = {}  # by the quantity before it; at most EARLY_MAX
        self.end: End | None = None
        self.amended_ns = 0  # the venue's time of the latest amendment
        self.amends: list[Amend] = []  # requests under way or not yet heard of twice
        self.cancels: set[int] = set()  # numbers of the requests under way


class Orders:
    """The tracks of one account, and the events that come of what is heard."""

    def __init__(self, account: int, ids: ClientIds, events: list[Event]) -> None:
        self.account = account
        self.ids = ids
        self.events = events
        self.ended_max = ENDED_MAX
        self.gaps: dict[int, None] = {}  # order numbers whose fills are incomplete
        self._tracks: dict[int, Track] = {}
        self._names: dict[str, Track] = {}
        self._venue_ids: dict[str, Track] = {}
        self._ended: dict[int, None] = {}

    # -- finding

    def __getitem__(self, order_no: int) -> Track:
        return self._tracks[order_no]

    def get(self, order_no: int) -> Track | None:
        return self._tracks.get(order_no)

    def client_id(self, order_no: int) -> str:
        """By which the venue knows an order of ours."""
        track = self._tracks.get(order_no)
        return track.client_id if track is not None else ""

    def named(self, client_id: str) -> Track | None:
        """The order of a client id, ours or the sender's own."""
        return self._names.get(client_id)

    def at_venue(self, venue_id: str) -> Track | None:
        return self._venue_ids.get(venue_id)

    def open(self, instrument: int | None = None) -> list[Track]:
        """Orders that have not ended, oldest first."""
        return [
            track
            for track in self._tracks.values()
            if track.stage != ENDED and (instrument is None or track.instrument == instrument)
        ]

    # -- coming and going

    def add(self, request: OrderRequest, client_id: str) -> Track:
        """An order that is about to be sent under this client id."""
        track = Track(request.order_no, request.instrument, client_id, request.side, request.ticks, request.lots)
        track.tif, track.market = request.tif, request.type == codes.MARKET
        track.conditional = request.trigger is not None
        track.reduce_only, track.leg = request.reduce_only, request.leg
        return self._keep(track)

    def adopt(self, found: OrderAt) -> Track:
        """An order of this run that was found at the venue (``found.order_no`` > 0) without our having sent it since we
        began. The gateway is told by the account's state, so it counts as accepted, its fills so far as told."""
        track = Track(found.order_no, found.instrument, found.client_id, found.side, found.ticks, found.lots)
        track.stage = HELD if found.is_held else OPEN
        track.conditional, track.reduce_only = found.is_held, found.reduce_only
        track.filled_lots = track.told_lots = found.filled_lots
        self.name(track, found.venue_id)
        return self._keep(track)

    def _keep(self, track: Track) -> Track:
        self._tracks[track.order_no] = self._names[track.client_id] = track
        return track

    def name(self, track: Track, venue_id: str) -> None:
        """The venue's id of an order (some venues give a new one with each amendment)."""
        if venue_id and venue_id not in track.executed:
            track.venue_id = venue_id
            track.executed[venue_id] = 0
            self._venue_ids[venue_id] = track

    def name_before(self, track: Track, venue_id: str) -> None:
        """An id that the venue gave the order before the one it has now."""
        if venue_id not in track.executed:
            track.executed[venue_id] = 0
            self._venue_ids[venue_id] = track

    def _close(self, track: Track) -> None:
        track.stage = ENDED
        track.early.clear()
        self.gaps.pop(track.order_no, None)
        self._ended[track.order_no] = None
        if len(self._ended) > self.ended_max:
            oldest = self._tracks.pop(next(iter(self._ended)))
            del self._ended[oldest.order_no]
            self._names.pop(oldest.client_id, None)
            for venue_id in oldest.executed:
                self._venue_ids.pop(venue_id, None)

    # -- what the venue has said

    def accept(self, track: Track, venue_id: str, ts_event_ns: int, now_ns: int) -> None:
        """It has the order: rests, or is being matched. Of a held order: it has been triggered."""
        self.name(track, venue_id)
        if track.stage >= OPEN:
            return
        kind = Triggered if track.stage == HELD else Accepted
        track.stage = OPEN
        event = kind(
            account=self.account, instrument=track.instrument, order_no=track.order_no, ts_event_ns=ts_event_ns,
            ts_recv_ns=now_ns, venue_id=track.venue_id or None,
        )  # fmt: skip
        self.events.append(event)

    def hold(self, track: Track, ts_event_ns: int, now_ns: int) -> None:
        """It has the order and waits for its trigger."""
        if track.stage == SENT:
            track.stage = HELD
            self._emit(Held, track, ts_event_ns, now_ns)

    def trigger(self, track: Track, venue_id: str, ts_event_ns: int, now_ns: int) -> None:
        """A held order has entered the book."""
        self.name(track, venue_id)
        if track.stage < OPEN:
            self.hold(track, ts_event_ns, now_ns)
            track.stage = OPEN
            self._emit(Triggered, track, ts_event_ns, now_ns)

    def reject(self, track: Track, refusal: tuple[int, int, str], ts_event_ns: int, now_ns: int) -> bool:
        """It refused the order (or, held, its engine did): ``refusal`` is reason, code and text. False: we know that it
        has the order, so that this refusal is about something else."""
        if track.stage not in (SENT, HELD):
            return False
        self._close(track)
        reason, code, text = refusal
        self._emit(Rejected, track, ts_event_ns, now_ns, reason=reason, code=code, text=text)
        return True

    def not_found(self, track: Track, now_ns: int) -> bool:
        """It knows no such order, asked after its settle window. False: we know that it had it."""
        if track.stage != SENT:
            return False
        self._close(track)
        self._emit(NotFound, track, 0, now_ns)
        return True

    def vanish(self, track: Track, now_ns: int) -> None:
        """It had the order and knows it no more, asked after its settle window: it is over, nobody can say by what.
        What was executed has been asked for."""
        self._close(track)
        self._emit(Expired, track, 0, now_ns, reason=codes.R_UNKNOWN_ORDER)

    def withdraw(self, track: Track, now_ns: int) -> None:
        """It was canceled before it left us."""
        self._close(track)
        self._emit(Canceled, track, 0, now_ns, reason=codes.R_USER)

    def told(self, track: Track, filled_lots: int) -> None:
        """The venue says that so much is filled; what is missing of it will come, or must be asked for."""
        track.told_lots = max(track.told_lots, filled_lots)
        if track.told_lots > track.filled_lots and track.stage != ENDED:
            self.gaps[track.order_no] = None

    def fill(self, track: Track, fill: Fill, now_ns: int) -> None:
        """An execution."""
        if fill.trade_id in track.trades:
            return
        before = fill.filled_lots - fill.lots if fill.filled_lots >= 0 else track.filled_lots
        if before > track.filled_lots and track.stage != ENDED:
            if len(track.early) < EARLY_MAX:
                track.early[before] = fill
            self.told(track, fill.filled_lots)
            return
        self._fill(track, fill, now_ns)
        while track.early:
            following = track.early.pop(track.filled_lots, None)
            if following is None:
                track.early = {at: one for at, one in track.early.items() if one.trade_id not in track.trades}
                break
            if following.trade_id not in track.trades:
                self._fill(track, following, now_ns)
        self._settle(track, now_ns)

    def _fill(self, track: Track, fill: Fill, now_ns: int) -> None:
        self.accept(track, "", fill.ts_event_ns, now_ns)
        track.trades[fill.trade_id] = fill.lots
        track.filled_lots += fill.lots
        total = fill.total_lots or track.lots
        leaves = max(0, total - track.filled_lots)
        was_open = track.stage != ENDED
        self._emit(
            Filled, track, fill.ts_event_ns, now_ns, ticks=fill.ticks, lots=fill.lots, leaves_lots=leaves,
            liquidity=fill.liquidity, fee_e8=fill.fee_e8, realized_e8=fill.realized_e8, trade_id=fill.trade_id,
            other_fee_e8=fill.other_fee_e8, other_asset=fill.other_asset,
        )  # fmt: skip
        if leaves == 0 and was_open:
            track.end = None
            self._close(track)

    def finish(self, track: Track, end: End, now_ns: int) -> None:
        """The order is over: canceled or expired."""
        if track.stage == ENDED:
            return
        if track.stage == SENT:
            self.accept(track, "", end.ts_event_ns, now_ns)
        if track.end is None:
            track.end = end
        self._settle(track, now_ns)

    def _settle(self, track: Track, now_ns: int) -> None:
        end = track.end
        if track.stage == ENDED:
            return
        if end is not None and end.filled_lots <= track.filled_lots:
            self._close(track)
            track.end = None
            self._emit(Canceled if end.canceled else Expired, track, end.ts_event_ns, now_ns, reason=end.reason)
            return
        self.told(track, end.filled_lots if end is not None else 0)
        if track.told_lots <= track.filled_lots:
            self.gaps.pop(track.order_no, None)

    # -- requests about an order, and their answers

    def amending(self, track: Track, number: int, request: AmendRequest) -> None:
        """A request to amend leaves."""
        track.amends.append(Amend(number, request.ticks, request.lots))

    def amended(self, track: Track, ticks: int, lots: int, ts_event_ns: int, now_ns: int, heard: int) -> None:
        """It has this price and total size now, by the reply or by the stream."""
        for amend in track.amends:
            if (amend.ticks, amend.lots) == (ticks, lots) and not amend.heard & heard:
                is_new = amend.heard == 0
                amend.heard |= heard
                if amend.heard == REPLY | STREAM:
                    track.amends.remove(amend)
                if is_new:
                    self._amended(track, ticks, lots, ts_event_ns, now_ns)
                return
        if track.stage != ENDED and (track.ticks, track.lots) != (ticks, lots):
            self._amended(track, ticks, lots, ts_event_ns, now_ns)

    def replaced(
        self, track: Track, number: int, ticks: int, lots: int, venue_id: str, ts_event_ns: int, now_ns: int
    ) -> int:
        """A new order stands in its place, by the request of this number (0: the oldest one, if any is under way).
        Returns the number of the request that this has answered, or 0."""
        answered = 0
        for amend in track.amends:
            if number in (0, amend.number):
                answered = amend.number
                track.amends.remove(amend)
                break
        if track.stage == SENT:
            self.accept(track, "", ts_event_ns, now_ns)
        self.name(track, venue_id)
        if track.stage != ENDED:
            self._amended(track, ticks, lots, ts_event_ns, now_ns)
        return answered

    def _amended(self, track: Track, ticks: int, lots: int, ts_event_ns: int, now_ns: int) -> None:
        if track.stage == SENT:
            self.accept(track, "", ts_event_ns, now_ns)
        if ts_event_ns < track.amended_ns:  # an older one is heard of late: answered, but the order is as it is
            ticks, lots = track.ticks, track.lots
        track.ticks, track.lots, track.amended_ns = ticks, lots, max(ts_event_ns, track.amended_ns)
        self._emit(Amended, track, ts_event_ns, now_ns, ticks=ticks, lots=lots)

    def amend_refused(self, track: Track, number: int, refusal: tuple[int, int, str], now_ns: int) -> None:
        """It refused the amendment of this number."""
        for amend in track.amends:
            if amend.number == number:
                track.amends.remove(amend)
                if amend.heard == 0:
                    reason, code, text = refusal
                    self._emit(AmendRejected, track, 0, now_ns, reason=reason, code=code, text=text)
                return

    def cancel_refused(self, track: Track, number: int, refusal: tuple[int, int, str], now_ns: int) -> None:
        """It refused the cancel of this number."""
        if number in track.cancels:
            track.cancels.discard(number)
            reason, code, text = refusal
            self._emit(CancelRejected, track, 0, now_ns, reason=reason, code=code, text=text)

    def _emit(self, kind: type[msgspec.Struct], track: Track, ts_event_ns: int, now_ns: int, **more: object) -> None:
        event = kind(
            account=self.account, instrument=track.instrument, order_no=track.order_no, ts_event_ns=ts_event_ns,
            ts_recv_ns=now_ns, venue_id=track.venue_id or None, **more,
        )  # fmt: skip
        self.events.append(event)  # type: ignore[arg-type]
