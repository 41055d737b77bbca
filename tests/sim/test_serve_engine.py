"""The simulated venue behind an emulator: the same as a backtest's, records as a venue sends them, exact instants."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching import codes
from matching.triggers import Trigger
from sim.backtest import backtest
from sim.serve.accounts import check_accounts, load_accounts
from sim.serve.engine import Nowhere, SimEngine
from sim.serve.setup import Choice, Served, prepare
from sim.strategy import Strategy
from sim.synth import making
from sim.synth.presets import scenario
from sim.synth.scenario import DEFAULT_START_NS
from sim.synth.windows import SyntheticSource, servable
from venues import orders
from venues.errors import InputError
from venues.market_data import BookTicker, DepthDiff, DepthSnapshot, MarkPrice
from venues.orders import AmendRequest, CancelAllRequest, CancelRequest, OrderRequest, SettingRequest

SECOND = 10**9
NOW = 1_790_000_000 * SECOND + 500_000_000
EIGHT_HOURS = 8 * 3600 * SECOND


class Told:
    """Stands for an emulator: keeps what it is told."""

    def __init__(self) -> None:
        self.market: list[tuple[int, Any, int]] = []
        self.events: list[Any] = []

    def on_market(self, instrument: int, record: Any, now_ns: int) -> None:
        self.market.append((instrument, record, now_ns))

    def on_order(self, event: Any) -> None:
        self.events.append(event)

    def on_account(self, event: Any) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Kept(Nowhere):
    """Keeps the order log."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def log(self, rows: dict[str, Any]) -> None:
        self.rows.append({name: column.copy() for name, column in rows.items()})

    def table(self, lane: int) -> list[tuple[int, ...]]:
        names = ("order_no", "seq", "event", "reason", "ts_event_ns", "ticks", "lots", "liquidity", "fee_e8")
        found = []
        for rows in self.rows:
            mine = rows["lane"] == lane
            found += [tuple(map(int, row)) for row in zip(*(rows[name][mine] for name in names), strict=True)]
        return sorted(found)


def started(choice: Choice, accounts: Any = None, sink: Nowhere | None = None) -> tuple[SimEngine, Told, Served]:
    configs = load_accounts(None) if accounts is None else check_accounts({"account": accounts}, "test")
    served = prepare(choice, configs, NOW, sink=sink)
    told = Told()
    served.engine.attach(told)  # type: ignore[arg-type]
    served.engine.begin()
    return served.engine, told, served


def binance(*symbols: str, **more: Any) -> Choice:
    return Choice("binance", "synth:calm", symbols or ("BTCUSDT",), seed=3, **more)


def limit(order_no: int, ticks: int, lots: int = 10, side: int = codes.BUY, **more: Any) -> OrderRequest:
    return OrderRequest(account=0, instrument=0, order_no=order_no, side=side, ticks=ticks, lots=lots, **more)


def step(engine: SimEngine, duration_ns: int) -> None:
    engine.step(engine.feed_ns + duration_ns)


# -- market data


def test_every_message_comes_at_its_own_instant() -> None:
    engine, told, served = started(binance("BTCUSDT", "ETHUSDT", duration_ns=4 * SECOND, loops=True))
    del told.market[:]
    while engine.feed_ns < served.first_ns + 11 * SECOND:
        due = engine.next_due_ns()
        assert due > engine.feed_ns
        engine.step(due)
        assert {now for _, _, now in told.market} <= {due + engine.shift_ns}
        del told.market[:]


