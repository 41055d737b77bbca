"""``perpsim venue show`` and ``diff``: what the cards say reaches the terminal, and fits it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.venue_commands import card_differences, card_facts, diff_lines, is_absent, show_lines
from venues import card_names
from venues.rules import date_ns

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


@pytest.mark.parametrize("venue", card_names())
@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_card_fits_the_terminal(venue: str, width: int) -> None:
    lines = show_lines(card_facts(venue), width)
    assert max(map(len, lines)) <= width
    assert lines[0].endswith("rules as of the latest known change")


@pytest.mark.parametrize("venue", card_names())
def test_every_fact_is_shown_with_its_source(venue: str) -> None:
    found = card_facts(venue)
    text = " ".join(" ".join(show_lines(found, 10_000)).split())
    for fact in found["facts"]:
        assert fact["source"] in text or fact["value"] in (None, "none", "", [], 0)
        assert fact["verified"] or f"? {fact['text']}" in text


def test_rules_as_of_a_day() -> None:
    def window(date: str) -> object:
        facts = card_facts("binance_usdm", date_ns(date))["facts"]
        return next(fact["value"] for fact in facts if fact["name"] == "mark.basis_window_ns")

    assert (window("2025-09-17"), window("2025-09-18")) == (60 * 10**9, 30 * 10**9)
    shown = runner.invoke(app, ["venue", "show", "binance_usdm", "--at", "2025-09-17"])
    assert "rules as of 2025-09-17" in shown.output
    assert "? 60 s" in shown.output


def test_json_of_a_card() -> None:
    shown = runner.invoke(app, ["venue", "show", "binance_usdm", "--json"])
    found = json.loads(shown.output)
    facts = {fact["name"]: fact for fact in found["facts"]}
    assert facts["fees.taker_rate_e12"]["value"] == 500_000_000
    assert facts["fees.taker_rate_e12"]["text"] == "0.05 %"
    assert facts["funding.interval_switch"]["history"][0]["from"] is None
    assert {"code": -5022, "text": "post-only order would take and is rejected", "hint": "halt"} in found["errors"]


@pytest.mark.parametrize(
    ("venue", "symbol", "expected"),
    [
        ("binance_usdm", "BTCUSDT", "600,000,000 4x 12.5 % 26,482,000"),
        ("bybit_linear", "BTCUSDT", "1,200,000,000 1x 60 % 226,382,510"),
        ("okx", "ADA-USDT-SWAP", "1,500 75x 0.5 % 1.33 %"),
        ("hyperliquid", "ETH", "no end 15x 3.3333333333 %"),
        ("dydx", "SOL-USD", "3 % 5 % 40,000,000 100,000,000"),
        ("deribit", "BTC-PERPETUAL", "initial 2 % 0.005 %"),
        ("hyperliquid", "BTC", "impact_notional = 20,000"),
        ("binance_usdm", "DOGEUSDT", "cap = 0.4875 %"),
    ],
)
def test_one_symbol(venue: str, symbol: str, expected: str) -> None:
    shown = runner.invoke(app, ["venue", "show", venue, "--symbol", symbol])
    assert shown.exit_code == 0
    assert expected in " ".join(shown.output.split())
    assert max(map(len, shown.output.splitlines())) <= 100
    found = json.loads(runner.invoke(app, ["venue", "show", venue, "--symbol", symbol, "--json"]).output)
    assert found["symbol"] == symbol


def test_differences_of_two_cards() -> None:
    found = card_differences("binance_usdm", "binance_coinm")
    names = [row["name"] for row in found["different"]]
    assert "size_unit" in names
    assert "stp.modes" not in names
    assert found["same"] + len(names) == len(card_facts("binance_usdm")["facts"])
    assert card_differences("binance_usdm", "binance_usdm")["different"] == []
    shown = runner.invoke(app, ["venue", "diff", "binance_usdm", "binance_coinm", "--json"])
    assert json.loads(shown.output) == json.loads(json.dumps(found))


@pytest.mark.parametrize("width", [80, 100])
def test_differences_fit_the_terminal(width: int) -> None:
    for other in card_names():
        assert max(map(len, diff_lines(card_differences("binance_usdm", other), width))) <= width


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "mtgox"], "there is no venue 'mtgox'; known are binance_usdm"),
        (["diff", "binance_usdm", "mtgox"], "there is no venue 'mtgox'"),
        (["show", "okx", "--symbol", "XRP-USDT-SWAP"], "okx XRP-USDT-SWAP is not documented here"),
        (["show", "neutral", "--at", "2025-13-01"], "'2025-13-01' is no day such as 2025-04-01"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], message: str) -> None:
    shown = runner.invoke(app, ["venue", *arguments])
    assert shown.exit_code == 2
    assert message in shown.output
    assert len(shown.output.strip().splitlines()) == 1


def test_short_names_are_the_calculators() -> None:
    found = card_differences("hl", "Bybit")
    assert found["venues"] == ["hyperliquid", "bybit_linear"]
    assert {"hyperliquid", "bybit_linear"} < set(found["different"][0])
    assert card_facts("binance")["venue"] == "binance_usdm"


def test_a_rule_that_is_no_is_not_an_absent_rule() -> None:
    """Binance's untriggered orders cannot be amended: that is a rule."""
    facts = {fact["name"]: fact for fact in card_facts("binance")["facts"]}
    assert facts["orders.amend_held"]["text"] == "no" and not is_absent(facts["orders.amend_held"])
    assert is_absent(facts["batching.block_interval_ns"])


def test_symbols_are_found_whatever_their_case() -> None:
    lower = runner.invoke(app, ["venue", "show", "binance", "--symbol", "btcusdt", "--json"])
    assert lower.exit_code == 0 and json.loads(lower.output)["symbol"] == "BTCUSDT"


def test_a_reader_who_has_had_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as ``| head`` does before all of it is written
    command = [sys.executable, "-c", "from sim.cli import main; main()", "venue", "show", "okx"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
