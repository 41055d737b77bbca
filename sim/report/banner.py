"""The realism banner: what a result assumes, said before the result.

The run loop fills ``BannerFacts`` and stores ``banner_lines(facts)`` in the manifest; table and report print the
lines as they are, so that a reader of either sees the same words. A line has level ``warn`` when the run departs
from what the venue does (a proxy, something switched off, a gap, an unverified statement) and ``info`` otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from sim.report.formats import duration_text, percent_text, rate_bps_text

Level = Literal["info", "warn"]
UNVERIFIED = "Unverified"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BannerLine:
    """One statement: ``topic`` in a word or two, ``text`` in a sentence, ``level`` info or warn."""

    topic: str
    text: str
    level: Level = "info"

    def as_dict(self) -> dict[str, str]:
        return {"topic": self.topic, "text": self.text, "level": self.level}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> BannerLine:
        """Inverse of ``as_dict``; an unknown level is shown as a warning rather than dropped."""
        level: Level = "info" if raw.get("level", "info") == "info" else "warn"
        return cls(str(raw["topic"]), str(raw["text"]), level)


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """What is assumed of one venue. Latencies are described in words (model and figures), fees are rates at 1e-12."""

    name: str
    rule_card: str
    entry_latency: str
    response_latency: str
    maker_fee_e12: int
    taker_fee_e12: int
    fee_tier: str
    zero_latency: bool = False
    assumptions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class InstrumentFacts:
    """What is assumed of one instrument.

    ``mark`` ``funding`` ``margin`` name the source in words; their ``_exact`` flags are False for a proxy or for
    none. ``funding_boundaries`` counts the boundaries inside the run, ``funding_covered`` those with a known rate.
    ``gap_ns`` is the time in which the book was not known; ``orders_open_in_gap`` the own orders that rested
    through one.
    """

    name: str
    venue: str
    book: str
    queue_model: str
    exchange_model: str
    mark: str
    funding: str
    margin: str
    exact_fills: bool = True
    mark_exact: bool = True
    funding_exact: bool = True
    margin_exact: bool = True
    funding_boundaries: int = 0
    funding_covered: int = 0
    gaps: int = 0
    gap_ns: int = 0
    orders_open_in_gap: int = 0
    clock_correction: str = ""


@dataclass(frozen=True, slots=True)
class BannerFacts:
    """All that the banner is made of; ``span_ns`` is the venue time the run covers, ``feed_delay_ns`` the fixed
    delay D and ``late_frames`` how many frames came later than that. ``is_real``: orders were sent to the venues, so
    nothing of the simulation is assumed but the margin figures, which are the rule card's."""

    venues: Sequence[VenueFacts]
    instruments: Sequence[InstrumentFacts]
    span_ns: int
    seed: int
    feed_delay_ns: int | None = None
    late_frames: int = 0
    is_real: bool = False
    notes: Sequence[str] = ()


def banner_lines(facts: BannerFacts) -> list[BannerLine]:
    """The banner's lines in a fixed order; venues or instruments that share a statement share its line."""
    venues, instruments = facts.venues, facts.instruments
    lines: list[BannerLine] = []
    if facts.is_real:
        lines.append(BannerLine("Orders", "real: fills, fees and funding are what the venue booked"))
    lines += _grouped("Rules", venues, lambda v: v.rule_card, lambda v: "info")
    if not facts.is_real:
        lines += _grouped("Latency", venues, _latency_text, lambda v: "warn" if v.zero_latency else "info")
        lines += _grouped("Fills", instruments, _fill_text, lambda i: "info" if i.exact_fills else "warn")
        lines += _grouped("Fees", venues, _fee_text, lambda v: "info")
    lines += _grouped("Mark price", instruments, lambda i: i.mark, lambda i: _level(i.mark_exact))
    if not facts.is_real:
        lines += _grouped("Funding", instruments, _funding_text, _funding_level)
    lines += _grouped("Margin", instruments, lambda i: i.margin, lambda i: _level(i.margin_exact))
    lines += _grouped(
        "Gaps", instruments, lambda i: _gap_text(i, facts.span_ns), lambda i: "warn" if i.gaps else "info"
    )
    clocked = [i for i in instruments if i.clock_correction]
    lines += _grouped("Receive clock", clocked, lambda i: i.clock_correction, lambda i: "info")
    if not facts.is_real:
        lines += _simulated(facts)
    lines += [BannerLine("Note", text, "warn") for text in facts.notes]
    lines.append(BannerLine("Seed", str(facts.seed)))
    return lines


