"""``perpsim venue calc``: answers, their exactness, and errors that say what to do."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sim import calc
from sim.cards import ALIASES
from sim.cli import app
from venues import card_names
from venues.errors import InputError
from venues.rules import ContractTiers

RUNNER = CliRunner()


def ask(*arguments: str) -> dict[str, Any]:
    """The JSON answer, its numbers as they stand there."""
    found = RUNNER.invoke(app, ["venue", "calc", *arguments, "--json"])
    assert found.exit_code == 0, found.output
    content: dict[str, Any] = json.loads(found.stdout, parse_float=Decimal, parse_int=Decimal)
    return content


def refused(*arguments: str) -> str:
    found = RUNNER.invoke(app, ["venue", "calc", *arguments])
    assert found.exit_code == 2, found.output
    return found.output


LONG = ("--position", "0.5", "--entry", "60000", "--leverage", "20")


def test_where_am_i_liquidated() -> None:
    """(1,500 - 30,000) / (0.5 * (0.004 - 1)), rounded against the account."""
    found = ask("liq", "binance_usdm", *LONG, "--isolated")
    assert found["liquidation_price"] == Decimal("57228.91566266")
    assert (found["bankruptcy_price"], found["wallet"], found["maintenance_margin"]) == (57_000, 1_500, 120)
    assert found["distance_percent"] == Decimal("-4.6185") and found["liquidated_now"] is False
    assert found["tier"]["number"] == 1 and found["tier"]["maintenance_rate"] == Decimal("0.004")


def test_what_does_funding_cost_a_day() -> None:
    found = ask("funding", "binance", "--position", "0.5", "--price", "60000", "--rate", "0.0001")
    assert (found["payment"], found["interval_hours"], found["per_day"]) == (-3, 8, -9)


def test_a_whole_wallet_moves_the_price_away() -> None:
    isolated = ask("liq", "binance", *LONG)
    cross = ask("liq", "binance", *LONG, "--cross", "--wallet", "10000")
    assert cross["mode"] == "cross" and cross["liquidation_price"] < isolated["liquidation_price"]
    safe = ask("liq", "binance", *LONG, "--cross", "--wallet", "50000")
    assert safe["liquidation_price"] is None and safe["distance_percent"] is None


def test_a_position_below_its_maintenance_says_so() -> None:
    found = ask("liq", "binance", *LONG, "--price", "57000")
    assert found["liquidated_now"] is True and found["liquidation_price"] > 57_000


def test_margin_names_the_tier() -> None:
    """1,200,000 at 0.65 % less 1,500."""
    found = ask("margin", "binance", "--position", "-20", "--price", "60000", "--leverage", "20")
    assert (found["initial_margin"], found["maintenance_margin"]) == (60_000, 6_300)
    assert (found["tier"]["number"], found["tier"]["deduction"]) == (3, 1_500)


def test_fees_and_profit() -> None:
    fees = ask("fee", "binance", "--position", "0.5", "--price", "60000")
    assert (fees["maker_fee"], fees["taker_fee"]) == (6, 15)
    rebate = ask("fee", "binance", "--position", "0.5", "--price", "60000", "--maker", "-0.00005")
    assert rebate["maker_fee"] == Decimal("-1.5")
    found = ask("pnl", "binance", "--position", "0.5", "--entry", "60000", "--exit", "61000.55")
    assert (found["pnl"], found["net"]) == (Decimal("500.275"), Decimal("470.0248625"))


def test_hyperliquid_books_six_decimals_and_pays_every_hour() -> None:
    """0.2 * 54.136 * 0.0000125 = 0.00013534."""
    found = ask("funding", "hyperliquid", "--position", "-0.2", "--price", "54.136", "--rate", "0.0000125")
    assert (found["payment"], found["interval_hours"]) == (Decimal("0.000135"), 1)
    assert found["per_day"] == Decimal("0.00324")
    assert ask("fee", "hl", "--position", "0.00109", "--price", "83711")["taker_fee"] == Decimal("0.041060")


def test_bybit_holds_the_fee_for_closing_at_bankruptcy() -> None:
    """28,500 / (0.5 * 0.9967); 1,500 of initial margin and 28,500 * 0.055 % for closing."""
    found = ask("liq", "bybit", *LONG)
    assert found["liquidation_price"] == Decimal("57188.7227852")
    assert (found["bankruptcy_price"], found["wallet"]) == (57_000, Decimal("1515.675"))
    assert found["maintenance_margin"] == 99 + Decimal("15.675")
    added = ask("liq", "bybit", *LONG, "--wallet", "2515.675")
    assert added["liquidation_price"] == Decimal("55180.99668374")  # by 1,000 / 0.99945 / 0.49835
    assert "is less than the position needs, 1515.675" in refused("liq", "bybit", *LONG, "--wallet", "1500")


def test_okx_tiers_go_by_contracts_and_count_the_fee_at_the_mark() -> None:
    """100 contracts of 100 ADA at 0.5: 5,000 of value at the first tier's rate and 0.05 % for closing."""
    table = calc.find_card("okx").margin_table("ADA-USDT-SWAP", calc.LATEST_NS).value
    ada = ("margin", "okx", "--symbol", "ADA-USDT-SWAP", "--contract-size", "100", "--price", "0.5")
    found = ask(*ada, "--position", "100", "--leverage", "10")
    assert isinstance(table, ContractTiers) and found["notional"] == 5_000
    rate = Decimal(table.maintenance_e12[0]).scaleb(-12)
    assert found["tier"]["maintenance_rate"] == rate and found["tier"]["up_to"] == table.cap_contracts_e8[0] // 10**8
    assert found["maintenance_margin"] == 5_000 * (rate + Decimal("0.0005")) and found["initial_margin"] == 500
    beyond = str(table.cap_contracts_e8[0] // 10**8 + 1)
    found = ask(*ada, "--position", beyond, "--leverage", "5")
    assert found["tier"]["number"] == 2 and found["tier"]["deduction"] == 0


def test_dydx_asks_its_own_initial_margin_and_leverage_is_what_is_paid_in() -> None:
    """(1,500 - 30,000) / (0.5 * (0.012 - 1)); 2 % of 30,000 is asked."""
    found = ask("liq", "dydx_v4", *LONG)
    assert found["liquidation_price"] == Decimal("57692.30769231")
    assert (found["initial_margin"], found["maintenance_margin"], found["wallet"]) == (600, 360, 1_500)
    assert ask("margin", "dydx", "--position", "0.5", "--price", "60000")["leverage"] is None
    assert "60 leaves less than the initial margin, 600" in refused(
        "liq", "dydx", "--position", "0.5", "--entry", "60000", "--leverage", "60"
    )


def test_deribits_rates_grow_with_the_size() -> None:
    """8.33333333 BTC: (1 % + 8.33 * 0.005 %) of it, and a percent more at first."""
    found = ask("margin", "deribit", "--position", "500000", "--price", "60000")
    assert (found["asset"], found["notional"]) == ("BTC", Decimal("8.33333333"))
    assert (found["initial_margin"], found["maintenance_margin"]) == (Decimal("0.17013889"), Decimal("0.08680556"))
    assert found["tier"]["rate_grows_per_coin"] == Decimal("0.00005")
    notes = ask("liq", "deribit", "--position", "5000", "--entry", "60000", "--leverage", "10")["assumptions"]
    assert any("no isolated margin" in note for note in notes)


def test_quote_currency_tells_linear_from_inverse_where_a_venue_has_both() -> None:
    okx = ("--contract-size", "10", "--position", "3", "--entry", "2000", "--exit", "2500")
    assert ask("pnl", "okx", "--symbol", "LTC-USD-SWAP", *okx)["asset"] == "LTC"
    assert ask("pnl", "okx", "--symbol", "LTC-USDT-SWAP", *okx)["asset"] == "USDT"
    assert ask("pnl", "deribit", "--symbol", "XRP-PERPETUAL", *okx)["asset"] == "XRP"
    assert ask("pnl", "deribit", "--symbol", "XRP_USDC-PERPETUAL", *okx)["asset"] == "USDC"


def test_inverse_contracts_answer_in_coin() -> None:
    """1,000 contracts of 100 USD from 50,000 to 40,000, short: 100,000 * (1 / 40,000 - 1 / 50,000)."""
    found = ask("pnl", "binance_coinm", "--position", "-1000", "--entry", "50000", "--exit", "40000")
    assert found["pnl"] == Decimal("0.5") and found["asset"] == "BTC" and found["unit"] == "contracts of 100 USD"


def test_bankruptcy_of_a_short() -> None:
    found = ask("bankruptcy", "binance", "--position", "-0.5", "--entry", "60000", "--leverage", "10")
    assert found["bankruptcy_price"] == 66_000


def test_prices_off_the_venues_grid_are_taken_as_they_are() -> None:
    """Average prices have more digits than orders."""
    account = calc.Account([calc.Position(bitcoin(), Decimal("0.1"), Decimal("60000.12345678"))], Decimal(1000))
    assert account.notional_e8() == 600_001_234_568  # half-even at 1e-8


def bitcoin() -> calc.Contract:
    return calc.find_contract(calc.find_card("binance"), "BTCUSDT")


def test_text_is_a_small_table_with_what_it_assumes() -> None:
    found = RUNNER.invoke(app, ["venue", "calc", "liq", "binance", *LONG])
    lines = found.stdout.splitlines()
    assert "liquidation price   57,228.91566266" in lines
    assert [line for line in lines if line.startswith("assumed: tiers: BTCUSDT")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("liq", "mtgox", *LONG), "there is no venue 'mtgox'; known are binance_usdm"),
        (("liq", "binance", *LONG, "--symbol", "XRPUSDT"), "known: BTCUSDT, ETHUSDT"),
        (("liq", "binance", *LONG, "--symbol", "XRPUSDT"), "--brackets FILE, or one rate with --mmr"),
        (("liq", "binance", *LONG, "--cross"), "say how much it is"),
        (("liq", "binance", "--position", "0.5", "--entry", "60000", "--leverage", "151"), "1 to 150"),
        (("liq", "binance", "--position", "0", "--entry", "60000"), "nothing to ask about"),
        (("liq", "binance", "--position", "x", "--entry", "60000"), "'x' is not a number"),
        (
            ("fee", "binance_coinm", "--position", "1", "--price", "60000", "--symbol", "DOGEUSD_PERP"),
            "--contract-size",
        ),
        (("funding", "neutral", "--position", "1", "--price", "1", "--rate", "0.1"), "has no funding"),
        (("margin", "binance", "--position", "1"), "give the price"),
    ],
)
def test_errors_say_what_to_do(arguments: tuple[str, ...], says: str) -> None:
    assert says in " ".join(refused(*arguments).replace("│", " ").split())


