"""From rule card and run file to the venue's liquidation: its terms, its desk on the kernel, injected deleveraging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

from matching.codes import PRICE_MARK, PRICE_NONE, PRICE_PRIOR_MARK
from matching.kernel import Core
from matching.liquidation import E12, Terms
from matching.procedures import Takers, make
from sim.config import AdlConfig, RunConfig, VenueConfig
from sim.units import duration_text, instant_text
from venues.errors import InputError
from venues.instruments import Instrument
from venues.rules import RuleCard

PRICES: Final = {"mark": PRICE_MARK, "prior_mark": PRICE_PRIOR_MARK}


def terms_of(rule_card: RuleCard, venue: VenueConfig, ts_ns: int) -> Terms:
    """A card's liquidation and loss rules as the procedures read them, with what the run file adds."""
    rules, loss = rule_card.liquidation, rule_card.loss
    return Terms(
        procedure=rules.procedure.value,
        isolated_procedure=rules.isolated_procedure.value,
        warning_ratio_e12=rules.warning_ratio_e12.value or 0,
        cancels=rules.cancels.value,
        first_fraction_e12=rules.first_fraction_e12.value,
        first_fraction_above_e8=rules.first_fraction_above_e8.value,
        cooldown_ns=rules.cooldown_ns.value,
        chunk_fraction_e12=rules.chunk_fraction_e12.value,
        tiers_per_step=rules.tiers_per_step.value,
        whole_up_to_tier=rules.whole_up_to_tier.value,
        block_ns=rule_card.batching.block_interval_ns.value,
        block_fraction_e12=rules.block_fraction_e12.value,
        block_least_e8=rules.block_least_e8.value,
        block_most_e8=rules.block_most_e8.value,
        block_loss_most_e8=rules.block_loss_most_e8.value,
        fillable_adjustment_e12=rules.fillable_adjustment_e12.value,
        fillable_spread_e12=rules.fillable_spread_e12.value,
        takeover_ratio_e12=rules.takeover_ratio_e12.value,
        nets_legs=rules.nets_legs.value,
        fee_form=rules.fee_form.value,
        fee_rate_e12=rules.fee_rate_e12.at(ts_ns).value,
        adl_rank=loss.adl_rank.value,
        adl_price=loss.adl_price.value,
        adl_cancels_orders=loss.adl_cancels_orders.value,
        lanes_share=venue.liquidation.lanes_share,
        stale_mark_ns=venue.liquidation.stale_mark or 0,
    )


def stress_notes(config: RunConfig) -> list[str]:
    """What the run file changes about liquidations, in sentences for the banner."""
    notes = []
    for venue in config.venue:
        for asset, amount in venue.insurance.items():
            notes.append(
                f"{venue.name}: the insurance fund begins with {amount} {asset}; what it lacks deleverages others"
            )
        if venue.liquidation.stale_mark is not None:
            limit = duration_text(venue.liquidation.stale_mark)
            notes.append(f"{venue.name}: nobody is liquidated on a mark older than {limit}")
        if venue.liquidation.lanes_share:
            notes.append(f"{venue.name}: lanes are deleveraged into each other, so their results depend on each other")
    for one in config.adl:
        what = f"{one.lots} lots" if one.lots is not None else f"{one.fraction} of the position"
        side = f" ({one.side} only)" if one.side is not None else ""
        notes.append(
            f"injected: {one.instrument}{side} is deleveraged by {what} at {instant_text(one.at)}, {one.price}"
        )
    return notes


@dataclass(frozen=True, slots=True)
class Traded:
    """One instrument of the run as injections name it: ``venue`` is its place among the venues."""

    venue: int
    venue_name: str
    instrument: Instrument


def install(
    core: Core, cards: Sequence[RuleCard], venues: Sequence[VenueConfig], markets: Sequence[Traded],
    injected: Sequence[AdlConfig], first_ns: int, last_ns: int,
) -> None:  # fmt: skip
    """Put each venue's procedure on the kernel, and the run file's ``[[adl]]`` on its agenda. Raises ``InputError``."""
    desks: list[Takers] = []
    for place, (rule_card, venue) in enumerate(zip(cards, venues, strict=True)):
        terms = terms_of(rule_card, venue, first_ns)
        if terms.procedure == "none":  # a card without rules of its own, on brackets that the run file names
            terms = Terms(lanes_share=terms.lanes_share, stale_mark_ns=terms.stale_mark_ns)
        desk = make(core, place, terms)
        core.set_liquidation(place, desk)
        desks.append(desk)
    for place, one in enumerate(injected):
        where = f"adl[{place}]"
        if not first_ns <= one.at <= last_ns:
            raise InputError("is outside the run's time", source=where, field="at")
        m = _market_of(markets, one.instrument, where)
        fixed = None if one.price in PRICES else _ticks_of(markets[m].instrument, str(one.price), where)
        core.schedule(one.at, partial(_inject, core, desks[markets[m].venue], m, one, fixed))


def _market_of(markets: Sequence[Traded], name: str, where: str) -> int:
    found = [
        m for m, traded in enumerate(markets)
        if name in (traded.instrument.symbol, f"{traded.venue_name}:{traded.instrument.symbol}")
    ]  # fmt: skip
    if len(found) != 1:
        known = ", ".join(f"{traded.venue_name}:{traded.instrument.symbol}" for traded in markets)
        raise InputError(f"{name!r} is not one instrument of the run ({known})", source=where, field="instrument")
    return found[0]


def _ticks_of(instrument: Instrument, text: str, where: str) -> int:
    try:
        price = Decimal(text)
        ticks = price / instrument.tick_size
    except ArithmeticError:
        raise InputError(f"{text!r} is no price: mark, prior_mark or a number", source=where, field="price") from None
    if ticks < 1 or ticks != int(ticks):
        raise InputError(f"{text} is not on the tick grid ({instrument.tick_size})", source=where, field="price")
    return int(ticks)


def _inject(core: Core, desk: Takers, m: int, one: AdlConfig, fixed: int | None, ts: int) -> None:
    """Somebody unnamed is bankrupt: every lane with a position on the named side is deleveraged into."""
    price = PRICE_NONE if fixed is not None else PRICES[str(one.price)]
    legs = range(m, core.ledger.n_markets, core.n_markets)
    for lane in range(core.n_lanes):
        for leg in legs:
            lots = core.ledger.position(core.lane_accounts[lane][desk.venue], leg)
            if lots == 0 or one.side not in (None, "long" if lots > 0 else "short"):
                continue
            ticks = fixed if fixed is not None else _mark_ticks(desk, leg, price, one, ts)
            desk.losses.take_from(lane, leg, _lots_of(abs(lots), one), ticks, price, ts)


def _mark_ticks(desk: Takers, leg: int, price: int, one: AdlConfig, ts: int) -> int:
    if desk.mark(leg).mark_e8 == 0:
        raise InputError(f"no mark price is known at {ts} ns", source=f"adl of {one.instrument}", field="price")
    return desk.losses.ticks_of(leg, price)


def _lots_of(size: int, one: AdlConfig) -> int:
    if one.lots is not None:
        return min(one.lots, size)
    assert one.fraction is not None
    scaled = int(one.fraction * E12)
    return min(-(-size * scaled // E12), size)
