"""Live against an exchange that answers in memory: opt-in, journal before wire, orders, money, refusals, the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matching import codes
from matching.codes import BUY, IOC, SELL
from sim.live.journal import read_journal
from sim.live.setup import prepare
from sim.strategy import Fill, Funding, Order, OrderEvent, Setting, Strategy
from sim.virtual_time import VirtualTime
from tests.sim import live_venue
from tests.sim.live_wires import SECOND, START_NS, Played, run_file
from venues.errors import InputError, VenueError
from venues.orders import AmendRequest, CancelRequest, OrderRequest
from venues.ports import MemoryFiles
from venues.trading_sessions import SESSIONS

KEYS = {"KEY": "k3y", "SECRET": "s3cr3t"}
CONNECT = {"binance_usdm": {"book": "0ms", "key_env": "KEY", "secret_env": "SECRET"}}


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setitem(SESSIONS, "binance_usdm", ("tests.sim.live_venue", "VenueStandIn"))
    live_venue.MADE.clear()
    live_venue.BEHAVIOUR.clear()
    yield live_venue.BEHAVIOUR
    live_venue.BEHAVIOUR.clear()


class Actor(Strategy):
    """Does what its script says at whole seconds after the start."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.orders: list[Order] = []
        self.heard: list[tuple[Any, ...]] = []
        self.began: tuple[Any, ...] = ()

    def on_start(self) -> None:
        self.began = (self.ctx.position(0), self.ctx.balance)
        self.ctx.every("1s")

    def on_timer(self) -> None:
        if self.script:
            self.script.pop(0)(self)

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.heard.append((order.number, event.name, order.status_name, event.code, event.text))

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.heard.append(("fill", fill.ticks, fill.lots, fill.fee_e8, self.ctx.position(0)))

    def on_funding(self, i: int, funding: Funding) -> None:
        self.heard.append(("funding", funding.payment_e8))

    def on_setting(self, i: int, setting: Setting) -> None:
        self.heard.append(("setting", setting.value, setting.is_accepted))


def buy(lots: int, tif: int = 0, away: int = 100) -> Any:
    return lambda actor: actor.orders.append(
        actor.ctx.submit(0, BUY, actor.ctx.book(0).best_bid_ticks - away, lots, tif)
    )


def live(folder: Path, strategy: Strategy, seconds: int = 20, *, yes: bool = True, **more: Any) -> Played:
    document = run_file(**({"connect": CONNECT, "live": {"enabled": True}} | more))
    return Played(folder, strategy, document, seconds, mode="live", environment=KEYS, yes=yes)


def journal(played: Played) -> list[dict[str, Any]]:
    files = played.files
    assert isinstance(files, MemoryFiles)
    (path,) = [path for path in files.contents if path.name == "journal.bin"]
    assert files.synced[path] == files.contents[path]
    return list(read_journal(files.contents[path], str(path)))


# -- the opt-in


