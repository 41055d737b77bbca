"""Funding as venues compute it: premium, its average, the rate, the payment. Exact integers and fractions, no clock.

Theory of operation. A venue samples the *premium* of its book over the index at fixed instants, averages the samples
of an interval, adds interest, damps, scales, bounds and publishes a rate; at the end of the interval positions pay
rate times value. What differs between venues stands in a ``RateRule``, plain data that ``rate_rule`` takes from a rule
card:

    premium      impact:     (max(0, impact bid - index) - max(0, index - impact ask)) / index
                 impact_mid: (impact bid + impact ask) / 2 / index - 1
                 mark:       (mark - index) / index
    impact price the average price at which the book fills the impact notional; a side too thin for it adds nothing
    average      rising: sample i of the interval has weight i; equal; median_of_votes: the median of each minute's
                 votes (zeros added up to ``votes_least``), then the mean of the minutes; instantaneous: the last one
    rate         P + clamp(I - P, -damp, +damp)      ("damped"; with I = 0 it is a dead band around the index)
                 P + I                               ("sum")
                 then, where ``divided``, times interval / 8 h; then clamped to floor and cap
    payment      -position * price * rate in the settlement asset; inverse: -contracts' value / price * rate

Units: premiums and averages ``_e18``, rates ``_e12``, prices and money ``_e8``, times ``_ns``. Samples are kept at
1e-18 (``sample_unit_e18``), so that the average of thousands of them stays a small fraction. Where a venue rounds an
intermediate result (dYdX counts in whole parts per million), the rule says so.

Sources: the funding facts of the rule cards; dYdX's rounding: github.com/dydxprotocol/v4-chain,
protocol/x/perpetuals/keeper/perpetual.go, protocol/lib/math.go and protocol/x/clob/memclob (GetPricePremium).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, Protocol

from matching.brackets import Brackets
from venues.errors import RuleCardError
from venues.rules import ContractTiers, LinearTier, MarginTable, RuleCard

E8: Final = 10**8
E12: Final = 10**12
E18: Final = 10**18
MINUTE_NS: Final = 60_000_000_000
HOUR_NS: Final = 60 * MINUTE_NS
EIGHT_HOURS_NS: Final = 8 * HOUR_NS
CONTINUOUS_SAMPLE_NS: Final = 1_000_000_000  # how often a premium is taken where the venue does so without pause

Rounding = Literal["exact", "truncate", "ceil", "half_even", "floor"]
PremiumForm = Literal["impact", "impact_mid", "mark"]
Weights = Literal["rising", "equal", "median_of_votes", "instantaneous"]


def rounded(value: Fraction | int, unit: int = 1, rounding: Rounding = "half_even") -> int:
    """``value`` as a whole multiple of ``unit``. "exact" raises ValueError where it is none."""
    scaled = Fraction(value) / unit
    if rounding == "floor":
        count = scaled.numerator // scaled.denominator
    elif rounding == "ceil":
        count = -(-scaled.numerator // scaled.denominator)
    elif rounding == "truncate":
        count = abs(scaled.numerator) // scaled.denominator * (1 if scaled >= 0 else -1)
    elif rounding == "half_even":
        count = round(scaled)
    else:
        if scaled.denominator != 1:
            raise ValueError(f"{value} is no multiple of {unit}")
        count = scaled.numerator
    return count * unit


# -- what a venue does with premiums


@dataclass(frozen=True, slots=True)
class RateRule:
    """How one symbol's funding rate follows from its premiums while its interval is ``interval_ns``.

    ``interest_e12`` is that of the interval already where ``rate_rule`` had to scale it; caps are those of
    ``cap_period_ns``. None as a bound: unbounded.
    """

    interval_ns: int
    sample_ns: int
    premium: PremiumForm = "impact"
    weights: Weights = "equal"
    votes_least: int = 0
    vote_clamp_e18: int | None = None
    sample_unit_e18: int = 1
    sample_rounding: Rounding = "half_even"
    interest_e12: int = 0
    form: Literal["damped", "sum"] = "damped"
    damp_e12: int = 0
    divided: bool = False
    cap_e12: int | None = None
    floor_e12: int | None = None
    cap_period_ns: int = EIGHT_HOURS_NS
    rate_unit_e12: int = 1
    rate_rounding: Rounding = "half_even"
    rolling: bool = False

    @property
    def samples(self) -> int:
        """How many samples a whole interval has; 0 where only the last one counts."""
        return 0 if self.weights == "instantaneous" else self.interval_ns // self.sample_ns

    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        """Floor and cap of the interval's rate."""
        share = Fraction(self.interval_ns, self.cap_period_ns)
        floor = None if self.floor_e12 is None else self.floor_e12 * share / E12
        cap = None if self.cap_e12 is None else self.cap_e12 * share / E12
        return floor, cap

    def rate(self, average_e18: Fraction | int) -> Fraction:
        """The interval's rate for an average premium, exactly."""
        average = Fraction(average_e18) / E18
        interest, damp = Fraction(self.interest_e12, E12), Fraction(self.damp_e12, E12)
        rate = average + (interest if self.form == "sum" else clamp(interest - average, -damp, damp))
        if self.divided:
            rate = rate * self.interval_ns / EIGHT_HOURS_NS
        return clamp(rate, *self.bounds())

    def rate_e12(self, average_e18: Fraction | int) -> int:
        """The rate as the venue publishes it, at 1e-12."""
        return rounded(self.rate(average_e18) * E12, self.rate_unit_e12, self.rate_rounding)

    def at_bound(self, rate_e12: int) -> bool:
        """Whether a published rate stands at the cap or the floor."""
        floor, cap = self.bounds()
        reached_cap = cap is not None and rate_e12 >= rounded(cap * E12, self.rate_unit_e12, "floor")
        return reached_cap or (floor is not None and rate_e12 <= rounded(floor * E12, self.rate_unit_e12, "ceil"))


