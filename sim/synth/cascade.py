"""Liquidation cascades in the synthetic market: a crowd of leveraged holders whose forced orders move the price.

Every holder has a side, a size, a leverage and an entry price around the session's start, all drawn by seed, and from
them a liquidation price: long entry (1 - 1/L + m), short entry (1 + 1/L - m), with maintenance rate m (isolated margin,
no fees). When the published mark reaches it, the holder's whole position is sent into the book as one forced order, one
an action. Each forced order takes what is displayed, and a share of the ticks that it swept moves the latent value for
good (the usual split into permanent and passing impact, Almgren and Chriss 2000; the share is a parameter, not a
measurement). The value moves index, mark and with them the next holders' margin: that is the cascade.

Forced orders of a run's own account can be given too (``SyntheticSession.forced``): a feed cannot hear orders that are
sent after it was made, so a second session made with the first run's forced orders shows what they would have started.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from matching.codes import BUY, SELL
from sim.synth.draws import Draws
from sim.synth.market import SyntheticMarket

E4: Final = 10_000
SECOND_NS: Final = 1_000_000_000
LEVERAGES: Final = (5, 10, 20, 25, 50, 75, 100)
SIZE_SPREAD_Q16: Final = 92_000


@dataclass(frozen=True, slots=True)
class Crowd:
    """Hypothetical leveraged holders. ``entry_spread_e4``: deviation of their entry prices from the start, at 1e-4.

    ``lots`` is the median size in multiples of 1/10 of the market's ``touch_lots``; ``impact_per_mille`` the share of
    the ticks swept by a forced order by which the value moves for good.
    """

    holders: int = 500
    long_per_mille: int = 600
    lots: int = 20
    entry_spread_e4: int = 60
    maintenance_e4: int = 50
    impact_per_mille: int = 300

    def __post_init__(self) -> None:
        for name, least, most in (
            ("holders", 1, 100_000), ("long_per_mille", 0, 1000), ("lots", 1, 10_000), ("entry_spread_e4", 0, 2000),
            ("maintenance_e4", 1, 99), ("impact_per_mille", 0, 1000),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"crowd: {name} must lie in {least}..{most}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Cascade:
    """Forced orders in marks that follow each other without a quiet one: when, how many, how much, how far.

    ``unfilled_lots``: what found no displayed bids or asks any more; the venue's fund has it.
    """

    start_ns: int
    marks: int
    orders: int
    lots: int
    swept_ticks: int
    unfilled_lots: int = 0


class Holders:
    """The crowd of one market as it stands: whose liquidation price has not been reached yet."""

    def __init__(self, market: SyntheticMarket, crowd: Crowd, seed: int) -> None:
        draws = Draws(seed, f"crowd/{market.venue}/{market.symbol}")
        start = market.start_ticks
        self.waiting: list[tuple[int, int, int]] = []  # (side held, liquidation price in ticks, lots)
        for _ in range(crowd.holders):
            side = BUY if draws.happens(crowd.long_per_mille) else SELL
            leverage = LEVERAGES[draws.below(len(LEVERAGES))]
            entry = start + start * (draws.gauss_q16() * crowd.entry_spread_e4 >> 16) // E4
            away = entry * (E4 // leverage - crowd.maintenance_e4) // E4
            lots = draws.lognormal(max(1, market.touch_lots * crowd.lots // 10), SIZE_SPREAD_Q16)
            price = entry - away if side == BUY else entry + away
            if (start - price) * (1 if side == BUY else -1) > 0:  # the others have been liquidated before
                self.waiting.append((side, price, lots))

    def reached(self, mark_ticks: int) -> list[tuple[int, int]]:
        """Forced orders, (aggressor side, lots), of those whose price the mark has reached; they are gone then.

        The nearest liquidation prices first.
        """
        due = [row for row in self.waiting if (mark_ticks <= row[1] if row[0] == BUY else mark_ticks >= row[1])]
        if due:
            gone = set(due)
            self.waiting = [row for row in self.waiting if row not in gone]
            due.sort(key=lambda row: (row[0], -row[1] if row[0] == BUY else row[1], row[2]))
        return [(1 - side, lots) for side, _, lots in due]


class CascadeLog:
    """Collects forced orders into cascades: a mark at which nothing is due, and nothing waits, ends one."""

    def __init__(self) -> None:
        self.done: list[Cascade] = []
        self._open: Cascade | None = None

    def executed(self, now_ns: int, lots: int, swept_ticks: int, unfilled_lots: int = 0) -> None:
        found = self._open or Cascade(now_ns, 0, 0, 0, 0)
        self._open = replace(
            found,
            orders=found.orders + 1,
            lots=found.lots + lots,
            swept_ticks=found.swept_ticks + swept_ticks,
            unfilled_lots=found.unfilled_lots + unfilled_lots,
        )

    def mark(self, is_quiet: bool) -> None:
        if self._open is None:
            return
        if is_quiet:
            self.done.append(self._open)
            self._open = None
        else:
            self._open = replace(self._open, marks=self._open.marks + 1)

    def all(self) -> list[Cascade]:
        """Every cascade so far, the one under way last."""
        return self.done + ([self._open] if self._open is not None else [])


def sizes(cascades: list[Cascade]) -> dict[str, int]:
    """Statistics of cascade sizes, in forced orders: how many cascades, how many of one order, median and largest."""
    orders = sorted(cascade.orders for cascade in cascades)
    return {
        "cascades": len(orders),
        "single": sum(count == 1 for count in orders),
        "orders": sum(orders),
        "median": orders[len(orders) // 2] if orders else 0,
        "largest": orders[-1] if orders else 0,
        "largest_swept_ticks": max((cascade.swept_ticks for cascade in cascades), default=0),
    }
