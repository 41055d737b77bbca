"""Recorded funding histories drive a venue's schedule: every rate is charged once, at its boundary.

freqtrade's 91 rates of XRPUSDT (Binance, stamps up to 19 ms late) and Hyperliquid's 1,038 rates of BTC (8 hours, then
hourly; one stamp 24 minutes late, one boundary missing) are read from ../shared/data beside the repository.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.codes import BUY, MARK
from matching.feed import FeedWindow, MemorySource, stable_local_order
from recorders.tables import load_funding_table
from sim.backtest import Result, backtest
from sim.strategy import Strategy
from venues.errors import InputError
from venues.funding import HOUR_NS, RateRule, rounded
from venues.schedule import settlements

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
XRP = SHARED / "freqtrade/tests/testdata/futures/XRP_USDT_USDT-8h-funding_rate.json"
CASSETTE = SHARED / "hyperliquid_python_sdk/tests/cassettes/info_test/test_get_funding_history[None].yaml"
S = 1_000_000_000
PRICE_E8 = 109 * 10**6  # 1.09
HOLE_NS = 1_688_328_000 * S  # 2023-07-02 20:00 UTC, which Hyperliquid's answer leaves out

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="recorded data are not there")


def hyperliquid_rows() -> list[dict[str, Any]]:
    """The rows of the recorded answer, as the venue sent them."""
    bodies = re.findall(r"string: '(\[.*?\])'", CASSETTE.read_text(), re.DOTALL)
    rows: list[dict[str, Any]] = json.loads(bodies[-1])
    return rows


class Holder(Strategy):
    """Buys 100 contracts at the first quarter hour and keeps them."""

    def on_start(self) -> None:
        self.ctx.at((self.ctx.now_ns // (900 * S) + 1) * 900 * S, lambda: self.ctx.market(0, BUY, 100))


def feed(first_ns: int, last_ns: int) -> MemorySource:
    """A book that stands still, with mark and index each 15 minutes."""
    from matching.codes import DEPTH, SELL, SNAPSHOT

    times = np.arange(first_ns, last_ns + 900 * S, 900 * S, dtype=np.int64)
    count = len(times)
    kind = np.full(count, MARK, np.uint8)
    kind[0], kind[-1] = SNAPSHOT, DEPTH
    starts = np.zeros(count + 1, np.int64)
    starts[1:], starts[-1] = 2, 3
    ref = np.arange(-1, count - 1, dtype=np.int64)
    ref[0], ref[-1] = 1, 2
    aux = np.tile(np.array([PRICE_E8, PRICE_E8, 0, 0], np.int64), (count, 1))
    return MemorySource(
        FeedWindow(
            ts_event=times, ts_recv=times + 1_000_000, kind=kind, row_start=starts, ref=ref,
            local_order=stable_local_order(times), side=np.array([BUY, SELL, BUY], np.uint8),
            px_ticks=np.array([10899, 10900, 5000], np.int32), qty_lots=np.array([10**6, 10**6, 1], np.int32), aux=aux,
        )
    )  # fmt: skip


def held_over(table: Path, out: Path, first_ns: int, last_ns: int, card: str, symbol: str, **more: Any) -> Result:
    document = {
        "venue": [{"name": card, "latency": "10ms", "fees": {"maker": 0, "taker": 0}}],
        "instrument": [
            {
                "symbol": symbol, "tick_size": "0.0001", "lot_size": "0.1", "mark": "recorded", "funding": str(table),
                "margin": "none", **more,
            }
        ],
        "samples": {"bbo": "1h", "accounts": "1h"},
    }  # fmt: skip
    return backtest(document, Holder(), feeds={0: feed(first_ns, last_ns)}, out=out, html=False, show_progress=False)


def charged(result: Result) -> list[tuple[int, int]]:
    return [(row["boundary_ns"], row["rate_e12"]) for row in result.funding.rows(named=True)]


@pytest.mark.parametrize("suffix", [".json", ".feather"])
def test_every_rate_of_a_month_is_charged_at_its_boundary(tmp_path: Path, suffix: str) -> None:
    """91 stamps of 0 to 19 ms past 00:00, 08:00 and 16:00; also from the feather file, whose doubles carry noise."""
    table = load_funding_table(XRP.with_suffix(suffix))
    stamps = table.boundary_ns
    late = stamps % (8 * HOUR_NS)
    assert len(stamps) == 91 and late.max() == 19_000_000
    first, last = int(stamps[0]) - HOUR_NS, int(stamps[-1]) + HOUR_NS
    result = held_over(XRP.with_suffix(suffix), tmp_path, first, last, "binance_usdm", "XRPUSDT")
    assert charged(result) == [
        (int(ts - ms), int(rate)) for ts, ms, rate in zip(stamps, late, table.rate_e12, strict=True)
    ]
    for row in result.funding.rows(named=True):
        exact = -Fraction(10) * Fraction("1.09") * Fraction(row["rate_e12"], 10**12)
        assert row["payment_e8"] == round(exact * 10**8) and row["booked_ns"] == row["boundary_ns"]
    banner = {line.topic: line.text for line in result.banner}
    assert "91 of 91 funding times covered" in banner["Funding"]


def test_a_history_that_ends_too_early_or_has_a_hole_is_refused(tmp_path: Path) -> None:
    rows = json.loads(XRP.read_text())
    start, end = rows[0][0] * 10**6 - HOUR_NS, rows[-1][0] * 10**6 + HOUR_NS
    for name, kept in (("end", rows[:-1]), ("start", rows[1:]), ("hole", rows[:40] + rows[41:])):
        table = tmp_path / f"{name}.json"
        table.write_text(json.dumps(kept))
        gone = next(row for row in rows if row not in kept)
        boundary = gone[0] * 10**6 // (8 * HOUR_NS) * 8 * HOUR_NS
        with pytest.raises(InputError, match=f"has no rate for XRPUSDT at the boundary .* \\({boundary} ns\\)"):
            held_over(table, tmp_path / "runs", start, end, "binance_usdm", "XRPUSDT")
    twice = tmp_path / "twice.json"
    twice.write_text(json.dumps([*rows[:3], [rows[2][0] + 5, 0.5], *rows[3:]]))
    with pytest.raises(InputError, match="two rates claim the boundary"):
        held_over(twice, tmp_path / "runs", start, end, "binance_usdm", "XRPUSDT")


def test_hyperliquids_history_from_eight_hours_to_one(tmp_path: Path) -> None:
    """81 steps of 8 h, then hourly to the end: 1,038 charges, none twice, none skipped, the late one at its stamp."""
    rows = hyperliquid_rows()
    table = tmp_path / "funding.json"
    table.write_text(json.dumps(rows))
    found = settlements([row["time"] * 10**6 for row in rows])
    assert Counter((b.boundary_ns - a.boundary_ns) // HOUR_NS for a, b in itertools.pairwise(found)) == {
        8: 81, 1: 955, 2: 1,
    }  # fmt: skip
    assert [one.late_ns // S for one in found if one.late_ns] == [1433]
    first, last = found[0].boundary_ns - HOUR_NS, found[-1].boundary_ns + HOUR_NS // 2
    coins = {"base": "BTC", "quote": "USDC"}
    with pytest.raises(InputError, match=f"at the boundary 2023-07-02T20:00:00Z \\({HOLE_NS} ns\\)"):
        held_over(table, tmp_path / "runs", first, last, "hyperliquid", "BTC", **coins)
    result = held_over(table, tmp_path / "runs", first, last, "hyperliquid", "BTC", funding_holes="skip", **coins)
    assert charged(result) == [
        (one.ts_ns, int(Fraction(row["fundingRate"]) * 10**12)) for one, row in zip(found, rows, strict=True)
    ]
    for row in result.funding.rows(named=True):  # toward zero in whole 1e-6 USDC
        exact = Fraction(10) * Fraction("1.09") * Fraction(abs(row["rate_e12"]), 10**12) * 10**6
        assert abs(row["payment_e8"]) == exact.numerator // exact.denominator * 100
        assert row["payment_e8"] * row["rate_e12"] <= 0
    (line,) = (line for line in result.banner if line.topic == "Funding")
    assert line.level == "warn" and "1 of them settled late" in line.text and "2023-07-02T20:00:00Z" in line.text


def test_hyperliquids_recorded_rates_follow_from_its_premiums() -> None:
    """Until 2023-06-16 the 8 h rate is P + clamp(0.01 % - P, -0.03 %, 0.03 %), hourly an eighth of it.

    The damper was 0.03 % then; it is 0.05 % today. For a month after that the venue paid an eighth of the bare premium.
    The published premium is itself rounded, hence the last digit of slack.
    """
    rows = hyperliquid_rows()
    checked: Counter[str] = Counter()
    for place, row in enumerate(rows[:971]):
        hourly = place > 81
        rule = RateRule(
            HOUR_NS if hourly else 8 * HOUR_NS, 5 * S, interest_e12=10**8 if place < 294 else 0,
            damp_e12=3 * 10**8 if place < 294 else 0, divided=True,
        )  # fmt: skip
        found = rule.rate_e12(Fraction(row["premium"]) * 10**18)
        assert abs(found - rounded(Fraction(row["fundingRate"]) * 10**12)) <= 10_000, (place, row)
        checked["damped" if place < 294 else "bare"] += 1
    assert checked == {"damped": 294, "bare": 677}