def rate_rule(
    card: RuleCard,
    symbol: str,
    ts_ns: int,
    interval_ns: int | None = None,
    initial_e12: int = 0,
    maintenance_e12: int = 0,
) -> RateRule:
    """A symbol's rule as of an instant, from its venue's card; ``interval_ns`` where it is not the symbol's usual one.

    The margin rates of the lowest tier are needed where the cap follows from them (dYdX). Raises ``RuleCardError``.
    """
    rules, own = card.funding, card.funding_terms(symbol, ts_ns).value
    interval = interval_ns or own.interval_ns or rules.interval_ns.value
    interest, cap, floor = own.interest_e12 or 0, own.cap_e12, own.floor_e12
    if rules.interest_scaling.value == "per_interval":
        interest = rounded(Fraction(interest * interval, EIGHT_HOURS_NS))
    gap = rules.cap_e12.at(ts_ns).value
    if rules.cap_rule.value == "margin_gap" and gap is not None:
        if not 0 < maintenance_e12 < initial_e12:
            raise RuleCardError(f"{card.venue} {symbol}: its funding cap needs its margin rates, and none are known")
        cap = rounded(Fraction(gap * (initial_e12 - maintenance_e12), E12))
        floor = -cap
    form, premium_form, vote_clamp = rules.form.value, rules.premium.value, rules.vote_clamp_e12.value
    if form == "none" or premium_form == "none":
        raise RuleCardError(f"{card.venue}: its card has no funding formula")
    return RateRule(
        interval_ns=interval,
        sample_ns=rules.premium_sample_ns.value or CONTINUOUS_SAMPLE_NS,
        premium=premium_form,
        weights=weights_of(card, ts_ns, interval),
        votes_least=rules.votes_least.value,
        vote_clamp_e18=None if vote_clamp is None else vote_clamp * 10**6,
        sample_unit_e18=max(1, rules.sample_unit_e12.value * 10**6),
        sample_rounding=rules.sample_rounding.value,
        interest_e12=interest,
        form=form,
        damp_e12=rules.damp_e12.value,
        divided=rules.divide.value == "by_interval_of_8h",
        cap_e12=cap,
        floor_e12=floor,
        cap_period_ns=rules.cap_period_ns.value or interval,
        rate_unit_e12=rules.rate_unit_e12.value,
        rate_rounding=rules.rate_rounding.value,
        rolling=rules.forecast.value == "rolling",
    )


