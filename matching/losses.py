"""Who bears what a liquidated account cannot pay: the fund, the backstop vault, or deleveraged holders.

A takeover leaves the account with nothing and gives the position to the fund (or vault), which is taken to close it at
the mark: gain or cost are the fund's. A limited fund that cannot bear the cost deleverages holders of the other side
instead. Who is deleveraged first is the card's rank; ranks are exact fractions, ties fall to the lower lane. The
unnamed rest of the market takes what the ranked lanes do not hold, so each deleveraging closes equal lots on both
sides.

Ranks (mark P, entry E, position N lots, equity Q, wallet W, maintenance M of the holder's unit):

    profit_times_margin_ratio        max(0, uPnL) / max(1, W) * M / Q        Binance support 360033525471
    profit_times_leverage            (uPnL / entry value) * (notional / Q)    Bybit, OKX: formula UNVERIFIED
    mark_over_entry_times_leverage   (P / E, short E / P) * (notional / Q)   Hyperliquid docs; shorts' form assumed
    pseudo_random                    by a counter keyed with (seed, market, instant)    dYdX: no ranking by profit
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from matching.arith import draw
from matching.codes import (
    CAUSE_ADL,
    CAUSE_TAKEOVER,
    EV_ADL,
    EV_LIQUIDATED,
    LIQ_NONE,
    PRICE_BANKRUPTCY,
    PRICE_MARK,
    PRICE_PRIOR_MARK,
    R_ADL,
    R_LIQUIDATION,
)
from matching.liquidation import Desk, Unit

E8 = 10**8
ALL_E8 = 1 << 61  # a penalty takes at most what the unit has
PRICES = {"bankruptcy": PRICE_BANKRUPTCY, "mark": PRICE_MARK, "prior_mark": PRICE_PRIOR_MARK}


@dataclass(frozen=True, slots=True)
class Holder:
    """Another lane's position opposite to the bankrupt one."""

    lane: int
    account: int
    leg: int  # in hedge mode, of either leg of the market
    lots: int  # size


