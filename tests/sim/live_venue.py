"""A trading session without a wire: an exchange of one account that answers at the next tick, for tests of live."""

from __future__ import annotations

from typing import Any

from matching import codes
from venues.orders import (
    Accepted,
    Amended,
    AmendRequest,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Filled,
    FundingPaid,
    OrderRequest,
    PositionChanged,
    Rejected,
    SettingChanged,
    SettingRequest,
)
from venues.ports import Entropy
from venues.session_parts import Remark, Reply
from venues.trading import AccountState, Action, Event, NotReady, Now, OrderAt, OutcomeLost, PositionAt
from venues.trading_sessions import TradingWanted

MADE: list[VenueStandIn] = []
BEHAVIOUR: dict[str, Any] = {}


class VenueStandIn:
    """``BEHAVIOUR``: position, orders (open at the start), not_ready, lose (order numbers without an answer), found (of
    those: refused, says the venue when it is asked again), waits (order numbers that never leave), deaf (cancels are
    not answered), funding (paid at the first tick after so many), unreachable (what is remarked in place of the
    account's state), early (positions are stated before their fills), quiet (with the first fill only), fee, drift
    (stated positions are off by so much)."""

    def __init__(self, wanted: TradingWanted, entropy: Entropy) -> None:
        self.venue = wanted.venue
        self.wanted = wanted
        self.is_ready = False
        self.events: list[Event] = []
        self.answers: list[Any] = []
        self.commands: list[Any] = []
        self.open: dict[int, OrderRequest] = {}
        self.ticks = 0
        self.stopped = False
        self.asked = 0
        self.remarks = [BEHAVIOUR["unreachable"]] if "unreachable" in BEHAVIOUR else []
        MADE.append(self)

    def start(self, now: Now) -> None:
        if "not_ready" in BEHAVIOUR:
            self.events.append(NotReady(code=-2015, text="Invalid API-key", cure="check the key's permissions"))
            return
        if "unreachable" in BEHAVIOUR:
            return
        lots = self.position = BEHAVIOUR.get("position", 0)
        positions = (PositionAt(instrument=0, lots=lots, entry_price_e8=28_000 * 10**8, leverage=7, isolated=False),)
        orders = tuple(
            OrderAt(instrument=0, order_no=0, venue_id=str(n), client_id=f"x{n}", side=0, ticks=1, lots=1,
                    filled_lots=0, is_held=False)
            for n in range(BEHAVIOUR.get("orders", 0))
        )  # fmt: skip
        self.events.append(
            AccountState(
                ts_event_ns=now.wall_ns, wallets_e8={"USDT": 5_000 * 10**8}, positions=positions, orders=orders,
                is_first=True,
            )
        )  # fmt: skip
        self.is_ready = True

    def stop(self, now: Now) -> None:
        self.stopped = True

    def _say(self, kind: Any, request: Any, now: Now, **more: Any) -> None:
        self.events.append(
            kind(
                account=0, instrument=request.instrument, order_no=request.order_no, ts_event_ns=now.wall_ns,
                ts_recv_ns=now.wall_ns, **more,
            )
        )  # fmt: skip

    def submit(self, requests: list[OrderRequest], now: Now) -> None:
        self.commands += requests
        self.answers += requests

    def amend(self, requests: list[AmendRequest], now: Now) -> None:
        self.commands += requests
        self.answers += requests

    def cancel(self, requests: list[CancelRequest], now: Now) -> None:
        self.commands += requests
        if "deaf" not in BEHAVIOUR:
            self.answers += requests

    def cancel_all(self, request: Any, now: Now) -> None:
        self.commands.append(request)

    def change(self, request: SettingRequest, now: Now) -> None:
        self.commands.append(request)
        self.events.append(
            SettingChanged(
                account=0, ts_event_ns=now.wall_ns, ts_recv_ns=now.wall_ns, instrument=request.instrument,
                number=request.number, setting=request.setting, value=request.value,
            )
        )  # fmt: skip

    def ask_again(self, now: Now) -> None:
        self.asked += 1
        for number in BEHAVIOUR.get("found", ()):
            request = next(one for one in self.commands if isinstance(one, OrderRequest) and one.order_no == number)
            self._say(Rejected, request, now, reason=codes.R_MARGIN, code=-2019, text="Margin is insufficient.")

    def client_id(self, order_no: int) -> str:
        return f"run-{order_no}"

    def cure(self, code: int) -> str:
        return "the venue's own cure" if code == -2011 else ""

    def on_open(self, connection: str, now: Now) -> None: ...

    def on_frame(self, connection: str, payload: bytes, now: Now) -> None: ...

    def on_close(self, connection: str, now: Now) -> None: ...

    def on_reply(self, number: int, reply: Reply, now: Now) -> None: ...

    def on_tick(self, now: Now) -> None:
        self.ticks += 1
        if self.ticks == BEHAVIOUR.get("funding"):
            self.events.append(
                FundingPaid(
                    account=0, ts_event_ns=now.wall_ns, ts_recv_ns=now.wall_ns, instrument=0,
                    boundary_ns=now.wall_ns, position_lots=10, rate_e12=10**8, mark_e8=28_000 * 10**8,
                    payment_e8=-2_800_000,
                )
            )  # fmt: skip
        answers, self.answers = self.answers, []
        for request in answers:
            self._answer(request, now)

    def _answer(self, request: Any, now: Now) -> None:
        number = request.order_no
        if isinstance(request, CancelRequest):
            if self.open.pop(number, None) is None:
                self._say(CancelRejected, request, now, reason=codes.R_UNKNOWN_ORDER, code=-2011, text="Unknown order")
            else:
                self._say(Canceled, request, now)
        elif isinstance(request, AmendRequest):
            self._say(Amended, request, now, ticks=request.ticks, lots=request.lots)
        elif number in BEHAVIOUR.get("waits", ()):
            pass
        elif number in BEHAVIOUR.get("lose", ()):
            self.events.append(OutcomeLost(instrument=0, order_no=number, what="submit", why="timeout"))
        elif request.lots >= 1_000:
            self._say(Rejected, request, now, reason=codes.R_MARGIN, code=-2019, text="Margin is insufficient.")
        elif request.type == codes.MARKET:
            self._say(Accepted, request, now)
            self.position += request.lots if request.side == codes.BUY else -request.lots
            stated = PositionChanged(
                account=0, ts_event_ns=now.wall_ns, ts_recv_ns=now.wall_ns, instrument=0,
                position_lots=self.position + BEHAVIOUR.get("drift", 0),
            )  # fmt: skip
            quiet = "quiet" in BEHAVIOUR and number > 1
            self.events += [stated] if "early" in BEHAVIOUR else []
            more = {"liquidity": codes.LIQ_TAKER, "fee_e8": 1_000, "trade_id": str(number)} | BEHAVIOUR.get("fee", {})
            self._say(Filled, request, now, ticks=281_500, lots=request.lots, leaves_lots=0, **more)
            self.events += [] if "early" in BEHAVIOUR or quiet else [stated]
        elif request.tif == codes.IOC:
            self._say(Accepted, request, now)
            self._say(Expired, request, now, reason=codes.R_IOC_REMAINDER)
        else:
            self.open[number] = request
            self._say(Accepted, request, now)

    def take_actions(self) -> list[Action]:
        found, self.remarks = self.remarks, []
        return [Remark("server time", "", text) for text in found]

    def take_events(self) -> list[Event]:
        found, self.events = self.events, []
        return found
