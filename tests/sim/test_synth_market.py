"""The realistic synthetic market: arrivals with the parameters they were given, and a feed without a flaw."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.codes import BUY, SELL
from sim.synth.draws import draw_array, stream_key
from sim.synth.feed import MarketFeed, Message, SessionFeed
from sim.synth.fundamental import STEP_NS, Drift, Fundamental, ValuePath
from sim.synth.hawkes import WINDOW_US, Arrivals, Hawkes, Kernel
from sim.synth.link import MARKET, PUBLIC
from sim.synth.listed import LISTED, Listed, find_listed
from sim.synth.marks import Marker, Parents, rounded_sizes
from sim.synth.model import BTCUSDT_FLOW, BUYS, SELLS
from sim.synth.scenario import SECOND_NS, Outage, Scenario
from tests.sim.test_synth import Replay, replay
from venues.errors import InputError

SHORT = Scenario(duration_ns=20 * SECOND_NS, liquidations_per_hour=1200)
quick = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, (1 << 63) - 1)
listed = st.sampled_from(LISTED)


def messages(one: Listed, scenario: Scenario, seed: int) -> list[Message]:
    return [message for _, message in SessionFeed([one], scenario, seed)]


def replayed(one: Listed, scenario: Scenario, seed: int) -> Replay:
    return replay([f"{message.receive_ns // 1000} {message.text}" for message in messages(one, scenario, seed)])


# -- arrivals


def events(model: Hawkes, seed: int, windows: int) -> tuple[np.ndarray, np.ndarray]:
    made = Arrivals(model, seed, "test")
    parts = [made.window() for _ in range(windows)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@pytest.mark.parametrize("branching_e4", [0, 4000, 7000])
def test_counts_recover_the_branching_ratio(branching_e4: int) -> None:
    """Variance over mean of counts in long windows is 1 / (1 - n)^2, the mean rate base / (1 - n)."""
    halves = (Kernel(0, 0, branching_e4 // 2, 5_000), Kernel(0, 0, branching_e4 - branching_e4 // 2, 200_000))
    model = Hawkes((5000,), halves)
    times, _ = events(model, 3, 2000)
    counts = np.bincount(times // (5 * WINDOW_US))
    ratio = 1 - np.sqrt(counts.mean() / counts.var())
    assert abs(ratio - branching_e4 / 1e4) < 0.06
    assert abs(len(times) / (2000 * WINDOW_US / 1e6) / model.rates()[0] - 1) < 0.03
    assert (np.diff(times) >= 0).all()


def test_kinds_excite_each_other_at_their_time_scales() -> None:
    """Only kind 0 has a base; what follows it comes in the stated number, after the stated times."""
    model = Hawkes((500, 0, 0), (Kernel(0, 1, 15_000, 2_000), Kernel(0, 2, 5_000, 500_000)))
    times, kinds = events(model, 5, 1500)
    of = [times[kinds == kind] for kind in range(3)]
    assert abs(len(of[1]) / len(of[0]) - 1.5) < 0.08 and abs(len(of[2]) / len(of[0]) - 0.5) < 0.05
    delay = of[1] - of[0][np.searchsorted(of[0], of[1], side="right") - 1]
    assert abs(delay.mean() / 2_000 - 1) < 0.1
    assert model.rates() == pytest.approx([0.5, 0.75, 0.25])


def test_an_explosive_process_is_refused() -> None:
    with pytest.raises(ValueError, match=r"branching ratio 1\.2"):
        Hawkes((1,), (Kernel(0, 0, 12_000, 10),))
    with pytest.raises(ValueError, match="beyond the 1 there are"):
        Hawkes((1,), (Kernel(0, 1, 1, 10),))
    with pytest.raises(ValueError, match="wanted base rates of 8 kinds"):
        replace(BTCUSDT_FLOW, hawkes=Hawkes((1,)))


def test_parents_give_signs_a_long_memory_with_pareto_lengths() -> None:
    parents = Parents(replace(BTCUSDT_FLOW, parents_per_hour=3600, children_least=2), 9, "test")
    lengths = []
    for _ in range(1500):
        _, kinds = parents.window(1000)
        assert set(kinds.tolist()) <= {BUYS, SELLS}
        change = np.flatnonzero(np.diff(kinds)) + 1
        lengths += [len(part) for part in np.split(kinds, change) if len(part)]
    assert min(lengths) >= 2 and max(lengths) > 100


# -- marks


def test_sizes_are_rounded_as_people_do_and_levels_filled_as_the_profile_says() -> None:
    lots = np.array([3, 9, 10, 34, 36, 149, 151, 7600, 123_456], np.int64)
    bits = draw_array(stream_key(1, "x"), 0, len(lots))
    assert rounded_sizes(bits, lots, 1000).tolist() == [3, 9, 10, 20, 50, 100, 200, 10_000, 100_000]
    assert rounded_sizes(bits, lots, 0).tolist() == lots.tolist()
    marker = Marker(BTCUSDT_FLOW, 1, "x")
    residue = np.array(marker.popular)
    for distance, filled in ((1, 820), (5, 650), (100, 935)):
        _, chance = marker.levels(np.full(20_000, distance, np.int64), 0)
        found = (residue[np.arange(20_000) % 1000] < chance).mean()
        assert abs(found * 1000 - filled) < 15


# -- value


def test_the_value_moves_as_stated_and_its_jumps_are_known() -> None:
    still = Fundamental(ValuePath(volatility_e9=0, jumps_per_hour=600, jump_e6=500), 4, "BTC")
    path = np.concatenate([still.window()[0] for _ in range(900)])
    steps = np.diff(path)
    known: Counter[int] = Counter()
    for jump in still.jumps:
        known[jump.at_ns // STEP_NS - 1] += jump.change_e12
    assert {int(at): int(steps[at]) for at in np.flatnonzero(steps)} == {
        at: change for at, change in known.items() if at < len(steps)
    }
    assert 500 < len(still.jumps) < 700
    drifting = Fundamental(ValuePath(0, 0, 0, (Drift(SECOND_NS, 11 * SECOND_NS, -5000),)), 4, "BTC")
    path = np.concatenate([drifting.window()[0] for _ in range(4)])
    assert path[20] == 0 and path[120] == -2_500 * 10**6 and (path[220:] == -5_000 * 10**6).all()


def test_assets_share_a_factor() -> None:
    made = [Fundamental(ValuePath(jumps_per_hour=0), 4, base) for base in ("BTC", "ETH", "BTC")]
    moves = [np.diff(np.concatenate([one.window()[0] for _ in range(300)])[::20]) for one in made]
    assert (moves[0] == moves[2]).all()
    assert 0.5 < np.corrcoef(moves[0], moves[1])[0, 1] < 0.8


# -- the feed


@cache
def text_digest(steps_ms: int) -> str:
    feed = SessionFeed([LISTED[0], LISTED[2]], replace(SHORT, duration_ns=8 * SECOND_NS), 11)
    digest, now, end = hashlib.sha256(), feed.scenario.start_ns, feed.scenario.end_ns
    while now < end:
        now = min(now + steps_ms * 1_000_000, end)
        for place, message in feed.advance(now):
            digest.update(f"{place} {message}\n".encode())
    for place, message in feed.advance(1 << 62):
        digest.update(f"{place} {message}\n".encode())
    return digest.hexdigest()


@pytest.mark.parametrize("steps_ms", [1, 7, 400])
def test_the_same_bytes_in_whatever_steps_it_is_made(steps_ms: int) -> None:
    assert text_digest(steps_ms) == text_digest(8000)


@quick
@given(seed=seeds, one=listed)
def test_a_feed_is_exact(seed: int, one: Listed) -> None:
    found = replayed(one, SHORT, seed)
    assert found.receive == sorted(found.receive)
    assert found.breaks == [] and found.joins == 1 and found.crossed == 0
    assert found.engine_ms == sorted(found.engine_ms)
    compared = 0
    for ticker in found.tickers:
        assert Decimal(ticker["b"]) < Decimal(ticker["a"])
        if ticker["u"] in found.best_at:
            compared += 1
            assert tuple(Decimal(ticker[key]) for key in "bBaA") == found.best_at[ticker["u"]]
    assert compared > 10
    ids = [trade["t"] for trade in found.trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@quick
@given(seed=seeds, one=listed)
def test_prints_lie_within_the_displayed_book(seed: int, one: Listed) -> None:
    """Of every engine time, the first print is at the best opposite price of before, and no larger than that level."""
    found = replayed(one, SHORT, seed)
    times = [ticker["T"] for ticker in found.tickers]
    first: dict[int, dict[str, str]] = {}
    for trade in found.trades:
        if trade["X"] == "MARKET":
            first.setdefault(trade["T"], trade)
    compared = 0
    for engine_ms, trade in first.items():
        at = bisect_left(times, engine_ms) - 1
        if at < 0 or times.count(engine_ms) > 1:
            continue
        price, size = ("b", "B") if trade["m"] else ("a", "A")
        compared += 1
        assert trade["p"] == found.tickers[at][price]
        assert Decimal(trade["q"]) <= Decimal(found.tickers[at][size])
    assert compared > 3


@quick
@given(seed=seeds, one=listed)
def test_every_event_leaves_a_book_and_trades_only_what_is_there(seed: int, one: Listed) -> None:
    feed = MarketFeed(one, replace(SHORT, activity_e3=3000), seed)
    flow = feed.flow
    for _ in range(600):
        before = {side: dict(flow.ladders[side].lots) for side in (BUY, SELL)} if flow.changes == {} else None
        flow.act()
        if flow.prints and before is not None:
            taken: Counter[int] = Counter()
            for aggressor, tick, lots in flow.prints:
                taken[tick] += lots
                assert 0 < taken[tick] <= before[1 - aggressor][tick]
        flow.changes.clear()
        bids, asks = flow.ladders
        assert max(bids.lots) == bids.best < asks.best == min(asks.lots)
        assert min(bids.lots.values()) > 0 and min(asks.lots.values()) > 0


def test_sockets_are_in_order_and_nothing_arrives_before_it_is_sent() -> None:
    made = messages(LISTED[0], SHORT, 2)
    for socket in (PUBLIC, MARKET):
        of = [message for message in made if message.socket == socket]
        assert [m.receive_ns for m in of] == sorted({m.receive_ns for m in of})
        assert [m.push_ns for m in of] == sorted(m.push_ns for m in of)
    assert all(m.receive_ns - m.push_ns > 1_500_000 for m in made)


def test_an_own_order_meets_the_book() -> None:
    feed, plain = (MarketFeed(LISTED[0], SHORT, 2) for _ in range(2))
    start = SHORT.start_ns
    assert feed.advance(start + 5 * SECOND_NS) == plain.advance(start + 5 * SECOND_NS)
    bids = feed.flow.ladders[BUY]
    shown = bids.lots[bids.best]
    assert feed.send(SELL, shown + 5) == shown + 5
    own = [m for m in feed.advance(start + 6 * SECOND_NS) if '"e":"trade"' in m.text]
    others = {m.text.split('"p":')[1] for m in plain.advance(start + 6 * SECOND_NS) if '"e":"trade"' in m.text}
    assert {m.text.split('"p":')[1] for m in own} - others
    assert '"m":true' in own[0].text
    assert feed.flow._passing_q16 < plain.flow._passing_q16, "a sale pushes the value down"


@pytest.mark.parametrize("kind", ["loss", "stall", "stale"])
def test_outages_do_what_they_are_called(kind: str) -> None:
    outage = Outage(kind, 5 * SECOND_NS, 2 * SECOND_NS, 3 * SECOND_NS)  # type: ignore[arg-type]
    scenario = replace(SHORT, outages=(outage,), liquidations_per_hour=0)
    found = replayed(LISTED[0], scenario, 3)
    begin_us, end_us = ((scenario.start_ns + at) // 1000 for at in (outage.after_ns, outage.until_ns))
    inside = [at for at in found.receive if begin_us + 100_000 < at < end_us]
    assert len(found.breaks) == (0 if kind == "stall" else 1)
    assert found.joins == (1 if kind == "stall" else 2) and found.crossed == 0
    assert bool(inside) is (kind == "stale")
    if kind == "stall":
        assert sum(end_us <= at < end_us + 20_000 for at in found.receive) > 50, "all of it arrives at the end"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="binance_usdm BTCUSDT"):
        find_listed("DOGEUSDT")
    with pytest.raises(ValueError, match="each once"):
        SessionFeed([LISTED[0], LISTED[0]], SHORT, 1)
    with pytest.raises(ValueError, match="without overlap"):
        replace(SHORT, outages=(Outage("loss", 5 * SECOND_NS, SECOND_NS), Outage("loss", 5 * SECOND_NS, SECOND_NS)))
    for name, bad in (("receive_unit_ns", 10), ("activity_e3", 0), ("premium_e6", 9999), ("start_ns", 1)):
        with pytest.raises(ValueError, match="scenario"):
            replace(SHORT, **{name: bad})
