"""The synthetic market keeps its promises: an exact venue's feed, the same bytes for the same seed."""

from __future__ import annotations

import gzip
import hashlib
import json
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.codes import BUY, SELL
from sim.synth import (
    BTCUSD_PERP,
    BTCUSDT,
    ETHUSDT,
    SyntheticMarket,
    SyntheticSession,
    columns,
    raw_lines,
    write_columns,
    write_raw,
    write_session,
)
from sim.synth.draws import (
    Draws,
    draw_array,
    exponential_array,
    gauss_array_q16,
    lognormal_array,
    stream_key,
)
from sim.synth.market import Action, Ladder, OrderFlow
from sim.synth.session import DEFAULT_FUNDING_NS, FUNDING_INTERVAL_NS, SECOND_NS

SMALL = SyntheticSession(
    start_ns=DEFAULT_FUNDING_NS - 8 * SECOND_NS,
    duration_ns=14 * SECOND_NS,
    gap_after_ns=3 * SECOND_NS,
    gap_ns=800_000_000,
    liquidation_after_ns=10 * SECOND_NS,
)
MARKETS = (replace(BTCUSDT, levels=120), replace(ETHUSDT, levels=120), replace(BTCUSD_PERP, levels=120))
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, (1 << 63) - 1)
markets = st.sampled_from(MARKETS)


@dataclass
class Replay:
    """What a careful reader makes of the lines: an independent joiner with prices as decimals."""

    receive: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    breaks: list[tuple[int, int]] = field(default_factory=list)
    crossed: int = 0
    joins: int = 0
    best_at: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    tickers: list[dict[str, Any]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)
    forced: list[dict[str, Any]] = field(default_factory=list)
    engine_ms: list[int] = field(default_factory=list)


def replay(lines: list[str]) -> Replay:
    found = Replay()
    book: dict[str, dict[Decimal, Decimal]] = {}
    previous = None
    buffered: list[dict[str, Any]] = []
    joined = 0
    for line in lines:
        stamp, text = line.split(" ", 1)
        message = json.loads(text)
        found.receive.append(int(stamp))
        data = message.get("data", message)
        kind = data.get("e", "snapshot")
        found.kinds[kind] += 1
        if kind == "snapshot":
            book = {side: {Decimal(p): Decimal(q) for p, q in data[side + "s"]} for side in ("bid", "ask")}
            joined = data["lastUpdateId"]
            found.joins += 1
            straddling = [diff for diff in buffered if diff["u"] >= joined]
            assert not straddling or straddling[0]["U"] <= joined
            found.best_at[joined] = best(book)
            for diff in straddling:
                apply_diff(found, book, diff)
            buffered = []
        elif kind == "depthUpdate":
            assert data["U"] <= data["u"] and data["pu"] < data["U"] and data["T"] <= data["E"]
            found.engine_ms.append(data["T"])
            if previous is not None and data["pu"] != previous:
                found.breaks.append((previous, data["pu"]))
                book = {}
            previous = data["u"]
            if book and data["u"] >= joined:
                apply_diff(found, book, data)
            elif not book:
                buffered.append(data)
        elif kind == "bookTicker":
            found.tickers.append(data)
        else:
            {"trade": found.trades, "markPriceUpdate": found.marks, "forceOrder": found.forced}[kind].append(data)
    return found


def apply_diff(found: Replay, book: dict[str, dict[Decimal, Decimal]], diff: dict[str, Any]) -> None:
    for side, rows in (("bid", diff["b"]), ("ask", diff["a"])):
        for price, size in rows:
            if Decimal(size):
                book[side][Decimal(price)] = Decimal(size)
            else:
                book[side].pop(Decimal(price), None)
    found.crossed += max(book["bid"]) >= min(book["ask"])
    found.best_at[diff["u"]] = best(book)


def best(book: dict[str, dict[Decimal, Decimal]]) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    bid, ask = max(book["bid"]), min(book["ask"])
    return bid, book["bid"][bid], ask, book["ask"][ask]


