"""Mark prices as venues compute them from index and book, by the components that a rule card names.

A mark is a combination of components, each a price at 1e-8 made from the venue's index (or oracle), its best bid and
ask and its last trade, sampled at fixed instants:

    index                         the index (oracle) itself
    index_and_last_funding        index * (1 + last rate * time to the next boundary / interval)
    index_and_funding_of_8h       the same with 8 hours in place of the interval, whatever that is (Bybit)
    index_and_average_basis       index + the mean of mid - index over a window
    index_and_ema_basis           index + an exponential average of mid - index
    index_and_ema_fair            index + an exponential average of fair - index, fair = last clamped to [bid, ask]
    last_price                    the last trade
    book_median                   the median of best bid, best ask and last trade
    perp_median                   a weighted median of other venues' mids, given from outside

combined by ``median``, or standing alone (``identity``, ``sum``, ``ema``). Exponential averages follow Hyperliquid's
published recursion: num = num * e^(-t/tau) + x * t and den = den * e^(-t/tau) + t, t since the last sample. e^-x is
computed here in integers at 1e-18: no platform's mathematical library decides a digit.

Units: prices ``_e8``, times ``_ns``. Inside, prices are at 1e-10, where a mid of two ticks is exact.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from venues.errors import RuleCardError
from venues.rules import HOUR_NS, RuleCard

E18: Final = 10**18
FINE: Final = 100  # inner prices are at 1e-10
_GUARD: Final = 10**36

COMPONENTS: Final = (
    "index",
    "index_and_last_funding",
    "index_and_funding_of_8h",
    "index_and_average_basis",
    "index_and_ema_basis",
    "index_and_ema_fair",
    "last_price",
    "book_median",
    "perp_median",
)
BY_RATE: Final = frozenset(("index_and_last_funding", "index_and_funding_of_8h"))  # those that need the last rate


@functools.lru_cache(maxsize=4096)
def decay_e18(elapsed_ns: int, tau_ns: int) -> int:
    """e^(-elapsed/tau) at 1e-18, rounded to nearest; ``elapsed_ns`` >= 0 and ``tau_ns`` > 0.

    The exponent is halved until it is below 1/4096, the series of e^-x summed at 1e-36, and squared back.
    """
    if elapsed_ns < 0 or tau_ns <= 0:
        raise ValueError(f"decay: wanted elapsed >= 0 and tau > 0, got {elapsed_ns} and {tau_ns} ns")
    if elapsed_ns >= 42 * tau_ns:  # below half of 1e-18
        return 0
    halvings = 12 + max(0, (elapsed_ns // tau_ns).bit_length())
    x = elapsed_ns * _GUARD // tau_ns >> halvings
    term, total, k = _GUARD, _GUARD, 0
    while term:
        k += 1
        term = term * x // (_GUARD * k)
        total += -term if k % 2 else term
    for _ in range(halvings):
        total = total * total // _GUARD
    return (total * 2 * E18 // _GUARD + 1) // 2


def median(values: Sequence[int | Fraction]) -> Fraction:
    """The middle value, or the mean of the two middle ones."""
    ranked = sorted(values)
    middle = len(ranked) // 2
    if len(ranked) % 2:
        return Fraction(ranked[middle])
    return (Fraction(ranked[middle - 1]) + ranked[middle]) / 2


def weighted_median(values: Sequence[tuple[int | Fraction, int]]) -> Fraction | None:
    """The value at which half of all weight is reached; the mean of two where it is reached exactly between them."""
    ranked = sorted(values)
    total, reached = sum(weight for _, weight in ranked), 0
    for place, (value, weight) in enumerate(ranked):
        reached += weight
        if 2 * reached > total:
            return Fraction(value)
        if 2 * reached == total and place + 1 < len(ranked):
            return (Fraction(value) + ranked[place + 1][0]) / 2
    return None


class ExponentialAverage:
    """Hyperliquid's recursion over samples at any spacing. The first sample counts as if held for a second."""

    def __init__(self, tau_ns: int) -> None:
        self._tau = tau_ns
        self._last = -1
        self._num = self._den = 0

    def add(self, ts_ns: int, value: int) -> None:
        """A sample at ``ts_ns``; at or before the last one it is not taken."""
        elapsed = 1_000_000_000 if self._last < 0 else ts_ns - self._last
        if elapsed <= 0:
            return
        decay = decay_e18(elapsed, self._tau) if self._last >= 0 else 0
        self._num = (self._num * decay + value * elapsed * E18 * E18) // E18
        self._den = (self._den * decay + elapsed * E18 * E18) // E18
        self._last = ts_ns

    def value(self) -> Fraction | None:
        return Fraction(self._num, self._den) if self._den else None


