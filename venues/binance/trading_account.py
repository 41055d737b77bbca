"""What Binance holds of an account: its state after every connection, settings, margin calls. No I/O.

Theory of operation. ``sync`` asks for everything: position mode (once), wallets, positions, leverage and margin mode,
open orders and held ones, and the trades since the last one known. When all of it is there, missed fills become
events, orders that we believed open and that are not in the lists are asked about, and ``AccountState`` is told. A
part that fails is asked for again; a new connection begins anew. Funding: ``trading_funding.py``.

Leverage, margin mode and the countdown mean the same when they are sent twice, so one whose answer was lost is sent
again. Margin added twice would not: a lost one is ``OutcomeLost`` (what: setting), and ACCOUNT_UPDATE with reason
MARGIN_TRANSFER is its answer.

Sources: developers.binance.com, derivatives, usds-margined-futures: account, user-data-streams; coin-margined-futures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from matching import codes
from venues.binance import trading_encode as encode
from venues.binance.reasons import cure_of, reason_of
from venues.binance.trading_desk import WEIGHT, Desk, Request
from venues.binance.trading_evidence import TRADES_MAX, Evidence
from venues.binance.trading_funding import Funding
from venues.binance.trading_wire import (
    AccountAssets,
    AccountUpdate,
    AlgoState,
    ConfigUpdate,
    LeverageSet,
    MarginCall,
    OrderState,
    PositionMode,
    PositionState,
    Refusal,
    SymbolConfig,
    TradeRow,
)
from venues.errors import PayloadError
from venues.orders import (
    BalanceChanged,
    MarginWarning,
    PositionChanged,
    SettingChanged,
    SettingRejected,
    SettingRequest,
)
from venues.session_parts import MS, SECOND
from venues.trading import AccountState, Now, OrderAt, OutcomeLost, PositionAt
from venues.trading_parts import COMMAND, Seen

SETTING_TRIES: Final = 8
_SETTINGS: Final = {
    codes.SETTING_LEVERAGE: ("leverage", "leverage"),
    codes.SETTING_MODE: ("margin mode", "marginType"),
    codes.SETTING_MARGIN: ("margin", "positionMargin"),
    codes.SETTING_SHORT_MARGIN: ("margin", "positionMargin"),
    codes.SETTING_DEAD_MAN: ("countdown", "countdownCancelAll"),
}
Part = tuple[str, str]  # what, and of which symbol ("": of all)


class Account:
    """See the module's text."""

    def __init__(self, desk: Desk, evidence: Evidence, ready: Callable[[Now], None]) -> None:
        self.desk, self.evidence, self._ready = desk, evidence, ready
        self.places = desk.codec.places
        self.lots: dict[tuple[int, int], int] = {}  # positions by instrument and leg
        self.is_synced = False
        self._round = 0  # answers of an earlier sync are ignored
        self._since_ns = 0  # the venue's time at which this sync began
        self._parts: dict[Part, Any] = {}
        self._missing: set[Part] = set()
        self._mode_known = self._was_synced = False
        self._trades_from_ms = 0
        self._trades: dict[str, int] = {}  # by symbol: the highest trade id known when the stream was last whole
        self._stated_ns: dict[tuple[int, int], int] = {}
        self._seen = Seen()
        self.funding = Funding(desk, self.lots)
        self._margin_lost: dict[tuple[int, int], SettingRequest] = {}

    # -- the whole state

    def lost_touch(self) -> None:
        """The user stream is gone: what is known may be old."""
        self.is_synced = False
        self._round += 1

    def sync(self, now: Now) -> None:
        """Ask for everything."""
        self.is_synced = False
        self._round += 1
        self._since_ns = 0
        self._parts.clear()
        self._missing.clear()
        plan: list[tuple[Part, str, dict[str, str], Any, int]] = []
        linear, api = self.desk.api == "fapi", f"/{self.desk.api}/v1"
        if not self._mode_known:
            plan.append((("mode", ""), f"{api}/positionSide/dual", {}, PositionMode, 30))
        plan.append((("wallets", ""), "/fapi/v3/account" if linear else f"{api}/account", {}, AccountAssets, 5))
        plan.append(
            (("positions", ""), "/fapi/v3/positionRisk" if linear else f"{api}/positionRisk", {},
             list[PositionState], 5)
        )  # fmt: skip
        if linear:
            plan.append((("settings", ""), f"{api}/symbolConfig", {}, list[SymbolConfig], 5))
        for symbol in self.places:
            plan.append((("orders", symbol), f"{api}/openOrders", {"symbol": symbol}, list[OrderState], 1))
            plan.append((("held", symbol), f"{api}/openAlgoOrders", {"symbol": symbol}, list[AlgoState], 1))
            plan.append((("trades", symbol), f"{api}/userTrades", self._trades_since(symbol), list[TradeRow], 5))
        for row in plan:
            self._missing.add(row[0])
        for part, path, parameters, kind, cost in plan:
            self._ask(part, path, parameters, kind, cost, self._round, now)

    def _trades_since(self, symbol: str) -> dict[str, str]:
        known = self._trades.get(symbol)
        if known:
            return {"symbol": symbol, "fromId": str(known + 1), "limit": str(TRADES_MAX)}
        if self._was_synced:  # none was known: all since then
            return {"symbol": symbol, "startTime": str(self._trades_from_ms), "limit": str(TRADES_MAX)}
        return {"symbol": symbol, "limit": "1"}

    def _ask(
        self, part: Part, path: str, parameters: dict[str, str], kind: Any, cost: int, number: int, now: Now,
        tries: int = 0,
    ) -> None:  # fmt: skip
        def done(request: Request, body: bytes, then: Now) -> None:
            if number == self._round and part in self._missing:
                self._since_ns = self._since_ns or self.desk.clock.venue_ns(Now(then.wall_ns, request.sent_ns))
                self._take(part, self.desk.codec.read(kind, body), then)

        def refused(request: Request, refusal: Refusal, then: Now) -> None:
            if refusal.code == -1022:
                self.desk.halt(refusal, then)
            elif part[0] == "held" and refusal.code == 404:
                done(request, b"[]", then)  # a server without conditional orders
            else:
                lost(request, f"{refusal.code} {refusal.msg}: {cure_of(refusal.code)}".rstrip(": "), then)

        def lost(request: Request, why: str, then: Now) -> None:
            if number == self._round and self.desk.halted is None:
                self.desk.remark(" ".join(part).strip(), part[1], f"{why}; asked again")
                self.desk.retry(
                    tries, lambda at: self._ask(part, path, parameters, kind, cost, number, at, tries + 1), then
                )

        if number == self._round:
            self.desk.put(
                Request(" ".join(part).strip(), "GET", path, parameters, done, refused, lost, costs={WEIGHT: cost}), now
            )

    def _take(self, part: Part, found: Any, now: Now) -> None:
        if part[0] == "trades" and len(found) == TRADES_MAX:
            self._parts.setdefault(part, []).extend(found)
            following = {"symbol": part[1], "fromId": str(found[-1].trade_id + 1), "limit": str(TRADES_MAX)}
            path = f"/{self.desk.api}/v1/userTrades"
            self._ask(part, path, following, list[TradeRow], 5, self._round, now)
            return
        self._parts[part] = [*self._parts.get(part, []), *found] if part[0] == "trades" else found
        self._missing.discard(part)
        if part[0] == "mode":
            self._mode_known = True
            if found.dual:
                self.desk.remark("mode", "", "the account is in hedge mode: orders must name a leg")
        if not self._missing:
            try:
                self._complete(now)
            except PayloadError as error:
                self.desk.remark(" ".join(part).strip(), part[1], f"{error}; all is asked again")
                self.desk.retry(3, self.sync, now)

    def _complete(self, now: Now) -> None:
        is_first = not self._was_synced
        orders = self._open_orders(now)  # before the trades: they do not say an order's size
        for symbol in self.places:
            rows: list[TradeRow] = self._parts[("trades", symbol)]
            if not is_first:
                self.evidence.on_trades(rows, now)
            self._trades[symbol] = max([self._trades.get(symbol, 0), *(row.trade_id for row in rows)])
        state = AccountState(
            ts_event_ns=self._since_ns,
            wallets_e8={
                row.asset: self.desk.codec.money(row.wallet, f"assets.{row.asset}")
                for row in self._parts[("wallets", "")].assets
            },
            positions=self._positions(),
            orders=orders,
            is_first=is_first,
        )
        self.is_synced = self._was_synced = True
        self._trades_from_ms = self._since_ns // MS
        self.desk.events.append(state)
        self.evidence.adopted(now)
        self.funding.synced(self._since_ns // MS, is_first, now)
        self._ready(now)

    def _open_orders(self, now: Now) -> tuple[OrderAt, ...]:
        tracks, found, open_now = self.evidence.orders, [], set()
        for symbol in self.places:
            for order in self._parts[("orders", symbol)]:
                at = self._order_at(symbol, order)
                track = tracks.at_venue(at.venue_id) or tracks.named(order.client_id)
                if track is not None:
                    open_now.add(track.order_no)
                    self.evidence.apply(track, order, now)
                elif at.order_no:
                    open_now.add(tracks.adopt(at).order_no)
                found.append(at)
            for held in self._parts[("held", symbol)]:
                at = self._held_at(symbol, held)
                track = tracks.named(held.client_id)
                if track is not None:
                    open_now.add(track.order_no)
                    self.evidence.apply_algo(track, held, now)
                elif at.order_no:
                    open_now.add(tracks.adopt(at).order_no)
                found.append(at)
        for track in tracks.open():
            if track.order_no not in open_now:
                self.evidence.inquiries.open(track.order_no, "state", now.mono_ns)
        return tuple(found)

    def _number_of(self, client_id: str) -> int:
        known = self.evidence.orders.named(client_id)
        return known.order_no if known is not None else self.evidence.orders.ids.order_no(client_id)

    def _order_at(self, symbol: str, order: OrderState) -> OrderAt:
        codec = self.desk.codec
        known = self.evidence.orders.at_venue(str(order.order_id))
        return OrderAt(
            instrument=self.places[symbol],
            order_no=known.order_no if known is not None else self._number_of(order.client_id),
            venue_id=str(order.order_id),
            client_id=order.client_id,
            side=codec.buy_or_sell(order.side, "side"),
            ticks=codec.price(symbol, order.price, "price"),
            lots=codec.size(symbol, order.quantity, "origQty"),
            filled_lots=codec.size(symbol, order.filled, "executedQty"),
            is_held=False,
            reduce_only=order.reduce_only,
        )

    def _held_at(self, symbol: str, held: AlgoState) -> OrderAt:
        codec = self.desk.codec
        return OrderAt(
            instrument=self.places[symbol],
            order_no=self._number_of(held.client_id),
            venue_id="",
            client_id=held.client_id,
            side=codec.buy_or_sell(held.side, "side"),
            ticks=codec.price(symbol, held.price, "price") if held.price else 0,
            lots=codec.size(symbol, held.quantity, "quantity") if held.quantity else 0,
            filled_lots=0,
            is_held=True,
            reduce_only=held.reduce_only,
        )

    def _positions(self) -> tuple[PositionAt, ...]:
        codec, found = self.desk.codec, {}
        settings = {row.symbol: row for row in self._parts.get(("settings", ""), [])}
        self.lots.clear()
        for row in self._parts[("positions", "")]:
            if row.symbol not in self.places:
                if row.amount.strip("-0.") != "":
                    self.desk.remark("positions", row.symbol, f"a position of {row.amount} is not this run's")
                continue
            place, leg = self.places[row.symbol], codec.position_leg(row.leg, "positionSide")
            setting = settings.get(row.symbol)
            mode, leverage = (setting.mode, setting.leverage) if setting else (row.mode, int(row.leverage))
            lots = codec.signed_size(row.symbol, row.amount, "positionAmt")
            self.lots[place, leg] = lots
            found[place, leg] = PositionAt(
                instrument=place, lots=lots, entry_price_e8=codec.average(row.entry, "entryPrice"),
                leverage=leverage, isolated=mode.lower().startswith("isolated"), leg=leg,
            )  # fmt: skip
        for symbol, place in self.places.items():
            setting = settings.get(symbol)
            if not any(key[0] == place for key in found) and setting is not None:
                found[place, 0] = PositionAt(
                    instrument=place, lots=0, entry_price_e8=0, leverage=setting.leverage,
                    isolated=setting.mode.lower().startswith("isolated"),
                )  # fmt: skip
        return tuple(found.values())

    def saw_trade(self, symbol: str, trade_id: int) -> None:
        """A fill came by the stream, which is whole: the next sync asks for later ones only."""
        if self.is_synced:
            self._trades[symbol] = max(self._trades.get(symbol, 0), trade_id)

    # -- what the stream says of the account

    def on_account(self, update: AccountUpdate, payload: bytes, now: Now) -> None:
        """ACCOUNT_UPDATE."""
        if not self._seen.add(hashlib.blake2b(payload, digest_size=16).digest()):
            return
        codec, change, ts_ns = self.desk.codec, update.account, update.event_ms * MS
        common = {"account": self.desk.wanted.account, "ts_event_ns": ts_ns, "ts_recv_ns": now.wall_ns}
        for row in change.positions:
            place = self.places.get(row.symbol)
            if place is None:
                continue
            leg = codec.position_leg(row.leg, "a.P.ps")
            if self._stated_ns.get((place, leg), 0) > ts_ns:
                continue  # said before what we know
            self._stated_ns[place, leg] = ts_ns
            self.lots[place, leg] = lots = codec.signed_size(row.symbol, row.amount, "a.P.pa")
            self.desk.events.append(PositionChanged(instrument=place, position_lots=lots, leg=leg, **common))
        for balance in change.balances:
            wallet_e8 = codec.money(balance.wallet, "a.B.wb")
            self.desk.events.append(BalanceChanged(asset=balance.asset, wallet_e8=wallet_e8, **common))
        if change.reason == "FUNDING_FEE":
            self.funding.on_push(update, now)
        elif change.reason == "MARGIN_TRANSFER":
            for row in change.positions:
                place = self.places.get(row.symbol)
                for key in [key for key in self._margin_lost if key[0] == place]:
                    self._changed(self._margin_lost.pop(key), now)

    def on_margin_call(self, call: MarginCall, payload: bytes, now: Now) -> None:
        """MARGIN_CALL."""
        if not self._seen.add(hashlib.blake2b(payload, digest_size=16).digest()):
            return
        codec = self.desk.codec
        margin_e8 = codec.money(call.cross_wallet, "cw") if call.cross_wallet else 0
        for row in call.positions:
            margin_e8 += codec.money(row.unrealized, "p.up")
            if row.mode.lower().startswith("isolated"):
                margin_e8 += codec.money(row.isolated, "p.iw")
        maintenance_e8 = sum(codec.money(row.maintenance, "p.mm") for row in call.positions)
        self.desk.events.append(
            MarginWarning(
                account=self.desk.wanted.account, ts_event_ns=call.push_ms * MS, ts_recv_ns=now.wall_ns,
                margin_e8=margin_e8, maintenance_e8=maintenance_e8,
            )
        )  # fmt: skip

    def on_config(self, update: ConfigUpdate) -> None:
        """ACCOUNT_CONFIG_UPDATE: the answer to a request says it too, so it is only written down."""
        if update.leverage is not None:
            self.desk.remark("user", update.leverage.symbol, f"leverage is {update.leverage.leverage}")

    # -- settings

    def change(self, request: SettingRequest, now: Now, tries: int = 0) -> None:
        """Ask for a setting; see ``TradingSession``."""
        asked, path = _SETTINGS[request.setting]
        symbol = self.desk.wanted.instruments[request.instrument].symbol

        def done(answer: Request, body: bytes, then: Now) -> None:
            if request.setting == codes.SETTING_LEVERAGE:
                found: LeverageSet = self.desk.codec.read(LeverageSet, body)
                if found.leverage != request.value:
                    self.desk.remark(asked, symbol, f"asked for {request.value}, is {found.leverage}")
            if request.setting == codes.SETTING_DEAD_MAN:
                armed_ns = self.desk.clock.venue_ns(then) + request.value - 2 * SECOND if request.value else 0
                self.evidence.dead_man_ns[request.instrument] = armed_ns
            self._changed(request, then)

        def refused(answer: Request, refusal: Refusal, then: Now) -> None:
            if refusal.code == -4046 and tries:
                self._changed(request, then)  # the one before has done it
                return
            reason = reason_of(refusal.code) if refusal.code else codes.R_RATE_LIMIT
            self.desk.events.append(
                SettingRejected(
                    account=request.account, ts_event_ns=0, ts_recv_ns=then.wall_ns, instrument=request.instrument,
                    number=request.number, setting=request.setting, value=request.value, reason=reason,
                    code=refusal.code, text=refusal.msg,
                )
            )  # fmt: skip

        def lost(answer: Request, why: str, then: Now) -> None:
            if path == "positionMargin":
                self._margin_lost[request.instrument, request.number] = request
                self.desk.events.append(
                    OutcomeLost(instrument=request.instrument, order_no=0, what="setting", why=why[:200])
                )
                self.sync(then)
            elif tries < SETTING_TRIES and self.desk.halted is None:
                self.desk.remark(asked, symbol, f"{why}; sent again")
                self.desk.retry(tries, lambda at: self.change(request, at, tries + 1), then)
            else:
                refused(answer, Refusal(0, why), then)

        parameters = {"symbol": symbol, **_setting(request)}
        found = Request(
            asked, "POST", f"/{self.desk.api}/v1/{path}", parameters, done, refused, lost,
            rank=COMMAND, costs={WEIGHT: 10 if asked == "countdown" else 1},
        )  # fmt: skip
        self.desk.put(found, now)

    def _changed(self, request: SettingRequest, now: Now) -> None:
        self.desk.events.append(
            SettingChanged(
                account=request.account, ts_event_ns=0, ts_recv_ns=now.wall_ns, instrument=request.instrument,
                number=request.number, setting=request.setting, value=request.value,
            )
        )  # fmt: skip


def _setting(request: SettingRequest) -> dict[str, str]:
    """What of a setting is beside its symbol."""
    value = request.value
    if request.setting == codes.SETTING_LEVERAGE:
        return {"leverage": str(value)}
    if request.setting == codes.SETTING_MODE:
        return {"marginType": "ISOLATED" if value == codes.MODE_ISOLATED else "CROSSED"}
    if request.setting == codes.SETTING_DEAD_MAN:
        return {"countdownTime": str(value // MS)}
    found = {"amount": encode.money(abs(value)), "type": "1" if value >= 0 else "2"}
    if request.setting == codes.SETTING_SHORT_MARGIN:
        found["positionSide"] = "SHORT"
    return found
