"""From rule card, instrument and run file to a venue's checks of requests: gates, limits, blocks and dead-man switches.

A card that has none of it (the neutral one) puts nothing on the kernel.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matching import codes
from matching.codes import BUY, NO_PRICE, SELL
from matching.dead_man import DeadMan
from matching.gate import (
    BAND_CLAMP,
    BAND_REJECT,
    BOUND_BAND,
    BOUND_INDEX,
    BOUND_MARK,
    BOUND_MID,
    COUNT_AMEND,
    COUNT_AMENDS,
    COUNT_CANCEL,
    COUNT_CANCELS,
    COUNT_SUBMIT,
    COUNT_SUBMITS,
    EXEMPT_NONE,
    EXEMPT_REDUCE_ONLY,
    EXEMPT_WHOLE_CLOSE,
    Bucket,
    FixedWindow,
    Gate,
    Limit,
    RollingWindow,
    VolumeBudget,
)
from matching.kernel import Core
from venues.instruments import Instrument
from venues.rules import LimitRules, OrderRules, RateLimit, RuleCard

E8: Final = 10**8
E12: Final = 10**12
SECOND_NS: Final = 10**9
TIFS: Final = {"GTC": codes.GTC, "IOC": codes.IOC, "FOK": codes.FOK, "GTX": codes.GTX, "GTD": codes.GTD}
EXEMPT: Final = {"none": EXEMPT_NONE, "reduce_only": EXEMPT_REDUCE_ONLY, "whole_close": EXEMPT_WHOLE_CLOSE}
UNIQUE: Final = {"none": 0, "open": 1, "always": 2}
BOUNDS: Final = {"mark": BOUND_MARK, "index": BOUND_INDEX, "oracle": BOUND_INDEX, "mid": BOUND_MID}
# by ``Core.life``: orders without a near end are kept by the chain itself; one with an end counts as GTD
STATEFUL: Final = 1 << codes.GTC | 1 << codes.GTX
ALL_TIFS: Final = 31
EVERY_KIND: Final = COUNT_SUBMIT | COUNT_CANCEL | COUNT_AMEND | COUNT_SUBMITS | COUNT_CANCELS | COUNT_AMENDS
CLASSES: Final = ("post_only", "cancel", "taker")


@dataclass(frozen=True, slots=True)
class Checked:
    """One instrument of the run: ``venue`` is its place among the venues, ``highest`` its first bracket's leverage."""

    venue: int
    instrument: Instrument
    highest: int


@dataclass(frozen=True, slots=True)
class VenueGate:
    """One venue of the run, with what the run file says of its limits."""

    card: RuleCard
    limited: bool
    traded_e8: int  # by the account before the run: it may have earned requests


