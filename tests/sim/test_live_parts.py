"""Small parts of live: the journal survives being cut, the limits count right, and neither lets anything pass twice."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import perpsim
from matching.codes import BUY, SELL
from sim.config_live import RiskConfig
from sim.live.journal import MAGIC, Journal, read_journal
from sim.live.lags import Lags
from sim.live.risk import Asked, Risk
from sim.live.runner import NeverBeganError
from sim.live.setup import prepare
from sim.live.shell import Collections, run_session
from sim.strategy import Strategy
from venues import known_instrument
from venues.errors import InputError, LocalError, VenueError
from venues.ports import MemoryFiles, SystemClock

BTC = known_instrument("binance_usdm", "BTCUSDT")
PATH = Path("run/journal.bin")


def test_a_journal_is_read_up_to_where_it_was_cut() -> None:
    files = MemoryFiles()
    journal = Journal(files, PATH)
    said = [{"kind": "OrderRequest", "ts_ns": n, "request": {"order_no": n, "lots": 10**9}} for n in range(5)]
    for one in said:
        journal.write("OrderRequest", one["ts_ns"], {"request": one["request"]})
    assert files.synced[PATH] == MAGIC  # nothing is safe before sync
    journal.sync()
    whole = files.synced[PATH]
    assert list(read_journal(whole, "j")) == said
    lengths = {len(list(read_journal(whole[:cut], "j"))) for cut in range(len(MAGIC), len(whole))}
    assert lengths == {0, 1, 2, 3, 4}
    damaged = bytearray(whole)
    damaged[-3] ^= 1
    with pytest.raises(InputError, match="is damaged at byte"):
        list(read_journal(bytes(damaged), "j"))
    with pytest.raises(InputError, match="is no order journal"):
        list(read_journal(b"something", "j"))


def asked(
    lots: int = 10, side: int = BUY, ticks: int = 300_000, position: int = 0, resting: int = 0, **more: int
) -> Asked:
    return Asked(0, side, ticks, lots, position, resting, more.get("orders", 0), bool(more.get("reduces", 0)))


def risk(**limits: object) -> Risk:
    return Risk(RiskConfig.model_validate(limits), [BTC])


def test_values_are_exact() -> None:
    limits = risk(max_order_value=Decimal("300.00"))  # 0.010 BTC at 30,000.0
    assert limits.value(0, 300_000, 10) == 300
    assert limits.check(asked(), 0) is None
    assert "max_order_value" in str(limits.check(asked(ticks=300_001), 0))
    assert "no price yet" in str(limits.check(asked(ticks=0), 0))
    assert limits.check(asked(ticks=300_001, reduces=1), 0) is None


@pytest.mark.parametrize(
    ("position", "resting", "side", "lots", "passes"),
    [
        (0, 0, BUY, 100, True),
        (0, 0, BUY, 101, False),
        (60, 30, BUY, 10, True),
        (60, 30, BUY, 11, False),
        (150, 0, SELL, 200, True),  # it comes down from where it must not be
        (-60, -30, SELL, 11, False),
        (100, 0, SELL, 201, False),  # through zero to the other side
    ],
)
def test_a_position_counts_with_what_rests(position: int, resting: int, side: int, lots: int, passes: bool) -> None:
    limits = risk(max_position=Decimal("0.1"))
    assert (limits.check(asked(lots, side, position=position, resting=resting), 0) is None) is passes


def test_rate_open_orders_and_halt() -> None:
    limits = risk(max_orders_per_s=2, max_open_orders=3)
    second = 10**9
    assert [limits.check(asked(), t) is None for t in (0, 1, 2, second - 1, second, second + 1, second + 2)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert "max_open_orders" in str(limits.check(asked(orders=3), 5 * second))
    limits.halt("by hand")
    assert limits.check(asked(), 9 * second) == "halted: by hand"
    assert limits.refused == {"max_orders_per_s": 3, "max_open_orders": 1, "halted": 1}


def test_the_kill_switch_speaks_at_its_limit() -> None:
    limits = risk(max_loss=Decimal(100))
    assert limits.loss_halt(Decimal("99.99"), "USDT") is None
    assert limits.loss_halt(Decimal(100), "USDT") == "max_loss: 100.00 USDT lost since the start, allowed are 100"
    assert risk().loss_halt(Decimal(10**9), "USDT") is None


def unreachable(folder: Path) -> dict[str, Any]:
    """A run whose venue is not there, and which ends before it begins."""
    nowhere = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}
    return {
        "venue": [{"name": "binance_usdm", "latency": "none", "deposit": {"USDT": 1000}}],
        "instrument": [{"symbol": "BTCUSDT"}],
        "connect": {"binance_usdm": nowhere},
        "record": {"limit": "50ms", "folder": str(folder)},
    }


def test_paper_runs_in_a_thread_where_no_signal_comes(tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            perpsim.paper(unreachable(tmp_path), Strategy())
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert len(raised) == 1 and isinstance(raised[0], NeverBeganError), raised
    assert "ended before the run began" in str(raised[0])


def test_a_session_inside_an_event_loop_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async def in_a_notebook() -> None:
        perpsim.paper(unreachable(tmp_path), Strategy())

    with pytest.raises(LocalError, match=r"event loop is running .* asyncio\.to_thread\(perpsim\.paper"):
        asyncio.run(in_a_notebook())


def test_a_venue_that_is_not_there_is_named_with_why(tmp_path: Path) -> None:
    run = unreachable(tmp_path) | {"paper": {"warm_up": "200ms"}, "record": {"folder": str(tmp_path)}}
    with pytest.raises(VenueError, match=r"binance_usdm: nothing came in the warm-up: .*127\.0\.0\.1"):
        perpsim.paper(run, Strategy())


def test_a_signal_that_comes_twice_at_once_is_one(tmp_path: Path) -> None:
    run = unreachable(tmp_path) | {"paper": {"warm_up": "30s"}, "record": {"folder": str(tmp_path)}}

    def twice(session: object) -> None:
        for _ in range(2):
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)

    with pytest.raises(NeverBeganError, match="before the run began: stopped by SIGTERM"):
        run_session(prepare("paper", run, SystemClock(), {}, Strategy()), began=twice)


def test_the_greatest_lag_is_that_since_it_was_last_asked_for() -> None:
    lags = Lags()
    for lag_ns in (3_000_000, 7_500_000, 2_000_000):
        lags.add(lag_ns)
    assert lags.take_latest_ms() == 7.5
    assert lags.take_latest_ms() == 0
    lags.add(4_000_000)
    assert lags.take_latest_ms() == 4.0 and lags.figures_ms()["max"] == 7.5


def test_the_longest_garbage_collection_is_told_once() -> None:
    class Ticks(SystemClock):
        now_ns = 0

        def monotonic_ns(self) -> int:
            return self.now_ns

    clock = Ticks()
    collections = Collections(clock)
    for began_ns, ended_ns in ((10, 3_000_010), (5_000_000, 6_000_000)):
        clock.now_ns = began_ns
        collections("start", {})
        clock.now_ns = ended_ns
        collections("stop", {})
    assert (collections.take_ms(), collections.take_ms()) == (3.0, 0.0)
