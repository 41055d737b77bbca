"""Paper over real sockets, in wall-clock time: the short version of ``tests/tools/soak.py``."""

from __future__ import annotations

from pathlib import Path

from tests.tools.soak import missed, soak


def test_a_session_over_sockets_is_the_backtest_of_its_recording(tmp_path: Path) -> None:
    found = soak("binance", "calm", "3", 9, tmp_path)
    assert found["exit_code"] == 0 and found["gaps"] == 0 and found["recording"]["ok"], found
    assert found["hash"] == found["backtest_hash"] and found["messages"] > 500, found


def test_what_went_wrong_or_was_not_measured_is_missed() -> None:
    well = {
        "exit_code": 0, "hash": "a", "backtest_hash": "a", "recording": {"ok": True}, "gaps": 0, "dropped": 0,
        "memory_mb": {"paper_growth": 1.01, "serve_growth": 0.99},
    }  # fmt: skip
    assert missed(well) == []
    for wrong in (
        {"exit_code": 1}, {"backtest_hash": "no such run"}, {"recording": "no JSON"}, {"recording": {"ok": False}},
        {"gaps": 1}, {"gaps": None}, {"dropped": 2}, {"memory_mb": {"paper_growth": 1.2, "serve_growth": 1.0}},
        {"memory_mb": {"paper_growth": 1.0, "serve_growth": 0.0}},
    ):  # fmt: skip
        assert len(missed(well | wrong)) == 1, wrong
