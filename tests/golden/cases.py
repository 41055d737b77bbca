"""The golden table's cases: how the files are read, and how each kind is asked of the simulator.

A file ``<venue>.toml`` holds ``[contract.NAME]`` tables (terms that the card does not have today, as they were when the
figure was made) and ``[[case]]`` entries with the numbers as a trader writes them. ``answer`` computes a case with the
simulator's own code, through ``sim.calc``: the ledger configured from the venue's card, never a formula of a test.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from matching import codes
from matching.brackets import Brackets
from matching.gate import Gate
from matching.liquidation import Terms, Unit
from matching.procedures import FillablePrice, make
from sim import calc
from sim.calc import Account, Contract, Position
from sim.config import VenueConfig
from sim.gates import gate_of
from sim.liquidations import terms_of
from sim.units import duration_ns
from venues.errors import InstrumentError
from venues.funding import (
    EIGHT_HOURS_NS,
    funding_index_delta_e18,
    impact_notional_e8,
    impact_price_e8,
    premium,
    rate_rule,
    rounded,
)
from venues.instruments import Instrument
from venues.marks import Mark, MarkInputs, mark_rule
from venues.rules import ContractTiers, LinearTier, MarginTable, OpenInterestTier

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
        form={"close_fee": case["closing_fee"]} if "closing_fee" in case.fields else {},
    )


def _rate(case: Case, key: str) -> Decimal | None:
    return case.number(key) if key in case.fields else None


def tiers(given: dict[str, Any]) -> MarginTable | None:
    """A margin table in the venue's own form.

    ``tiers = [[cap, maintenance rate, leverage], ...]`` by value, ``mmr``: one rate for every size; ``contract_tiers =
    [[cap, maintenance, initial], ...]`` by contracts; ``imf`` and ``mmf``; ``linear = [initial, its slope, maintenance,
    its slope]`` by size.
    """
    if "contract_tiers" in given:
        sizes, maintenances, initials = zip(*given["contract_tiers"], strict=True)
        return ContractTiers(
            tuple(calc.money_e8(Decimal(size), "cap") for size in sizes), _e12(maintenances), _e12(initials),
            tuple(int(Decimal(100) / Decimal(initial)) for initial in initials),
        )  # fmt: skip
    if "imf" in given:
        return OpenInterestTier(*_e12((given["imf"], given["mmf"])))
    if "linear" in given:
        return LinearTier(*_e12(given["linear"]))
    rows = given.get("tiers")
    if rows is None:
        if "mmr" not in given:
            return None
        rows = [[NO_LIMIT, given["mmr"], given.get("leverage", 125)]]
    caps = [calc.money_e8(Decimal(cap), "cap") for cap, _, _ in rows]
    rates = [calc.rate_e12(Decimal(rate), "rate") for _, rate, _ in rows]
    return Brackets.with_cum([0, *caps[:-1]], caps, rates, [leverage for _, _, leverage in rows])


def _e12(rates: Iterable[str]) -> tuple[int, ...]:
    return tuple(calc.rate_e12(Decimal(rate), "rate") for rate in rates)


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
    added = Decimal(case.get("added", "0"))
    return Account(positions, wallet, isolated=case.get("mode", "isolated") == "isolated", added=added, also=also)


# -- what each kind asks


def _fee(case: Case) -> Decimal:
    terms = contract(case, case.get("contract") or case.get("symbol"))
    liquidity = calc.LIQUIDITY[case["liquidity"]]
    return calc.decimal_e8(calc.fee_e8(terms, case.number("price"), case.number("size"), liquidity))


def _pnl(case: Case) -> Decimal:
    """Of closing the position, or ``of`` it."""
    part = case.number("of") if "of" in case.fields else None
    return calc.decimal_e8(account(case).close_e8(case.number("exit"), part=part)[0])


def _net_pnl(case: Case) -> Decimal:
    """Of closing the position, both fees as taker taken off."""
    terms = contract(case, case.get("contract") or case.get("symbol"))
    gain, closing = account(case).close_e8(case.number("exit"))
    opening = calc.fee_e8(terms, case.number("entry"), case.number("position"), calc.LIQUIDITY["taker"])
    return calc.decimal_e8(gain - closing - opening)


def _entry_price(case: Case) -> Decimal:
    terms = contract(case, case.get("contract") or case.get("symbol"))
    fills = [(Decimal(size), Decimal(price)) for size, price in case["fills"]]
    return calc.decimal_e8(calc.average_entry_e8(terms, fills))


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
    """Where the venue shares what is left of the account among its positions, as its liquidation does."""
    held = account(case)
    if calc.find_card(case.venue).liquidation.procedure.value != "fillable_price":
        return held.bankruptcy_price()
    desk, unit = _fillable_price_desk(case, held)
    return calc.plain(held.instruments[0].price_of(desk._bankruptcy_ticks(unit, 0)))


def _fillable_price(case: Case) -> Decimal:
    """The limit of the venue's liquidation order."""
    held = account(case)
    desk, unit = _fillable_price_desk(case, held)
    return calc.plain(held.instruments[0].price_of(desk._fillable(unit, 0)()))


