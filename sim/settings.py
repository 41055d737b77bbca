"""Settings of accounts: what a rule card lets change, and how a run file has an account begin.

Margin mode (``margin_mode`` of an instrument), multi-assets mode (``multi_assets`` of a venue, with the rates at which
other assets count) and the refusals that ``Ledger.change_leverage``, ``set_mode`` and ``add_margin`` answer with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from matching import codes
from matching.ledger import Ledger
from sim.config import CollateralConfig
from venues.errors import InputError
from venues.rules import RuleCard

E8: Final = 10**8
MODES: Final = {"cross": codes.MODE_CROSS, "isolated": codes.MODE_ISOLATED}


def setting_rules(card: RuleCard) -> tuple[str, ...]:
    """The refusals that a card states, as ``Ledger.configure_settings`` names them."""
    rules = card.margin
    found = [f"same_{what}_refused" for what in rules.unchanged_refused.value]
    if rules.mode_change.value in ("flat", "flat_no_orders"):
        found.append("mode_needs_no_position")
    if rules.mode_change.value == "flat_no_orders":
        found.append("mode_needs_no_orders")
    if rules.leverage_change.value == "no_cut_isolated":
        found.append("isolated_cut_refused")
    if rules.isolated_leverage.value == "moves_margin":
        found.append("leverage_moves_margin")
    if rules.mode_scope.value == "account":
        found.append("mode_of_account")
    return (*found, *(f"no_{mode}" for mode in MODES if mode not in rules.modes.value))


def resolve_mode(asked: str | None, card: RuleCard, name: str, *, has_margin: bool, pooled: bool) -> int:
    """MODE_* of an instrument's account at the start. Raises ``InputError`` naming the key."""
    modes, where = card.margin.modes.value, f"instrument {name}"
    if asked is None:
        return MODES["isolated"] if has_margin and not pooled and "cross" not in modes else MODES["cross"]
    if not has_margin:
        raise InputError("has no effect without margin", source=where, field="margin_mode")
    if asked not in modes:
        known = ", ".join(mode for mode in MODES if mode in modes)
        raise InputError(f"{card.title} has no {asked} margin, only {known}", source=where, field="margin_mode")
    if asked == "isolated" and pooled:
        raise InputError("multi-assets mode excludes isolated margin", source=where, field="margin_mode")
    return MODES[asked]


def check_collateral(
    multi_assets: bool, collateral: Mapping[str, CollateralConfig], card: RuleCard, name: str, assets: Sequence[str]
) -> None:
    """Multi-assets mode needs a rate for every asset of the account, and a venue that has it (``InputError``)."""
    where = f"venue {name}"
    if not multi_assets:
        if collateral:
            raise InputError("has no effect without multi_assets = true", source=where, field="collateral")
        return
    if "multi_assets" not in card.margin.modes.value:
        raise InputError(f"{card.title} has no multi-assets mode", source=where, field="multi_assets")
    for asset in assets:
        if asset not in collateral:
            example = f'collateral.{asset} = {{index = "1", bid_buffer = "0", ask_buffer = "0"}}'
            raise InputError(f"needs a rate for {asset}: {example}", source=where, field="collateral")


def rates_e8(collateral: Mapping[str, CollateralConfig], assets: Sequence[str]) -> tuple[list[int], list[int]]:
    """Bid and ask rates of the run's assets at 1e-8, 0 where an asset is not in the pool; bids down, asks up."""
    bids, asks = [0] * len(assets), [0] * len(assets)
    for place, asset in enumerate(assets):
        if asset in collateral:
            one = collateral[asset]
            bids[place] = int(one.index * (1 - one.bid_buffer) * E8)
            asks[place] = -int(-(one.index * (1 + one.ask_buffer) * E8) // 1)
    return bids, asks


def configure_settings(ledger: Ledger, m: int, card: RuleCard) -> None:
    """Tell the ledger what a market refuses to change."""
    ledger.configure_settings(m, *setting_rules(card), removal_rate_e12=card.margin.removal_floor_e12.value)


def collateral_text(collateral: Mapping[str, CollateralConfig]) -> str:
    """The rates in words, for the realism banner."""
    parts = [f"{asset} at {one.index} -{one.bid_buffer} +{one.ask_buffer}" for asset, one in sorted(collateral.items())]
    return f"multi-assets margin at fixed rates ({', '.join(parts)})"
