"""Questions to Hyperliquid's /info: the account's state after each connection, lost outcomes, missed fills.

Theory of operation. When the streams are subscribed, the state is asked for (``begin``): once the contracts' numbers,
then positions, open orders, money, and after the first time the fills since the connection was lost. When all of it is
there it goes out as one ``AccountState``; open orders of ours that the venue does not list are asked for one by one. A
question that failed is asked again after a growing pause. Lost outcomes are asked for by cloid until the venue knows,
or until it says that it knows no such order after an action of that age cannot act any more (``expiresAfter``).

Money of the account is that of perpetuals: the account's value without unrealized profits. An account that is unified
(``userAbstraction``) has it among its spot balances: assumed, since no recorded state of one is at hand.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from venues.errors import VenueError
from venues.hyperliquid import actions
from venues.hyperliquid.private_rows import AccountRow, OrderRow
from venues.hyperliquid.trading_account import Account, Ask
from venues.hyperliquid.trading_jobs import Desk
from venues.session_parts import MS, SECOND, Reply, retry_after_ns
from venues.trading import AccountState, Now, OrderAt, PositionAt
from venues.trading_orders import ENDED, SENT, Track

UNIFIED: Final = ("unifiedAccount", "portfolioMargin")
OPTIONAL: Final = ("abstraction", "spot", "limit")  # an account can be traded without knowing these
FILLS_ROWS: Final = 500  # an answer with so many may not be all
OVERLAP_MS: Final = 60_000
LOOK_BACK_MS: Final = 600_000
LIMIT_EVERY_NS: Final = 600 * SECOND
RETRY_NS: Final = SECOND
RETRY_MOST_NS: Final = 30 * SECOND


class Questions:
    """Asks and reads; see the module."""

    def __init__(self, account: Account, desk: Desk) -> None:
        self.account = account
        self.desk = desk
        self.is_synced = False
        self.since_ns = 0  # venue time of the first state: what was before is none of this session's
        self._missing: set[str] = set()
        self._found: dict[str, Any] = {}
        self._retries: list[tuple[int, Ask]] = []  # at most one a question
        self._lost_ms = 0  # when the streams were lost; 0: they were not
        self._is_unified = False
        self._limit_ns = 0
        symbols = [instrument.symbol for instrument in account.instruments.values()]
        self.dexes = sorted({symbol.rpartition(":")[0] for symbol in symbols})
        self._universes: dict[str, list[str]] = {}

    # -- the state

    def interrupted(self, now: Now) -> None:
        """The streams are gone: what they would have said must be asked for."""
        self.is_synced = False
        self._missing.clear()
        self._retries = [one for one in self._retries if one[1].what in ("order", "missed", "active")]
        self._lost_ms = self._lost_ms or self.account.now_ms(now)

    def begin(self, now: Now) -> None:
        """The streams are subscribed: ask for the state."""
        self.is_synced = False
        self._found = {}
        user = self.account.address
        asked: list[tuple[str, int, dict[str, Any]]] = []
        if not self.account.assets:
            asked += [(f"meta {dex}", 20, {"type": "meta", "dex": dex}) for dex in self.dexes]
            if any(self.dexes):
                asked.append(("dexes", 20, {"type": "perpDexs"}))
            asked.append(("abstraction", 20, {"type": "userAbstraction", "user": user}))
            asked.append(("limit", 20, {"type": "userRateLimit", "user": user}))
        for dex in self.dexes:
            more = {"dex": dex} if dex else {}
            asked.append((f"orders {dex}", 20, {"type": "frontendOpenOrders", "user": user, **more}))
            asked.append((f"state {dex}", 2, {"type": "clearinghouseState", "user": user, **more}))
        asked.append(("spot", 2, {"type": "spotClearinghouseState", "user": user}))
        if self._lost_ms and self.since_ns:
            start = max(self._lost_ms - OVERLAP_MS, 0)
            asked.append(("fills", 40, {"type": "userFillsByTime", "user": user, "startTime": start}))
        self._missing = {what for what, _, _ in asked}
        for what, weight, body in asked:
            self.account.ask(what, None, weight, **body)

    def _settle(self, what: str, now: Now) -> None:
        """One part of the state is there."""
        if what not in self._missing:
            return
        self._missing.discard(what)
        if not self._missing:
            self._number_assets()
            self._report(now)

    def _number_assets(self) -> None:
        if self.account.assets:
            return
        dexes: list[str] = self._found.get("dexes", [""])
        for place, instrument in self.account.instruments.items():
            dex = instrument.symbol.rpartition(":")[0]
            universe = self._universes[dex]
            if instrument.symbol not in universe or dex not in dexes:
                self.account.remark("the venue lists no such contract: its orders cannot be sent", instrument.symbol)
                continue
            self.account.assets[place] = actions.asset_number(dexes.index(dex), universe.index(instrument.symbol))

    def _report(self, now: Now) -> None:
        account, is_first = self.account, self.since_ns == 0
        states: list[AccountRow] = [self._found[f"state {dex}"] for dex in self.dexes]
        wallet_e8 = sum(state.wallet_e8 for state in states)
        if self._is_unified and "spot" in self._found:
            wallet_e8 = self._found["spot"]
        ts_event_ns = max((state.ts_event_ns for state in states), default=0) or now.wall_ns
        positions = [row for state in states for row in state.positions]
        for row in positions:
            self.desk.modes[row.instrument] = (row.leverage, row.isolated)
        others = sorted({coin for state in states for coin in state.others})
        if others:
            account.remark(f"the account also holds positions that are not of this run: {', '.join(others[:20])}")
        orders = self._orders([row for dex in self.dexes for row in self._found[f"orders {dex}"]], is_first, now)
        if is_first:
            self.since_ns = ts_event_ns
        self._lost_ms = 0
        self.is_synced = True
        account.events.append(
            AccountState(
                ts_event_ns=ts_event_ns,
                wallets_e8={"USDC": wallet_e8},
                positions=tuple(
                    PositionAt(
                        instrument=row.instrument, lots=row.lots, entry_price_e8=row.entry_price_e8,
                        leverage=row.leverage, isolated=row.isolated,
                    )
                    for row in positions
                ),
                orders=orders,
                is_first=is_first,
            )
        )  # fmt: skip

    def _orders(self, rows: list[OrderRow], is_first: bool, now: Now) -> tuple[OrderAt, ...]:
        """The open orders; what is heard of ours is made into events first."""
        ledger, found = self.account.ledger, []
        listed: set[int] = set()
        ledger.foreign.clear()
        for row in rows:
            track = ledger.find(row.oid, row.cloid)
            ledger.update(row, now.wall_ns)
            number = track.order_no if track else ledger.ids.order_no_of_hex(row.cloid)
            if track is not None:
                listed.add(number)
            lots, filled = row.lots, row.lots - row.left_lots
            if track is not None and not track.reduce_only:
                lots, filled = track.lots, track.filled_lots
            at = OrderAt(
                instrument=row.instrument, order_no=number, venue_id=row.oid, client_id=row.cloid, side=row.side,
                ticks=row.ticks, lots=lots, filled_lots=filled, is_held=row.is_trigger, reduce_only=row.reduce_only,
            )  # fmt: skip
            if track is None and number and is_first:
                ledger.foreign.pop(row.oid, None)
                ledger.adopt(at)
            found.append(at)
        for track in ledger.open():
            if track.order_no not in listed and (track.stage != SENT or track.venue_id):
                self.account.inquiries.open(track.order_no, "state", now.mono_ns, 0)
        return tuple(found)

    # -- one order

    def look(self, now: Now) -> None:
        """Doubts become inquiries, inquiries that are due questions, and what failed is asked again."""
        account, ledger = self.account, self.account.ledger
        for number in ledger.doubts:
            account.inquiries.open(number, "state", now.mono_ns, SECOND)
        ledger.doubts.clear()
        for number in ledger.gaps:
            account.inquiries.open(number, "fills", now.mono_ns)
        for inquiry in account.inquiries.due(now.mono_ns):
            track = ledger.get(inquiry.order_no)
            if track is None or (track.stage == ENDED and inquiry.what != "cancel"):
                account.inquiries.close(inquiry.order_no)
            elif inquiry.what == "fills":
                self._ask_fills("missed", (track.order_no, "fills"), now)
            else:
                about = (inquiry.order_no, inquiry.what)
                account.ask("order", about, 2, type="orderStatus", user=account.address, oid=track.client_id)
        waiting, self._retries = self._retries, []
        for due_ns, one in waiting:
            if due_ns <= now.mono_ns:
                account.ask(one.what, one.about, one.weight, one.tries, **one.body)
            else:
                self._retries.append((due_ns, one))
        if self.is_synced and now.mono_ns >= self._limit_ns and account.wanted.limits:
            self._limit_ns = now.mono_ns + LIMIT_EVERY_NS
            account.ask("limit", type="userRateLimit", user=account.address)
        if account.measure_ns and now.mono_ns >= account.measure_ns:
            account.measure_ns = now.mono_ns + RETRY_MOST_NS
            account.ask("clock", None, 2, type="clearinghouseState", user=account.address)

    def _ask_fills(self, what: str, about: tuple[int, str], now: Now) -> None:
        start = max(self.account.now_ms(now) - LOOK_BACK_MS, 0)
        self.account.ask(what, about, 40, type="userFillsByTime", user=self.account.address, startTime=start)

    def _judge(self, track: Track, what: str, row: OrderRow | None, now: Now) -> None:
        """What the venue says of an order that there was a question about."""
        account, number, ledger = self.account, track.order_no, self.account.ledger
        inquiries = account.inquiries
        settled = inquiries.has_settled(number, what, now.mono_ns)
        if row is None:
            if what == "submit" and settled and ledger.not_found(track, now.wall_ns):
                inquiries.close(number)
            elif track.stage == ENDED and settled:
                inquiries.close(number, what)
            elif track.stage != SENT and settled:  # it had the order and has it no more
                self._ask_fills("gone", (number, what), now)
            else:
                inquiries.again(number, what, now.mono_ns)
            return
        ledger.update(row, now.wall_ns)
        is_open = row.status in ("open", "triggered")
        if row.status == "filled" and track.filled_lots < track.lots:
            ledger.gaps[number] = None
        if what == "cancel" and is_open and settled and track.stage != ENDED:
            inquiries.close(number, what)
            self.desk.again(track, now)
            return
        if what == "amend" and settled:
            self.desk.amend_lost(track, now)
        if track.stage == ENDED:
            inquiries.close(number)
        elif what in ("submit", "amend", "state") and is_open and not track.amends and number not in ledger.gaps:
            inquiries.close(number, what)
        else:
            inquiries.again(number, what, now.mono_ns)

    # -- answers

    def replied(self, ask: Ask, reply: Reply, now: Now) -> None:
        """The answer to a question."""
        if reply.status == 429:
            wait_ns = retry_after_ns(reply.headers)
            self.account.throttle.hold(now.mono_ns + wait_ns, cancels=False)
            self.account.remark(f"{ask.body.get('type')}: 429: nothing but cancels is sent for {wait_ns // SECOND} s")
        if reply.status != 200:
            self._failed(ask, reply.error or f"HTTP {reply.status}", now, final=400 <= reply.status < 429)
            return
        try:
            self._read(ask, reply.body, now)
        except (VenueError, msgspec.DecodeError) as error:
            self._failed(ask, str(error), now, final=True)

    def _failed(self, ask: Ask, why: str, now: Now, *, final: bool) -> None:
        if final or ask.tries == 0:
            self.account.remark(f"{ask.body.get('type')}: {why}")
        if ask.what in OPTIONAL and final:
            self._settle(ask.what, now)
        elif ask.what in ("order", "missed", "gone"):
            number, what = ask.about
            self.account.inquiries.again(number, what, now.mono_ns)
        elif ask.what == "active" and final:
            self.desk.setting_refused(ask.about, 0, f"leverage is not known: {why}", now)
        elif ask.what != "clock":
            ask.tries += 1
            self._retries.append((now.mono_ns + min(RETRY_NS << min(ask.tries, 20), RETRY_MOST_NS), ask))

    def _read(self, ask: Ask, body: bytes, now: Now) -> None:
        codec, what = self.account.codec, ask.what
        kind, _, dex = what.partition(" ")
        if kind == "meta":
            self._universes[dex] = codec.assets(body)
        elif kind == "dexes":
            self._found["dexes"] = codec.dexes(body)
        elif kind == "state":
            self._found[what] = codec.account(body)
        elif kind == "orders":
            self._found[what] = codec.open_orders(body)
        elif kind == "spot":
            self._found["spot"] = codec.spot_usdc_e8(body)
        elif kind == "abstraction":
            self._is_unified = codec.word(body) in UNIFIED
        elif kind == "limit":
            earned = self.account.earned
            earned.used, earned.cap = codec.requests(body)
        elif kind in ("fills", "missed", "gone"):
            if self._read_fills(ask, body, now):
                return
        elif kind == "order":
            track = self.account.ledger.get(ask.about[0])
            if track is not None:
                self._judge(track, ask.about[1], codec.order_status(body), now)
        elif kind == "active":
            self.desk.modes[ask.about.instrument] = codec.leverage(body)
            self.desk.change(ask.about, now)
        elif kind == "clock":
            self._measure(ask, codec.account(body).ts_event_ns, now)
        self._settle(what, now)

    def _read_fills(self, ask: Ask, body: bytes, now: Now) -> bool:
        """Past fills; whether there may be more of them, which have been asked for."""
        rows, count = self.account.codec.user_fills(body)
        for row in rows:
            self.account.ledger.execution(row, False, now.wall_ns)
        latest = max((row.ts_event_ns for row in rows), default=0) // MS
        if count >= FILLS_ROWS and latest > ask.body["startTime"]:
            ask.body["startTime"] = latest
            self.account.ask(ask.what, ask.about, ask.weight, **ask.body)
            return True
        if ask.what in ("missed", "gone"):
            number, about = ask.about
            self._told_fills(number, about, ask.what == "gone", now)
        else:
            for track in self.account.ledger.open():
                self.account.ledger.sure(track, now.wall_ns)
        return False

    def _told_fills(self, number: int, what: str, is_gone: bool, now: Now) -> None:
        """All fills of an order are known now."""
        ledger, inquiries = self.account.ledger, self.account.inquiries
        track = ledger.get(number)
        if track is not None:
            ledger.sure(track, now.wall_ns)
            if is_gone and track.stage not in (SENT, ENDED):
                self.account.remark(
                    f"order {number} ({track.client_id}): the venue has accepted it and knows it no more: it counts as "
                    "over; look for it at the venue",
                    self.account.instruments[track.instrument].symbol,
                )
                ledger.vanish(track, now.wall_ns)
        if track is None or track.stage == ENDED or number not in ledger.gaps:
            inquiries.close(number, what)
        else:
            inquiries.again(number, what, now.mono_ns)

    def _measure(self, ask: Ask, venue_ns: int, now: Now) -> None:
        """One round trip for the venue's clock, which its answer may have behind by a block."""
        clock = self.account.clock
        if venue_ns and clock.trip(ask.sent_ns, now.mono_ns, venue_ns):
            self.account.measure_ns = now.mono_ns
        elif clock.is_known:
            self.account.measure_ns = clock.due_ns
            self.account.nonces.last = self.account.taken_nonce  # those of the wrong clock were refused
            off_ms = (now.wall_ns - clock.venue_ns(now)) // MS
            self.account.remark(f"this machine's clock is {off_ms} ms ahead of the venue's (behind where negative)")
