"""``perpsim show-config``: every value of a run, and who said so: run file, ``--set``, default or rule card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.config import RunConfig, apply_override, check_config, read_raw, resolved
from sim.fees import build_fees
from venues import card
from venues.errors import RuleCardError

Origin = tuple[str, Any, str]


def origins(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> list[Origin]:
    """(key, value, origin) of every value in force, in the run file's order. Raises ``InputError``."""
    written, name, base = read_raw(source)
    changed, _, _ = read_raw(source)
    for override in overrides:
        apply_override(changed, override)
    config = check_config(changed, name)
    in_file = dict(_leaves(resolved(check_config(written, name)))) if overrides else {}
    given = {key for key, _ in _leaves(config.model_dump(mode="json", by_alias=True, exclude_unset=True))}
    found: list[Origin] = []
    for key, value in _leaves(resolved(config)):
        if overrides and in_file.get(key) != value:
            origin = "--set"
        else:
            origin = name if key in given else "default"
        found.append((key, value, origin))
    return found + _from_cards(config, base)


def _from_cards(config: RunConfig, base: Path) -> list[Origin]:
    """What the rule cards say where the run file does not."""
    found: list[Origin] = []
    for place, venue in enumerate(config.venue):
        try:
            rule_card = card(venue.card or venue.name)
        except RuleCardError:
            continue
        origin = f"rule card {rule_card.venue}"
        if venue.fees is None:
            fees = build_fees(None, rule_card, config.feed.from_ or 0, base, f"venue {venue.name}")
            found.append((f"venue[{place}].fees.maker", f"{fees.maker_e12 / 1e12:g}", f"{origin}: {fees.tier}"))
            found.append((f"venue[{place}].fees.taker", f"{fees.taker_e12 / 1e12:g}", f"{origin}: {fees.tier}"))
        for number, one in enumerate(config.instrument):
            if config.venue_of(one) != place:
                continue
            if one.margin is None:
                enabled = rule_card.margin.enabled.value
                found.append((f"instrument[{number}].margin", "card" if enabled else "none", origin))
            if one.leverage is None and rule_card.margin.enabled.value and one.margin != "none":
                found.append((f"instrument[{number}].leverage", rule_card.margin.default_leverage.value, origin))
            if one.funding is None:
                charged = rule_card.funding.accrual.value != "none"
                found.append((f"instrument[{number}].funding", "recorded" if charged else "none", origin))
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value