@quick
@given(seed=seeds, market=markets)
def test_a_session_is_an_exact_feed(seed: int, market: SyntheticMarket) -> None:
    found = replay(list(raw_lines(seed, market, SMALL)))
    assert found.receive == sorted(found.receive)
    assert len(found.breaks) == 1 and found.joins == 2 and found.crossed == 0
    assert found.engine_ms == sorted(found.engine_ms)
    compared = 0
    for ticker in found.tickers:
        if ticker["u"] in found.best_at:
            compared += 1
            assert tuple(Decimal(ticker[key]) for key in "bBaA") == found.best_at[ticker["u"]]
    assert compared > 10
    assert len(found.forced) == 1 and found.forced[0]["o"]["S"] == "SELL"
    assert [trade["X"] for trade in found.trades].count("INSURANCE_FUND") == 1


@quick
@given(seed=seeds, market=markets)
def test_prints_are_on_the_book(seed: int, market: SyntheticMarket) -> None:
    """The first print at an engine time is at the opposite best quote last published, and no larger than it."""
    session = replace(SMALL, gap_after_ns=None)
    found = replay(list(raw_lines(seed, market, session)))
    assert found.breaks == [] and found.joins == 1
    times = [ticker["T"] for ticker in found.tickers]
    first: dict[int, dict[str, Any]] = {}
    for trade in found.trades:
        if trade["X"] == "MARKET":
            first.setdefault(trade["T"], trade)
    compared = 0
    for engine_ms, trade in first.items():
        at = bisect_left(times, engine_ms) - 1
        if at < 0:
            continue
        price, size = ("b", "B") if trade["m"] else ("a", "A")
        compared += 1
        assert trade["p"] == found.tickers[at][price]
        assert Decimal(trade["q"]) <= Decimal(found.tickers[at][size])
    assert compared > 10
    ids = [trade["t"] for trade in found.trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@quick
@given(seed=seeds, market=markets)
def test_marks_roll_over_one_boundary(seed: int, market: SyntheticMarket) -> None:
    found = replay(list(raw_lines(seed, market, replace(SMALL, gap_after_ns=None))))
    boundary_ms, after_ms = DEFAULT_FUNDING_NS // 10**6, (DEFAULT_FUNDING_NS + FUNDING_INTERVAL_NS) // 10**6
    naming = [mark["E"] for mark in found.marks if mark["T"] == boundary_ms]
    later = [mark["E"] for mark in found.marks if mark["T"] == after_ms]
    assert len(naming) + len(later) == len(found.marks) == 13
    assert naming[-1] == boundary_ms + 10, "the message just after the boundary still names it"
    assert min(later) > max(naming)
    for mark in found.marks:
        assert abs(Decimal(mark["p"]) / Decimal(mark["i"]) - 1) < Decimal("0.002")
        assert Decimal(mark["r"]).as_tuple().exponent == -8


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.symbol)
def test_the_seed_decides_every_byte(market: SyntheticMarket, tmp_path: Path) -> None:
    plain = write_raw(tmp_path / "a.dat", 11, market, SMALL)
    packed = write_raw(tmp_path / "a.dat.gz", 11, market, SMALL)
    text = (tmp_path / "a.dat").read_bytes()
    assert gzip.decompress((tmp_path / "a.dat.gz").read_bytes()) == text
    assert plain.sha256 == packed.sha256 == hashlib.sha256(text).hexdigest()
    assert plain.lines == text.count(b"\n")
    assert write_raw(tmp_path / "b.dat", 12, market, SMALL).sha256 != plain.sha256


def test_bytes_are_those_of_every_other_machine() -> None:
    """Known answers: these change only when the generator is changed on purpose."""
    text = "\n".join(raw_lines(11, MARKETS[0], SMALL))
    made = columns(20_000, 11)
    digest = hashlib.sha256(b"".join(made[name].tobytes() for name in sorted(made)))
    assert (hashlib.sha256(text.encode()).hexdigest()[:16], digest.hexdigest()[:16]) == (
        "6089d015c6c5d11c",
        "dfcb7b8693878f07",
    )


