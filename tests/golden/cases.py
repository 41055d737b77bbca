"""The golden table's cases: how the files are read, and how each kind is asked of the simulator.

A file ``<venue>.toml`` holds ``[contract.NAME]`` tables (terms that the card does not have today, as they were when the
figure was made) and ``[[case]]`` entries with the numbers as a trader writes them. ``answer`` computes a case with the
simulator's own code, through ``sim.calc``: the ledger configured from the venue's card, never a formula of a test.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Final

from matching.brackets import Brackets
from sim import calc
from sim.calc import Account, Contract, Position
from venues.instruments import Instrument

FOLDER: Final = Path(__file__).resolve().parent
EVIDENCE: Final = ("published", "recorded", "formula")
FIELDS: Final = {"name", "kind", "source", "evidence", "expect", "differs", "ours", "rounding", "note"}
ROUNDINGS: Final = {"nearest": ROUND_HALF_EVEN, "down": ROUND_DOWN, "up": ROUND_CEILING}
NO_LIMIT: Final = "40000000000"


@dataclass(frozen=True)
class Case:
    """One row of the table. ``inputs`` is everything that is not about the table itself."""

    venue: str
    place: int
    fields: dict[str, Any]
    contracts: dict[str, dict[str, Any]]

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self.fields.get(key, default)

    def number(self, key: str) -> Decimal:
        return Decimal(self.fields[key])

    @property
    def label(self) -> str:
        return f"{self.venue}: {self['name']}"

    @property
    def differs(self) -> bool:
        return "differs" in self.fields


def load(venue: str) -> list[Case]:
    """The cases of one file, in its order."""
    content = tomllib.loads((FOLDER / f"{venue}.toml").read_text(encoding="utf-8"))
    return [
        Case(venue, place, fields, content.get("contract", {}))
        for place, fields in enumerate(content.get("case", []), 1)
    ]


def venues() -> list[str]:
    """The venues that have a file."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def all_cases() -> list[Case]:
    return [case for venue in venues() for case in load(venue)]


# -- terms


def contract(case: Case, named: str | None) -> Contract:
    """A contract by its name in the file, or the card's own by symbol."""
    rule_card = calc.find_card(case.venue)
    given = case.contracts.get(named or "", {})
    if not given:
        return calc.find_contract(rule_card, named, maker=_rate(case, "maker"), taker=_rate(case, "taker"))
    base, quote = given.get("base", "BASE"), given.get("quote", "QUOTE")
    inverse = given.get("inverse", rule_card.settles_in.value == "base")
    instrument = Instrument(
        rule_card.venue, named or "", base, quote, base if inverse else quote, inverse,
        Decimal(given.get("tick", "0.01")), Decimal(given.get("lot", "0.001")), Decimal(given.get("size", "1")),
        source="golden table",
    )  # fmt: skip
    fees = rule_card.fees
    return Contract(
        rule_card,
        instrument,
        tiers(given),
        calc.rate_e12(Decimal(given["maker"]), "maker") if "maker" in given else fees.maker_rate_e12.latest.value,
        calc.rate_e12(Decimal(given["taker"]), "taker") if "taker" in given else fees.taker_rate_e12.latest.value,
    )


def _rate(case: Case, key: str) -> Decimal | None:
    return case.number(key) if key in case.fields else None


def tiers(given: dict[str, Any]) -> Brackets | None:
    """``tiers = [[cap, maintenance rate, leverage], ...]``, or one rate for every size with ``mmr``."""
    rows = given.get("tiers")
    if rows is None:
        if "mmr" not in given:
            return None
        rows = [[NO_LIMIT, given["mmr"], given.get("leverage", 125)]]
    caps = [calc.money_e8(Decimal(cap), "cap") for cap, _, _ in rows]
    rates = [calc.rate_e12(Decimal(rate), "rate") for _, rate, _ in rows]
    return Brackets.with_cum([0, *caps[:-1]], caps, rates, [leverage for _, _, leverage in rows])


def account(case: Case) -> Account:
    """The account of a case: its position first, then the ``others``."""
    rows = [case.fields, *case.get("others", [])]
    positions = [
        Position(
            contract(case, row.get("contract") or row.get("symbol")),
            Decimal(row["position"]),
            Decimal(row["entry"]),
            Decimal(row["mark"]) if "mark" in row else None,
            row.get("leverage"),
        )
        for row in rows
    ]
    wallet = case.number("wallet") if "wallet" in case.fields else None
    also = [case.number("exit")] if "exit" in case.fields else []
    return Account(positions, wallet, isolated=case.get("mode", "isolated") == "isolated", also=also)


# -- what each kind asks


def _fee(case: Case) -> Decimal:
    terms = contract(case, case.get("contract") or case.get("symbol"))
    liquidity = calc.LIQUIDITY[case["liquidity"]]
    return calc.decimal_e8(calc.fee_e8(terms, case.number("price"), case.number("size"), liquidity))


def _pnl(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).close_e8(case.number("exit"))[0])


def _unrealized(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).unrealized_e8())


def _funding_payment(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).funding_e8(case.number("rate")))


def _notional(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).notional_e8())


def _initial(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).initial_e8())


def _maintenance(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).maintenance_e8(None if case.get("of") == "account" else 0))


def _margin_ratio(case: Case) -> Decimal:
    return Decimal(account(case).ledger.margin_ratio_e12(0, 0)).scaleb(-12)


def _liquidation(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).liquidation_price_e8())


def _equity(case: Case) -> Decimal:
    return calc.decimal_e8(account(case).equity_e8())


def _bankruptcy(case: Case) -> Decimal:
    return account(case).bankruptcy_price()


def _deduction(case: Case) -> Decimal:
    table = contract(case, case.get("contract") or case.get("symbol")).brackets
    assert table is not None
    return calc.decimal_e8(table.cum_e8[case["row"] - 1])


ASK: Final[dict[str, Callable[[Case], Decimal]]] = {
    "fee": _fee,
    "pnl": _pnl,
    "unrealized_pnl": _unrealized,
    "notional": _notional,
    "funding_payment": _funding_payment,
    "initial_margin": _initial,
    "maintenance_margin": _maintenance,
    "margin_ratio": _margin_ratio,
    "liquidation_price": _liquidation,
    "bankruptcy_price": _bankruptcy,
    "equity": _equity,
    "tier_deduction": _deduction,
}


def answer(case: Case) -> Decimal:
    """The simulator's figure, to the digits that the case gives."""
    found = ASK[case["kind"]](case)
    wanted = Decimal(case["ours"] if case.differs else case["expect"])
    exponent = wanted.as_tuple().exponent
    assert isinstance(exponent, int)
    return found.quantize(Decimal(1).scaleb(exponent), ROUNDINGS[case.get("rounding", "nearest")])
