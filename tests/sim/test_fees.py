"""Fees of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matching.arith import TRUNC
from sim.config import FeesConfig
from sim.fees import build_fees
from venues import card
from venues.errors import InputError
from venues.rules import date_ns


def built(card_name: str, at: str = "2026-06-01", **fields: Any) -> Any:
    fees = FeesConfig.model_validate(fields) if fields else None
    return build_fees(fees, card(card_name), date_ns(at), Path(), "venue x: fees")


def test_the_cards_base_tier() -> None:
    fees = built("binance_usdm")
    assert (fees.maker_e12, fees.taker_e12) == (200_000_000, 500_000_000)
    assert fees.tier == "base tier of binance_usdm as of 2026-06-01" and fees.rounding == TRUNC


def test_rates_of_the_run_file_are_exact() -> None:
    fees = built("neutral", maker="-0.5 bps", taker="0.000000000001", tier="VIP 9")
    assert (fees.maker_e12, fees.taker_e12, fees.tier) == (-50_000_000, 1, "VIP 9")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"maker": 0, "taker": "0.0000000000001"}, "venue x: fees.taker: 1E-13 must lie between"),
        ({"maker": 1, "taker": 0}, "fees.maker: 1 must lie between -1 and 1"),
        ({"model": "collections:OrderedDict"}, "needs a method fee_e8"),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        built("neutral", **fields)
    assert message in str(caught.value)