def test_wire_forms_of_both_products() -> None:
    linear = [json.loads(line.split(" ", 1)[1]) for line in raw_lines(3, MARKETS[0], SMALL)]
    inverse = [json.loads(line.split(" ", 1)[1]) for line in raw_lines(3, MARKETS[2], SMALL)]
    for messages, coin in ((linear, False), (inverse, True)):
        depth = next(m for m in messages if m.get("stream", "").endswith("@depth@0ms"))
        snapshot = next(m for m in messages if "lastUpdateId" in m)
        force = next(m["data"]["o"] for m in messages if m.get("stream", "").endswith("@forceOrder"))
        assert ("ps" in depth["data"]) is ("pair" in snapshot) is ("ps" in force) is coin
        assert len(snapshot["bids"]) > 100 and len(snapshot["asks"]) > 100
    assert {m["stream"] for m in linear if "stream" in m} == {
        f"btcusdt@{name}" for name in ("depth@0ms", "bookTicker", "trade", "markPrice@1s", "forceOrder")
    }


def test_one_call_makes_two_venues_and_three_instruments(tmp_path: Path) -> None:
    made = write_session(tmp_path, 5, MARKETS, SMALL)
    assert [recording.path.name for recording in made] == [
        "binance_usdm_btcusdt.dat",
        "binance_usdm_ethusdt.dat",
        "binance_coinm_btcusd_perp.dat",
    ]
    indices = []
    for recording in made:
        found = replay(recording.path.read_text().splitlines())
        indices.append({mark["E"] // 1000: float(mark["i"]) for mark in found.marks})
    seconds = sorted(set(indices[0]) & set(indices[2]))
    moves = [np.diff([series[second] for second in seconds]) for series in (indices[0], indices[2])]
    assert np.corrcoef(moves[0], moves[1])[0, 1] > 0.2, "markets of one base asset follow one factor"
    with pytest.raises(ValueError, match="named twice"):
        write_session(tmp_path, 5, (BTCUSDT, BTCUSDT), SMALL)


def test_receive_clock_options(tmp_path: Path) -> None:
    behind = replace(SMALL, clock_offset_ns=-1_500_000_000, receive_unit_ns=1)
    stamps = [int(line.split(" ", 1)[0]) for line in raw_lines(2, MARKETS[0], behind)]
    reference = [int(line.split(" ", 1)[0]) for line in raw_lines(2, MARKETS[0], SMALL)]
    assert [(stamp + 1_500_000_000) // 1000 for stamp in stamps] == reference
    for name, bad in (("receive_unit_ns", 10), ("gap_after_ns", 0), ("funding_rate_e8", 300_001), ("start_ns", 1)):
        with pytest.raises(ValueError, match="synthetic session"):
            replace(SMALL, **{name: bad})
    with pytest.raises(ValueError, match="levels"):
        replace(BTCUSDT, levels=3)


# -- the order flow, action by action


@quick
@given(seed=seeds, market=markets)
def test_every_action_is_possible_on_the_book_before_it(seed: int, market: SyntheticMarket) -> None:
    flow = OrderFlow(market, seed, 0)
    shadow = {side: dict(flow.ladders[side].lots) for side in (BUY, SELL)}
    for step in range(400):
        action = flow.liquidate(SELL, 3 * market.touch_lots) if step == 200 else flow.act(step * 25_000_000)
        check_prints(action, shadow)
        for side, tick, lots in action.levels:
            shadow[side][tick] = lots
            if not lots:
                del shadow[side][tick]
        assert max(shadow[BUY]) == flow.ladders[BUY].best < flow.ladders[SELL].best == min(shadow[SELL])


def check_prints(action: Action, shadow: dict[int, dict[int, int]]) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for aggressor, tick, lots in action.prints:
        assert lots > 0
        levels = shadow[1 - aggressor]
        better = [t for t in levels if (t < tick if aggressor == BUY else t > tick)]
        swept = {t for side, t, _ in action.levels if side == 1 - aggressor}
        assert set(better) <= swept, "a print beyond a level that nobody took or cancelled"
        taken[aggressor, tick] += lots
        assert taken[aggressor, tick] <= levels[tick]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=80), st.sampled_from((-1, 1)))
def test_ladder_knows_its_best_level(changes: list[tuple[int, int]], worse: int) -> None:
    ladder, oracle = Ladder(worse), dict[int, int]()
    for tick, lots in changes:
        ladder.set(tick, lots)
        oracle[tick] = lots
        oracle = {t: q for t, q in oracle.items() if q}
        if oracle:
            assert ladder.best == (min(oracle) if worse > 0 else max(oracle))
            assert ladder.top(2) == sorted(oracle.items(), reverse=worse < 0)[:2]


# -- plain columns


@quick
@given(seed=seeds, rows=st.integers(2_000, 30_000))
def test_columns_are_an_exact_feed(seed: int, rows: int) -> None:
    made = columns(rows, seed)
    assert {len(column) for column in made.values()} == {rows}
    assert (np.diff(made["exch_ts"]) >= 0).all() and (made["local_ts"] > made["exch_ts"]).all()
    assert (np.diff(made["local_ts"][made["local_order"]]) >= 0).all()
    ladders = {1: Ladder(-1), -1: Ladder(1)}
    printed: Counter[int] = Counter()
    message = None
    for time, kind, side, tick, lots in zip(
        *(made[name].tolist() for name in ("exch_ts", "kind", "side", "px_tick", "qty_lot")), strict=True
    ):
        if kind != 2:
            ladders[side].set(tick, lots)
            assert not ladders[-1].lots or ladders[1].best < ladders[-1].best
            continue
        if time != message:
            message, printed = time, Counter()
        passive = ladders[-side]
        printed[tick] += lots
        assert tick == passive.best and 0 < printed[tick] <= passive.lots[tick]


def test_columns_files_and_refusals(tmp_path: Path) -> None:
    folder = write_columns(tmp_path / "feed", 3000, seed=4)
    made = columns(3000, 4)
    for name, column in made.items():
        assert (np.load(folder / "cols" / f"{name}.npy") == column).all()
    assert (np.rint(np.load(folder / "cols" / "px.npy") / 0.1) == made["px_tick"]).all()
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["events"] == meta["depth"] + meta["trades"] + meta["snapshot"] == 3000
    with pytest.raises(ValueError, match="rows must be at least 2000"):
        columns(100)


# -- random numbers


def test_splitmix64_known_answers() -> None:
    """The published sequence of splitmix64 for the state 1234567."""
    assert draw_array(1234567, 0, 5).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(seed=seeds)
def test_single_draws_equal_array_draws(seed: int) -> None:
    key = stream_key(seed, "x")
    bits = draw_array(key, 0, 50)
    gauss = gauss_array_q16(key, 0, 50)
    draws = Draws(seed, "x")
    assert [draws.exponential(1_000_000) for _ in range(50)] == exponential_array(bits, 1_000_000).tolist()
    draws = Draws(seed, "x")
    assert [draws.gauss_q16() for _ in range(50)] == gauss.tolist()
    draws = Draws(seed, "x")
    assert [draws.lognormal(800, 90_000) for _ in range(50)] == lognormal_array(gauss, 800, 90_000).tolist()


def test_distributions_have_their_moments() -> None:
    key = stream_key(1, "moments")
    exponential = exponential_array(draw_array(key, 0, 200_000), 1_000_000)
    assert abs(exponential.mean() / 1e6 - 1) < 0.01
    assert abs(float(np.percentile(exponential, 99)) / 1e6 - np.log(100)) < 0.05
    gauss = gauss_array_q16(key, 0, 100_000)
    assert abs(gauss.mean()) < 1000 and abs(gauss.std() / 65536 - 1) < 0.01
    sizes = lognormal_array(gauss, 800, 65536)
    assert abs(float(np.median(sizes)) / 800 - 1) < 0.02 and abs(np.log2(sizes).std() - 1) < 0.01