def _simulated(facts: BannerFacts) -> list[BannerLine]:
    """What is assumed of a venue that is simulated as a whole."""
    lines = []
    if facts.feed_delay_ns is not None:
        lines.append(_delay_line(facts.feed_delay_ns, facts.late_frames))
    lines.append(
        BannerLine("Market impact", "own orders do not move the recorded market beyond what they took", "info")
    )
    for venue in facts.venues:
        lines += [BannerLine(UNVERIFIED, f"{venue.name}: {text}", "warn") for text in venue.assumptions]
    return lines


def _delay_line(delay_ns: int, late: int) -> BannerLine:
    text = f"the venue is simulated {duration_text(delay_ns)} behind"
    if late:
        text += f"; {late:,} frames came later than that and count as of their receipt minus the delay"
    return BannerLine("Feed delay", text, "warn" if late else "info")


def _level(exact: bool) -> Level:
    return "info" if exact else "warn"


def _grouped(
    topic: str, things: Sequence[T], text_of: Callable[[T], str], level_of: Callable[[T], Level]
) -> Iterable[BannerLine]:
    """One line a distinct text; the names are prefixed only where texts differ."""
    names: dict[tuple[str, Level], list[str]] = {}
    for thing in things:
        names.setdefault((text_of(thing), level_of(thing)), []).append(str(getattr(thing, "name", "")))
    if len(names) == 1:
        ((text, level),) = names
        return [BannerLine(topic, text, level)]
    return [BannerLine(topic, f"{', '.join(who)}: {text}", level) for (text, level), who in names.items()]


def _latency_text(venue: VenueFacts) -> str:
    return f"order entry {venue.entry_latency}, response {venue.response_latency}"


def _fill_text(instrument: InstrumentFacts) -> str:
    return f"{instrument.book}, queue model {instrument.queue_model}, {instrument.exchange_model}"


def _fee_text(venue: VenueFacts) -> str:
    maker, taker = rate_bps_text(venue.maker_fee_e12), rate_bps_text(venue.taker_fee_e12)
    return f"maker {maker}, taker {taker} ({venue.fee_tier})"


def _funding_text(instrument: InstrumentFacts) -> str:
    boundaries, covered = instrument.funding_boundaries, instrument.funding_covered
    if not boundaries:
        return f"{instrument.funding}; no funding time inside the run"
    share = percent_text(covered / boundaries)
    return f"{instrument.funding}; {covered} of {boundaries} funding times covered ({share})"


def _funding_level(instrument: InstrumentFacts) -> Level:
    return _level(instrument.funding_exact and instrument.funding_covered == instrument.funding_boundaries)


def _gap_text(instrument: InstrumentFacts, span_ns: int) -> str:
    if not instrument.gaps:
        return "none"
    share = f", {percent_text(instrument.gap_ns / span_ns)} of the run" if span_ns else ""
    noun = "gap" if instrument.gaps == 1 else "gaps"
    rested = instrument.orders_open_in_gap
    orders = (
        f"; {rested} own order{'' if rested == 1 else 's'} rested through, fills there are unknown" if rested else ""
    )
    return f"{instrument.gaps} {noun}, book unknown for {duration_text(instrument.gap_ns)}{share}{orders}"
