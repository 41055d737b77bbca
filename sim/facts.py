"""What the realism banner says of a run, gathered from its plan and from what passed through it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matching.codes import EV_CANCELED, EV_EXPIRED, EV_FILLED, EV_REJECTED
from matching.kernel import Core
from sim.assembly import MarketPlan, Plan, VenuePlan
from sim.feeds import WatchedSource
from sim.liquidations import stress_notes
from sim.pricing import Settled
from sim.report import BannerFacts, InstrumentFacts, VenueFacts
from sim.units import duration_text, instant_text

BOOKS = {"l3": "order-by-order book (L3)", "l2": "price-level book (L2)", "l1": "best quotes and trades only (L1)"}
EXCHANGES = {
    "partial": "partial fills",
    "nopartial": "hftbacktest's no-partial-fill exchange (for comparison only)",
}


def banner_facts(
    plan: Plan,
    core: Core,
    sources: Sequence[WatchedSource],
    folder: Path,
    is_real: bool = False,
    notes: Sequence[str] = (),
) -> BannerFacts:
    """The facts of a finished run, for ``banner_lines``. ``is_real``: its orders went to the venues; ``notes``: lines
    beside those of the plan."""
    return BannerFacts(
        venues=[_venue(plan, venue) for venue in plan.venues],
        instruments=[_instrument(plan, m, sources[m], folder, is_real) for m in range(len(plan.markets))],
        span_ns=plan.last_ns - plan.first_ns,
        seed=plan.config.seed,
        feed_delay_ns=plan.delay_ns,
        late_frames=sum(market.late() for market in plan.markets if market.late is not None),
        is_real=is_real,
        notes=[*_notes(plan, core), *notes],
    )


def _venue(plan: Plan, venue: VenuePlan) -> VenueFacts:
    place = plan.venues.index(venue)
    mine = [market for market in plan.markets if market.venue == place]
    symbols = tuple(market.name for market in mine if market.config.margin in (None, "card"))
    assumptions = [*venue.card.assumptions(plan.first_ns, symbols)]
    assumptions += [text for market in mine for text in market.instrument.assumptions()]
    assumptions += [text for market in mine for text in market.assumptions]
    named = f"UNVERIFIED {venue.card.venue} "  # the banner says both before each
    return VenueFacts(
        name=venue.config.name,
        rule_card=f"{venue.card.title}, rules as of {instant_text(plan.first_ns)[:10]}",
        entry_latency=venue.entry_text,
        response_latency=venue.response_text,
        maker_fee_e12=venue.fees.maker_e12,
        taker_fee_e12=venue.fees.taker_e12,
        fee_tier=venue.fees.tier,
        zero_latency=venue.zero_latency,
        assumptions=list(dict.fromkeys(text.removeprefix(named) for text in assumptions)),
    )


def _instrument(plan: Plan, m: int, source: WatchedSource, folder: Path, is_real: bool) -> InstrumentFacts:
    market = plan.markets[m]
    return InstrumentFacts(
        name=plan.name_of(m),
        venue=plan.venues[market.venue].config.name,
        book=BOOKS[market.config.book],
        queue_model=market.queue,
        exchange_model=EXCHANGES[market.config.exchange],
        exact_fills=market.config.exchange == "partial",
        mark=market.mark,
        mark_exact=market.mark_exact,
        funding=market.funding,
        funding_exact=market.funding_exact,
        funding_boundaries=len(_boundaries(market)),
        funding_covered=_covered(market, source),
        margin=market.margin,
        margin_exact=market.margin_exact,
        gaps=source.gaps,
        gap_ns=source.gap_ns,
        orders_open_in_gap=0 if is_real else _orders_in_gaps(m, source.gap_spans, folder),
        clock_correction=_clock_correction(market, plan.first_ns, plan.last_ns),
    )


def _boundaries(market: MarketPlan) -> list[int]:
    """The funding boundaries inside the run: known before it, or passed by a computed schedule."""
    if market.pricing is not None and market.pricing.funding:
        return [one.boundary_ns for one in market.pricing.settled]
    return market.due


def _covered(market: MarketPlan, source: WatchedSource) -> int:
    if market.pricing is not None and market.pricing.funding:
        return sum(one.rate_e12 is not None for one in market.pricing.settled)
    return len(source.boundaries & set(market.due)) if market.covered is None else market.covered


def _computed_rates(name: str, settled: Sequence[Settled]) -> list[str]:
    """What the computed rates rest on: the first boundary with too few samples, and how many more there are."""
    thin = [one for one in settled if one.samples < one.whole]
    if not thin:
        return []
    first, more = thin[0], len(thin) - 1
    rest = f"; so do {more} more" if more else ""
    return [
        f"{name}: the funding rate computed for {instant_text(first.boundary_ns)} rests on {first.samples:,} of "
        f"{first.whole:,} premium samples{rest}"
    ]


def _orders_in_gaps(m: int, spans: Sequence[tuple[int, int]], folder: Path) -> int:
    """Own orders of a market that were at the venue during any of the spans."""
    if not spans:
        return 0
    import polars as pl

    key = ["account", "order_no"]
    rows = pl.scan_parquet(folder / "orders.parquet").filter((pl.col("instrument") == m) & (pl.col("order_no") > 0))
    ended = pl.col("event").is_in([EV_CANCELED, EV_EXPIRED, EV_REJECTED]) | (
        (pl.col("event") == EV_FILLED) & (pl.col("leaves") == 0)
    )
    lives = rows.group_by(key).agg(
        pl.col("ts_event_ns").min().alias("start"), pl.col("ts_event_ns").filter(ended).max().alias("end")
    )
    inside = pl.any_horizontal(
        *[(pl.col("start") < end) & (pl.col("end").is_null() | (pl.col("end") > start)) for start, end in spans]
    )
    return int(lives.filter(inside).select(pl.len()).collect().item())


def _clock_correction(market: MarketPlan, first_ns: int, last_ns: int) -> str:
    """How the receive clock of the recordings inside the run was corrected, or nothing if it was not."""
    if not market.paths:
        return ""
    from recorders.dayfile import DayFile

    reports: dict[str, Any] = {}
    for path in market.paths:
        reports |= {report["recording"]: report for report in DayFile(path).about["recordings"]}
    behind = [
        report
        for report in reports.values()
        if report.get("clock_corrected") and report["first_ns"] <= last_ns and report["last_ns"] >= first_ns
    ]
    if not behind:
        return ""
    worst = min(int(report["clock_offset_ns"]) for report in behind)
    floor = max(int(report["latency_least_ns"]) for report in behind)
    return f"ran up to {-worst / 1e9:.3f} s behind the venue; corrected, least feed latency {duration_text(floor)}"


def _notes(plan: Plan, core: Core) -> list[str]:
    notes = []
    for venue in plan.config.venue:
        if venue.rate_limits == "none":
            notes.append(f"{venue.name}: request limits are switched off")
        if venue.hedge:
            notes.append(f"{venue.name}: hedge mode, a long and a short position beside each other")
        if venue.stp is not None:
            notes.append(f"{venue.name}: self-trade prevention is {venue.stp}, as the run file says")
    for m in range(len(plan.markets)):
        computed = plan.markets[m].pricing
        if computed is not None:
            notes += _computed_rates(plan.name_of(m), computed.settled)
        pending = core.pending_boundary(m)
        if pending:
            at = instant_text(pending)
            notes.append(f"{plan.name_of(m)}: funding of {at} is not booked, no later mark message settles its rate")
    compute = plan.config.compute
    if compute is not None:
        delay = compute.delay
        text = (
            duration_text(delay)
            if delay is not None
            else f"{duration_text(compute.min or 0)} to {duration_text(compute.max or 0)}"
        )
        notes.append(f"computing takes {text} a callback")
    return notes + stress_notes(plan.config)