@pytest.mark.parametrize(
    ("more", "yes", "missing"),
    [
        ({"live": {"enabled": False}}, True, ["the run file does not say [live] enabled = true"]),
        ({"live": {}}, True, ["the run file does not say"]),
        ({"live": {"enabled": True}}, False, ["the command line does not say --yes-real-orders"]),
        ({"live": {}}, False, ["the run file does not say", "the command line does not say"]),
    ],
)
def test_both_halves_of_the_opt_in_are_needed(more: Any, yes: bool, missing: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        live(tmp_path, Actor(), yes=yes, **more)
    text = str(caught.value)
    assert "[live] enabled = true and the command line --yes-real-orders" in text
    assert all(part in text for part in missing) and not live_venue.MADE and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [
        ({}, True),
        ({"rest": "http://127.0.0.1:1"}, True),
        ({"rest": "https://fapi.binance.com", "ws": "wss://venue.example"}, True),
        ({"rest": "https://venue.example", "ws": "wss://venue.example", "ws_api": "wss://WS-FAPI.binance.com."}, True),
        ({"rest": "https://testnet.binancefuture.com", "ws": "wss://stream.binancefuture.com"}, True),
        ({"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}, False),
        ({"rest": "https://notbinance.com", "ws": "wss://notbinance.com", "ws_user": "wss://binance.com.own"}, False),
    ],
)
def test_limits_are_lifted_only_where_the_venue_is_not_reached(addresses: Any, refused: bool, tmp_path: Path) -> None:
    document = run_file(live={"enabled": True}, connect={"binance_usdm": CONNECT["binance_usdm"] | addresses})
    for words in ("card", "none"):
        document["venue"][0]["rate_limits"] = words
        if words == "none" and refused:
            with pytest.raises(InputError, match=r"rate_limits.*take it out.*\[connect.binance_usdm\]"):
                prepare("live", document, VirtualTime(START_NS), KEYS, Actor(), yes_real_orders=True)
        else:
            setup = prepare("live", document, VirtualTime(START_NS), KEYS, Actor(), yes_real_orders=True)
            assert setup.trading[0].limits is (words == "card")
        prepare("paper", document, VirtualTime(START_NS), KEYS, Actor())
    assert not list(tmp_path.iterdir())


def test_keys_are_needed_and_shown_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no keys"):
        live(tmp_path, Actor(), connect={"binance_usdm": {}})
    played = live(tmp_path / "b", Actor(buy(5)))
    assert live_venue.MADE[-1].wanted.keys.secret == "s3cr3t"
    for path in (tmp_path / "b").rglob("*"):
        assert path.is_dir() or (b"s3cr3t" not in path.read_bytes() and b"k3y" not in path.read_bytes()), path
    assert b"s3cr3t" not in b"".join(played.files.contents.values())


def test_a_request_about_an_order_whose_end_came_with_the_same_message_is_refused_here(tmp_path: Path) -> None:
    class Hasty(Actor):
        def on_order(self, order: Order, event: OrderEvent) -> None:
            super().on_order(order, event)
            if event.name == "Accepted":
                self.ctx.cancel(order)

    hasty = Hasty(buy(5, IOC))
    live(tmp_path, hasty)
    assert [row[1] for row in hasty.heard] == ["Accepted", "Expired", "CancelRejected"]
    assert hasty.heard[2][3:] == (None, "not sent: the order has ended")
    assert not [one for one in live_venue.MADE[-1].commands if isinstance(one, CancelRequest)]


# -- what the account holds at the start


def test_positions_and_wallets_are_taken_over(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["position"] = -300
    actor = Actor(lambda one: one.ctx.market(0, BUY, 100))
    played = live(tmp_path, actor)
    assert actor.began == (-300, 5_000.0)
    assert actor.heard[-1][0] == "fill" and actor.heard[-1][4] == -200
    (account,) = played.result.summary["accounts"]
    assert account["positions"] == [{"instrument": "BTCUSDT", "position_lots": -200}]
    assert account["realized_e8"] == -(28_150 - 28_000) * 10**8 // 10 and account["fees_e8"] == 1_000


def test_open_orders_at_the_start_are_refused_by_name(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["orders"] = 7
    with pytest.raises(InputError, match=r"has 7 open orders.*\(x0, x1, x2, x3, x4 and 2 more\): cancel them first"):
        live(tmp_path, Actor(buy(1)))
    assert not live_venue.MADE[-1].commands


def test_an_account_that_cannot_trade_says_what_to_do(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["not_ready"] = True
    with pytest.raises(VenueError, match="Invalid API-key: check the key's permissions"):
        live(tmp_path, Actor())


def test_an_account_that_says_nothing_is_given_up_with_what_was_heard_last(
    tmp_path: Path, stand_in: dict[str, Any]
) -> None:
    stand_in["unreachable"] = "the venue's time is not known: Cannot connect to host"
    with pytest.raises(VenueError, match=r"two minutes.*server time: .*Cannot connect to host: is the venue reach"):
        live(tmp_path, Actor(), 150)


# -- orders


def test_orders_go_out_and_come_back_as_in_a_backtest(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["funding"] = 250
    actor = Actor(
        buy(5), buy(7, IOC), lambda one: one.ctx.market(0, SELL, 20),
        lambda one: one.ctx.amend(one.orders[0], one.orders[0].ticks - 1, 6),
        lambda one: one.ctx.cancel(one.orders[0]), buy(2_000), lambda one: one.ctx.set_leverage(0, 9),
    )  # fmt: skip
    played = live(tmp_path, actor)
    assert [row[:2] for row in actor.heard] == [
        (1, "Accepted"), (2, "Accepted"), (2, "Expired"), (3, "Accepted"), (3, "Filled"), ("fill", 281_500),
        (1, "Amended"), (1, "Canceled"), (4, "Rejected"), ("setting", 9), ("funding", -2_800_000),
    ]  # fmt: skip
    assert actor.heard[8] == (4, "Rejected", "CLOSED", -2019, "Margin is insufficient.")
    assert actor.heard[5] == ("fill", 281_500, 20, 1_000, -20)
    orders = played.result.orders
    assert orders.filter(orders["order_no"] == 4)["venue_text"].to_list() == ["Margin is insufficient."]
    said = json.loads((played.result.path / "manifest.json").read_text())
    assert (said["mode"], said["status"]) == ("live", "finished") and said["hash"]
    log = (played.result.path / "log.jsonl").read_text()
    assert "order 4 was refused: -2019 Margin is insufficient.; the account has too little margin" in log
    kinds = [row["kind"] for row in journal(played)]
    assert kinds[:4] == ["AccountState", "OrderRequest", "Accepted", "OrderRequest"]
    assert kinds.count("OrderRequest") == 4 and kinds.count("FundingPaid") == 1


def test_funding_that_is_paid_in_the_warm_up_is_booked(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["funding"] = 50  # ticks: after the account's state, before the run
    actor = Actor()
    played = live(tmp_path, actor)
    assert actor.heard == [("funding", -2_800_000)]
    summary = played.result.summary
    assert (summary["funding_e8"], summary["wallet_e8"]) == (-2_800_000, 5_000 * 10**8 - 2_800_000)


@pytest.mark.parametrize("how", ["early", "quiet"])
def test_a_position_stated_before_a_fill_is_no_difference(tmp_path: Path, stand_in: dict[str, Any], how: str) -> None:
    stand_in[how] = True
    trade = lambda one: one.ctx.market(0, BUY, 20)  # noqa: E731
    played = live(tmp_path, Actor(trade, trade), record={"status": "1s"})
    gateway = played.session.gateway
    assert gateway is not None and gateway.counts.differences == {}


def test_a_position_that_stays_apart_is_logged_once_and_shown(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["drift"] = 7
    trade = lambda one: one.ctx.market(0, BUY, 20)  # noqa: E731
    played = live(tmp_path, Actor(trade, trade), record={"status": "1s"})
    gateway = played.session.gateway
    assert gateway is not None
    assert gateway.counts.differences == {"BTCUSDT": "the venue states 47 lots, counted are 40"}
    log = (played.result.path / "log.jsonl").read_text()
    assert log.count("the venue states a position of 47 lots, counted are 40: look what else trades") == 1
    assert played.shown[-1]["orders_path"]["differences"] == gateway.counts.differences


def test_a_command_is_on_the_disk_before_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    submit = live_venue.VenueStandIn.submit

    def checking(self: Any, requests: list[OrderRequest], now: Any) -> None:
        files = holder[0]
        (path,) = [path for path in files.synced if path.name == "journal.bin"]
        written = [row["request"]["order_no"] for row in read_journal(files.synced[path], "j") if "request" in row]
        seen.extend((request.order_no, written.count(request.order_no)) for request in requests)
        submit(self, requests, now)

    holder = [MemoryFiles()]
    monkeypatch.setattr(live_venue.VenueStandIn, "submit", checking)
    document = run_file(connect=CONNECT, live={"enabled": True})
    actor = Actor(buy(1), buy(2), buy(3))
    Played(tmp_path, actor, document, 12, mode="live", environment=KEYS, yes=True, files=holder[0])
    assert seen == [(1, 1), (2, 1), (3, 1)]


def test_a_batch_goes_out_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    submit = live_venue.VenueStandIn.submit

    def counting(self: Any, requests: list[OrderRequest], now: Any) -> None:
        sizes.append(len(requests))
        submit(self, requests, now)

    monkeypatch.setattr(live_venue.VenueStandIn, "submit", counting)
    rows = [(0, BUY, 200_000 + n, 5) for n in range(3)]
    live(tmp_path, Actor(lambda one: one.ctx.submit_batch(rows), buy(1), buy(1)))
    assert sizes == [3, 1, 1]


def test_limits_keep_orders_from_leaving(tmp_path: Path) -> None:
    actor = Actor(buy(5), buy(500))
    live(tmp_path, actor, risk={"max_position": "0.1"})
    assert [request.lots for request in live_venue.MADE[-1].commands if isinstance(request, OrderRequest)] == [5]
    refused = next(row for row in actor.heard if row[1] == "Rejected")
    assert refused[0] == 2 and refused[4].startswith("not sent: max_position")


def test_an_order_without_an_answer_is_unknown(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["lose"] = {1}
    actor = Actor(buy(5))
    played = live(tmp_path, actor, live={"enabled": True, "on_stop": "leave"})
    assert actor.orders[0].status_name == "UNKNOWN"
    assert (
        "no answer to the submit of order 1 (timeout); the venue is asked"
        in (played.result.path / "log.jsonl").read_text()
    )


def test_the_report_of_real_orders_claims_no_simulation(tmp_path: Path) -> None:
    played = live(tmp_path, Actor(buy(5), buy(6)))
    topics = {line.topic: line.text for line in played.result.banner}
    assert topics["Orders"].startswith("real")
    assert not topics.keys() & {"Latency", "Fills", "Fees", "Funding", "Feed delay", "Market impact", "Unverified"}


# -- the end


def test_the_end_cancels_and_waits_for_the_answers(tmp_path: Path) -> None:
    actor = Actor(buy(5), buy(6))
    live(tmp_path, actor)
    assert [row[:2] for row in actor.heard[-2:]] == [(1, "Canceled"), (2, "Canceled")]
    made = live_venue.MADE[-1]
    assert [type(request) for request in made.commands[-2:]] == [CancelRequest, CancelRequest] and made.stopped


def test_a_strategy_that_goes_on_deciding_does_not_outlive_its_run(tmp_path: Path) -> None:
    class Restless(Actor):
        def on_timer(self) -> None:
            for order in self.ctx.orders(0):
                self.ctx.cancel(order)
            self.ctx.submit(0, BUY, self.ctx.book(0).best_bid_ticks - 100, 5)

        def on_order(self, order: Order, event: OrderEvent) -> None:
            super().on_order(order, event)
            if event.name == "Canceled":
                self.ctx.submit(0, BUY, self.ctx.book(0).best_bid_ticks - 100, 5)

    actor = Restless()
    played = live(tmp_path, actor)
    made = live_venue.MADE[-1]
    assert not made.open and json.loads((played.result.path / "manifest.json").read_text())["status"] == "finished"
    assert "not sent: the session is ending" in {row[4] for row in actor.heard}
    canceled = [request.order_no for request in made.commands if isinstance(request, CancelRequest)]
    assert len(canceled) == len(set(canceled))  # each once


def test_the_end_leaves_orders_where_the_policy_says_so(tmp_path: Path) -> None:
    live(tmp_path, Actor(buy(5)), live={"enabled": True, "on_stop": "leave"})
    assert not any(isinstance(request, CancelRequest | AmendRequest) for request in live_venue.MADE[-1].commands)


def test_the_end_names_orders_that_may_not_have_left(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["waits"] = {2}  # for room in the venue's limits, say
    played = live(tmp_path, Actor(buy(5), buy(6)), live={"enabled": True, "on_stop": "leave"})
    (left,) = json.loads((played.result.path / "manifest.json").read_text())["left_over"]
    assert (left["number"], left["unknown"], left["answered"]) == (2, False, False)
    said = (played.result.path / "log.jsonl").read_text()
    assert "order 2 (buy 0.006 at" in said and "it may never have left: look for client id run-2" in said


def test_a_venue_that_does_not_answer_does_not_hold_the_end_up(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["deaf"] = True
    played = live(tmp_path, Actor(buy(5)), live={"enabled": True, "stop_within": "3s"})
    assert "1 orders may still be open at the venue: 1" in (played.result.path / "log.jsonl").read_text()
    assert START_NS + 22 * SECOND < played.result.summary["last_ns"] < START_NS + 24 * SECOND


@pytest.mark.parametrize("policy", ["cancel", "leave"])
def test_an_order_without_an_answer_is_asked_for_once_more_at_the_end(
    tmp_path: Path, stand_in: dict[str, Any], policy: str
) -> None:
    stand_in |= {"lose": {1, 2}, "found": {2}}
    actor = Actor(buy(5), buy(6), buy(7))
    played = live(tmp_path, actor, live={"enabled": True, "stop_within": "3s", "on_stop": policy})
    assert live_venue.MADE[-1].asked == 1
    said = (played.result.path / "log.jsonl").read_text()
    assert "1 orders may still be open at the venue: 1" in said
    assert "order 1 (buy 0.005 at" in said and "nobody knows whether it reached the venue" in said
    assert "look for client id run-1 among the open orders and in the history" in said
    (left,) = json.loads((played.result.path / "manifest.json").read_text())["left_over"]
    assert (left["number"], left["client_id"], left["unknown"]) == (1, "run-1", True)
    assert START_NS + 22 * SECOND < played.result.summary["last_ns"] < START_NS + 24 * SECOND


def test_all_orders_that_are_left_are_logged_and_how_many_is_said_last(
    tmp_path: Path, stand_in: dict[str, Any]
) -> None:
    def three(actor: Actor) -> None:
        for lots in (5, 6, 7):
            buy(lots)(actor)

    stand_in["deaf"] = True
    played = live(tmp_path, Actor(*[three] * 8), live={"enabled": True, "stop_within": "1s"})
    said = (played.result.path / "log.jsonl").read_text()
    left = json.loads((played.result.path / "manifest.json").read_text())["left_over"]
    assert len(left) > 20
    assert all(f"order {one['number']} (buy" in said for one in left)
    assert said.index(f"{len(left)} orders may still be open") > said.index(f"order {left[-1]['number']} (buy")
    assert f"{len(left)} orders may still be open" in played.shown[-1]["messages"][-1]["text"]


def test_fees_in_another_asset_are_summed_and_said_where_profits_are(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["fee"] = {"fee_e8": 0, "other_fee_e8": 12_345, "other_asset": "BNB"}
    played = live(tmp_path, Actor(*[lambda one: one.ctx.market(0, SELL, 20)] * 2))
    said = json.loads((played.result.path / "manifest.json").read_text())
    assert said["unbooked_fees"] == {"BNB": "0.0002469"}
    assert any("fees of 0.0002469 BNB were charged and are not booked" in line["text"] for line in said["banner"])
    log = (played.result.path / "log.jsonl").read_text()
    assert log.count("fees are charged in BNB") == 1 and log.count("fees of 0.0002469 BNB") == 1
    assert played.result.fills["fee_e8"].sum() == 0


def test_a_strategy_that_stops_the_run_sees_its_orders_canceled(tmp_path: Path) -> None:
    class Looker(Actor):
        def on_stop(self) -> None:
            self.ends = [(order.is_closed, order.status_name) for order in self.orders]

    def stop(actor: Actor) -> None:
        actor.ctx.stop("enough")

    actor = Looker(buy(5), buy(6), stop)
    played = live(tmp_path, actor)
    assert actor.ends == [(True, "CLOSED")] * 2
    orders = played.result.orders
    ends = orders.filter(orders["event"] == codes.EV_CANCELED)["order_no"].to_list()
    assert ends == [1, 2] and not live_venue.MADE[-1].open
    assert not (played.result.path / "log.jsonl").exists()  # nothing to say
    said = json.loads((played.result.path / "manifest.json").read_text())
    assert said["why"] == "enough" and played.result.summary["last_ns"] < START_NS + 15 * SECOND


class FailingFiles(MemoryFiles):
    """A disk that fails for the journal once it holds so many bytes."""

    def __init__(self, most: int, how: str) -> None:
        super().__init__()
        self.most, self.how = most, how

    def create(self, path: Path) -> Any:
        made = super().create(path)
        if path.name != "journal.bin":
            return made
        append, sync = made.append, made.sync

        def failing_append(content: bytes) -> None:
            if self.how == "write" and len(self.contents[path]) + len(content) > self.most:
                raise OSError(28, "No space left on device")
            append(content)

        def failing_sync() -> None:
            if self.how == "sync" and len(self.contents[path]) > self.most:
                raise OSError(5, "Input/output error")
            sync()

        made.append, made.sync = failing_append, failing_sync
        return made


@pytest.mark.parametrize("how", ["write", "sync"])
@pytest.mark.parametrize("most", [600, 900, 1100])
def test_a_disk_that_fails_ends_the_run_with_its_orders_canceled(tmp_path: Path, how: str, most: int) -> None:
    actor = Actor(*[buy(n) for n in range(1, 12)])
    document = run_file(connect=CONNECT, live={"enabled": True})
    files = FailingFiles(most, how)
    with pytest.raises(OSError, match=r"No space left|Input/output"):
        Played(tmp_path, actor, document, 30, mode="live", environment=KEYS, yes=True, files=files)
    made = live_venue.MADE[-1]
    sent = {request.order_no for request in made.commands if isinstance(request, OrderRequest)}
    canceled = {request.order_no for request in made.commands if isinstance(request, CancelRequest)}
    assert sent and sent == canceled and not made.open  # what had left was canceled, nothing else left
    (content,) = [content for path, content in files.contents.items() if path.name == "journal.bin"]
    written = {row["request"]["order_no"] for row in read_journal(content, "j") if row["kind"] == "OrderRequest"}
    assert sent <= written and len(actor.orders) <= len(sent) + 1
    (folder,) = (tmp_path / "runs").glob("*")
    said = json.loads((folder / "manifest.json").read_text())
    assert said["status"] == "failed" and not (folder / "log.jsonl").exists()


def test_an_error_of_the_strategy_cancels_too(tmp_path: Path) -> None:
    def fail(actor: Actor) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        live(tmp_path, Actor(buy(5), fail))
    assert isinstance(live_venue.MADE[-1].commands[-1], CancelRequest)


def test_a_strategy_that_stops_hears_no_more_but_its_orders_end(tmp_path: Path) -> None:
    actor = Actor(buy(5), lambda one: one.ctx.stop("enough"))
    played = live(tmp_path, actor)
    assert [row[1] for row in actor.heard] == ["Accepted"]
    told = played.result.orders.filter(played.result.orders["order_no"] == 1)
    assert told["event"].to_list() == [1, 4]
    assert (told["ts_deliver_ns"] + 1 >= told["ts_event_ns"]).all()  # the end, too: time goes on when the run is over
    log = played.result.path / "log.jsonl"
    assert not log.exists() or "may still be open" not in log.read_text()
