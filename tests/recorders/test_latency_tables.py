"""Latency datasets: every message's latency, by stream, with the load before it, against plain loops."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorders import writer as writer_module
from recorders.lake import Lake
from recorders.latency import LOAD_STEP_NS, STREAMS, LoadCount, feed_latencies, load_steps, order_latencies
from tests.recorders.captures import Market, import_lines, whole_feed, write
from venues.errors import InputError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latency")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_MESSAGES", 50)  # many blocks, so that load is carried over their edges
        market = Market(seed=5, now_ms=1_700_006_396_000, offset_ns=-50_000_000).run(400)
        import_lines([write(folder / "capture.gz", market.lines)], folder / "lake")
    return folder / "lake"


def plain_loads(times: list[int]) -> list[int]:
    made = Counter(ts // LOAD_STEP_NS for ts in times)
    return [made[ts // LOAD_STEP_NS - 1] for ts in times]


@given(st.lists(st.integers(0, 12 * LOAD_STEP_NS), max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_load_is_the_count_of_the_whole_step_before_however_the_feed_is_cut(times: list[int], cuts: list[int]) -> None:
    times.sort()
    edges = sorted({0, len(times), *(cut for cut in cuts if cut <= len(times))})
    count = LoadCount()
    found = [load for low, high in pairwise(edges) for load in count.take(np.array(times[low:high], np.int64)).tolist()]
    assert found == plain_loads(times)


def test_the_table_says_what_the_feed_says(lake: Path) -> None:
    frame = pl.concat(list(feed_latencies(lake, "binance_usdm", "BTCUSDT")))
    feed = whole_feed(lake)
    kinds = feed.kind.tolist()
    keep = [j for j, kind in enumerate(kinds) if kind in STREAMS]
    assert frame["ts_ns"].to_list() == feed.ts_event[keep].tolist()
    assert frame["latency_ns"].to_list() == (feed.ts_recv - feed.ts_event)[keep].tolist()
    assert frame["stream"].to_list() == [STREAMS[kinds[j]] for j in keep]
    assert frame["load"].to_list() == [plain_loads(feed.ts_event.tolist())[j] for j in keep]
    assert frame["raw_latency_ns"].min() < 0 < frame["latency_ns"].min()  # the recorder's clock ran behind


def test_a_range_cuts_the_table_and_not_its_loads(lake: Path) -> None:
    whole = pl.concat(list(feed_latencies(lake, "binance_usdm", "BTCUSDT")))
    low, high = int(whole["ts_ns"][100]), int(whole["ts_ns"][200])
    part = pl.concat(list(feed_latencies(lake, "binance_usdm", "BTCUSDT", low, high)))
    wanted = whole.filter(pl.col("ts_ns").is_between(low, high, closed="left"))
    assert part.drop("load").equals(wanted.drop("load"))
    assert part["load"].to_list()[60:] == wanted["load"].to_list()[60:]
    with pytest.raises(InputError, match="no message of binance_usdm BTCUSDT in that range"):
        list(feed_latencies(lake, "binance_usdm", "BTCUSDT", 1, 2))


def test_load_steps_answer_what_the_table_says(lake: Path) -> None:
    frame = pl.concat(list(feed_latencies(lake, "binance_usdm", "BTCUSDT")))
    times = frame["ts_ns"].to_list()
    first, made = load_steps(Lake(lake).feed("binance_usdm", "BTCUSDT").paths, times[0], times[-1])
    assert [int(made[ts // LOAD_STEP_NS - 1 - first]) for ts in times] == frame["load"].to_list()


def order(event: int, number: int = 1, **times: int) -> dict[str, Any]:
    return {"order_no": number, "event": event, "ts_sent_ns": 0, "ts_event_ns": 0, "ts_deliver_ns": 0, **times}


def test_order_latencies_have_two_legs(tmp_path: Path) -> None:
    rows = [
        order(1, ts_sent_ns=1000, ts_event_ns=1400, ts_deliver_ns=1700),
        order(3, ts_sent_ns=1000, ts_event_ns=9000, ts_deliver_ns=9250),  # a fill says nothing of the way in
        order(2, 2, ts_sent_ns=2000, ts_event_ns=2600, ts_deliver_ns=2700),
        order(2, 3, ts_sent_ns=3000, ts_deliver_ns=3000),  # refused before it left
        order(3, -1, ts_sent_ns=4000, ts_event_ns=4000, ts_deliver_ns=4100),  # the venue's own order
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "orders.parquet")
    found = order_latencies(tmp_path)
    assert found.rows() == [
        (1000, 400, "entry", "accepted", 0),
        (1400, 300, "response", "accepted", 0),
        (2000, 600, "entry", "rejected", 0),
        (2600, 100, "response", "rejected", 0),
        (9000, 250, "response", "filled", 0),
    ]
    with pytest.raises(InputError, match="cannot be read as a run's orders"):
        order_latencies(tmp_path / "absent")
