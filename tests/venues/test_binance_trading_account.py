"""Binance's trading session: positions, wallets, funding, margin calls, liquidations and settings."""

from __future__ import annotations

from typing import Any

import pytest

from matching import codes
from tests.venues.binance_venue import Drive, Venue, names, placed, setting
from venues.orders import (
    Accepted,
    Canceled,
    FundingPaid,
    Held,
    Liquidated,
    MarginWarning,
    SettingChanged,
    SettingRejected,
    SettingRequest,
)
from venues.session_parts import SECOND, Reply
from venues.trading import Open

# -- the account


def account_update(venue: Venue, reason: str, **more: Any) -> None:
    venue.say({"e": "ACCOUNT_UPDATE", "E": venue.now_ms, "T": venue.now_ms, "a": {"m": reason, **more}})


def test_positions_and_wallets_as_the_venue_states_them() -> None:
    drive = placed(1)
    balances = [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}]
    positions = [
        {"s": "BTCUSDT", "pa": "-0.025", "ep": "50000.1", "cr": "200", "up": "0", "mt": "isolated", "iw": "0",
         "ps": "SHORT"},
        {"s": "ETHUSDT", "pa": "1", "ep": "1", "cr": "0", "up": "0", "mt": "cross", "iw": "0", "ps": "BOTH"},
    ]  # fmt: skip
    account_update(drive.venue, "ORDER", B=balances, P=positions)
    drive.venue.stream.append(drive.venue.stream[0])
    drive.run()
    assert [(type(event).__name__, *_shown(event)) for event in drive.taken()] == [
        ("PositionChanged", 3, -25, codes.FLAG_SHORT_LEG),
        ("BalanceChanged", "USDT", 12_262_412_345_678),
    ]


def _shown(event: Any) -> tuple[Any, ...]:
    names_ = ("instrument", "position_lots", "leg", "asset", "wallet_e8")
    return tuple(getattr(event, name) for name in names_ if hasattr(event, name))


HOUR_MS = 3_600_000


