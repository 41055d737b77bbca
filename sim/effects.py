"""Keys of a run file that would change nothing, or not what they say, are errors that name them."""

from __future__ import annotations

from collections.abc import Sequence

from sim.config import InstrumentConfig, LiquidationConfig, VenueConfig
from venues.errors import InputError
from venues.rules import RuleCard


def check_instrument(one: InstrumentConfig, name: str) -> None:
    """Refuse what has no effect on an instrument (``InputError``)."""
    where = f"instrument {name}"
    if one.book == "l3" and "queue" in one.model_fields_set:
        raise InputError('has no effect with book = "l3", whose queues are exact', source=where, field="queue")
    if one.funding == "none":
        for key in ("funding_interval", "funding_drift", "funding_holes"):
            if key in one.model_fields_set:
                raise InputError("has no effect without funding", source=where, field=key)


def check_venue(
    venue: VenueConfig, card: RuleCard, margined: Sequence[str], settled: Sequence[str], elsewhere: Sequence[str]
) -> None:
    """Refuse what has no effect on a venue (``InputError``).

    ``margined``: its instruments with margin; ``settled``: the assets that its instruments settle in, ``elsewhere``
    those of other venues' instruments.
    """
    where = f"venue {venue.name}"
    if not margined:
        given = {
            "insurance": bool(venue.insurance),
            "liquidation": venue.liquidation != LiquidationConfig(),
            "multi_assets": venue.multi_assets,
        }
        for key, is_given in given.items():
            if is_given:
                raise InputError("has no effect without margin", source=where, field=key)
    if venue.traded and (card.limits.earned.value is None or venue.rate_limits == "none"):
        why = "with its limits switched off" if card.limits.earned.value is not None else f"at {card.title}"
        raise InputError(f"earns no requests {why}", source=where, field="traded")
    for asset in venue.insurance:
        if asset not in settled:
            raise InputError(
                f"{asset} is the settlement asset of none of its instruments ({', '.join(sorted(set(settled)))})",
                source=where, field="insurance",
            )  # fmt: skip
        if asset in elsewhere:
            raise InputError(
                f"a run keeps one fund for {asset}, in which another of its venues settles too: run them apart",
                source=where, field="insurance",
            )  # fmt: skip
