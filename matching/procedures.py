"""The venues' ways to liquidate, one class each; ``make`` chooses by the rule card's word.

    ioc_then_fund        Binance: one reducing order a position to the bankruptcy price, the fund takes the rest
    tier_step_down       OKX, Bybit isolated: reduce tier by tier, then the whole is taken over
    ladder_then_takeover Bybit cross: reduce rung by rung, then the whole is taken over
    book_then_vault      Hyperliquid: market orders, below 2/3 of maintenance the vault takes all
    fillable_price       dYdX: an IOC at the fillable price each block, the fund squares with the bankruptcy price
    chunks               Deribit: small market orders each second until compliant

Facts and sources: docs/liquidation.md and the rule cards; what the sheets mark UNVERIFIED is an assumption there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from matching.codes import PRICE_MARK, SELL
from matching.liquidation import E12, MAX_TICKS, Desk, Host, Terms, Unit
from matching.losses import Losses

SECOND_NS = 1_000_000_000


def part_of(lots: int, fraction_e12: int) -> int:
    """A fraction of some lots, rounded up, at least 1."""
    return max(-(-lots * fraction_e12 // E12), 1)


class Takers(Desk):
    """A desk with somebody to take positions over."""

    def __init__(self, host: Host, venue: int, terms: Terms) -> None:
        super().__init__(host, venue, terms)
        self.losses = Losses(self)

    def settle(self, unit: Unit, ts: int) -> None:
        """The end of a step: what is still due is taken over."""
        if self.is_due(unit):
            self.losses.take_over(unit, ts)


class IocThenFund(Takers):
    """Cancel all, one reducing order a position down to the bankruptcy price, the rest to the insurance fund."""

    def step(self, unit: Unit, ts: int) -> None:
        self.cancel(unit, ts)
        for leg in unit.legs:
            held = self.position(unit, leg)
            if held.lots and self.is_due(unit):
                self.execute(unit, leg, held.size, ts, self.bankruptcy(unit, leg))
        self.settle(unit, ts)


class TierStepDown(Takers):
    """While a position is above the lowest tiers, reduce it to a lower one; then the fund takes what is still due.

    Of several positions the one with the largest maintenance margin goes first (the venues do not say). A step that
    the book does not fill ends it, and so does equity below what even the lowest tier would ask.
    """

    def step(self, unit: Unit, ts: int) -> None:
        self.cancel(unit, ts)
        if self.terms.nets_legs:
            self._net_legs(unit, ts)
        while self.is_due(unit):
            legs = [leg for leg in self.held(unit) if self._tier(unit, leg) > self.terms.whole_up_to_tier]
            if not legs or self._is_hopeless(unit):
                break
            leg, size = legs[0], self.position(unit, legs[0]).size
            target = max(self._tier(unit, leg) - self.terms.tiers_per_step, 1)
            lots = size - min(self.tier_lots(leg, target), size - 1)
            if self.execute(unit, leg, lots, ts, self.bankruptcy(unit, leg)):
                break
        self.settle(unit, ts)

    def _net_legs(self, unit: Unit, ts: int) -> None:
        """Hedge mode: what both legs of a contract hold is closed against each other at the mark, without a fee."""
        n = self.host.n_markets
        for leg in unit.legs:
            if leg >= n or leg + n not in unit.legs or not self.is_due(unit):
                continue
            size = min(self.position(unit, leg).size, self.position(unit, leg + n).size)
            ticks = self.losses.ticks_of(leg, PRICE_MARK)
            for half in (leg, leg + n) if size else ():
                self.close_at(unit, half, size, ticks, ts)

    def _tier(self, unit: Unit, leg: int) -> int:
        return self.tier(leg, self.position(unit, leg).size)

    def _is_hopeless(self, unit: Unit) -> bool:
        """Whether equity would not carry the positions at the rates of their lowest tiers."""
        need = 0
        for leg in self.held(unit):
            rate = self._bracket("bracket_rate", leg, 1)
            need += -(-int(self.ledger.notional_e8(leg, self.position(unit, leg).size)) * rate // E12)
        return self.equity_e8(unit) < need


class LadderThenTakeover(Takers):
    """Reduce the position with the largest maintenance margin rung by rung, then the fund takes what is still due.

    A rung leads to the next lower tier, in the lowest one it is ``chunk_fraction_e12`` of the position as it was. The
    venue's own order of positions and size of rungs are not documented.
    """

    def step(self, unit: Unit, ts: int) -> None:
        self.cancel(unit, ts)
        at_first = {leg: self.position(unit, leg).size for leg in unit.legs}
        while self.is_due(unit) and self.equity_e8(unit) > 0:
            leg = self.held(unit)[0]
            size = self.position(unit, leg).size
            tier = self.tier(leg, size)
            if tier > 1:
                lots = size - min(self.tier_lots(leg, tier - 1), size - 1)
            else:
                lots = min(part_of(at_first[leg], self.terms.chunk_fraction_e12), size)
            if self.execute(unit, leg, lots, ts, self.bankruptcy(unit, leg)):
                break
        self.settle(unit, ts)


class BookThenVault(Takers):
    """Orders into the book; below ``takeover_ratio_e12`` of maintenance the vault takes all; below zero, deleveraging.

    A position worth more than ``first_fraction_above_e8`` goes by ``first_fraction_e12`` first. For ``cooldown_ns``
    after such a partial order every further one is for the whole (Hyperliquid's announcement of partial liquidations).
    Orders do not execute beyond the bankruptcy price, so that the book alone never makes a loss for others (assumed).
    """

    def __init__(self, host: Host, venue: int, terms: Terms) -> None:
        super().__init__(host, venue, terms)
        self.whole_until: dict[int, int] = {}  # by account

    def step(self, unit: Unit, ts: int) -> None:
        self.cancel(unit, ts)
        if self._falls_to_others(unit, ts):
            return
        whole = ts <= self.whole_until.get(unit.account, -1)
        for leg in self.held(unit):
            size = self.position(unit, leg).size
            if not self.is_due(unit) or size == 0:
                break
            worth = int(self.ledger.notional_e8(leg, size))
            lots = size
            if worth > self.terms.first_fraction_above_e8 and not whole:
                lots = min(part_of(size, self.terms.first_fraction_e12), size)
            if lots < size:
                self.whole_until[unit.account] = ts + self.terms.cooldown_ns
            self.execute(unit, leg, lots, ts, self.bankruptcy(unit, leg))
        if self.is_due(unit) and not self._falls_to_others(unit, ts):
            self.later(unit, ts + max(self.terms.block_ns, 1))

    def _falls_to_others(self, unit: Unit, ts: int) -> bool:
        equity = self.equity_e8(unit)
        if equity < 0:
            for leg in self.held(unit):
                held = self.position(unit, leg)
                bankruptcy = int(self.ledger.bankruptcy_ticks(unit.account, leg))
                self.losses.deleverage(unit, leg, held.size, bankruptcy, ts)
            return True
        if equity * E12 < self.terms.takeover_ratio_e12 * self.maintenance_e8(unit):
            self.losses.to_vault(unit, ts)
            return True
        return False


class FillablePrice(Takers):
    """Each block an IOC at the fillable price, bounded in size; the fund squares each fill with the bankruptcy price.

    Better than it, the fund gets the difference, at most ``fee_rate_e12`` of the fill; worse, it pays the difference.
    Where it cannot, or where nothing executes while equity is negative, the position is deleveraged at the bankruptcy
    price. (dYdX x/clob liquidations; margin of the fund's pay-outs is per block and account.)
    """

    def __init__(self, host: Host, venue: int, terms: Terms) -> None:
        super().__init__(host, venue, terms)
        self._paid = 0  # by the fund in this block
        self._fund_short = False

    def step(self, unit: Unit, ts: int) -> None:
        self.cancel(unit, ts)
        self._paid, budget = 0, self.terms.block_most_e8 or 1 << 62
        for leg in self.held(unit):
            if not self.is_due(unit):
                break
            self._fund_short = False
            lots = self._lots(leg, self.position(unit, leg).size, budget)
            if lots == 0:
                break
            budget -= int(self.ledger.notional_e8(leg, lots))
            left = self.execute(unit, leg, lots, ts, self._fillable(unit, leg))
            held = self.position(unit, leg)
            if held.size and left and (self.equity_e8(unit) < 0 or self._fund_short):
                self.losses.deleverage(unit, leg, held.size, self._bankruptcy_ticks(unit, leg), ts)
        if self.is_due(unit):
            self.later(unit, ts + (self.terms.block_ns or SECOND_NS))

    def _lots(self, leg: int, size: int, budget_e8: int) -> int:
        """At most the block's fraction of the position, or what its least notional buys, within the block's budget."""
        least = self._worth(leg, self.terms.block_least_e8, size)
        lots = max(part_of(size, self.terms.block_fraction_e12), least)
        return min(lots, size, self._worth(leg, budget_e8, size))

    def _worth(self, leg: int, amount_e8: int, size: int) -> int:
        """How many of ``size`` lots an amount is worth at the mark, rounded down."""
        worth = int(self.ledger.notional_e8(leg, size))
        return size if worth <= amount_e8 else size * amount_e8 // worth

    def _fillable(self, unit: Unit, leg: int) -> Callable[[], int]:
        """P (1 -+ ABR * SMMR * M), ABR = clamp(BA (1 - equity / maintenance), 0, 1); within 1 and MAX_TICKS."""

        def limit() -> int:
            equity, maintenance = self.equity_e8(unit), self.maintenance_e8(unit)
            held, state = self.position(unit, leg), self.mark(leg)
            notional = int(self.ledger.notional_e8(leg, held.size))
            if maintenance <= 0 or notional == 0:
                return state.ticks(state.mark_e8)
            lack = min(max(self.terms.fillable_adjustment_e12 * (maintenance - equity), 0), E12 * maintenance)
            away = lack * self.terms.fillable_spread_e12 * self.weight(unit, leg)  # / (E12 maintenance E12 notional)
            scale = E12 * maintenance * E12 * notional
            if held.side == SELL:
                price = -(-state.mark_e8 * (scale - away) * state.tick_den // (scale * state.tick_num))
            else:
                price = state.mark_e8 * (scale + away) * state.tick_den // (scale * state.tick_num)
            return min(max(price, 1), MAX_TICKS)

        return limit

    # -- the fund

    def bearable(self, unit: Unit, leg: int, ticks: int, lots: int) -> int:
        """All of them if the fund gets something or can pay, within its limits; else none."""
        need = -self._excess(unit, leg, ticks, lots)
        asset = int(self.ledger.arrays["market_asset"][leg])
        fund = int(self.ledger.arrays["pool_insurance"][asset])
        if need > 0 and self.ledger.arrays["fund_limited"][asset] and need > fund:
            self._fund_short = True
            return 0
        most = self.terms.block_loss_most_e8
        if need > 0 and most and self._paid + need > most:
            return 0
        self._squared = -need
        return lots

    def charge(self, unit: Unit, leg: int, ticks: int, lots: int) -> int:
        value = int(self.ledger.value_e8(leg, ticks, lots))
        fee = min(self._squared, value * self.terms.fee_rate_e12 // E12)
        return int(self.ledger.penalty(unit.account, leg, fee)) if fee > 0 else 0

    def _fill(self, unit: Unit, leg: int, side: int, ticks: int, lots: int, ts: int) -> tuple[int, int]:
        """What the fund pays comes before the fill: otherwise that would leave a deficit, which it would cover too."""
        paid = max(-self._squared, 0)
        if paid:
            self._paid += paid
            self.books.book("fee", unit, leg, ts, ticks, {}, lambda: self.pay_out(unit, leg, paid))
        fee, realized = super()._fill(unit, leg, side, ticks, lots, ts)
        return fee - paid, realized

    def _excess(self, unit: Unit, leg: int, ticks: int, lots: int) -> int:
        """How much better than the bankruptcy price lots execute, rounded down: money at 1e-8, negative if worse."""
        held = self.position(unit, leg)
        value, worth = int(self.ledger.value_e8(leg, ticks, lots)), int(self.ledger.notional_e8(leg, lots))
        share = self._share(unit, leg, lots)
        return value - worth + share if held.side == SELL else worth + share - value

    def _share(self, unit: Unit, leg: int, lots: int) -> int:
        """The lots' share of equity, by maintenance margin, rounded down."""
        size, maintenance = self.position(unit, leg).size, self.maintenance_e8(unit)
        if maintenance <= 0:
            return 0
        return int(self.equity_e8(unit) * self.weight(unit, leg) * lots // (maintenance * size))

    def _bankruptcy_ticks(self, unit: Unit, leg: int) -> int:
        """The price at which the position's share of equity is used up; up for a long, down for a short."""
        held = self.position(unit, leg)
        worth, share = int(self.ledger.notional_e8(leg, held.size)), self._share(unit, leg, held.size)
        num, den = (int(self.ledger.arrays[name][leg]) for name in ("value_num", "value_den"))
        if held.side == SELL:
            ticks = -(-(worth - share) * den // (held.size * num))
        else:
            ticks = (worth + share) * den // (held.size * num)
        return int(min(max(ticks, 1), MAX_TICKS))


class Chunks(Takers):
    """Lock the account, cancel its orders, then one small market order a position and round until it is compliant.

    What a flat account owes in the end the fund pays, and what the fund lacks the winners (Deribit; no deleveraging).
    """

    def __init__(self, host: Host, venue: int, terms: Terms) -> None:
        super().__init__(host, venue, terms)
        self.chunks: dict[tuple[int, int, int], int] = {}  # lots a round, by unit and leg

    def step(self, unit: Unit, ts: int) -> None:
        self.cancel(unit, ts)
        self.lock(unit, True)
        for leg in self.held(unit):
            held = self.position(unit, leg)
            if not self.is_due(unit):
                break
            key = (*unit.key, leg)
            lots = self.chunks.setdefault(key, part_of(held.size, self.terms.chunk_fraction_e12))
            self.execute(unit, leg, min(lots, held.size), ts, self.at_any_price(unit, leg))
        if self.is_due(unit):
            self.later(unit, ts + (self.terms.cooldown_ns or SECOND_NS))
        else:
            self.finish(unit, ts)

    def finish(self, unit: Unit, ts: int) -> None:
        self.lock(unit, False)
        for leg in unit.legs:
            self.chunks.pop((*unit.key, leg), None)


PROCEDURES: dict[str, type[Takers]] = {
    "ioc_then_fund": IocThenFund,
    "tier_step_down": TierStepDown,
    "ladder_then_takeover": LadderThenTakeover,
    "book_then_vault": BookThenVault,
    "fillable_price": FillablePrice,
    "chunks": Chunks,
}


def make(host: Host, venue: int, terms: Terms) -> Takers:
    """The procedure of a venue, with another one for isolated units where the card says so.

    Raises ValueError for a word that is none.
    """
    for word in (terms.procedure, terms.isolated_procedure or terms.procedure):
        if word not in PROCEDURES:
            raise ValueError(f"liquidation procedure {word!r} is not one of {', '.join(PROCEDURES)}")
    desk = PROCEDURES[terms.procedure](host, venue, terms)
    if terms.isolated_procedure and terms.isolated_procedure != terms.procedure:
        desk.isolated = PROCEDURES[terms.isolated_procedure](host, venue, replace(terms, isolated_procedure=""))
    return desk