def at_boundary() -> tuple[Drive, int]:
    """A session that holds 20 lots, four seconds after a full hour; the rate is published."""
    drive = placed(1)
    drive.venue.position = 20
    drive.close(drive.user)
    drive.open(drive.user)
    drive.run()
    drive.taken()
    boundary_ms = (drive.venue.now_ms // HOUR_MS + 1) * HOUR_MS
    drive.venue.now_ms = boundary_ms + 4_000
    drive.venue.rates = [{"symbol": "BTCUSDT", "fundingRate": "0.00010000", "fundingTime": boundary_ms + 1,
                          "markPrice": "50000.00000000"}]  # fmt: skip
    return drive, boundary_ms


def listed(drive: Drive, boundary_ms: int, income: str, number: int, symbol: str = "BTCUSDT") -> None:
    """A row of the income endpoint."""
    drive.venue.income.append(
        {"symbol": symbol, "incomeType": "FUNDING_FEE", "income": income, "asset": "USDT", "info": "",
         "time": boundary_ms + 3, "tranId": number, "tradeId": ""}
    )  # fmt: skip


def funded(drive: Drive, change: str, **more: Any) -> None:
    """A push of the user stream, and another one that repeats it."""
    for _ in range(2):
        balances = [{"a": "USDT", "wb": "9", "cw": "9", "bc": change}]
        account_update(drive.venue, "FUNDING_FEE", B=balances, **more)
    drive.run()


def payments(drive: Drive) -> list[tuple[int, int, int, int]]:
    """What was told: boundary in ms, rate, mark, payment."""
    found = [event for event in drive.taken() if isinstance(event, FundingPaid)]
    assert all((event.instrument, event.position_lots) == (3, 20) for event in found)
    return [(e.boundary_ns // 1_000_000, e.rate_e12, e.mark_e8, e.payment_e8) for e in found]


def test_funding_that_no_push_names_counts_once_with_its_rate_and_mark() -> None:
    drive, boundary_ms = at_boundary()
    funded(drive, "-0.375")
    assert payments(drive) == []
    drive.pass_time(3 * SECOND)
    listed(drive, boundary_ms, "-0.37500000", 9689322392)  # the endpoint is late
    drive.pass_time(30 * SECOND)
    assert payments(drive) == [(boundary_ms, 10**8, 50_000 * 10**8, -37_500_000)]
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(5 * SECOND)
    assert payments(drive) == []


@pytest.mark.parametrize(
    "more",
    [
        {"S": "BTCUSDT"},
        {"P": [{"s": "BTCUSDT", "pa": "0.020", "ep": "50000.0", "cr": "0", "up": "0", "mt": "isolated", "iw": "9",
                "ps": "BOTH"}]},
    ],
)  # fmt: skip
def test_a_payment_that_the_push_states_is_told_at_once_and_only_confirmed_by_the_list(more: Any) -> None:
    drive, boundary_ms = at_boundary()
    funded(drive, "-0.375", **more)
    assert payments(drive) == [(boundary_ms, 0, 0, -37_500_000)]
    drive.pass_time(3 * SECOND)
    listed(drive, boundary_ms, "-0.37500000", 9689322392)
    drive.pass_time(300 * SECOND)
    assert payments(drive) == [] and not drive.remarks
    listed(drive, boundary_ms, "0.10000000", 9689322393)  # of another leg: pushed by nothing
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(30 * SECOND)
    assert [row[3] for row in payments(drive)] == [10_000_000]


def test_a_push_that_comes_after_its_row_tells_nothing_more() -> None:
    drive, boundary_ms = at_boundary()
    listed(drive, boundary_ms, "-0.37500000", 1)
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(5 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]
    funded(drive, "-0.37500000", S="BTCUSDT")
    drive.pass_time(300 * SECOND)
    assert payments(drive) == []


def test_the_list_is_right_where_a_push_states_another_amount() -> None:
    drive, boundary_ms = at_boundary()
    funded(drive, "-0.200", S="BTCUSDT")  # of both legs together
    listed(drive, boundary_ms, "-0.50000000", 1)
    listed(drive, boundary_ms, "0.30000000", 2)
    drive.pass_time(30 * SECOND)
    told = [row[3] for row in payments(drive)]
    assert told[0] == -20_000_000 and sum(told) == -20_000_000
    assert any("another amount" in remark for remark in drive.remarks)


def test_a_payment_that_is_never_listed_is_remarked_once_and_confirmed_even_late() -> None:
    drive, boundary_ms = at_boundary()
    funded(drive, "-0.375", S="BTCUSDT")
    drive.pass_time(600 * SECOND)
    assert sum("not in the account's list" in remark for remark in drive.remarks) == 1
    listed(drive, boundary_ms, "-0.37500000", 1)
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(300 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]
    assert sum("not in the account's list" in remark for remark in drive.remarks) == 1


@pytest.mark.parametrize("asset_and_symbol", [("USDT", "ETHUSDT"), ("BNB", "BTCUSDT")])
def test_a_payment_of_another_symbol_or_asset_waits_for_the_list(asset_and_symbol: tuple[str, str]) -> None:
    asset, symbol = asset_and_symbol
    drive, boundary_ms = at_boundary()
    listed(drive, boundary_ms, "-0.37500000", 1, symbol="ETHUSDT")
    balances = [{"a": asset, "wb": "9", "cw": "9", "bc": "-0.375"}]
    account_update(drive.venue, "FUNDING_FEE", B=balances, S=symbol)
    drive.pass_time(30 * SECOND)
    assert payments(drive) == []


def test_a_push_of_another_amount_after_its_row_tells_nothing_more() -> None:
    drive, boundary_ms = at_boundary()
    listed(drive, boundary_ms, "-0.37500000", 1)
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(5 * SECOND)
    funded(drive, "-0.37500001", S="BTCUSDT")
    drive.pass_time(300 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]


def test_a_payment_that_is_pushed_twice_in_other_bytes_is_told_once() -> None:
    drive, boundary_ms = at_boundary()
    funded(drive, "-0.375", S="BTCUSDT")
    drive.venue.now_ms += 1
    funded(drive, "-0.37500", S="BTCUSDT")
    listed(drive, boundary_ms, "-0.37500000", 1)
    drive.pass_time(300 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]
    listed(drive, boundary_ms, "-0.37500000", 2)  # it was another payment: its row says so
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(30 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]


def test_the_list_is_asked_until_it_has_a_row_for_each_push() -> None:
    drive, boundary_ms = at_boundary()
    listed(drive, boundary_ms, "-0.10000000", 1, symbol="ETHUSDT")
    account_update(drive.venue, "FUNDING_FEE", B=[])  # which names no symbol: ETHUSDT's
    account_update(drive.venue, "FUNDING_FEE", B=[{"a": "USDT", "wb": "9", "cw": "9", "bc": "-0.375"}])
    drive.pass_time(3 * SECOND)
    listed(drive, boundary_ms, "-0.37500000", 2)  # the second row is late
    drive.pass_time(30 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]


def test_a_push_before_the_first_state_does_not_ask_for_all_of_the_past() -> None:
    drive = Drive()
    drive.hold = True
    drive.session.start(drive.now)
    account_update(drive.venue, "FUNDING_FEE", B=[{"a": "USDT", "wb": "9", "cw": "9", "bc": "-0.375"}], S="BTCUSDT")
    drive.session.hear(drive.user, drive.venue.stream.popleft(), drive.now)
    drive.hold = False
    listed(drive, drive.venue.now_ms // HOUR_MS * HOUR_MS - 24 * HOUR_MS, "-9.00000000", 1)  # of yesterday
    drive.run()
    drive.pass_time(60 * SECOND)
    assert drive.session.is_ready
    assert payments(drive) == []


def test_a_row_that_cannot_be_read_and_one_of_another_asset_do_not_keep_the_others_from_being_told() -> None:
    drive, boundary_ms = at_boundary()
    listed(drive, boundary_ms, "much", 1)
    listed(drive, boundary_ms, "-0.00100000", 2)
    drive.venue.income[-1]["asset"] = "BNB"
    listed(drive, boundary_ms, "-0.37500000", 3)
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(60 * SECOND)
    assert [row[3] for row in payments(drive)] == [-37_500_000]
    assert any("-0.00100000 BNB is not in USDT" in remark for remark in drive.remarks)


def test_margin_calls_liquidations_and_foreign_orders() -> None:
    drive = placed(1)
    drive.venue.say(
        {"e": "MARGIN_CALL", "E": 1587727187525, "cw": "3.16812045",
         "p": [{"s": "BTCUSDT", "ps": "LONG", "pa": "1.327", "mt": "CROSSED", "iw": "0", "mp": "187.17127",
                "up": "-1.166074", "mm": "1.614445"}]}
    )  # fmt: skip
    taken_over = {
        "orderId": 5, "symbol": "BTCUSDT", "status": "NEW", "clientOrderId": "autoclose-1", "price": "49000",
        "origQty": "0.002", "executedQty": "0", "side": "SELL", "type": "LIQUIDATION", "timeInForce": "IOC",
    }  # fmt: skip
    drive.venue.push(taken_over, "NEW")
    taken_over |= {"status": "FILLED", "executedQty": "0.002"}
    drive.venue.push(taken_over, "CALCULATED", l="0.002", L="49000.0", t=77, n="0.5", N="USDT", rp="-3")
    by_hand = taken_over | {"clientOrderId": "web_1", "orderId": 6}
    drive.venue.push(by_hand, "TRADE", l="0.002", L="49000.0", t=78)
    drive.run()
    call, forced = drive.taken()
    assert isinstance(call, MarginWarning) and (call.margin_e8, call.maintenance_e8) == (200_204_645, 161_444_500)
    assert isinstance(forced, Liquidated)
    assert (forced.side, forced.ticks, forced.lots, forced.realized_e8, forced.fee_e8) == (
        codes.SELL, 490_000, 2, -3 * 10**8, 5 * 10**7,
    )  # fmt: skip
    assert any("not this run's" in remark for remark in drive.remarks)


# -- settings


@pytest.mark.parametrize(
    ("request_", "path", "wanted"),
    [
        (setting(codes.SETTING_LEVERAGE, 7), "leverage", {"leverage": "7"}),
        (setting(codes.SETTING_MODE, codes.MODE_ISOLATED), "marginType", {"marginType": "ISOLATED"}),
        (setting(codes.SETTING_MARGIN, 125 * 10**7), "positionMargin", {"amount": "12.50000000"[:-1], "type": "1"}),
        (setting(codes.SETTING_SHORT_MARGIN, -5), "positionMargin",
         {"amount": "0.00000005", "type": "2", "positionSide": "SHORT"}),
        (setting(codes.SETTING_DEAD_MAN, 60 * SECOND), "countdownCancelAll", {"countdownTime": "60000"}),
    ],
)  # fmt: skip
def test_settings(request_: SettingRequest, path: str, wanted: dict[str, str]) -> None:
    drive = placed(1)
    drive.session.change(request_, drive.now)
    drive.run()
    sent = [parameters for _, asked, parameters in drive.venue.asked if asked.endswith(path)]
    if path == "positionMargin" and request_.value > 0:
        wanted = wanted | {"amount": "12.50000000"}
    assert sent[0].items() >= wanted.items()
    (event,) = drive.taken()
    assert isinstance(event, SettingChanged) and (event.number, event.value) == (1, request_.value)


def test_settings_refused_and_lost() -> None:
    drive = placed(1)
    drive.session.change(setting(codes.SETTING_MODE, codes.MODE_CROSS), drive.now)
    drive.run()
    (event,) = drive.taken()
    assert isinstance(event, SettingRejected) and (event.reason, event.code) == (codes.R_SAME_SETTING, -4046)
    drive.hold = True
    drive.session.change(setting(codes.SETTING_MODE, codes.MODE_ISOLATED, 2), drive.now)
    drive.run()
    ((number, _),) = drive.answers  # executed, its answer lost
    drive.answers.clear()
    drive.hold = False
    drive.session.on_reply(int(number), Reply(0, {}, b"", "reset"), drive.now)
    drive.pass_time(5 * SECOND)
    (event,) = drive.taken()
    assert isinstance(event, SettingChanged) and event.number == 2
    drive.hold = True
    drive.session.change(setting(codes.SETTING_MARGIN, 10**8, 3), drive.now)
    drive.run()
    ((number, _),) = drive.answers
    drive.answers.clear()
    drive.hold = False
    drive.session.on_reply(int(number), Reply(0, {}, b"", "reset"), drive.now)
    drive.run()
    assert names(drive.taken()) == ["OutcomeLost", "AccountState"]
    account_update(
        drive.venue, "MARGIN_TRANSFER",
        P=[{"s": "BTCUSDT", "pa": "0", "ep": "0", "cr": "0", "up": "0", "mt": "isolated", "iw": "1", "ps": "BOTH"}],
    )  # fmt: skip
    drive.run()
    assert names(drive.taken()) == ["PositionChanged", "SettingChanged"]


def test_the_countdown_that_runs_out_is_told_apart() -> None:
    drive = placed(1)
    drive.session.change(setting(codes.SETTING_DEAD_MAN, 10 * SECOND), drive.now)
    drive.pass_time(11 * SECOND)
    drive.venue.end(drive.venue.orders["run1-1"], "CANCELED")
    drive.run()
    (event,) = [event for event in drive.taken() if isinstance(event, Canceled)]
    assert event.reason == codes.R_DEAD_MAN


def test_stop_gives_the_key_back_and_sends_nothing_more() -> None:
    drive = placed(1)
    drive.session.stop(drive.now)
    drive.run()
    assert drive.venue.asked[-1][:2] == ("DELETE", "/fapi/v1/listenKey") and not drive.session.is_ready
    before = len(drive.venue.asked)
    drive.pass_time(7200 * SECOND, 60 * SECOND)
    assert len(drive.venue.asked) == before


def test_opens_and_held_names() -> None:
    drive = Drive().start()
    assert [action.connection for action in drive.actions if isinstance(action, Open)] == [drive.api, drive.user]
    assert Held.kind == codes.EV_HELD and Accepted.kind == codes.EV_ACCEPTED