def _fillable_price_desk(case: Case, held: Account) -> tuple[FillablePrice, Unit]:
    """The venue's liquidation at work on an account, with a case's own ``adjustment`` and ``spread``."""
    given: dict[str, Any] = {
        name: calc.rate_e12(case.number(key), key)
        for key, name in (("adjustment", "fillable_adjustment_e12"), ("spread", "fillable_spread_e12"))
        if key in case.fields
    }
    desk = FillablePrice(_Still(held), 0, replace(_terms(case), **given))
    return desk, desk.units(0)[0]


def _terms(case: Case) -> Terms:
    return terms_of(calc.find_card(case.venue), VenueConfig(name=case.venue), calc.LATEST_NS)


class _Still:
    """What a liquidation sees of the kernel, of an account at an instant at which nothing trades."""

    n_lanes, seed = 1, 0

    def __init__(self, held: Account) -> None:
        self.ledger, self.n_markets = held.ledger, len(held.positions)
        self.lane_accounts, self.transfers = [[0]], []  # type: ignore[var-annotated]
        self._instruments = held.instruments

    def markets_of(self, venue: int) -> list[int]:
        return list(range(self.n_markets))

    def mark_state(self, m: int) -> tuple[int, int, int, int, int]:
        tick, mark = Fraction(self._instruments[m].tick_size) * 10**8, self.ledger.mark_e8(m)
        return mark, mark, 0, tick.numerator, tick.denominator

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing trades here, but {name} was asked for")


def _funding_rate(case: Case) -> Decimal:
    rule_card = calc.find_card(case.venue)
    interval = duration_ns(case["interval"]) if "interval" in case.fields else None
    rule = rate_rule(
        rule_card, case.get("symbol", ""), calc.LATEST_NS, interval,
        calc.rate_e12(Decimal(case.get("initial", "0")), "initial"),
        calc.rate_e12(Decimal(case.get("maintenance", "0")), "maintenance"),
    )  # fmt: skip
    return Decimal(rule.rate_e12(Fraction(case.number("premium")) * 10**18)).scaleb(-12)


def _premium(case: Case) -> Decimal:
    index, bid, ask = (
        calc.money_e8(case.number(key), key) if key in case.fields else None
        for key in ("index", "impact_bid", "impact_ask")
    )
    assert index is not None
    return Decimal(round(premium(index, bid, ask) * 10**18)).scaleb(-18)


def _impact_price(case: Case) -> Decimal:
    levels = [
        (calc.money_e8(Decimal(price), "price"), calc.money_e8(Decimal(price) * Decimal(size), "value"))
        for price, size in case["levels"]
    ]
    found = impact_price_e8(levels, calc.money_e8(case.number("notional"), "notional"))
    assert found is not None
    return Decimal(round(found)).scaleb(-8)