def weights_of(card: RuleCard, ts_ns: int, interval_ns: int) -> Weights:
    """How the card's venue weighs the samples of an interval of this length."""
    aggregation, weights = card.funding.aggregation.at(ts_ns).value, card.funding.weights.value
    if aggregation == "median_of_votes":
        return "median_of_votes"
    if aggregation == "instantaneous":
        return "instantaneous"
    rising = weights == "rising" or (weights == "rising_equal_at_1h" and interval_ns > HOUR_NS)
    return "rising" if rising else "equal"


def initial_rate(table: MarginTable) -> Fraction:
    """The initial margin rate of a symbol's lowest tier: 1 / the highest leverage where the tiers name leverages."""
    if isinstance(table, Brackets):
        return Fraction(1, table.max_leverage[0])
    if isinstance(table, ContractTiers):
        return Fraction(table.initial_e12[0], E12)
    return Fraction(table.initial_base_e12 if isinstance(table, LinearTier) else table.initial_e12, E12)


def maintenance_rate(table: MarginTable) -> Fraction:
    """The maintenance margin rate of a symbol's lowest tier."""
    if isinstance(table, Brackets):
        return Fraction(table.rate_e12[0], E12)
    if isinstance(table, ContractTiers):
        return Fraction(table.maintenance_e12[0], E12)
    return Fraction(table.maintenance_base_e12 if isinstance(table, LinearTier) else table.maintenance_e12, E12)


def clamp(value: Fraction, low: Fraction | None, high: Fraction | None) -> Fraction:
    """``value``, moved to the nearer of two bounds if it lies outside; None: no bound on that side."""
    if high is not None and value > high:
        return high
    return low if low is not None and value < low else value


# -- premium


def impact_price_e8(levels: Iterable[tuple[Fraction | int, Fraction | int]], notional_e8: int) -> Fraction | None:
    """The average price at which ``notional_e8`` of quote money fills, or None where the levels do not hold as much.

    ``levels``: (price at 1e-8, value of the level in quote money at 1e-8), best first. The last level is taken in part,
    to any fraction of a lot. With ``notional_e8`` 0 it is the best price.
    """
    left, coins = Fraction(notional_e8), Fraction(0)
    for price_e8, value_e8 in levels:
        if left <= 0:
            return Fraction(price_e8)
        part = min(left, Fraction(value_e8))
        coins += part / price_e8
        left -= part
        if left == 0:
            return notional_e8 / coins
    return None


def impact_notional_e8(form: str, amount_e8: int, initial_rate: Fraction | None = None) -> int:
    """The notional of the impact prices: ``amount_e8`` ("fixed"), or that over the symbol's initial margin rate.

    The rate is the one at the symbol's highest leverage: 200 USDT / (1 / 125) = 25,000 USDT on Binance."""
    if form == "fixed":
        return amount_e8
    if initial_rate is None or initial_rate <= 0:
        raise ValueError("the impact notional needs an initial margin rate above 0")
    return rounded(amount_e8 / initial_rate)


def premium(index_e8: int, bid_e8: Fraction | int | None, ask_e8: Fraction | int | None) -> Fraction:
    """(max(0, bid - index) - max(0, index - ask)) / index for impact prices; a missing side adds nothing."""
    above = Fraction(0) if bid_e8 is None else max(Fraction(0), Fraction(bid_e8) - index_e8)
    below = Fraction(0) if ask_e8 is None else max(Fraction(0), index_e8 - Fraction(ask_e8))
    return (above - below) / index_e8


def premium_of_mid(index_e8: int, bid_e8: Fraction | int, ask_e8: Fraction | int) -> Fraction:
    """(bid + ask) / 2 / index - 1 for impact prices (Hyperliquid's builder-deployed markets)."""
    return (Fraction(bid_e8) + Fraction(ask_e8)) / (2 * index_e8) - 1


