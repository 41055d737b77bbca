"""Paper over real sockets, in wall-clock time: the short version of ``tests/tools/soak.py``."""

from __future__ import annotations

from pathlib import Path

from tests.tools.soak import soak


def test_a_session_over_sockets_is_the_backtest_of_its_recording(tmp_path: Path) -> None:
    found = soak("binance", "calm", "3", 9, tmp_path)
    assert found["exit_code"] == 0 and found["gaps"] == 0 and found["recording"]["ok"], found
    assert found["hash"] == found["backtest_hash"] and found["messages"] > 500, found
