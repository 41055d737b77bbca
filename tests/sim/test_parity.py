"""One strategy, three modes, one order log: the small version of ``tests/tools/parity.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tools.parity import parity


def hashes(found: dict[str, Any]) -> set[str]:
    return {found[mode][name] for mode in ("paper", "live") for name in ("hash", "backtest_hash")}


@pytest.mark.parametrize("venue", ["binance", "hyperliquid"])
def test_backtest_paper_and_live_have_one_order_log(tmp_path: Path, venue: str) -> None:
    found = parity(venue, "maker", 1, "volatile", "50ms", tmp_path)
    assert len(hashes(found)) == 1, found
    assert found["order_events"] > 100 and found["live"]["fills"] >= 1


@pytest.mark.parametrize("venue", ["binance", "hyperliquid"])
def test_what_answers_a_funding_payment_leaves_at_the_same_instant(tmp_path: Path, venue: str) -> None:
    found = parity(venue, "carry", 1.2, "thin", "50ms", tmp_path)
    assert len(hashes(found)) == 1, found
    assert found["live"]["fills"] >= 2  # in before the boundary, out once paid