def install(core: Core, venues: Sequence[VenueGate], markets: Sequence[Checked], first_ns: int) -> None:
    """Put each venue's checks on the kernel. Markets and latencies must be configured."""
    for place, venue in enumerate(venues):
        card, mine = venue.card, [m for m, market in enumerate(markets) if market.venue == place]
        shared = [account_limits(card, first_ns, venue.traded_e8) for _ in range(core.n_lanes)]
        for m in mine:
            market = markets[m]
            gate = gate_of(card, market.instrument, market.highest, first_ns)
            own = [instrument_limits(card, first_ns) for _ in range(core.n_lanes)]
            limits = [ours + more for ours, more in zip(shared, own, strict=True)]
            core.set_gate(m, gate, limits if venue.limited and any(limits) else None)
            _set_blocks(core, m, card, market.instrument, first_ns)
            samples = _premium_samples(card.orders, first_ns)
            if gate is not None and samples:
                sampler = PremiumSampler(core, m, gate, market.instrument)
                core.schedule(-(-first_ns // SECOND_NS) * SECOND_NS, sampler.sample)
        switch = dead_man_of(card, place)
        if switch is not None:
            core.set_dead_man(place, switch)


# -- checks


def gate_of(card: RuleCard, instrument: Instrument, highest: int, ts_ns: int) -> Gate | None:
    """A market's checks as of ``ts_ns``; None where the card has none. ``highest``: the leverage that values go by."""
    orders = card.orders
    if checks_nothing(card):
        return None
    tick = instrument.price_e8_of(1)
    found: dict[str, Any] = {
        "tifs": sum(1 << TIFS[word] for word in orders.times_in_force.value),
        "flags": (1 << 30) - 1 - (0 if orders.close_position.value else codes.FLAG_CLOSE_POSITION),
        "tick_e8": (tick.numerator, tick.denominator),
        "value": (instrument.value_num, instrument.value_den),
        "lot": (instrument.lot_num, instrument.lot_den),
        "inverse": instrument.inverse,
        "steps": instrument.grid_steps[1:],
        "min_ticks": max(1, instrument.min_ticks or 1),
        "min_lots": instrument.min_lots,
        "unique": UNIQUE[orders.client_id_unique.value],
    }
    least = instrument.min_notional_e8 if instrument.min_notional_e8 is not None else orders.min_notional_e8.value
    found |= {"min_notional_e8": least or 0, "exempt": EXEMPT[orders.min_notional_exempt.value]}
    for name in ("max_ticks", "max_lots", "max_market_lots"):
        if getattr(instrument, name) is not None:
            found[name] = getattr(instrument, name)
    found["max_limit_value_e8"] = _row_for(orders.max_limit_value.value, highest)
    found["max_market_value_e8"] = _row_for(orders.max_market_value.value, highest)
    return Gate().configure(**found, **_open_orders(orders, instrument), **_band(orders, instrument, ts_ns))


def checks_nothing(card: RuleCard) -> bool:
    """Whether a card is of a bare matching engine, which takes whatever is sent."""
    open_ended = card.orders.open_orders_scope.value == card.orders.price_band.value == "none"
    return open_ended and card.limits.windows.value == "none"


def _row_for(rows: tuple[tuple[int, int], ...], key: int) -> int:
    """The value of the highest row not above ``key``, 0 (no limit) where there is none."""
    return max(((start, value) for start, value in rows if start <= key), default=(0, 0))[1]


def _open_orders(orders: OrderRules, instrument: Instrument) -> dict[str, Any]:
    own = instrument.max_open_orders
    most, stops = orders.max_open_orders.value or 0, orders.max_stop_orders.value or 0
    by_account = orders.open_orders_scope.value == "account"
    found: dict[str, Any] = {"max_open": own or (0 if by_account else most)}
    if by_account:
        found["max_open_account"] = most
    if orders.open_orders_per_volume_e8.value is not None:
        found["open_per_e8"] = orders.open_orders_per_volume_e8.value
        found["most_by_volume"] = orders.open_orders_most.value or most
        found["max_loose"] = stops
    elif orders.stop_orders_scope.value == "account":
        found["max_stops_account"] = stops
    else:
        found["max_stops"] = stops
    if orders.open_orders_by_equity.value:
        found |= {"open_by_equity": orders.open_orders_by_equity.value, "open_tifs": STATEFUL}
    return found


def _band(orders: OrderRules, instrument: Instrument, ts_ns: int) -> dict[str, Any]:
    """Price band and bound of market orders. See ``matching.gate`` for the terms."""
    form, price = orders.price_band_form.at(ts_ns).value, orders.price_band_price.value
    x = instrument.band_x_e12 if instrument.band_x_e12 is not None else orders.price_band_x_e12.value
    y = instrument.band_y_e12 if instrument.band_y_e12 is not None else orders.price_band_y_e12.value
    z = orders.price_band_z_e12.value
    found: dict[str, Any] = {}
    if orders.price_band.value != "none":
        found["band"] = BAND_CLAMP if orders.price_band.value == "clamp" else BAND_REJECT
        found["band_on_index"] = price in ("index", "oracle")
        found["both_sides"] = price == "oracle"  # a distance: too low is as far as too high
        found["band_market"] = orders.market_form.value == "bounded"
        if instrument.band_up_e12 is not None or instrument.band_down_e12 is not None:
            up, down = instrument.band_up_e12, instrument.band_down_e12
            found |= {"up_e12": (up or E12) - E12, "down_e12": E12 - (down or E12)}
        else:
            inner, outer = (y, z) if z is not None else (x, y)
            found |= {"up_e12": inner or 0, "down_e12": inner or 0}
            if form == "index_premium":
                found |= {
                    "outer_e12": outer or 0, "toward_index": True, "premium_one_sided": price == "mark",
                    "premium_samples": _premium_samples(orders, ts_ns),
                }  # fmt: skip
    bound = instrument.market_bound_e12 if instrument.market_bound_e12 is not None else orders.market_bound_e12.value
    if bound is not None and orders.market_bound_price.value in BOUNDS:
        found |= {"bound": BOUNDS[orders.market_bound_price.value], "bound_e12": bound}
    elif orders.market_form.value != "bounded" and "band" in found:
        found["bound"] = BOUND_BAND
    return found


def _premium_samples(orders: OrderRules, ts_ns: int) -> int:
    if orders.price_band_form.at(ts_ns).value != "index_premium":
        return 0
    return orders.price_band_window_ns.value // SECOND_NS


class PremiumSampler:
    """Each second (venue time) tells a gate how far the book's mid lies from the band's reference price."""

    def __init__(self, core: Core, market: int, gate: Gate, instrument: Instrument) -> None:
        self._core = core
        self._market = market
        self._gate = gate
        self._tick = instrument.price_e8_of(1)

    def sample(self, ts: int) -> None:
        core, m = self._core, self._market
        core.schedule(ts + SECOND_NS, self.sample)
        bid, ask = core.venue_best_ticks(m, BUY), core.venue_best_ticks(m, SELL)
        reference = core.venue_index_e8(m) if self._gate.band_on_index else core.venue_mark_e8(m)
        if reference > 0 and NO_PRICE not in (bid, ask):
            self._gate.add_premium(int((bid + ask) * self._tick / 2) - reference)


# -- limits


def account_limits(card: RuleCard, ts_ns: int, traded_e8: int = 0) -> list[Limit]:
    """The allowances that one account has over all markets of the venue, new and unused."""
    rules = card.limits
    found = _limits(card, ts_ns, "account")
    earned = rules.earned.value
    if earned is not None:
        found.append(
            VolumeBudget(
                EVERY_KIND, earned.initial, earned.per_volume_e8, earned.cancel_extra, earned.slow_ns, traded_e8,
                1 if rules.batch_counts.value == "one" else -1,
            )
        )  # fmt: skip
    return found


def instrument_limits(card: RuleCard, ts_ns: int) -> list[Limit]:
    """The allowances that one account has in each market, new and unused."""
    return _limits(card, ts_ns, "instrument")


def _limits(card: RuleCard, ts_ns: int, scope: str) -> list[Limit]:
    rows = [row for row in card.limits.limits.at(ts_ns).value if row.scope == scope]
    units = {row.unit for row in rows}
    found = []
    for row in rows:
        for counts, tifs in _counted(row, units):
            found.append(_window(card, card.limits, row, counts, tifs))
    return found


def _counted(row: RateLimit, units: Collection[str]) -> list[tuple[int, int]]:
    """(COUNT_* bits, times in force) of each bucket that a row stands for; none if it is about something else."""
    batches = 0 if "batch_orders" in units else COUNT_SUBMITS
    if row.unit == "orders":
        amends = 0 if "amends" in units else COUNT_AMEND | (COUNT_AMENDS if batches else 0)
        return [(COUNT_SUBMIT | batches | amends, ALL_TIFS)]
    if row.unit == "stateful_orders":
        return [(COUNT_SUBMIT | COUNT_SUBMITS, STATEFUL)]
    if row.unit == "orders_and_cancels":
        return [(EVERY_KIND, ALL_TIFS - STATEFUL if "stateful_orders" in units else ALL_TIFS)]
    if row.unit == "amends":
        return [(COUNT_AMEND | (COUNT_AMENDS if batches else 0), ALL_TIFS)]
    if row.unit == "cancels":
        return [(COUNT_CANCEL | (COUNT_CANCELS if batches else 0), ALL_TIFS)]
    if row.unit == "batch_orders":  # new orders, amendments and cancels are requests of their own, each with its bucket
        return [(COUNT_SUBMITS, ALL_TIFS), (COUNT_AMENDS, ALL_TIFS), (COUNT_CANCELS, ALL_TIFS)]
    return []


def _window(card: RuleCard, rules: LimitRules, row: RateLimit, counts: int, tifs: int) -> Limit:
    batch = row.batch if row.batch is not None else (1 if rules.batch_counts.value == "one" else -1)
    if row.burst:
        return Bucket(counts, row.burst, row.window_ns // row.units, batch, tifs)
    if rules.windows.value == "fixed":
        return FixedWindow(counts, row.units, row.window_ns, batch, tifs)
    step = card.batching.block_interval_ns.value if rules.windows.value == "blocks" else 1
    return RollingWindow(counts, row.units, row.window_ns, step, batch, tifs)


# -- blocks, bumps, switches


def _set_blocks(core: Core, m: int, card: RuleCard, instrument: Instrument, ts_ns: int) -> None:
    batching = card.batching
    if batching.block_interval_ns.value:
        order = batching.class_order.value
        ranks = [order.index(word) if word in order else 0 for word in CLASSES]
        waits = batching.held_to_next_block.value
        core.set_blocks(
            m, batching.block_interval_ns.value, (ranks[0], ranks[1], ranks[2]),
            STATEFUL if "stateful" in waits else 0, "conditional" in waits,
        )  # fmt: skip
    bump = batching.speed_bump_ns.at(ts_ns).value
    if bump and instrument.base not in batching.speed_bump_exempt.value:
        core.set_speed_bump(m, bump)


def dead_man_of(card: RuleCard, venue: int) -> DeadMan | None:
    """The venue's switch, None where it has none. A disconnect that nobody asked for closes orders where it is on."""
    rules = card.dead_man
    if rules.kind.value == "none":
        return None
    return DeadMan(
        venue,
        min_ns=rules.min_ns.value or 0,
        max_ns=rules.max_ns.value or 0,
        by_market=rules.scope.value == "symbol",
        quota=rules.quota_per_day.value or 0,
        on_disconnect=rules.kind.value == "disconnect",
        check_ns=rules.check_ns.value or card.batching.block_interval_ns.value,
    )