class Losses:
    """Takeovers and deleveraging for one venue's desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.host, self.ledger, self.terms = desk, desk.host, desk.ledger, desk.terms

    # -- takeovers

    def take_over(self, unit: Unit, ts: int) -> None:
        """The fund takes every position of the unit at its bankruptcy price, or holders of the other side do."""
        for leg in unit.legs:
            held = self.desk.position(unit, leg)
            if not held.lots:
                continue
            ticks = int(self.ledger.bankruptcy_ticks(unit.account, leg))
            if self._fund_bears(leg, held.lots, ticks):
                self.desk.books.book(
                    "takeover", unit, leg, ts, ticks, {"account": -held.lots, "market": held.lots},
                    partial(self.ledger.takeover, unit.account, leg),
                )  # fmt: skip
                self._emit(
                    unit.lane, leg, EV_LIQUIDATED, R_LIQUIDATION, ts, int(self.ledger.last_ticks), held.size,
                    int(self.ledger.last_realized_e8), held.side, int(self.ledger.last_cause), PRICE_BANKRUPTCY,
                    int(self.ledger.last_fee_e8),
                )  # fmt: skip
            else:
                self.deleverage(unit, leg, held.size, ticks, ts)

    def to_vault(self, unit: Unit, ts: int) -> None:
        """The vault takes all positions at their marks and the margin that is left: nothing is returned."""
        legs = self.desk.held(unit)
        for place, leg in enumerate(legs):
            held, state = self.desk.position(unit, leg), self.desk.mark(leg)
            ticks = state.ticks(state.mark_e8)
            self.desk.books.book(
                "takeover", unit, leg, ts, ticks, {"account": -held.lots, "market": held.lots},
                partial(self.ledger.fill, unit.account, leg, held.side, ticks, held.size, LIQ_NONE),
            )  # fmt: skip
            realized, kept = int(self.ledger.last_realized_e8), 0
            if place == len(legs) - 1:
                kept = self.desk.books.book(
                    "margin", unit, leg, ts, ticks, {}, partial(self.ledger.penalty, unit.account, leg, ALL_E8)
                )
            self._emit(
                unit.lane, leg, EV_LIQUIDATED, R_LIQUIDATION, ts, ticks, held.size, realized, held.side, CAUSE_TAKEOVER,
                PRICE_MARK, kept,
            )  # fmt: skip

    def _fund_bears(self, leg: int, lots: int, ticks: int) -> bool:
        """Whether the fund can pay what taking the position at ``ticks`` and closing it at the mark costs."""
        ledger = self.ledger
        asset = int(ledger.arrays["market_asset"][leg])
        if not ledger.arrays["fund_limited"][asset]:
            return True
        size = abs(lots)
        gain = int(ledger.notional_e8(leg, size)) - int(ledger.value_e8(leg, ticks, size))
        if (lots < 0) != bool(ledger.arrays["market_inverse"][leg]):
            gain = -gain
        return int(ledger.arrays["pool_insurance"][asset]) + gain >= 0

    # -- deleveraging

    def deleverage(self, unit: Unit, leg: int, lots: int, bankruptcy_ticks: int, ts: int) -> None:
        """Close ``lots`` of the unit's position against holders of the other side at the card's price, no fee."""
        held = self.desk.position(unit, leg)
        price = PRICES.get(self.terms.adl_price, PRICE_BANKRUPTCY)
        ticks = bankruptcy_ticks if price == PRICE_BANKRUPTCY else self.ticks_of(leg, price)
        sign = 1 if held.lots > 0 else -1
        left, realized = lots, 0
        for holder in self.ranked(unit, leg, sign, ts):
            size = min(left, holder.lots)
            if size == 0:
                break
            name = f"lane {holder.lane}"
            gains = self.desk.books.book(
                "adl", unit, leg, ts, ticks, {"account": -sign * size, name: sign * size},
                partial(self._close_both, unit.account, holder, leg, held.side, ticks, size),
                (name, holder.account),
            )  # fmt: skip
            realized += gains[1]
            self._tell_holder(holder.lane, holder.leg, 1 - held.side, ticks, size, gains[0], price, ts)
            left -= size
        if left:
            realized += self.desk.books.book(
                "adl", unit, leg, ts, ticks, {"account": -sign * left, "market": sign * left},
                partial(self._close, unit.account, -1, leg, held.side, ticks, left),
            )  # fmt: skip
        self._emit(unit.lane, leg, EV_LIQUIDATED, R_LIQUIDATION, ts, ticks, lots, realized, held.side, CAUSE_ADL, price)

    def take_from(self, lane: int, leg: int, lots: int, ticks: int, price: int, ts: int) -> None:
        """Somebody unnamed is deleveraged into a lane: ``lots`` of its position go at ``ticks`` (PRICE_*), no fee."""
        account = self.host.lane_accounts[lane][self.desk.venue]
        unit = Unit(lane, account, -1, (leg,))
        held = self.desk.position(unit, leg)
        size = min(lots, held.size)
        if size == 0:
            return
        signed = size if held.lots > 0 else -size
        realized = self.desk.books.book(
            "adl", unit, leg, ts, ticks, {"account": -signed, "market": signed},
            partial(self._close, -1, account, leg, 1 - held.side, ticks, size),
        )  # fmt: skip
        self._tell_holder(lane, leg, held.side, ticks, size, realized, price, ts)

    def ranked(self, unit: Unit, leg: int, sign: int, ts: int) -> list[Holder]:
        """The other lanes' positions against the unit's, first the one that is deleveraged first."""
        if not self.terms.lanes_share:
            return []
        found: list[tuple[Fraction, Holder]] = []
        n, m = self.host.n_markets, leg % self.host.n_markets
        for lane in range(self.host.n_lanes):
            account = self.host.lane_accounts[lane][self.desk.venue]
            for theirs in range(m, self.ledger.n_markets, n):
                lots = int(self.ledger.position(account, theirs))
                if account != unit.account and lots * sign < 0:
                    found.append((self.score(lane, theirs, ts), Holder(lane, account, theirs, abs(lots))))
        found.sort(key=lambda row: (-row[0], row[1].lane))
        return [holder for _, holder in found]

    def score(self, lane: int, leg: int, ts: int) -> Fraction:
        """The card's rank of a lane's position as an exact number; the highest is deleveraged first."""
        if self.terms.adl_rank == "pseudo_random":
            return Fraction(draw(self.host.seed, leg, lane, ts))
        ledger = self.ledger
        unit = next(unit for unit in self.desk.units(lane) if leg in unit.legs)
        equity, profit = self.desk.equity_e8(unit), int(ledger.unrealized_e8(unit.account, leg))
        if equity <= 0:
            return Fraction(0)
        size = self.desk.position(unit, leg).size
        if self.terms.adl_rank == "profit_times_margin_ratio":
            asset = int(ledger.arrays["market_asset"][leg])
            wallet = max(int(ledger.wallet(unit.account, asset)), E8)
            return Fraction(max(profit, 0), wallet) * Fraction(self.desk.maintenance_e8(unit), equity)
        leverage = Fraction(int(ledger.notional_e8(leg, size)), equity)
        entry, mark = int(ledger.entry_price_e8(unit.account, leg)), self.desk.mark(leg).mark_e8
        moved = Fraction(mark, entry) if self.desk.position(unit, leg).lots > 0 else Fraction(entry, mark)
        if self.terms.adl_rank == "mark_over_entry_times_leverage":
            return moved * leverage
        return (moved - 1) * leverage  # profit_times_leverage

    # -- the parts of it

    def ticks_of(self, leg: int, price: int) -> int:
        """The mark, or the one before it, at the nearest tick."""
        state = self.desk.mark(leg)
        return state.ticks(state.prior_e8 if price == PRICE_PRIOR_MARK and state.prior_e8 else state.mark_e8)

    def _close(self, bankrupt: int, other: int, leg: int, side: int, ticks: int, lots: int) -> int:
        """One account's half of a deleveraging; returns the profit it realised."""
        if not self.ledger.adl(bankrupt, other, leg, side, ticks, lots):
            self.ledger.raise_if_failed()
        return int(self.ledger.last_realized_e8)

    def _close_both(self, bankrupt: int, holder: Holder, leg: int, side: int, ticks: int, lots: int) -> tuple[int, int]:
        """Both halves; returns the holder's profit and the bankrupt account's."""
        gained = self._close(-1, holder.account, holder.leg, side, ticks, lots)
        return gained, self._close(bankrupt, -1, leg, side, ticks, lots)

    def _tell_holder(
        self, lane: int, leg: int, side: int, ticks: int, lots: int, realized: int, price: int, ts: int
    ) -> None:
        if self.terms.adl_cancels_orders:
            self.host.cancel_resting(lane, leg % self.host.n_markets, R_ADL, ts)
        self._emit(lane, leg, EV_ADL, R_ADL, ts, ticks, lots, realized, side, CAUSE_ADL, price)

    def _emit(
        self, lane: int, leg: int, event: int, reason: int, ts: int, ticks: int, lots: int, realized: int, side: int,
        cause: int, price: int, fee: int = 0,
    ) -> None:  # fmt: skip
        self.host.emit_forced(lane, leg, 0, -1, event, reason, ts, ticks, lots, fee, realized, side, cause, price, 0)