def premium_of_mark(index_e8: int, mark_e8: int) -> Fraction:
    """(mark - index) / index."""
    return Fraction(mark_e8 - index_e8, index_e8)


def sample_e18(rule: RateRule, value: Fraction) -> int:
    """A premium as the venue keeps it: rounded to its unit, bounded where votes are."""
    found = rounded(value * E18, rule.sample_unit_e18, rule.sample_rounding)
    if rule.vote_clamp_e18 is None:
        return found
    return max(-rule.vote_clamp_e18, min(found, rule.vote_clamp_e18))


# -- averages


class Average(Protocol):
    """The average of samples as they come. Samples are numbered from the epoch: their instant / ``sample_ns``."""

    def add(self, number: int, sample: int) -> None:
        """Take the sample ``number``, at 1e-18; numbers rise."""

    def value_e18(self, start: int) -> Fraction | None:
        """The average of the samples after number ``start``, None before the first of them."""

    def count(self, start: int) -> int:
        """How many samples after number ``start`` it rests on."""


class WeightedMean:
    """Samples after ``start`` weighted by their place after it (``rising``), or all alike.

    A sample that is missing takes its weight with it: the average is that of the samples there are. It keeps the last
    ``span`` numbers; ``start`` may not go back.
    """

    def __init__(self, rising: bool, span: int) -> None:
        self._rising = rising
        self._kept: deque[tuple[int, int]] = deque(maxlen=span + 1)
        self._samples = self._numbered = self._numbers = 0  # sums of sample, number * sample, number

    def add(self, number: int, sample: int) -> None:
        if len(self._kept) == self._kept.maxlen:
            self._forget()
        self._kept.append((number, sample))
        self._samples += sample
        self._numbered += number * sample
        self._numbers += number

    def _forget(self) -> None:
        number, sample = self._kept.popleft()
        self._samples -= sample
        self._numbered -= number * sample
        self._numbers -= number

    def count(self, start: int) -> int:
        while self._kept and self._kept[0][0] <= start:
            self._forget()
        return len(self._kept)

    def value_e18(self, start: int) -> Fraction | None:
        count = self.count(start)
        if not count:
            return None
        if not self._rising:
            return Fraction(self._samples, count)
        return Fraction(self._numbered - start * self._samples, self._numbers - start * count)


class LastSample:
    """Not an average: the latest sample (continuous funding)."""

    def __init__(self) -> None:
        self._number = self._last = -1

    def add(self, number: int, sample: int) -> None:
        self._number, self._last = number, sample

    def count(self, start: int) -> int:
        return int(self._number > start)

    def value_e18(self, start: int) -> Fraction | None:
        return Fraction(self._last) if self._number > start else None


class MedianOfVotes:
    """The mean over minutes of the median of each minute's votes, both as dYdX v4 rounds them.

    A minute with fewer than ``least`` votes is filled up with zeros. A median between two votes is rounded away from
    zero, the mean of the minutes toward zero, both to ``unit`` (1e-6 on dYdX). The minute under way counts with the
    votes it has so far.
    """

    def __init__(self, sample_ns: int, least: int, unit: int) -> None:
        self._count = 0
        self._sample, self._least, self._unit = sample_ns, least, unit
        self._minute = -1
        self._votes: list[int] = []
        self._sum = self._minutes = 0

    def add(self, number: int, sample: int) -> None:
        minute = (number * self._sample - 1) // MINUTE_NS  # a vote at the full minute belongs to the one before it
        if minute != self._minute:
            self._close()
            self._minute = minute
        self._count += 1
        self._votes.append(sample)

    def _close(self) -> None:
        if self._votes:
            self._sum += self._median()
            self._minutes += 1
            self._votes = []

    def _median(self) -> int:
        votes = sorted(self._votes + [0] * (self._least - len(self._votes)))
        middle = len(votes) // 2
        if len(votes) % 2:
            return votes[middle]
        twice = votes[middle - 1] + votes[middle]
        return rounded(Fraction(twice, 2), self._unit, "ceil" if twice > 0 else "floor")

    def count(self, start: int) -> int:
        return self._count

    def value_e18(self, start: int) -> Fraction | None:
        """Of all votes there were: every interval has an object of its own."""
        if not self._count:
            return None
        total, minutes = self._sum, self._minutes
        if self._votes:
            total, minutes = total + self._median(), minutes + 1
        return Fraction(rounded(Fraction(total, minutes), self._unit, "truncate"))