def test_the_ids_of_a_book_chain_and_its_sum_is_the_book() -> None:
    engine, told, _ = started(binance())
    step(engine, 5 * SECOND)
    books = [record for _, record, _ in told.market if isinstance(record, DepthDiff | DepthSnapshot)]
    first, *diffs = books
    assert isinstance(first, DepthSnapshot) and first.in_stream
    bids = dict(zip(first.bid_ticks, first.bid_lots, strict=True))
    last = first.last_id
    for diff in diffs:
        assert isinstance(diff, DepthDiff) and diff.previous_id == last < diff.first_id <= diff.last_id
        last = diff.last_id
        bids.update(zip(diff.bid_ticks, diff.bid_lots, strict=True))
    state = engine.book(0, 1000)
    assert state.is_valid and state.last_id == last and state.ts_event_ns == diffs[-1].ts_event_ns
    held = sorted(((ticks, lots) for ticks, lots in bids.items() if lots), reverse=True)
    assert state.bids == held[:1000]
    kinds = Counter(type(record).__name__ for _, record, _ in told.market)
    assert min(kinds[name] for name in ("BookTicker", "Trade", "MarkPrice")) >= 4
    assert all(record.ts_event_ns <= now for _, record, now in told.market)
    marks = [record for _, record, _ in told.market if isinstance(record, MarkPrice)]
    market = engine.market(0)
    assert (market.mark_e8, market.rate_e12) == (marks[-1].mark_e8, marks[-1].rate_e12)
    assert market.next_funding_ns == marks[-1].next_funding_ns > engine.now_ns


