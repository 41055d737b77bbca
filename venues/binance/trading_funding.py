"""Funding at Binance: each payment told once, in the amount that the venue states, as soon as it states it. No I/O.

Theory of operation. ACCOUNT_UPDATE with reason FUNDING_FEE says what a wallet changed by, and (USD-M) by which symbol
(``S``; of an isolated position its row). That is the whole payment but for rate and mark: it is told at once, without
these two. Two seconds later the income endpoint is asked, which lists all payments (each counts once, by ``tranId``).
A row of the amount that was pushed for its symbol and boundary confirms that push and tells nothing; a payment that no
push named is told now, with the rate and mark of fundingRate. Should push and row state different amounts, the row is
right: the difference is told, so that the sum of what was told is the sum of the rows. A push that comes after its row
tells nothing, nor does one of an amount that was told already: if it was another payment, its row says so. The list is
asked until it has as many new rows as there were pushes; what stays without a row for minutes is remarked. A push
before the account's first state tells nothing either: that state has it.

The boundary is the full hour before the stated time, which carries jitter; the position is the one that we know.

Sources: developers.binance.com, usds-margined-futures and coin-margined-futures: user-data-streams, account; ``S``: the
venue's own SDK (AccountUpdateA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from venues.binance.trading_desk import WEIGHT, Desk, Request
from venues.binance.trading_wire import AccountUpdate, IncomeRow, RateRow, Refusal
from venues.facts import HOUR_NS
from venues.instruments import mark_e8_from_str
from venues.orders import FundingPaid
from venues.session_parts import MS, SECOND
from venues.trading import Now
from venues.trading_parts import Seen

WAIT_NS: Final = 2 * SECOND
TRIES: Final = 8
BOUNDARIES_MAX: Final = 1024
_HOUR_MS: Final = HOUR_NS // MS


@dataclass(slots=True)
class _Payment:
    """One that was told: by a push, by a row of the income endpoint, or by both."""

    amount_e8: int
    is_pushed: bool = False
    is_listed: bool = False
    is_missed: bool = False  # not listed for minutes, which was remarked


class Funding:
    """See the module's text. ``lots`` are the positions known, by instrument and leg."""

    def __init__(self, desk: Desk, lots: Mapping[tuple[int, int], int]) -> None:
        self.desk, self.places, self._lots = desk, desk.codec.places, lots
        self._told: dict[tuple[str, int], list[_Payment]] = {}  # by symbol and boundary in ms
        self._seen = Seen()  # rows
        self._from_ms = 0
        self._unlisted = 0  # pushes for which there was no row yet
        self._is_due = False

    def synced(self, since_ms: int, is_first: bool, now: Now) -> None:
        """The account's state is known as of then; a boundary may have passed while the stream was away."""
        if not is_first and self._from_ms // _HOUR_MS < since_ms // _HOUR_MS:
            self._soon(now)
        self._from_ms = self._from_ms or since_ms

    # -- what the stream says

    def on_push(self, update: AccountUpdate, now: Now) -> None:
        """ACCOUNT_UPDATE because of funding."""
        if not self._from_ms:
            return
        self._soon(now)
        self._unlisted += 1
        change = update.account
        symbols = {change.symbol} if change.symbol else {row.symbol for row in change.positions}
        if len(symbols) != 1 or len(change.balances) != 1:
            return  # which symbol it is, only the list says
        symbol, balance = symbols.pop(), change.balances[0]
        amount_e8 = self.desk.codec.money(balance.change, "a.B.bc")
        place = self.places.get(symbol)
        if place is None or not amount_e8 or self.desk.wanted.instruments[place].settle != balance.asset:
            return
        payments = self._payments(symbol, update.event_ms)
        known = next((payment for payment in payments if payment.amount_e8 == amount_e8), None)
        known = known or next((payment for payment in payments if not payment.is_pushed), None)
        if known is not None:
            known.is_pushed = True
            return
        payments.append(_Payment(amount_e8, is_pushed=True))
        self._tell(symbol, update.event_ms, amount_e8, self._net_lots(symbol), None, now)

    def _payments(self, symbol: str, time_ms: int) -> list[_Payment]:
        found = self._told.setdefault((symbol, time_ms // _HOUR_MS * _HOUR_MS), [])
        if len(self._told) > BOUNDARIES_MAX:
            del self._told[next(iter(self._told))]
        return found

    def _net_lots(self, symbol: str) -> int:
        place = self.places[symbol]
        return sum(lots for (at, _), lots in self._lots.items() if at == place)

    def _tell(self, symbol: str, time_ms: int, amount_e8: int, lots: int, rate: RateRow | None, now: Now) -> None:
        codec = self.desk.codec
        self.desk.events.append(
            FundingPaid(
                account=self.desk.wanted.account,
                ts_event_ns=time_ms * MS,
                ts_recv_ns=now.wall_ns,
                instrument=self.places[symbol],
                boundary_ns=time_ms // _HOUR_MS * HOUR_NS,
                position_lots=lots,
                rate_e12=codec.rate(rate.rate, "fundingRate") if rate is not None else 0,
                mark_e8=mark_e8_from_str(rate.mark) if rate is not None and rate.mark.strip("0.") else 0,
                payment_e8=amount_e8,
            )
        )

    # -- what the account's list says

    def _soon(self, now: Now) -> None:
        if not self._is_due:
            self._is_due = True
            self.desk.later(WAIT_NS, self._ask, now)

    def _ask(self, now: Now, tries: int = 0) -> None:
        def done(request: Request, body: bytes, then: Now) -> None:
            rows: list[IncomeRow] = self.desk.codec.read(list[IncomeRow], body)
            new = [row for row in rows if row.kind == "FUNDING_FEE" and row.number not in self._seen]
            for row in new:
                self._seen.add(row.number)  # one by one: those behind a row that cannot be read are read the next time
                self._unlisted = max(self._unlisted - 1, 0)
                self._from_ms = max(self._from_ms, row.time_ms - 60_000)
                if row.symbol in self.places:
                    self._listed(row, then)
            waiting = [
                (symbol, payment) for (symbol, _), payments in self._told.items() for payment in payments
                if not (payment.is_listed or payment.is_missed)
            ]  # fmt: skip
            if (waiting or self._unlisted or not new) and tries < TRIES:
                self.desk.retry(tries, lambda at: self._ask(at, tries + 1), then)
                return
            self._is_due, self._unlisted = False, 0
            for symbol, payment in waiting:
                payment.is_missed = True
                self.desk.remark("income", symbol, "a funding payment that was pushed is not in the account's list")

        def refused(request: Request, refusal: Refusal, then: Now) -> None:
            lost(request, f"{refusal.code} {refusal.msg}", then)

        def lost(request: Request, why: str, then: Now) -> None:
            self.desk.remark("income", "", f"{why}; asked again")
            self.desk.retry(tries, lambda at: self._ask(at, tries + 1), then)

        parameters = {"incomeType": "FUNDING_FEE", "startTime": str(self._from_ms), "limit": "1000"}
        path = f"/{self.desk.api}/v1/income"
        self.desk.put(Request("income", "GET", path, parameters, done, refused, lost, costs={WEIGHT: 30}), now)

    def _listed(self, row: IncomeRow, now: Now) -> None:
        """A payment as the list has it."""
        amount_e8 = self.desk.codec.money(row.income, "income")
        settle = self.desk.wanted.instruments[self.places[row.symbol]].settle
        if row.asset != settle:
            text = f"a funding payment of {row.income} {row.asset} is not in {settle}: not booked"
            self.desk.remark("income", row.symbol, text)
            return
        payments = self._payments(row.symbol, row.time_ms)
        pushed = [payment for payment in payments if not payment.is_listed]
        for payment in pushed:
            if payment.amount_e8 == amount_e8:
                payment.is_listed = True
                return
        owed_e8 = amount_e8
        if pushed:
            owed_e8 -= pushed[0].amount_e8
            self.desk.remark("income", row.symbol, f"a funding payment is {row.income}; pushed was another amount")
            pushed[0].amount_e8, pushed[0].is_listed = amount_e8, True
        else:
            payments.append(_Payment(amount_e8, is_listed=True))
        self._ask_rate(row, owed_e8, self._net_lots(row.symbol), now)

    def _ask_rate(self, row: IncomeRow, amount_e8: int, lots: int, now: Now, tries: int = 0) -> None:
        boundary_ms = row.time_ms // _HOUR_MS * _HOUR_MS

        def done(request: Request, body: bytes, then: Now) -> None:
            rates: list[RateRow] = self.desk.codec.read(list[RateRow], body)
            for rate in rates:
                if abs(rate.time_ms - boundary_ms) < 60_000 and rate.symbol == row.symbol:
                    self._tell(row.symbol, row.time_ms, amount_e8, lots, rate, then)
                    return
            lost(request, "the rate is not published yet", then)

        def refused(request: Request, refusal: Refusal, then: Now) -> None:
            lost(request, f"{refusal.code} {refusal.msg}", then)

        def lost(request: Request, why: str, then: Now) -> None:
            if tries < TRIES and self.desk.halted is None:
                self.desk.retry(tries, lambda at: self._ask_rate(row, amount_e8, lots, at, tries + 1), then)
                return
            self.desk.remark("funding rate", row.symbol, f"{why}; the payment is told without rate and mark")
            self._tell(row.symbol, row.time_ms, amount_e8, lots, None, then)

        parameters = {"symbol": row.symbol, "startTime": str(boundary_ms - 60_000), "limit": "10"}
        path = f"/{self.desk.api}/v1/fundingRate"
        self.desk.put(Request("funding rate", "GET", path, parameters, done, refused, lost, security=""), now)
