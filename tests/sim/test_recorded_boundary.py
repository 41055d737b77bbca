"""The funding boundary of 2023-04-05 computed from the recorded index and book: what 8.6 minutes of them allow.

They allow the mark (its window is five minutes), every premium, and bounds on the rate. They do not allow the rate: it
is the average of 5,760 premiums of eight hours, of which the recording has 20 before the boundary.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.codes import BUY, NEED_DATA, SELL, WAKE_END
from matching.feed import messages_from_rows
from sim.assembly import assemble, build_core
from sim.backtest import backtest
from sim.config import load_config
from sim.strategy import Strategy
from tests.sim.test_main_job import BOUNDARY_NS, FILES, RUN_FILE, lake, pytestmark
from venues.binance.rules import USDM
from venues.funding import E18, FundingInterval, impact_price_e8, premium, rate_rule
from venues.marks import mark_rule

__all__ = ["lake", "pytestmark"]
S = 1_000_000_000
TICK_E8 = 10**7
NOTIONAL_E8 = 30_000 * 10**8  # 200 USDT at 150x, as of 2026; at the 125x of 2023 it was 25,000


def recorded() -> Iterator[tuple[int, int, int, int]]:
    """(push time, mark, rate, next boundary) of the recorded mark messages."""
    for file in FILES:
        for line in gzip.decompress(file.read_bytes()).splitlines():
            if b"markPriceUpdate" in line:
                data = json.loads(line.partition(b" ")[2])["data"]
                mark, rate = int(Fraction(data["p"]) * 10**8), int(Fraction(data["r"]) * 10**12)
                yield data["E"] * 10**6, mark, rate, data["T"] * 10**6


class Quiet(Strategy):
    """Does nothing."""


def mark_errors(lake: Path, out: Path) -> list[int]:
    """Computed less recorded mark at 1e-8, of each second whose five minutes are in the recording."""
    overrides = [f'feed.lake="{lake}"', 'instrument.0.mark="computed"', 'samples.bbo="1s"']
    result = backtest(RUN_FILE, Quiet(), overrides=overrides, out=out, html=False, show_progress=False)
    marks = {row["ts_ns"]: row["mark_e8"] for row in result.bbo.rows(named=True)}
    begin = min(marks) + 300 * S
    return [
        marks[second] - mark
        for pushed, mark, _, _ in recorded()
        if (second := pushed // S * S) in marks and second >= begin
    ]


def test_the_mark_follows_from_index_and_book(lake: Path, tmp_path: Path) -> None:
    """Of 214 marks 60 are equal to the last digit, 172 within a tick, half within 0.06 USDT, none 5 off."""
    errors = sorted(abs(error) for error in mark_errors(lake, tmp_path))
    assert len(errors) == 214
    assert sum(error == 0 for error in errors) == 60
    assert sum(error <= TICK_E8 for error in errors) == 172
    assert errors[len(errors) // 2] < 6_000_000 and errors[len(errors) * 9 // 10] < 20_000_000
    assert errors[-1] < 5 * 10**8


@pytest.mark.parametrize(("seconds", "ninth_e8"), [(30, 9 * 10**7), (60, 7 * 10**7), (150, 45 * 10**6)])
def test_no_other_window_fits(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, ninth_e8: int
) -> None:
    """The windows of today (30 s) and of other years (60 s, 150 s) are further off in the worst tenth, 0.16 there."""
    monkeypatch.setattr("sim.marks.mark_rule", lambda *given: replace(mark_rule(*given), window_ns=seconds * S))
    errors = sorted(abs(error) for error in mark_errors(lake, tmp_path))
    assert errors[len(errors) * 9 // 10] > ninth_e8
    assert sum(error <= TICK_E8 for error in errors) < 150


@pytest.fixture(scope="module")
def premiums(lake: Path) -> dict[int, Fraction]:
    """The premium of every fifth second, from the venue's book and index as they were then."""
    plan = assemble(*load_config(RUN_FILE, [f'feed.lake="{lake}"']))
    core, instrument, source = build_core(plan, 1), plan.markets[0].instrument, plan.markets[0].source
    found: dict[int, Fraction] = {}

    def impact(side: int) -> Fraction | None:
        levels = core.venue_side(0, side, 1000)
        sizes = ((instrument.price_e8_of(ticks), instrument.value_e8(ticks, lots)) for ticks, lots in levels)
        return impact_price_e8(sizes, NOTIONAL_E8)

    def sample(ts_ns: int) -> None:
        if core.venue_index_e8(0):
            found[ts_ns] = premium(core.venue_index_e8(0), impact(BUY), impact(SELL))
        core.schedule(ts_ns + 5 * S, sample)

    core.schedule((plan.first_ns // (5 * S) + 1) * 5 * S, sample)
    empty = messages_from_rows(*[np.zeros(0, kind) for kind in ("i8", "i8", "u1", "u1", "i4", "i4")])
    code: Any = NEED_DATA
    while code != WAKE_END:
        if code == NEED_DATA:
            window = source.next_window()
            core.set_window(0, empty if window is None else window, window is None)
        code = core.advance(1 << 62)
    return found


def test_the_rate_lies_where_its_premiums_put_it(premiums: dict[int, Fraction]) -> None:
    """0.00002760 = P + 0.05 % puts the average at -0.0004724: within the range of the 102 premiums there are.

    All of them are so far below 0.01 % - 0.05 % that the damper is at its bound for any average of them, so that the
    average follows from the rate. The 20 before the boundary alone would give 0.0000825.
    """
    rates = {rate for _, _, rate, boundary in recorded() if boundary == BOUNDARY_NS}
    final = max(rates)
    assert final == 27_600_000
    average = Fraction(final, 10**12) - Fraction("0.0005")
    assert len(premiums) == 102
    assert min(premiums.values()) < average < max(premiums.values()) < 0
    mean = sum(premiums.values(), Fraction(0)) / len(premiums)
    assert abs(mean - average) < Fraction("0.00002") and mean < Fraction("0.0001") - Fraction("0.0005")
    rule = rate_rule(USDM, "BTCUSDT", BOUNDARY_NS)
    assert rule.rate_e12(average * E18) == final
    interval = FundingInterval(rule, BOUNDARY_NS)
    for ts_ns, value in premiums.items():
        if ts_ns <= BOUNDARY_NS:
            interval.add(ts_ns, value)
    assert interval.coverage() == (20, 5760) and interval.rate_e12(BOUNDARY_NS) == 82_520_000


def test_the_forecast_rolls_over_the_boundary(premiums: dict[int, Fraction]) -> None:
    """It changes at whole minutes, each time by no more than one minute can weigh in eight hours; it never starts anew.

    A minute's twelve premiums weigh 24 / 5761 at most at the end of the window; a forecast of the new interval alone
    would stand at 0.0000659 a minute after the boundary, where the stream says 0.00002813.
    """
    messages = list(recorded())
    steps = [
        (pushed, abs(rate - before))
        for (pushed, _, rate, _), (_, _, before, _) in zip(messages[1:], messages, strict=False)
        if rate != before
    ]
    assert [pushed // S % 60 for pushed, _ in steps] == [0] * len(steps)
    average = Fraction("0.00002760") - Fraction("0.0005")
    widest = max(abs(value - average) for value in premiums.values())
    assert len(steps) == 6 and all(step <= Fraction(24, 5761) * 2 * widest * 10**12 for _, step in steps)
    anew = FundingInterval(replace(rate_rule(USDM, "BTCUSDT", BOUNDARY_NS), rolling=False), BOUNDARY_NS + 8 * 3600 * S)
    for ts_ns, value in premiums.items():
        if BOUNDARY_NS < ts_ns <= BOUNDARY_NS + 60 * S:
            anew.add(ts_ns, value)
    alone = anew.rate_e12(BOUNDARY_NS + 60 * S)
    said = next(rate for pushed, _, rate, _ in messages if pushed >= BOUNDARY_NS + 60 * S)
    assert alone is not None and said == 28_130_000 and alone > 2 * said