def test_tiers_can_be_given(tmp_path: Path) -> None:
    rate = ask(
        "liq", "binance", "--position", "1", "--entry", "2", "--symbol", "XRPUSDT", "--mmr", "0.01", "--leverage", "10"
    )
    file = tmp_path / "tiers.csv"
    file.write_text("symbol,floor,cap,rate,max_leverage\nXRPUSDT,0,1000,0.01,50\n")
    table = ask("liq", "binance", "--position", "1", "--entry", "2", "--symbol", "XRPUSDT", "--brackets", str(file),
                "--leverage", "10")  # fmt: skip
    assert rate["liquidation_price"] == table["liquidation_price"] == Decimal("1.81818182")
    assert rate["tier"]["up_to"] is None and table["tier"]["up_to"] == 1000


def test_short_names_mean_cards_there_are() -> None:
    assert calc.find_card("Binance-USDM").venue == "binance_usdm"
    for alias, name in ALIASES.items():
        if name in card_names():
            assert calc.find_card(alias).venue == name
    with pytest.raises(InputError, match="short: binance = binance_usdm"):
        calc.find_card("binance_spot")


def test_numbers_beyond_the_ledgers_units_are_refused() -> None:
    with pytest.raises(InputError, match="more than 8 decimals"):
        calc.money_e8(Decimal("0.000000001"), "wallet")
    with pytest.raises(InputError, match="not a price above 0"):
        calc.fee_e8(bitcoin(), Decimal(-1), Decimal(1), calc.LIQUIDITY["taker"])