def _price_grid(case: Case) -> Decimal:
    """1 where the venue takes the price, else 0."""
    instrument = contract(case, case.get("contract") or case.get("symbol")).instrument
    try:
        return Decimal(instrument.on_grid(instrument.ticks_from_str(case["price"])))
    except InstrumentError:
        return Decimal(0)


def _deduction(case: Case) -> Decimal:
    table = contract(case, case.get("contract") or case.get("symbol")).table
    assert isinstance(table, Brackets)
    return calc.decimal_e8(table.cum_e8[case["row"] - 1])


def _initial_fraction(case: Case) -> Decimal:
    """The initial rate in force at an open interest."""
    tier = OpenInterestTier(
        calc.rate_e12(case.number("imf"), "imf"), 1, calc.money_e8(case.number("lower"), "lower"),
        calc.money_e8(case.number("upper"), "upper"),
    )  # fmt: skip
    return Decimal(tier.initial_at_e12(calc.money_e8(case.number("open_interest"), "open interest"))).scaleb(-12)


def _funding_cap(case: Case) -> Decimal:
    """Of eight hours, where it follows from the margin rates."""
    margins = [calc.rate_e12(case.number(key), key) for key in ("initial", "maintenance")]
    rule = rate_rule(calc.find_card(case.venue), case["symbol"], calc.LATEST_NS, EIGHT_HOURS_NS, *margins)
    cap = rule.bounds()[1]
    assert cap is not None
    return Decimal(rounded(cap * 10**12)).scaleb(-12)


def _order_check(case: Case) -> Decimal:
    """0 where the venue's gate takes the order, else the venue's code for the refusal, 1 if it answers in words."""
    instrument, gate, side = _gate(case)
    type_ = codes.MARKET if case.get("type") == "market" else codes.LIMIT
    flags = codes.FLAG_REDUCE_ONLY if case.get("reduce_only") else 0
    ticks = codes.NO_PRICE if type_ == codes.MARKET else calc.ticks_of(instrument, case.number("price"))
    lots, held = (calc.lots_of(instrument, Decimal(case.get(key, "0"))) for key in ("size", "held"))
    mark, best = calc.money_e8(case.number("mark"), "mark"), calc.ticks_of(instrument, case.number("mark"))
    tif = codes.IOC if type_ == codes.MARKET else codes.GTC
    reason = gate.check(side, type_, tif, flags, ticks, lots, held, mark, _index_e8(case), best)
    if reason == codes.R_NONE:
        return Decimal(0)
    row = calc.find_card(case.venue).reasons.find(reason)
    assert row is not None
    code = row.code if row.low_code is None or side == codes.BUY else row.low_code
    return Decimal(1 if code is None else code)


def _price_limit(case: Case) -> Decimal:
    """The highest price of a buy or the lowest of a sell that the venue takes now."""
    instrument, gate, side = _gate(case)
    for _ in range(_gate_samples(case)):
        gate.add_premium(calc.money_e8(case.number("premium"), "premium"))
    return calc.plain(
        instrument.price_of(gate.band_edge(side, calc.money_e8(case.number("mark"), "mark"), _index_e8(case)))
    )


def _gate_samples(case: Case) -> int:
    """How many seconds of premium the venue averages; 0 where the case names none."""
    window_ns = calc.find_card(case.venue).orders.price_band_window_ns.value
    return window_ns // 10**9 if "premium" in case.fields else 0


def _index_e8(case: Case) -> int:
    return calc.money_e8(Decimal(case.get("index", case["mark"])), "index")


def _gate(case: Case) -> tuple[Instrument, Gate, int]:
    terms = contract(case, case.get("contract") or case.get("symbol"))
    table = calc.table_of(terms, terms.instrument)
    gate = gate_of(terms.card, terms.instrument, 1 if table is None else table.max_leverage[0], calc.LATEST_NS)
    assert gate is not None
    return terms.instrument, gate, codes.BUY if case["side"] == "buy" else codes.SELL