def test_hyperliquid_sends_whole_books_on_its_grid() -> None:
    engine, told, _ = started(Choice("hyperliquid", "synth:calm", ("BTC", "ETH"), seed=3))
    step(engine, 10 * SECOND)
    books = [record for i, record, _ in told.market if isinstance(record, DepthSnapshot) and i == 0]
    assert len(books) >= 15 and not any(isinstance(record, DepthDiff) for _, record, _ in told.market)
    times = [book.ts_event_ns for book in books]
    assert all(later - earlier >= SECOND // 2 for earlier, later in itertools.pairwise(times[1:]))
    for instrument, record, _ in told.market:
        if isinstance(record, DepthSnapshot):
            assert len(record.bid_ticks) == len(record.ask_ticks) == 20
            prices = [*record.bid_ticks, *record.ask_ticks]
            assert all(engine.instruments[instrument].on_grid(ticks) for ticks in prices)
        elif isinstance(record, BookTicker):
            assert record.bid_ticks < record.ask_ticks


def test_a_gap_of_the_feed_is_a_gap_in_the_ids() -> None:
    engine, told, served = started(binance(duration_ns=3 * SECOND, loops=True))
    engine.step(served.first_ns + 9 * SECOND)
    diffs = [record for _, record, _ in told.market if isinstance(record, DepthDiff)]
    breaks = [one for before, one in itertools.pairwise(diffs) if one.previous_id != before.last_id]
    assert len(breaks) == 1  # the second pass begins
    bids, asks = engine.book(0, 1).bids, engine.book(0, 1).asks
    assert engine.book(0, 1).is_valid and bids[0][0] < asks[0][0]


def test_two_sessions_of_a_seed_are_the_same_and_no_others() -> None:
    def lines(seed: int) -> list[Any]:
        engine, told, _ = started(replace(binance(), seed=seed))
        step(engine, 2 * SECOND)
        return told.market

    assert lines(3) == lines(3) != lines(4)


# -- orders: the same as a backtest


SCRIPT = [  # after the start, in ms: what is done, with which order
    (1000, "buy", 1), (1000, "sell", 2), (1003, "cancel", 1), (1500, "amend", 2), (2000, "take", 3), (2600, "buy", 4),
    (2601, "sell", 5), (3000, "cancel", 4),
]  # fmt: skip


class Scripted(Strategy):
    """The script by the strategy's own means."""

    def __init__(self) -> None:
        self.orders: dict[int, Any] = {}

    def on_start(self) -> None:
        for after_ms, what, number in SCRIPT:
            at = self.ctx.now_ns + after_ms * 10**6
            self.ctx.at(at, lambda what=what, number=number: self.act(what, number))

    def act(self, what: str, number: int) -> None:
        if what == "cancel":
            self.ctx.cancel(self.orders[number])
        elif what == "amend":
            self.ctx.amend(self.orders[number], 281_550, 30)
        elif what == "take":
            self.orders[number] = self.ctx.submit(0, codes.BUY, 0, 9000, codes.IOC, codes.MARKET)
        else:
            side = codes.BUY if what == "buy" else codes.SELL
            ticks = 281_530 if what == "buy" else 281_560
            self.orders[number] = self.ctx.submit(0, side, ticks, 40)


def test_orders_over_the_wire_s_engine_are_those_of_a_backtest(tmp_path: Path) -> None:
    sink = Kept()
    engine, _, served = started(binance(duration_ns=6 * SECOND), sink=sink)
    for after_ms, what, number in SCRIPT:
        engine.step(served.first_ns + after_ms * 10**6)
        if what == "cancel":
            engine.cancel([CancelRequest(account=0, instrument=0, order_no=number)])
        elif what == "amend":
            engine.amend([AmendRequest(account=0, instrument=0, order_no=number, ticks=281_550, lots=30)])
        elif what == "take":
            engine.submit([limit(number, 0, 9000, tif=codes.IOC, type=codes.MARKET)])
        else:
            buys = what == "buy"
            ticks = 281_530 if buys else 281_560
            engine.submit([limit(number, ticks, 40, codes.BUY if buys else codes.SELL)])
    engine.step(served.end_ns)
    engine.finish()

    config = {
        "seed": 3, "out": str(tmp_path), "report": {"html": False},
        "venue": [{"name": "binance_usdm", "latency": "2ms", "deposit": {"USDT": 100_000}}],
        "instrument": [{"symbol": "BTCUSDT", "mark": "recorded", "funding": "recorded", "margin": "card"}],
    }  # fmt: skip
    session = scenario("calm", 6 * SECOND, served.first_ns)
    feed = SyntheticSource(servable("binance_usdm")[0], session, 3)
    result = backtest(config, Scripted(), feeds={0: feed}, show_progress=False)
    wanted = result.orders.select(
        "order_no", "seq", "event", "reason", "ts_event_ns", "ticks", "lots", "liquidity", "fee_e8"
    ).rows()
    assert sink.table(0) == sorted(wanted)
    assert len(wanted) >= 10 and any(row[2] == codes.EV_FILLED for row in wanted)


def test_what_becomes_of_an_order_is_told_when_the_response_is_over() -> None:
    engine, told, _ = started(binance())
    step(engine, SECOND)
    del told.market[:]
    ask = engine.book(0, 1).asks[0][0]
    sent = engine.now_ns
    engine.submit([limit(1, ask, 5), limit(2, ask - 900, 5)])
    engine.submit([OrderRequest(account=1, instrument=0, order_no=1, side=codes.SELL, ticks=ask - 900, lots=5)])
    assert told.events == []  # never before the command has returned
    engine.step(engine.feed_ns + 3_999_999)
    assert told.events == []
    engine.step(engine.feed_ns + 1)
    assert told.kinds() == [
        "Accepted", "Filled", "PositionChanged", "BalanceChanged", "Accepted", "Accepted", "Filled", "PositionChanged",
        "BalanceChanged",
    ]  # fmt: skip
    fill = told.events[1]
    assert (fill.ts_event_ns, fill.ts_recv_ns) == (sent + 2_000_000, sent + 4_000_000)
    assert told.events[2].position_lots == 5 == engine.position(0, 0).lots
    assert told.events[3].wallet_e8 == engine.wallet(0, "USDT").wallet_e8 == 100_000 * 10**8 - fill.fee_e8
    assert engine.position(1, 0).lots == -5


def test_requests_about_one_order_wait_for_each_other_and_unknown_ones_are_refused() -> None:
    engine, told, _ = started(binance())
    step(engine, SECOND)
    bid = engine.book(0, 1).bids[0][0]
    engine.submit([limit(1, bid - 900, 5)])
    step(engine, SECOND // 10)
    told.events.clear()
    engine.amend([AmendRequest(account=0, instrument=0, order_no=1, ticks=bid - 800, lots=5)])
    engine.amend([AmendRequest(account=0, instrument=0, order_no=1, ticks=bid - 700, lots=6)])
    for _ in range(2):
        engine.cancel([CancelRequest(account=0, instrument=0, order_no=1)])
    engine.cancel([CancelRequest(account=0, instrument=0, order_no=99)])
    step(engine, SECOND // 10)
    counts = Counter(told.kinds())
    assert counts == {"Amended": 2, "Canceled": 1, "CancelRejected": 2}
    refused = [event for event in told.events if isinstance(event, orders.CancelRejected | orders.AmendRejected)]
    assert {event.reason for event in refused} == {codes.R_UNKNOWN_ORDER}
    assert {event.order_no for event in refused} == {1, 99}
    assert {event.code for event in refused if isinstance(event, orders.CancelRejected)} == {-2011}
    assert engine._lanes[0]._orders == {} and engine._lanes[0]._waiting == {}


def test_a_client_id_is_free_again_when_its_order_has_closed_and_forgotten_then() -> None:
    engine, told, _ = started(binance())
    step(engine, SECOND)
    bid = engine.book(0, 1).bids[0][0]
    for number in (1, 2, 3):  # the second and the third while the first is open
        engine.submit([limit(number, bid - 900, 5, client_id="mine")])
        step(engine, SECOND // 10)
    assert told.kinds() == ["Accepted", "Rejected", "Rejected"] and told.events[1].code == -4116
    engine.cancel([CancelRequest(account=0, instrument=0, order_no=1)])
    step(engine, SECOND // 10)
    engine.submit([limit(4, bid - 900, 5, client_id="mine"), limit(5, bid - 900, 5, client_id="another")])
    step(engine, SECOND // 10)
    assert told.kinds()[3:] == ["Canceled", "Accepted", "Accepted"]
    engine.cancel_all(CancelAllRequest(account=0, instrument=0))
    step(engine, SECOND // 10)
    lane = engine._lanes[0]
    assert lane.ctx.face is not None and lane.ctx.face._ids == {} and not lane._names


def test_settings_cancel_all_and_triggers() -> None:
    engine, told, _ = started(binance())
    step(engine, SECOND)
    bid = engine.book(0, 1).bids[0][0]
    engine.change(SettingRequest(account=0, instrument=0, number=7, setting=codes.SETTING_LEVERAGE, value=5))
    engine.change(SettingRequest(account=0, instrument=0, number=8, setting=codes.SETTING_LEVERAGE, value=4000))
    stop = Trigger(codes.TRIGGER_STOP, bid + 5000)
    engine.submit([limit(n, bid - 900 - n, 5) for n in (1, 2, 3)])
    engine.submit([limit(4, 0, 5, type=codes.MARKET, tif=codes.IOC, trigger=stop)])
    step(engine, SECOND // 10)
    settings = {event.number: event for event in told.events if isinstance(event, orders.SettingChanged)}
    refused = {event.number: event for event in told.events if isinstance(event, orders.SettingRejected)}
    assert set(settings) == {7} and set(refused) == {8} and refused[8].code < 0
    assert engine.position(0, 0).leverage == 5
    assert told.kinds().count("Held") == 1
    told.events.clear()
    engine.cancel_all(CancelAllRequest(account=0, instrument=0))
    step(engine, SECOND // 10)
    assert told.kinds().count("Canceled") == 4


def test_a_liquidation_tells_of_its_own_order() -> None:
    account = [{"name": "small", "deposit": {"USDT": Decimal("600")}, "leverage": 50}]
    engine, told, _ = started(
        replace(binance(), feed="synth:crash", duration_ns=60 * SECOND, rate=Fraction(1, 4)), account
    )
    step(engine, SECOND)
    engine.submit([limit(1, 0, 900, type=codes.MARKET, tif=codes.IOC)])
    step(engine, 55 * SECOND)
    forced = [event for event in told.events if getattr(event, "order_no", 1) < 0]
    taken = [event for event in told.events if isinstance(event, orders.Liquidated)]
    assert forced or taken
    for event in forced:
        order = engine.forced(0, event.order_no)
        assert order is not None and order.side == codes.SELL and order.reduce_only
    assert engine.forced(0, -1000) is None
    assert engine.position(0, 0).lots < 900


def test_a_session_that_begins_now_keeps_the_hours_at_which_the_venue_charges() -> None:
    engine, told, served = started(binance())
    step(engine, 3 * SECOND)
    boundaries = {record.next_funding_ns for _, record, _ in told.market if isinstance(record, MarkPrice)}
    assert boundaries == {(NOW // EIGHT_HOURS + 1) * EIGHT_HOURS}
    assert engine.shift_ns == 0 and served.first_ns <= served.start_wall_ns == NOW // SECOND * SECOND


def test_time_is_shifted_but_not_the_simulation() -> None:
    choice = replace(binance(), feed="synth:funding", duration_ns=400 * SECOND, rate=Fraction(1, 50))
    engine, told, served = started(choice)
    step(engine, SECOND)
    assert engine.shift_ns == (NOW - served.first_ns) // 10**6 * 10**6 and abs(engine.now_ns - NOW - SECOND) < 10**6
    good_till = engine.now_ns + 700 * SECOND
    bid = engine.book(0, 1).bids[0][0]
    engine.submit([limit(1, bid - 900, 5, tif=codes.GTD, expires_ns=good_till), limit(2, 0, 7, tif=1, type=1)])
    step(engine, 310 * SECOND)
    paid = [event for event in told.events if isinstance(event, orders.FundingPaid)]
    assert len(paid) == 1 and paid[0].boundary_ns == served.first_ns + 300 * SECOND + engine.shift_ns
    assert paid[0].position_lots == 7 and paid[0].payment_e8 < 0


# -- accounts


def test_accounts_have_their_own_money_leverage_and_mode() -> None:
    accounts = [
        {"name": "a", "deposit": {"USDT": Decimal("1000.5")}, "leverage": {"BTCUSDT": 7}},
        {"name": "b", "margin_mode": "isolated", "leverage": 3},
        {"name": "c", "deposit": {}},
    ]
    engine, _, served = started(binance("BTCUSDT", "ETHUSDT"), accounts)
    assert [engine.wallet(n, "USDT").wallet_e8 for n in range(3)] == [100_050_000_000, 10**13, 0]
    assert [engine.position(0, m).leverage for m in range(2)] == [7, 20]
    assert engine.position(1, 1).leverage == 3 and engine.position(1, 0).isolated and not engine.position(0, 0).isolated
    keys = {one.key for account in served.accounts for one in account.credentials}
    assert len(keys) == 3 and all(len(key) == 64 for key in keys)


def test_keys_follow_from_the_seed_and_hyperliquid_has_agents() -> None:
    def made(seed: int, venue: str = "hyperliquid") -> list[Any]:
        return [
            account.shown
            for account in prepare(Choice(venue, "synth:calm", seed=seed), load_accounts(None), NOW).accounts
        ]

    assert made(1) == made(1) != made(2)
    one = made(1)[0]
    assert one["address"].startswith("0x") and len(one["private_key"]) == 66 and one["agent"] != one["address"]


@pytest.mark.parametrize(
    ("accounts", "says"),
    [
        ([{"name": "a", "deposits": {}}], "account[0].deposits: unknown key"),
        ([{"name": "a"}, {"name": "a"}], "several accounts are named a"),
        ([{"name": "a", "key": "x"}], "needs both key and secret"),
        ([{"name": "a", "private_key": "11" * 32}], "private keys are Hyperliquid's"),
        ([{"name": "a", "private_key": "short-one"}], "private_key"),
        ([{"name": "a", "deposit": {"BNB": Decimal(1)}}], "BNB is held by none"),
        ([{"name": "a", "leverage": 4000}], "outside 1..150"),
        ([{"name": "a", "leverage": {"XRPUSDT": 2}}], "XRPUSDT is not served"),
        ([], "account"),
    ],
)
def test_wrong_accounts_are_refused_by_name(accounts: list[Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        started(binance(), accounts)
    assert says in str(caught.value) and "short-one" not in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice("kraken", "synth:calm"), "cannot be served"),
        (Choice("binance", ""), "--feed"),
        (Choice("binance", "synth:calmer"), "calmer"),
        (Choice("binance", "synth:calm", ("XRPUSDT",)), "XRPUSDT"),
        (Choice("binance", "/nowhere/lake"), "/nowhere/lake"),
        (Choice("binance", "synth:calm", from_ns=1), "--from"),
        (Choice("binance", "/nowhere/lake", rate=Fraction(2)), "--rate"),
        (Choice("binance", run=Path("run.toml"), latency="9ms"), "--latency"),
        (Choice("hyperliquid", "synth:calm", ("BTCUSDT",)), "BTCUSDT"),
    ],
)
def test_wrong_choices_are_refused_by_name(choice: Choice, says: str) -> None:
    with pytest.raises(InputError, match=says):
        prepare(choice, load_accounts(None), NOW)


def test_synthetic_windows_are_what_the_kernels_take() -> None:
    for venue in ("binance_usdm", "binance_coinm", "hyperliquid"):
        for listed in servable(venue):
            source = SyntheticSource(listed, scenario("volatile", 5 * SECOND), 5)
            last = 0
            while (window := source.next_window()) is not None:
                window.check()
                assert int(window.ts_event[0]) >= last and np.all(window.px_ticks > 0)
                last = int(window.ts_event[-1])
            assert last <= source.last_ns


# -- recorded feeds


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "lake"
    making.synth("outage", 5, 30 * SECOND, lake=folder)
    return folder


def test_a_slice_of_a_lake_is_served_from_the_book_it_begins_with(lake: Path) -> None:
    start = DEFAULT_START_NS + 10 * SECOND
    engine, told, served = started(Choice("binance", str(lake), from_ns=start, until_ns=start + 10 * SECOND))
    first = [record for _, record, _ in told.market if isinstance(record, DepthSnapshot)]
    assert len(first) == 1 and len(first[0].bid_ticks) > 500 and engine.market(0).mark_e8 > 0
    assert engine.shift_ns == NOW - start and engine.now_ns == NOW
    engine.step(served.end_ns)
    diffs = [record for _, record, _ in told.market if isinstance(record, DepthDiff)]
    lost = [one for before, one in itertools.pairwise(diffs) if one.previous_id != before.last_id]
    assert len(lost) == 1 and engine.book(0, 1).is_valid  # the stretch of stale depth at 18 s


def test_a_run_file_gives_the_inputs(lake: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.toml"
    run.write_text(
        f"""
        seed = 9
        [feed]
        lake = "{lake}"
        [strategy]
        class = "nobody:Needed"
        [[venue]]
        name = "here"
        card = "binance_usdm"
        latency = "7ms"
        fees = {{ maker = 0, taker = "1 bps" }}
        deposit = {{ USDT = 1 }}
        [[venue]]
        name = "okx"
        [[instrument]]
        symbol = "BTCUSDT"
        venue = "here"
        mark = "mid"
        funding = "none"
        [[instrument]]
        symbol = "BTC-USDT-SWAP"
        venue = "okx"
        """
    )
    engine, told, _ = started(Choice("binance", run=run))
    assert engine.fee_rates_e12(0, 0) == (0, 10**8) and len(engine.instruments) == 1
    assert engine.plan.config.seed == 9 and engine.wallet(0, "USDT").wallet_e8 == 10**13  # accounts have their own
    step(engine, 5 * SECOND)
    marks = [record for _, record, _ in told.market if isinstance(record, MarkPrice)]
    assert len(marks) >= 4 and engine.market(0).mark_e8 == marks[-1].mark_e8
    sent = engine.now_ns
    engine.submit([limit(1, engine.book(0, 1).bids[0][0] - 500, 5)])
    step(engine, SECOND)
    assert told.events[0].ts_event_ns == sent + 7_000_000
    with pytest.raises(InputError, match="no venue of the rule card hyperliquid"):
        started(Choice("hyperliquid", run=run))
