"""Index, mark and funding rate of a synthetic market, by the formulas of its venue's rule card.

The index is the asset's value as the venue sees it, with a little noise. The mark is combined from index, book, last
trade and the last settled rate (``venues.marks``), the predicted rate from premiums that the venue would sample of the
book (``venues.funding``): the perpetual's premium drives it. The part of the interval before the session's start is
filled with the scenario's mean premium, since nobody saw that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from sim.synth.draws import Draws
from sim.synth.market import TICK_Q16, Ladder, SyntheticMarket
from venues import card, known_instrument
from venues.funding import FundingInterval, impact_notional_e8, impact_price_e8, premium, rate_rule
from venues.marks import Mark, MarkInputs, mark_rule

HIGHEST_LEVERAGE: Final = 125
IMPACT_LEVELS: Final = 64
RATE_UNIT_E12: Final = 10_000  # the wire's rates have eight decimals


class VenuePrices:
    """One market's marks, second by second."""

    def __init__(self, market: SyntheticMarket, seed: int, start_ns: int, premium_e6: int) -> None:
        tick = Decimal(market.tick_units).scaleb(-market.price_decimals)  # a market may trade on a coarser grid
        self._instrument = replace(known_instrument(market.venue, market.symbol), tick_size=tick)
        rules = card(market.venue)
        self._tick_e8 = market.tick_units * 10 ** (8 - market.price_decimals)
        self._draws = Draws(seed, f"index/{market.venue}/{market.symbol}")
        self._mark = Mark(mark_rule(rules, start_ns))
        terms = rules.funding_terms(market.symbol, start_ns).value
        self._interval_ns = terms.interval_ns or rules.funding.interval_ns.value
        self._rule = rate_rule(rules, market.symbol, start_ns, self._interval_ns)
        self._notional_e8 = impact_notional_e8(
            rules.funding.impact_form.value, terms.impact_notional_e8 or 0, Fraction(1, HIGHEST_LEVERAGE)
        )
        boundary = (start_ns // self._interval_ns + 1) * self._interval_ns
        self._interval = FundingInterval(self._rule, boundary)
        for ts_ns in range(boundary - self._interval_ns + self._rule.sample_ns, start_ns + 1, self._rule.sample_ns):
            self._interval.add(ts_ns, Fraction(premium_e6, 1_000_000))
        self.rate_e12 = 0
        self.rate_e12 = self._last_e12 = self._forecast(start_ns)
        self.next_funding_ns = boundary
        self.index_e8 = self.mark_e8 = 0

    def _forecast(self, ts_ns: int) -> int:
        """The venue's forecast; before an interval's first sample the last one stands."""
        found = self._interval.rate_e12(ts_ns)
        return self.rate_e12 if found is None else found // RATE_UNIT_E12 * RATE_UNIT_E12

    def sample(self, now_ns: int, fair_q16: int, ladders: tuple[Ladder, Ladder], last_ticks: int) -> None:
        """One second of the venue's clockwork. The message of a boundary's own second still names that boundary."""
        noise_e8 = self._draws.gauss_q16() * self._tick_e8 >> 16
        self.index_e8 = (fair_q16 * self._tick_e8 // TICK_Q16) + noise_e8
        self.next_funding_ns = self._interval.boundary_ns
        if now_ns % self._rule.sample_ns == 0:
            bid, ask = (self._impact(ladder) for ladder in ladders)
            self._interval.add(now_ns, premium(self.index_e8, bid, ask))
        self.rate_e12 = self._forecast(now_ns)
        last = (price_e8 := self._instrument.price_e8_of)(last_ticks)
        seen = MarkInputs(
            now_ns, self.index_e8, price_e8(ladders[0].best), price_e8(ladders[1].best), last,
            self._last_e12, self.next_funding_ns, self._interval_ns,
        )  # fmt: skip
        found = self._mark.sample(seen)
        self.mark_e8 = self.index_e8 if found is None else found
        if now_ns >= self._interval.boundary_ns:
            self._last_e12 = self.rate_e12
            self._interval = FundingInterval(self._rule, self._interval.boundary_ns + self._interval_ns, self._interval)

    def _impact(self, ladder: Ladder) -> Fraction | None:
        return impact_price_e8(self._levels(ladder), self._notional_e8)

    def _levels(self, ladder: Ladder) -> Iterator[tuple[Fraction, Fraction]]:
        one, tick, found = self._instrument, ladder.best, 0
        while ladder.lots and found < IMPACT_LEVELS:
            lots = ladder.lots.get(tick, 0)
            if lots:
                found += 1
                value = Fraction(lots * one.lot_num, one.lot_den) if one.inverse else one.value_e8(tick, lots)
                yield one.price_e8_of(tick), value
            tick += ladder.worse
            if abs(tick - ladder.best) > 4000:
                return
