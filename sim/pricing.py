"""Marks and funding that a run computes by the venue's formula, from the index and the book it replays.

``Pricing`` sits on the venue's agenda (``Core.schedule``). At each instant that the venue samples it looks at the
venue's book, last trade and index, as of just before that instant, and

* sets the mark (``mark = "computed"``), which margin and liquidation use from then on,
* adds a premium to the running average (``funding = "computed"``) and, at a boundary, charges the rate that the
  average gives: at once, or, where funding is continuous, by letting it accrue from sample to sample and moving it to
  cash at the venue's hour; where it is settled lazily (dYdX), by letting the hour's payment accrue until the account
  trades,
* publishes mark, index, forecast and next boundary as the venue's stream would: a strategy sees them a response latency
  later, never before the venue knows them.

What it needs that nobody recorded it does not make up: without an index nothing is sampled, a stale book gives no
premium, and a boundary without a single sample stops the run if a position is held over it. How many of a boundary's
samples there were stands in the banner (``Settled``). The formulas are venues/funding.py and venues/marks.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from matching.codes import BUY, NO_PRICE, SELL
from matching.kernel import Core
from recorders.tables import iso_time
from venues.errors import InputError
from venues.funding import (
    FundingInterval,
    RateRule,
    impact_price_e8,
    premium,
    premium_of_mark,
    premium_of_mid,
    rate_rule,
)
from venues.instruments import Instrument
from venues.marks import Mark, MarkInputs, MarkRule
from venues.rules import RuleCard
from venues.schedule import Cadence, next_boundary

DAY_NS: Final = 86_400_000_000_000
DEPTHS: Final = (32, 512, 1 << 24)  # levels looked at for an impact price, until they suffice


@dataclass(frozen=True, slots=True)
class Settled:
    """A boundary that was charged at a computed rate (None: nothing was sampled), and the samples it rests on."""

    boundary_ns: int
    rate_e12: int | None
    samples: int
    whole: int  # samples of a whole interval; 0 for continuous funding


@dataclass(slots=True)
class PricingPlan:
    """What is computed for one market. ``mark`` and ``funding`` say whether; ``settled`` fills as the run goes."""

    card: RuleCard
    symbol: str
    first_ns: int
    interval_ns: int
    mark: MarkRule | None = None
    funding: bool = False
    initial_e12: int = 0
    maintenance_e12: int = 0
    notional_e8: int = 0
    drift_ns: int = 0
    rates: list[tuple[int, int]] = field(default_factory=list)  # (boundary, rate) where a table gives them
    settled: list[Settled] = field(default_factory=list)

    def rule(self, ts_ns: int, interval_ns: int) -> RateRule:
        """The funding rule of an interval that begins at ``ts_ns``."""
        return rate_rule(self.card, self.symbol, ts_ns, interval_ns, self.initial_e12, self.maintenance_e12)

    def charges_index(self) -> bool:
        """Whether payments are computed at the index (oracle) instead of the mark."""
        return self.card.funding.price.value in ("index", "oracle")


class Pricing:
    """The venue's own clockwork for one market of a run."""

    def __init__(self, core: Core, market: int, instrument: Instrument, plan: PricingPlan) -> None:
        self._core, self._m, self._instrument, self._plan = core, market, instrument, plan
        self._mark = None if plan.mark is None else Mark(plan.mark)
        self._cadence = Cadence(plan.symbol, plan.interval_ns)
        self._accrual = plan.card.funding.accrual.value
        self._interval: FundingInterval | None = None
        self._shown = 0  # the forecast on the stream
        self._last: tuple[int, int] | None = None  # the last settled rate, and the boundary it was of
        self._accrued_to = plan.first_ns
        if plan.funding:
            self._interval = self._interval_after(plan.first_ns)
        core.schedule(self._next(plan.first_ns), self._tick)

    def _interval_after(self, ts_ns: int) -> FundingInterval:
        boundary = self._cadence.next_after(ts_ns)
        if self._accrual == "continuous":
            hour = self._plan.card.funding.settle_ns.value or 0
            boundary = next_boundary(DAY_NS, ts_ns - hour) + hour
        return FundingInterval(self._plan.rule(ts_ns, self._cadence.interval_ns), boundary, self._interval)

    # -- the agenda

    def _next(self, ts_ns: int) -> int:
        due = [] if self._mark is None else [next_boundary(self._mark.rule.sample_ns, ts_ns)]
        if self._interval is not None:
            due += [next_boundary(self._interval.rule.sample_ns, ts_ns), self._interval.boundary_ns]
        return min(due)

    def _tick(self, ts_ns: int) -> None:
        index_e8 = self._core.venue_index_e8(self._m)
        if index_e8 > 0 and self._mark is not None and ts_ns % self._mark.rule.sample_ns == 0:
            self._sample_mark(ts_ns, index_e8)
        interval = self._interval
        if interval is not None:
            if index_e8 > 0 and ts_ns % interval.rule.sample_ns == 0:
                self._sample_premium(interval, ts_ns, index_e8)
            if ts_ns == interval.boundary_ns:
                self._settle(interval, ts_ns)
        if index_e8 > 0:
            self._publish(ts_ns, index_e8)
        self._core.schedule(self._next(ts_ns), self._tick)

    def _publish(self, ts_ns: int, index_e8: int) -> None:
        mark_e8 = 0 if self._mark is None else self._core.venue_mark_e8(self._m)
        if self._interval is None:
            self._core.publish(self._m, mark_e8, index_e8, 0, 0, ts_ns)
            return
        every = self._plan.card.funding.forecast_step_ns.value
        forecast = self._interval.rate_e12(ts_ns)
        if forecast is not None and (not every or ts_ns % every == 0):
            self._shown = forecast
        self._core.publish(self._m, mark_e8, index_e8, self._shown, self._interval.boundary_ns, ts_ns)

    # -- mark

    def _price_e8(self, ticks: int) -> Fraction | None:
        return None if ticks == NO_PRICE else self._instrument.price_e8_of(ticks)

    def _sample_mark(self, ts_ns: int, index_e8: int) -> None:
        assert self._mark is not None
        rate_e12, next_ns, interval_ns = self._last_rate(ts_ns)
        found = self._mark.sample(
            MarkInputs(
                ts_ns, index_e8, self._price_e8(self._core.venue_best_ticks(self._m, BUY)),
                self._price_e8(self._core.venue_best_ticks(self._m, SELL)),
                self._price_e8(self._core.last_ticks(self._m)), rate_e12, next_ns, interval_ns,
            )
        )  # fmt: skip
        if found is not None and found > 0:
            self._core.set_mark(self._m, found, ts_ns)

    def _last_rate(self, ts_ns: int) -> tuple[int | None, int, int]:
        """The last settled rate (before the run's first boundary: the forecast), the next boundary, the interval.

        A table or the recorded messages say it where funding is not computed; None where nobody does."""
        if self._interval is not None:
            rate = self._interval.rate_e12(ts_ns) if self._last is None else self._last[0]
            return rate, self._interval.boundary_ns, self._cadence.interval_ns
        following = next_boundary(self._plan.interval_ns, ts_ns)
        if self._plan.rates:
            before = [rate for boundary, rate in self._plan.rates if boundary <= ts_ns]
            later = [boundary for boundary, _ in self._plan.rates if boundary > ts_ns]
            rate = before[-1] if before else self._plan.rates[0][1]
            return rate, min(later, default=following), self._plan.interval_ns
        rate, boundary = self._core.announced(self._m)
        if not boundary:
            return None, following, self._plan.interval_ns
        if self._last is None or self._last[1] < boundary <= ts_ns:
            self._last = (rate, boundary)
        return self._last[0], boundary if boundary > ts_ns else following, self._plan.interval_ns

    # -- premium

    def _levels(self, side: int, count: int) -> Iterator[tuple[Fraction, Fraction]]:
        """(price, value in quote money) of the venue's levels, both at 1e-8, best first."""
        one = self._instrument
        for ticks, lots in self._core.venue_side(self._m, side, count):
            value = Fraction(lots * one.lot_num, one.lot_den) if one.inverse else one.value_e8(ticks, lots)
            yield one.price_e8_of(ticks), value

    def _impact(self, side: int) -> Fraction | None:
        for count in DEPTHS:
            found = impact_price_e8(self._levels(side, count), self._plan.notional_e8)
            if found is not None:
                return found
        return None

    def _sample_premium(self, interval: FundingInterval, ts_ns: int, index_e8: int) -> None:
        form = interval.rule.premium
        if form == "mark":
            mark_e8 = self._core.venue_mark_e8(self._m)
            if mark_e8 <= 0:
                return
            interval.add(ts_ns, premium_of_mark(index_e8, mark_e8))
        else:
            best = [self._core.venue_best_ticks(self._m, side) for side in (BUY, SELL)]
            if NO_PRICE in best:
                return  # stale, or empty on a side: the venue's book was not, so that there is no sample
            bid, ask = self._impact(BUY), self._impact(SELL)
            if form == "impact":
                interval.add(ts_ns, premium(index_e8, bid, ask))
            elif bid is not None and ask is not None:
                interval.add(ts_ns, premium_of_mid(index_e8, bid, ask))
        if self._accrual == "continuous":
            self._accrue_to(interval, ts_ns)

    # -- charging

    def _price_charged(self) -> int:
        if self._plan.charges_index():
            return self._core.venue_index_e8(self._m)
        return self._core.venue_mark_e8(self._m)

    def _accrue_to(self, interval: FundingInterval, ts_ns: int) -> None:
        """Continuous funding of the time since the last sample, at this sample's rate."""
        rate, elapsed = interval.rate_e12(ts_ns), ts_ns - self._accrued_to
        self._accrued_to = ts_ns
        if rate is not None and elapsed > 0:
            self._core.accrue(self._m, rate, self._price_charged(), elapsed, interval.rule.interval_ns)

    def _settle(self, interval: FundingInterval, ts_ns: int) -> None:
        rate, (samples, whole) = interval.rate_e12(ts_ns), interval.coverage()
        self._plan.settled.append(Settled(ts_ns, rate, samples, whole))
        if rate is None:
            self._refuse_if_held(ts_ns)
        elif self._accrual == "continuous":
            self._core.settle(self._m, ts_ns)
        else:
            if self._plan.drift_ns:
                self._core.schedule(ts_ns + self._plan.drift_ns, lambda at: self._charge(rate, ts_ns, at))
            else:
                self._charge(rate, ts_ns, ts_ns)
            self._last = (rate, ts_ns)
            self._shown = rate
            switch = self._plan.card.funding.interval_switch.at(ts_ns).value
            self._cadence.settled(rate, interval.rule.at_bound(rate), switch)
        self._interval = self._interval_after(ts_ns)

    def _charge(self, rate_e12: int, boundary_ns: int, ts_ns: int) -> None:
        price = self._price_charged()
        if self._accrual == "lazy_index":
            self._core.accrue(self._m, rate_e12, price, 1, 1)
        else:
            self._core.charge(self._m, rate_e12, price, boundary_ns, ts_ns)

    def _refuse_if_held(self, ts_ns: int) -> None:
        ledger = self._core.ledger  # in hedge mode it has the short legs behind all markets
        for accounts in self._core.lane_accounts:
            for account in accounts:
                if any(ledger.position(account, leg) for leg in range(self._m, ledger.n_markets, self._core.n_markets)):
                    raise InputError(
                        f"is due at {iso_time(ts_ns)} ({ts_ns} ns) for an open position, but no premium could be "
                        "sampled before it (no index, or no book)",
                        source=f"instrument {self._plan.symbol}",
                        field="funding",
                    )