def average_of(rule: RateRule) -> Average:
    """A new average by a rule's form."""
    if rule.weights == "median_of_votes":
        return MedianOfVotes(rule.sample_ns, rule.votes_least, rule.sample_unit_e18)
    if rule.weights == "instantaneous":
        return LastSample()
    return WeightedMean(rule.weights == "rising", rule.samples)


# -- one symbol's interval


class FundingInterval:
    """The running funding of one symbol up to the boundary that its interval ends at.

    Samples are due at whole multiples of ``rule.sample_ns`` in (start, boundary]; the last one, at the boundary itself,
    counts. ``earlier`` is the interval before: where forecasts are ``rolling`` its samples go on to count, since the
    venue's forecast is that of the last ``interval_ns`` at every moment. At the boundary both are the same.
    """

    def __init__(self, rule: RateRule, boundary_ns: int, earlier: FundingInterval | None = None) -> None:
        self.rule, self.boundary_ns = rule, boundary_ns
        # where only the latest sample counts, every one there was is as good a start
        self._start = (boundary_ns - rule.interval_ns) // rule.sample_ns if rule.samples else -1
        goes_on = rule.rolling and earlier is not None and earlier.rule == rule
        self._average: Average = earlier._average if goes_on and earlier is not None else average_of(rule)

    def add(self, ts_ns: int, value: Fraction) -> None:
        """Take the premium sampled at ``ts_ns``."""
        self._average.add(ts_ns // self.rule.sample_ns, sample_e18(self.rule, value))

    def rate_e12(self, ts_ns: int) -> int | None:
        """What the samples up to ``ts_ns`` give: the venue's forecast then, and the rate itself at the boundary."""
        goes_on = self.rule.rolling and self.rule.samples > 0
        start = ts_ns // self.rule.sample_ns - self.rule.samples if goes_on else self._start
        average = self._average.value_e18(start)
        return None if average is None else self.rule.rate_e12(average)

    def coverage(self) -> tuple[int, int]:
        """At the boundary: samples there are, and samples of a whole interval."""
        return self._average.count(self._start), self.rule.samples


# -- payment


def payment(
    position: Fraction, price: Fraction, rate: Fraction, unit: Fraction = Fraction(1, E8),
    rounding: Rounding = "half_even", inverse: bool = False,
) -> Fraction:  # fmt: skip
    """What a position receives (negative: pays), in whole ``unit`` of the settlement asset: longs pay a positive rate.

    ``position`` signed, in base coin (inverse: quote money, contracts times their value); ``price`` the one the venue
    charges at (mark, oracle or index); ``rate`` that of the interval. Rounding is that of the amount received: "floor"
    is against the account whichever way it flows.
    """
    value = position / price if inverse else position * price
    return rounded(-value * rate / unit, 1, rounding) * unit


def funding_index_delta_e18(rate_8h_ppm: int, elapsed_s: int, price: Fraction, base_decimals: int) -> int:
    """The change of dYdX's funding index: millionths of 1e-6 USDC per 10^-base_decimals of the coin, toward zero.

    = rate8h_ppm * elapsed / 8 h * price, in quote quantums per base quantum; the name's e18 is an index of 1e-12 USDC
    per quantum of 1e-6 coin. (v4-chain protocol/x/perpetuals/funding/funding.go)
    """
    quantum = price * 10**6 / 10**base_decimals
    return rounded(Fraction(rate_8h_ppm * elapsed_s) * quantum / (8 * 3600), 1, "truncate")