# -- what a trader types


@pytest.mark.parametrize("venue", ["bybit_linear", "bybit_inverse"])
def test_payments_and_profits_need_no_wallet_where_closing_fees_are_reserved(venue: str) -> None:
    size = "1" if venue == "bybit_linear" else "60000"
    paid = ask("funding", venue, "--position", size, "--price", "60000", "--rate", "0.0001")
    assert paid["payment"] == (-6 if venue == "bybit_linear" else Decimal("-0.0001"))
    gained = ask("pnl", venue, "--position", size, "--entry", "60000", "--exit", "48000")
    assert gained["pnl"] == (-12_000 if venue == "bybit_linear" else Decimal("-0.25"))


def test_a_position_above_what_its_leverage_allows_is_said_to_be() -> None:
    large = ("liq", "binance", "--position", "3000", "--entry", "60000", "--leverage")
    assert "above_limit" not in ask(*large, "10")
    assert ask(*large, "20")["above_limit"] == ("20x allows up to 100,000,000: the venue would refuse to open this")


def test_units_and_assets_are_the_venues() -> None:
    assert ask("fee", "deribit", "--position", "10", "--price", "60000")["unit"] == "USD"
    doge = ask("liq", "hl", "--symbol", "DOGE", "--position", "1000", "--entry", "0.1")
    assert (doge["asset"], doge["unit"]) == ("USDC", "DOGE")
    other = ask("fee", "dydx", "--symbol", "DOGE-USD", "--position", "100", "--price", "0.1")
    assert other["asset"] == "USDC"


def test_sizes_beyond_the_ledger_are_refused() -> None:
    assert "is too large" in refused("funding", "binance", "--position", "1e30", "--price", "60000", "--rate", "0.0001")


def test_margin_added_to_an_isolated_position_moves_its_liquidation_away() -> None:
    plain, added = ask("liq", "bybit", *LONG), ask("liq", "bybit", *LONG, "--added", "1000")
    assert added == ask("liq", "bybit", *LONG, "--wallet", "2515.675") and added != plain
    assert "is given to an isolated position" in refused(
        "liq", "bybit", *LONG, "--cross", "--wallet", "9000", "--added", "1"
    )
