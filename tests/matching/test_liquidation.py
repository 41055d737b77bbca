"""Each venue's way to liquidate, on the kernel: what it sends, at which price, who takes the rest, and who pays."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    CAUSE_TAKEOVER,
    EV_ACCEPTED,
    EV_ADL,
    EV_EXPIRED,
    EV_FILLED,
    EV_LIQUIDATED,
    EV_MARGIN_WARNING,
    EV_REJECTED,
    FLAG_LONG_LEG,
    FLAG_SHORT_LEG,
    MODE_ISOLATED,
    R_IN_LIQUIDATION,
    R_LIQUIDATION,
    R_MARGIN,
    R_NONE,
    SELL,
)
from tests.matching.liquidations import E8, TERMS, Scene
from tests.sim.markets import MS, S, Tape

VENUES = sorted(TERMS)
FORCED = (EV_FILLED, EV_LIQUIDATED)


def book(lots: int = 100_000, bid: int = 10_000) -> Tape:
    """Bids and asks around 1,000.0 with mark 1,000."""
    return Tape(0).snapshot(0, bid, bid + 1, lots=lots).mark(1 * MS, 1000 * E8)


def mark(tape: Tape, at_ns: int, price: float) -> Tape:
    return tape.mark(at_ns, int(price * E8))


def forced(scene: Scene, lane: int = 0) -> list[tuple[int, int, int]]:
    return [(event, ticks, lots) for _, event, ticks, lots in scene.events(lane) if event in FORCED]


# -- by venue


def test_binance_sends_one_order_and_the_fund_takes_the_rest() -> None:
    """10 coins at 1000.1 on 600: bankruptcy at 940.1; at a mark of 948 equity is 79 of 94.8 needed."""
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9470, 4000)), 3 * S, 948)
    scene = Scene(TERMS["binance"], tape, (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.order(20 * MS, SELL, 10, 11_000)
    scene.end()
    numbers = [(number, event) for number, event, _, _ in scene.events()]
    assert numbers == [(-1, EV_ACCEPTED), (-1, EV_FILLED), (-1, EV_EXPIRED), (0, EV_LIQUIDATED)]
    assert forced(scene)[0] == (EV_FILLED, 9470, 4000)
    resting = [row for row in scene.rows if row["order_no"] == 2 and row["event"] == EV_EXPIRED]
    assert [row["reason"] for row in resting] == [R_LIQUIDATION]
    fee = 9470 * 4000 * 10_000 * 125 // 10_000
    assert scene.moved("fee", "fund") == (0, min(fee, fee)) and scene.ledger.wallet(0, 0) < 6000 * 10_000


def test_forced_orders_stop_at_the_bankruptcy_price() -> None:
    """Bids at 930 are beyond 940.1: nothing executes there, the fund gets the whole."""
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9_300, 50_000)), 3 * S, 948)
    for venue in ("binance", "bybit_cross", "hyperliquid"):
        scene = Scene(TERMS[venue], tape, (600,))
        scene.order(10 * MS, BUY, 10_000)
        scene.end()
        assert EV_FILLED not in [event for _, event, _, _ in scene.events()], venue
        asked = [ticks for _, event, ticks, _ in scene.events() if event == EV_ACCEPTED]
        assert asked and set(asked) == {9_401}
    assert scene.ledger.position(0, 0) == 10_000, "the vault waits for two thirds of maintenance"


def test_binance_deleverages_ranked_lanes_when_the_fund_is_empty() -> None:
    """Two shorts hold 6 and 8 coins against a bankrupt long of 10: the one with more leveraged profit goes first."""
    terms = replace(TERMS["binance"], lanes_share=True)
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)]), 3 * S, 900)
    scene = Scene(terms, tape, (600, 100_000, 1_000), fund=0)
    scene.order(10 * MS, BUY, 10_000, lane=0)
    scene.order(11 * MS, SELL, 6_000, lane=1)
    scene.order(12 * MS, SELL, 8_000, lane=2)
    scene.order(13 * MS, SELL, 5, 12_000, lane=2)
    scene.end()
    assert forced(scene) == [(EV_LIQUIDATED, 9401, 10_000)]
    assert [row[1:] for row in scene.events(2)] == [(EV_ADL, 9401, 8_000)]
    assert [row[1:] for row in scene.events(1)] == [(EV_ADL, 9401, 2_000)]
    assert scene.ledger.position(1, 0) == -4_000 and scene.ledger.position(2, 0) == 0
    assert not scene.core.resting_orders(), "orders of those deleveraged are cancelled"
    assert scene.moved("adl", "account")[0] == -10_000
    assert scene.ledger.equity_e8(0, 0) == 0 or scene.ledger.wallet(0, 0) < 10_000 * 10_000


def test_unnamed_holders_take_what_lanes_do_not_hold() -> None:
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)]), 3 * S, 900)
    scene = Scene(replace(TERMS["binance"], lanes_share=True), tape, (600, 50_000), fund=0)
    scene.order(10 * MS, BUY, 10_000, lane=0)
    scene.order(11 * MS, SELL, 3_000, lane=1)
    scene.end()
    assert scene.moved("adl", "lane 1")[0] == 3_000 and scene.moved("adl", "market")[0] == 7_000
    alone = Scene(TERMS["binance"], tape, (600, 50_000), fund=0)
    alone.order(10 * MS, BUY, 10_000, lane=0)
    alone.order(11 * MS, SELL, 3_000, lane=1)
    alone.end()
    assert alone.ledger.position(1, 0) == -3_000, "lanes are independent unless they are said to share the market"


def test_okx_reduces_by_two_tiers_while_above_the_second() -> None:
    """150 coins are in tier 3 (5 %); two tiers down, to 10,000 of notional, restores the ratio."""
    tape = mark(book(lots=200_000), 3 * S, 974)
    scene = Scene(TERMS["okx"], tape, (8_000,))
    scene.order(10 * MS, BUY, 150_000)
    scene.end()
    assert scene.ledger.position(0, 0) == 10_000 * 1000 // 974
    assert "takeover" not in scene.kinds() and not scene.ledger.is_liquidatable(0)


def test_okx_takes_over_whole_in_the_lower_tiers() -> None:
    tape = mark(book(), 3 * S, 965)
    scene = Scene(TERMS["okx"], tape, (2_600,))
    scene.order(10 * MS, BUY, 50_000)
    scene.end()
    assert [row[0] for row in forced(scene)] == [EV_LIQUIDATED] and scene.ledger.position(0, 0) == 0


def test_bybit_steps_to_the_next_lower_tier() -> None:
    tape = mark(book(lots=200_000), 3 * S, 974)
    scene = Scene(TERMS["bybit_isolated"], tape, (8_000,))
    scene.order(10 * MS, BUY, 150_000)
    scene.end()
    assert scene.ledger.position(0, 0) == 100_000 * 1000 // 974 and "takeover" not in scene.kinds()


def test_bybit_cross_climbs_down_a_ladder() -> None:
    """In the lowest tier a rung is a quarter of the position: two of them restore the ratio."""
    tape = mark(book(), 3 * S, 942)
    scene = Scene(TERMS["bybit_cross"], tape, (650,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    sold = [lots for event, _, lots in forced(scene) if event == EV_FILLED]
    assert sold and all(lots == 2_500 for lots in sold) and "takeover" not in scene.kinds()


def test_hyperliquid_sends_a_fifth_then_the_whole_within_the_cooldown() -> None:
    """200 coins are worth more than 100,000; the fifth, sold at 930, does not restore the margin."""
    tape = book(lots=10_000_000).depth(S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9_300, 10_000_000))
    scene = Scene(TERMS["hyperliquid"], mark(tape, 3 * S, 955).depth(5 * S, (BUY, 9_000, 1)), (14_200,))
    scene.order(10 * MS, BUY, 200_000)
    scene.end()
    assert forced(scene) == [(EV_FILLED, 9_300, 40_000), (EV_FILLED, 9_300, 160_000)]
    times = [row["ts_event_ns"] for row in scene.rows if row["order_no"] < 0 and row["event"] == EV_FILLED]
    assert times[1] - times[0] == 100 * MS, "in the next block"
    assert scene.ledger.wallet(0, 0) > 0 and "margin" not in scene.kinds()


def test_hyperliquid_vault_takes_positions_and_margin_below_two_thirds() -> None:
    """10 coins at 1000.1 on 600; at a mark of 945 equity is 49 of 94.5 needed, less than 63."""
    tape = mark(book(), 3 * S, 945)
    scene = Scene(TERMS["hyperliquid"], tape, (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    assert forced(scene) == [(EV_LIQUIDATED, 9450, 10_000)], "at the mark"
    assert scene.ledger.wallet(0, 0) == 0 and scene.moved("margin", "fund") == (0, 49 * E8)
    assert [row["cause"] for row in scene.rows if row["event"] == EV_LIQUIDATED] == [CAUSE_TAKEOVER]


def test_hyperliquid_deleverages_at_the_mark_before() -> None:
    tape = mark(mark(book(), 3 * S, 950.5), 4 * S, 900)
    scene = Scene(replace(TERMS["hyperliquid"], lanes_share=True), tape, (600, 90_000))
    scene.order(10 * MS, BUY, 10_000, lane=0)
    scene.order(11 * MS, SELL, 4_000, lane=1)
    scene.end()
    assert forced(scene) == [(EV_LIQUIDATED, 9505, 10_000)]
    assert scene.events(1)[0][1:] == (EV_ADL, 9505, 4_000)


def test_dydx_sells_a_tenth_a_block_at_the_fillable_price() -> None:
    """P (1 - ABR * 1.5 * M): equity 79 of 94.8: ABR = 1 - 79 / 94.8; M = 1 %."""
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9480, 10_000)), 3 * S, 948)
    tape.depth(20 * S, (BUY, 9_000, 1))
    scene = Scene(TERMS["dydx"], tape, (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    orders = [(ticks, lots) for _, event, ticks, lots in scene.events() if event == EV_ACCEPTED]
    mark_ticks, abr = 9480, 1 - 79 / 94.8
    assert orders[0][1] == 1_054, "1,000 of notional is more than a tenth"
    assert orders[0][0] == -int(-mark_ticks * (1 - abr * 1.5 * 0.01) // 1)
    fee = scene.moved("fee", "fund")[1]
    assert fee > 0 and not scene.ledger.is_liquidatable(0)


def test_dydx_fund_gets_no_more_than_its_share_of_the_fill() -> None:
    """Bids stay at 1,000 while the oracle price falls to 948: 59.9 better than bankruptcy, 15 of it for the fund."""
    scene = Scene(TERMS["dydx"], mark(book(), 3 * S, 948).depth(20 * S, (BUY, 9_000, 1)), (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    (sold,) = forced(scene)
    assert sold[:2] == (EV_FILLED, 10_000)
    assert scene.moved("fee", "fund") == (0, sold[2] * 10_000 * 10_000 * 15 // 1000)


def test_dydx_fund_pays_what_is_worse_than_the_bankruptcy_price() -> None:
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9300, 10_000)), 3 * S, 930)
    scene = Scene(TERMS["dydx"], tape.depth(30 * S, (BUY, 1, 1)), (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    assert scene.ledger.position(0, 0) == 0 and scene.moved("fee", "fund")[1] < 0
    assert scene.ledger.wallet(0, 0) >= 0


def test_dydx_deleverages_at_the_bankruptcy_price_when_nothing_executes() -> None:
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)]), 3 * S, 930)
    scene = Scene(replace(TERMS["dydx"], lanes_share=True), tape, (600, 50_000))
    scene.order(10 * MS, BUY, 10_000, lane=0)
    scene.order(11 * MS, SELL, 10_000, lane=1)
    scene.end()
    assert forced(scene) == [(EV_LIQUIDATED, 9401, 10_000)]
    assert scene.ledger.position(1, 0) == 0 and scene.ledger.insurance[0] >= 0


def test_deribit_sells_chunks_each_second_with_the_account_locked() -> None:
    """The fee of each chunk takes more than its margin sets free, so that all ten go."""
    tape = book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9_480, 100_000))
    scene = Scene(TERMS["deribit"], mark(tape, 3 * S, 948).depth(60 * S, (BUY, 9_000, 2)), (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.order(3 * S + 500 * MS, BUY, 1)
    scene.order(20 * S, BUY, 1, 9_000)
    scene.end()
    fills = [row["ts_event_ns"] for row in scene.rows if row["order_no"] < 0 and row["event"] == EV_FILLED]
    assert len(fills) == 10 and all(b - a == S for a, b in itertools.pairwise(fills))
    assert forced(scene) == [(EV_FILLED, 9_480, 1_000)] * 10
    refused = [(row["order_no"], row["reason"]) for row in scene.rows if row["event"] == EV_REJECTED]
    assert refused == [(2, R_IN_LIQUIDATION), (3, R_MARGIN)], "when it is over orders are looked at again"


# -- all venues


@pytest.mark.parametrize("venue", VENUES)
def test_a_stale_mark_liquidates_nobody(venue: str) -> None:
    """A mark is fresh when it comes; the steps that wait on the agenda are those that find it stale."""
    terms = replace(TERMS[venue], stale_mark_ns=500 * MS)
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)]), 3 * S, 945)
    scene = Scene(terms, tape.depth(20 * S, (BUY, 9_000, 1)), (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    assert scene.desk.halted == (venue in ("deribit", "dydx"))


@pytest.mark.parametrize("venue", VENUES)
def test_a_warning_comes_once_until_the_ratio_has_fallen_again(venue: str) -> None:
    terms = replace(TERMS[venue], warning_ratio_e12=8 * 10**11)
    tape = book()
    for k, price in enumerate((952, 951, 990, 951.5)):
        mark(tape, (3 + k) * S, price)
    scene = Scene(terms, tape, (600,))
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    assert [event for _, event, _, _ in scene.events()] == [EV_MARGIN_WARNING, EV_MARGIN_WARNING]


@pytest.mark.parametrize("price", [958, 900])
@pytest.mark.parametrize("venue", VENUES)
def test_an_isolated_position_is_liquidated_alone(venue: str, price: int) -> None:
    """500 of 10,000 stand behind ten coins: no more than that is lost, just below maintenance or far beyond it."""
    tape = book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9_570, 100_000))
    tape = mark(tape, 3 * S, price)
    for k in range(20):
        mark(tape, (4 + k) * S, price)
    scene = Scene(TERMS[venue], tape.depth(60 * S, (BUY, 1, 1)), (10_000,))
    assert scene.ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
    scene.order(10 * MS, BUY, 10_000)
    scene.end()
    assert forced(scene) and not scene.ledger.is_liquidatable(0)
    assert scene.ledger.wallet(0, 0) >= 9_499 * E8, "the rest of the wallet was never behind it"
    assert scene.ledger.equity_e8(0, 0) >= 9_499 * E8


def test_bybit_has_one_procedure_for_the_account_and_one_for_an_isolated_position() -> None:
    """In the lowest tier: a ladder of quarters on the account, taken over whole when isolated."""
    terms = replace(TERMS["bybit_cross"], isolated_procedure="tier_step_down")
    for isolated, price in ((False, 942), (True, 958)):
        scene = Scene(terms, mark(book(), 3 * S, price).depth(9 * S, (BUY, 1, 1)), (10_000 if isolated else 650,))
        if isolated:
            assert scene.ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
        scene.order(10 * MS, BUY, 10_000)
        scene.end()
        kinds = {event for event, _, _ in forced(scene)}
        assert kinds == ({EV_LIQUIDATED} if isolated else {EV_FILLED})


def hedged(venue: str, price: float, deposit: int, **terms: bool) -> Scene:
    """Long 12 coins and short 4 of the same contract; the mark falls."""
    tape = mark(book().depth(2 * S, *[(BUY, 10_000 - k, 0) for k in range(10)], (BUY, 9_300, 50_000)), 3 * S, price)
    scene = Scene(replace(TERMS[venue], **terms), tape.depth(9 * S, (BUY, 1, 1)), (deposit, 50_000), hedge=True)
    scene.order(10 * MS, BUY, 12_000, leg=FLAG_LONG_LEG)
    scene.order(11 * MS, SELL, 4_000, leg=FLAG_SHORT_LEG)
    scene.order(12 * MS, SELL, 12_000, lane=1, leg=FLAG_SHORT_LEG)
    return scene.end()


def test_okx_nets_both_legs_first() -> None:
    """Closing 4 of each at the mark sets their margin free, which is enough."""
    scene = hedged("okx", 915, 830, nets_legs=True)
    assert forced(scene) == [(EV_FILLED, 9_150, 4_000)] * 2 and set(scene.kinds()) == {"net"}
    assert (scene.ledger.position(0, 0), scene.ledger.position(0, 1)) == (8_000, 0)
    kept = hedged("okx", 915, 830)
    assert "takeover" in kept.kinds(), "without it the whole is taken over"


def test_holders_of_the_other_leg_are_deleveraged() -> None:
    scene = hedged("hyperliquid", 880, 830, lanes_share=True)
    assert scene.ledger.position(0, 0) == scene.ledger.position(0, 1) == 0
    assert scene.moved("adl", "lane 1")[0] > 0 and scene.ledger.position(1, 1) > -12_000


@st.composite
def sessions(draw: st.DrawFn) -> tuple[int, list[tuple[int, ...]], tuple[int, ...], int | None, bool]:
    """Deposit, then steps: a mark in 0.1, a bid or ask level, or an order of a lane."""
    steps = draw(
        st.lists(
            st.one_of(
                st.tuples(st.just(0), st.integers(6_000, 14_000)),
                st.tuples(
                    st.just(1), st.integers(0, 1), st.integers(-900, 900), st.sampled_from((0, 3, 4_000, 90_000))
                ),
                st.tuples(st.just(2), st.integers(0, 1), st.integers(0, 1), st.integers(1, 150_000)),
            ),
            min_size=2,
            max_size=14,
        )
    )
    deposits = draw(st.tuples(st.integers(50, 10_000), st.integers(50, 10_000)))
    return draw(st.integers(0, 2)), steps, deposits, draw(st.sampled_from((None, 0, 40, 5_000))), draw(st.booleans())


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=60, deadline=None)
@given(session=sessions())
def test_books_balance_and_nobody_is_left_below_zero(
    venue: str, session: tuple[int, list[tuple[int, ...]], tuple[int, ...], int | None, bool]
) -> None:
    """Whatever marks, books and orders do: every booking sums to zero, no flat account owes, no unit is forgotten."""
    fee, steps, deposits, fund, share = session
    tape, orders = book(), []
    for k, step in enumerate(steps):
        at = (2 + 3 * k) * S
        if step[0] == 0:
            tape.mark(at, step[1] * 10**7)
        elif step[0] == 1:
            ticks = 10_000 + step[2] if step[1] == BUY else 10_001 + step[2]
            tape.depth(at, (step[1], ticks, step[3]))
        else:
            orders.append((at, *step[1:]))
    last = next((step[1] for step in reversed(steps) if step[0] == 0), 10_000)
    tape.mark((5 + 3 * len(steps)) * S, last * 10**7).depth((10 + 3 * len(steps)) * S, (BUY, 1, 1))
    terms = replace(TERMS[venue], lanes_share=share, warning_ratio_e12=8 * 10**11)
    scene = Scene(terms, tape, deposits, fund=fund, taker_e12=fee * 250_000_000)
    if fee == 1:
        assert scene.ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
    for at, lane, side, lots in orders:
        scene.order(at, side, lots, lane=lane)
    scene.end()
    for unit in scene.desk.units(0) + scene.desk.units(1):
        if scene.desk.is_due(unit):
            assert unit.key in scene.desk.waiting
        if not scene.desk.held(unit):
            assert scene.desk.equity_e8(unit) >= 0
        assert scene.desk.equity_e8(unit) >= 0 or (venue in ("deribit", "dydx") and unit.key in scene.desk.waiting), (
            "theirs go in steps, and the fund pays in the end"
        )
