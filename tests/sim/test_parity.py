"""One strategy, three modes, one order log: the small version of ``tests/tools/parity.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.parity import parity


@pytest.mark.parametrize("venue", ["binance", "hyperliquid"])
def test_backtest_paper_and_live_have_one_order_log(tmp_path: Path, venue: str) -> None:
    found = parity(venue, "maker", 1, "volatile", "50ms", tmp_path)
    hashes = {found[mode][name] for mode in ("paper", "live") for name in ("hash", "backtest_hash")}
    assert len(hashes) == 1, found
    assert found["live"]["order_events"] > 100 and found["live"]["fills"] >= 1
