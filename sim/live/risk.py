"""Limits that every command of a strategy passes before it leaves: plain counting, integers, no I/O.

``check`` answers with the name of the limit that an order would break, or None. Cancels always pass. Once ``halt`` was
called (the loss limit, or by hand) nothing new passes any more. Values count in the quote currency (of an inverse
contract: its contract value), positions in base units (contracts of an inverse one), both exactly, as fractions of the
instrument's arithmetic.

``RiskGuard`` is what the kernel asks before an order or amendment leaves, in every mode alike; what it refuses comes
back as a rejection with the reason R_RISK and the limit in words, and never reaches a venue, real or simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from matching.codes import (
    BUY,
    EV_AMEND_REJECTED,
    EV_REJECTED,
    FLAG_CLOSE_POSITION,
    FLAG_REDUCE_ONLY,
    R_NONE,
    R_RISK,
    SELL,
)
from matching.kernel import Core
from sim.config_live import RiskConfig
from sim.strategy import Context
from venues.instruments import Instrument

SECOND_NS: Final = 1_000_000_000
RATE_MAX: Final = 100_000


@dataclass(slots=True)
class Asked:
    """An order as its limits see it: ``ticks`` of a market order is the price that it would execute near (0: unknown);
    ``resting_lots``: signed sum of the other open orders of its side; ``open_orders``: how many there are."""

    instrument: int
    side: int
    ticks: int
    lots: int
    position_lots: int
    resting_lots: int
    open_orders: int
    reduces: bool
    amends: bool = False


class Risk:
    """The limits of one run."""

    def __init__(self, config: RiskConfig, instruments: Sequence[Instrument]) -> None:
        self.config = config
        self.halted = ""
        self.refused: dict[str, int] = {}
        self._instruments = list(instruments)
        self._recent: deque[int] = deque(maxlen=min(config.max_orders_per_s or 1, RATE_MAX))
        self._max_value = None if config.max_order_value is None else Fraction(config.max_order_value)
        self._max_position = None if config.max_position is None else Fraction(config.max_position)

    def halt(self, why: str) -> None:
        """Nothing new leaves from now on."""
        self.halted = self.halted or why

    def check(self, asked: Asked, now_ns: int) -> str | None:
        """The limit that stands against an order or amendment, in words; None: it may leave."""
        why = self._check(asked, now_ns)
        if why is None:
            self._recent.append(now_ns)
        else:
            name = why.split(":")[0]
            self.refused[name] = self.refused.get(name, 0) + 1
        return why

    def _check(self, asked: Asked, now_ns: int) -> str | None:
        config = self.config
        if self.halted:
            return f"halted: {self.halted}"
        if config.max_orders_per_s is not None and self._is_too_fast(now_ns):
            return f"max_orders_per_s: {config.max_orders_per_s} orders have left within the last second"
        if not asked.amends and config.max_open_orders is not None and asked.open_orders >= config.max_open_orders:
            return f"max_open_orders: {asked.open_orders} are open, allowed are {config.max_open_orders}"
        if self._max_value is not None and not asked.reduces:
            if not asked.ticks:
                return "max_order_value: there is no price yet that a market order could be valued at"
            value = self.value(asked.instrument, asked.ticks, asked.lots)
            if value > self._max_value:
                return f"max_order_value: {float(value):,.2f} is above {config.max_order_value:,f}"
        if self._max_position is not None and not asked.reduces:
            signed = asked.lots if asked.side == BUY else -asked.lots
            after = asked.position_lots + asked.resting_lots + signed
            size = abs(Fraction(self._instruments[asked.instrument].size_of(1)) * after)
            grows = abs(after) > abs(asked.position_lots)
            if grows and size > self._max_position:
                return f"max_position: it could become {float(size):g}, allowed is {config.max_position:f}"
        return None

    def _is_too_fast(self, now_ns: int) -> bool:
        full = len(self._recent) == self._recent.maxlen
        return full and now_ns - self._recent[0] < SECOND_NS

    def value(self, instrument: int, ticks: int, lots: int) -> Fraction:
        """What an order is worth, in quote money."""
        one = self._instruments[instrument]
        if one.inverse:
            return Fraction(one.contract_size) * Fraction(one.size_of(lots))
        return Fraction(one.price_of(ticks)) * Fraction(one.size_of(lots))

    def loss_halt(self, lost: Decimal, asset: str) -> str | None:
        """The kill switch: what to say when so much of an asset has been lost since the start, else None."""
        limit = self.config.max_loss
        if limit is None or lost < limit:
            return None
        return f"max_loss: {lost:,.2f} {asset} lost since the start, allowed are {limit:,f}"


class RiskGuard:
    """The limits as the kernel asks them: ``core.guard``. ``contexts`` by lane, ``say`` gets every refusal in words."""

    def __init__(
        self, risk: Risk, core: Core, contexts: Sequence[Context], say: Callable[[int, int, str], None]
    ) -> None:
        self.risk = risk
        self._core = core
        self._contexts = list(contexts)
        self._say = say

    def order(
        self, lane: int, market: int, order_no: int, side: int, ticks: int, lots: int, type: int, flags: int,
        amends: bool, /,
    ) -> int:  # fmt: skip
        """R_NONE, or R_RISK for what must not leave."""
        context = self._contexts[lane]
        others = [order for order in context.orders(market) if order.number != order_no]
        resting = sum(order.leaves_lots for order in others if order.side == side and not order.reduce_only)
        near = ticks or self._core.best_ticks(market, SELL if side == BUY else BUY)
        asked = Asked(
            market, side, max(near, 0), lots, context.position(market), resting if side == BUY else -resting,
            len(others), bool(flags & (FLAG_REDUCE_ONLY | FLAG_CLOSE_POSITION)), amends,
        )  # fmt: skip
        why = self.risk.check(asked, self._core.now)
        if why is None:
            return R_NONE
        context.words[order_no, EV_AMEND_REJECTED if amends else EV_REJECTED] = (None, f"not sent: {why}")
        self._say(market, order_no, why)
        return R_RISK