class MovingMean:
    """The mean of the samples of the last ``window_ns``, which come at most every ``sample_ns``."""

    def __init__(self, window_ns: int, sample_ns: int) -> None:
        self._window = window_ns
        self._samples: deque[tuple[int, int]] = deque(maxlen=window_ns // sample_ns + 1)
        self._sum = 0

    def add(self, ts_ns: int, value: int) -> None:
        while self._samples and self._samples[0][0] <= ts_ns - self._window:
            self._sum -= self._samples.popleft()[1]
        self._samples.append((ts_ns, value))
        self._sum += value

    def value(self) -> Fraction | None:
        return Fraction(self._sum, len(self._samples)) if self._samples else None


@dataclass(frozen=True, slots=True)
class MarkRule:
    """How one symbol's mark is made. ``cap_e12`` bounds its distance from the index; None: unbounded.

    ``fallback_tau_ns``: where exactly two components exist, an exponential average of ``book_median`` over that time is
    the third (Hyperliquid). 0: there is no such rule.
    """

    components: tuple[str, ...]
    sample_ns: int = 1_000_000_000
    window_ns: int = 0
    tau_ns: int = 0
    fallback_tau_ns: int = 0
    cap_e12: int | None = None

    def __post_init__(self) -> None:
        for name in self.components:
            if name not in COMPONENTS:
                raise RuleCardError(f"mark component {name!r} is none of {', '.join(COMPONENTS)}")
        if not self.components:
            raise RuleCardError("a mark needs at least one component")


def mark_rule(card: RuleCard, ts_ns: int) -> MarkRule:
    """The rule of a venue's card as of an instant. Raises ``RuleCardError`` where the card has none."""
    rules = card.mark
    if rules.combiner.value == "none":
        raise RuleCardError(f"{card.venue}: its card has no mark formula")
    return MarkRule(
        rules.components.value,
        rules.basis_sample_ns.value or rules.publish_ns.value or 1_000_000_000,
        rules.basis_window_ns.at(ts_ns).value,
        rules.ema_tau_ns.value,
        rules.fallback_ema_tau_ns.value,
        rules.cap_e12.value,
    )


@dataclass(frozen=True, slots=True)
class MarkInputs:
    """What a sample sees, at 1e-8; None: not known now. ``rate_e12`` is the last settled rate, of ``interval_ns``.

    ``perps``: (mid, weight) of other venues' perpetuals.
    """

    ts_ns: int
    index_e8: int
    bid_e8: Fraction | int | None = None
    ask_e8: Fraction | int | None = None
    last_e8: Fraction | int | None = None
    rate_e12: int | None = None
    next_funding_ns: int = 0
    interval_ns: int = 0
    perps: tuple[tuple[int, int], ...] = ()


class Mark:
    """The mark of one symbol, sample by sample."""

    def __init__(self, rule: MarkRule) -> None:
        self.rule = rule
        self._basis: MovingMean | None = None
        if "index_and_average_basis" in rule.components:
            self._basis = MovingMean(rule.window_ns, rule.sample_ns)
        smoothed = {"index_and_ema_basis", "index_and_ema_fair"} & set(rule.components)
        self._ema = ExponentialAverage(rule.tau_ns) if smoothed else None
        self._fair = "index_and_ema_fair" in rule.components
        self._book = ExponentialAverage(rule.fallback_tau_ns) if rule.fallback_tau_ns else None

    def sample(self, seen: MarkInputs) -> int | None:
        """Take a sample and return the mark at 1e-8 (half-even), None while no component is known."""
        index = seen.index_e8 * FINE
        self._take(seen, index)
        found = [value for name in self.rule.components if (value := self._component(name, seen, index)) is not None]
        if self._book is not None and len(found) == 2 and (third := self._book.value()) is not None:
            found.append(third)
        if not found:
            return None
        mark = median(found)
        if self.rule.cap_e12 is not None:
            room = Fraction(index * self.rule.cap_e12, 10**12)
            mark = max(index - room, min(mark, index + room))
        return round(mark / FINE)

    def _take(self, seen: MarkInputs, index: int) -> None:
        if seen.bid_e8 is None or seen.ask_e8 is None:
            return
        if self._basis is not None:
            self._basis.add(seen.ts_ns, _mid(seen) - index)
        if self._ema is not None and self._fair:
            if seen.last_e8 is not None:
                fair = max(Fraction(seen.bid_e8), min(Fraction(seen.last_e8), Fraction(seen.ask_e8)))
                self._ema.add(seen.ts_ns, round(fair * FINE) - index)
        elif self._ema is not None:
            self._ema.add(seen.ts_ns, _mid(seen) - index)
        if self._book is not None and (book := _book_median(seen)) is not None:
            self._book.add(seen.ts_ns, round(book * FINE))

    def _component(self, name: str, seen: MarkInputs, index: int) -> Fraction | None:
        if name == "index":
            return Fraction(index)
        if name in BY_RATE:
            if seen.rate_e12 is None or seen.interval_ns <= 0:
                return None
            left = max(0, seen.next_funding_ns - seen.ts_ns)
            span = seen.interval_ns if name == "index_and_last_funding" else 8 * HOUR_NS
            return index * (1 + Fraction(seen.rate_e12 * left, 10**12 * span))
        if name == "index_and_average_basis":
            assert self._basis is not None
            basis = self._basis.value()
            return None if basis is None else index + basis
        if name in ("index_and_ema_basis", "index_and_ema_fair"):
            assert self._ema is not None
            smooth = self._ema.value()
            return None if smooth is None else index + smooth
        if name == "last_price":
            return None if seen.last_e8 is None else Fraction(seen.last_e8) * FINE
        if name == "book_median":
            book = _book_median(seen)
            return None if book is None else book * FINE
        other = weighted_median(seen.perps)
        return None if other is None else other * FINE


def _mid(seen: MarkInputs) -> int:
    assert seen.bid_e8 is not None and seen.ask_e8 is not None
    return round(Fraction(seen.bid_e8 + seen.ask_e8) * FINE / 2)


def _book_median(seen: MarkInputs) -> Fraction | None:
    if seen.bid_e8 is None or seen.ask_e8 is None or seen.last_e8 is None:
        return None
    return median((seen.bid_e8, seen.ask_e8, seen.last_e8))