def _mark(case: Case) -> Decimal:
    """After the last of ``samples``, each (seconds, index, bid, ask, last trade); rates as of ``until_funding``."""
    mark = Mark(mark_rule(calc.find_card(case.venue), calc.LATEST_NS))
    until = duration_ns(case["until_funding"]) if "rate" in case.fields else 0
    found = None
    perps = tuple((calc.money_e8(Decimal(price), "price"), weight) for price, weight in case.get("perps", []))
    rate = calc.rate_e12(case.number("rate"), "rate") if "rate" in case.fields else None
    interval = duration_ns(case.get("interval", "8h"))
    for at, *prices in case["samples"]:
        now, (index, bid, ask, last) = duration_ns(f"{at}s"), (calc.money_e8(Decimal(one), "price") for one in prices)
        found = mark.sample(MarkInputs(now, index, bid, ask, last, rate, now + until, interval, perps))
    assert found is not None
    return calc.decimal_e8(found)


def _adl_rank(case: Case) -> Decimal:
    """What the venue deleverages by: the highest goes first."""
    held = account(case)
    desk = make(_Still(held), 0, _terms(case))
    return Decimal(round(desk.losses.score(0, 0, 0) * 10**12)).scaleb(-12)


def _funding_accrued(case: Case) -> Decimal:
    """Continuous funding of a time at a rate of eight hours, as it is booked."""
    held = account(case)
    lots, mark = held.ledger.position(0, 0), held.ledger.mark_e8(0)
    rate = calc.rate_e12(case.number("rate"), "rate")
    held.ledger.accrue(
        0,
        0,
        lots,
        mark,
        rate,
        duration_ns(case["time"]),
        calc.funding_interval_ns(contract(case, case.get("contract") or case.get("symbol"))),
    )
    paid = held.ledger.settle(0, 0)
    held.check()
    return calc.decimal_e8(paid)


def _funding_index(case: Case) -> Decimal:
    """How far dYdX's index moves in a time, at a rate of eight hours."""
    return Decimal(
        funding_index_delta_e18(
            case["rate_8h_ppm"], case["elapsed_s"], Fraction(case.number("price")), case["base_decimals"]
        )
    )


def _impact_notional(case: Case) -> Decimal:
    rules = calc.find_card(case.venue).funding
    initial = Fraction(case.number("initial"))
    found = impact_notional_e8(rules.impact_form.value, rules.impact_notional_e8.value, initial)
    return calc.decimal_e8(found)


ASK: Final[dict[str, Callable[[Case], Decimal]]] = {
    "fee": _fee,
    "pnl": _pnl,
    "net_pnl": _net_pnl,
    "entry_price": _entry_price,
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
    "funding_rate": _funding_rate,
    "premium": _premium,
    "impact_price": _impact_price,
    "price_grid": _price_grid,
    "initial_fraction": _initial_fraction,
    "funding_cap_8h": _funding_cap,
    "funding_index": _funding_index,
    "fillable_price": _fillable_price,
    "mark": _mark,
    "order_check": _order_check,
    "price_limit": _price_limit,
    "adl_rank": _adl_rank,
    "funding_accrued": _funding_accrued,
    "impact_notional": _impact_notional,
}


def number_of(text: str) -> Decimal:
    """A figure of the table; yes and no are 1 and 0, an order that is taken or refused in words 0 and 1."""
    return Decimal({"true": "1", "false": "0", "refused": "1", "taken": "0"}.get(text, text))


def answer(case: Case) -> Decimal:
    """The simulator's figure, to the digits that the case gives."""
    found = ASK[case["kind"]](case)
    wanted = number_of(case["ours"] if case.differs else case["expect"])
    exponent = wanted.as_tuple().exponent
    assert isinstance(exponent, int)
    return found.quantize(Decimal(1).scaleb(exponent), ROUNDINGS[case.get("rounding", "nearest")])
