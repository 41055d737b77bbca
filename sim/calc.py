"""A trader's questions to a venue: what does this position cost, and where does it end?

Theory of operation. Every answer comes from a ledger that is configured from the venue's rule card as a run
configures it: the position asked about is opened in it, marked, and the ledger is asked. There are no formulas here, so
an answer and a run cannot disagree. A contract is named by its symbol where it is documented, and described otherwise
(size of a contract, margin brackets); what the answer assumes is said with it.

Amounts are ``Decimal`` outside and integers inside (1e-8 of the settlement asset, rates at 1e-12), never floats. Sizes
are in the venue's own unit: base coin, contracts, or quote currency; negative is short. Errors are ``InputError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from matching.brackets import Brackets
from matching.codes import BUY, LIQ_MAKER, LIQ_NONE, LIQ_TAKER, MODE_ISOLATED, R_NONE, SELL
from matching.ledger import Ledger
from sim.cards import find_card as find_card
from sim.fees import ROUNDING
from sim.margins import configure_margin, ledger_table, margin_words
from venues import known_instrument, known_symbols
from venues.errors import InputError, InstrumentError, RuleCardError
from venues.instruments import Instrument, split_symbol
from venues.rules import ContractTiers, MarginTable, RuleCard

E8: Final = 10**8
E12: Final = 10**12
LATEST_NS: Final = (1 << 63) - 1
UNBOUNDED_E8: Final = 1 << 62  # the cap of a tier that holds for every size
ASKED: Final = "the question"  # where an error's number came from


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract with the terms that a position in it has. ``table`` None: no margin is known."""

    card: RuleCard
    instrument: Instrument
    table: MarginTable | None
    maker_e12: int
    taker_e12: int
    about: str = ""  # where contract and tiers come from
    tiers: str = ""
    form: Mapping[str, str] = field(default_factory=dict)  # words of ``Ledger.configure_margin`` instead of the card's

    def terms(self, question: str) -> tuple[str, ...]:
        """Where the terms that a question ("liq", "margin", "funding", "fee") rests on come from."""
        shown = (self.about, self.tiers) if question in ("liq", "margin") else (self.about,)
        return tuple(text for text in shown if text)

    @property
    def unit(self) -> str:
        """What one unit of size is."""
        instrument = self.instrument
        if instrument.inverse and self.card.size_unit.value == "quote" and instrument.contract_size == 1:
            return instrument.quote
        if instrument.inverse:
            return f"contracts of {plain(instrument.contract_size):f} {instrument.quote}"
        if instrument.contract_size == 1:
            return instrument.base
        return f"contracts of {plain(instrument.contract_size):f} {instrument.base}"


def find_contract(
    rule_card: RuleCard,
    symbol: str | None,
    *,
    at_ns: int | None = None,
    contract_size: Decimal | None = None,
    inverse: bool | None = None,
    table: MarginTable | None = None,
    maker: Decimal | None = None,
    taker: Decimal | None = None,
) -> Contract:
    """The contract of a symbol as the card has it, as of ``at_ns`` (None: the newest), with what is given instead.

    Without a symbol it is the card's first documented one. One that is not documented has 1 base coin a unit where the
    venue's sizes are in base coin; elsewhere ``contract_size`` must say it.
    """
    instrument, about = _instrument(rule_card, symbol, contract_size, inverse)
    instant = LATEST_NS if at_ns is None else at_ns
    tiers = "tiers: as given"
    if table is None and rule_card.margin.enabled.value:
        try:
            fact = rule_card.margin_table(instrument.symbol, instant)
        except RuleCardError:
            pass
        else:
            table = fact.value
            tiers = f"tiers: {instrument.symbol}, {fact.source}" + ("" if fact.verified else " (UNVERIFIED)")
    fees = rule_card.fees
    return Contract(
        rule_card,
        instrument,
        table,
        fees.maker_rate_e12.at(instant).value if maker is None else rate_e12(maker, "maker rate"),
        fees.taker_rate_e12.at(instant).value if taker is None else rate_e12(taker, "taker rate"),
        about,
        tiers,
    )


def _instrument(
    rule_card: RuleCard, symbol: str | None, size: Decimal | None, inverse: bool | None
) -> tuple[Instrument, str]:
    known = known_symbols(rule_card.venue)
    named = symbol or (known[0] if known else "unnamed")
    if size is None and inverse is None:
        try:
            instrument = known_instrument(rule_card.venue, named)
            return instrument, f"contract: {named}, {instrument.source}"
        except InstrumentError:
            pass
    like = known_instrument(rule_card.venue, known[0]) if known else None
    try:
        base, quote = split_symbol(named)
    except InstrumentError:
        base, quote = named, like.quote if like is not None else "quote currency"
    settle = like.settle if like is not None and not like.inverse and like.quote == quote else quote
    settles = {"base": True, "quote": False, "either": quote == "USD"}[rule_card.settles_in.value]
    coin = settles if inverse is None else inverse
    if size is None and (rule_card.size_unit.value != "base" or coin):
        raise InputError(
            f"{rule_card.venue} {named} is not documented here (known: {', '.join(known) or 'none'}): "
            "say what one unit of size is worth with --contract-size",
            source=ASKED, field="symbol",
        )  # fmt: skip
    instrument = Instrument(
        rule_card.venue, named, base, quote, base if coin else settle, coin, Decimal("0.01"), Decimal(1),
        Decimal(1) if size is None else size, source="described by the question",
    )  # fmt: skip
    what = f"{instrument.contract_size} {quote if coin else base}"
    return instrument, f"contract: {named} is not documented here, one unit of size taken as {what}"


def rate_e12(rate: Decimal, what: str) -> int:
    """A rate at 1e-12, exactly."""
    return _scaled(rate, 12, what)


def money_e8(amount: Decimal, what: str) -> int:
    """An amount at 1e-8, exactly."""
    return _scaled(amount, 8, what)


def _scaled(value: Decimal, decimals: int, what: str) -> int:
    scaled = value.scaleb(decimals)
    if not value.is_finite() or scaled != int(scaled) or abs(scaled) >= 1 << 62:
        raise InputError(f"{what} {value} has more than {decimals} decimals, or is too large", source=ASKED)
    return int(scaled)


def decimal_e8(amount: int) -> Decimal:
    """An integer at 1e-8 as a plain number without trailing zeros."""
    return plain(Decimal(amount).scaleb(-8))


def plain(value: Decimal) -> Decimal:
    """Without trailing zeros and without an exponent."""
    return Decimal(f"{value.normalize():f}")


@dataclass(frozen=True, slots=True)
class Position:
    """A position asked about. ``mark`` None: at its entry; ``leverage`` None: what the card gives a new account."""

    contract: Contract
    size: Decimal
    entry: Decimal
    mark: Decimal | None = None
    leverage: int | None = None


class Account:
    """An account that holds the positions asked about, in a ledger configured from the venue's card.

    ``wallet``: the balance behind them, None: what the positions' initial margin asks at their entry; ``added`` comes
    on top. ``isolated``: a single position stands on that amount as its isolated margin. ``also``: prices that will be
    asked about.
    """

    def __init__(
        self, positions: Sequence[Position], wallet: Decimal | None = None, *, isolated: bool = True,
        added: Decimal = Decimal(0), also: Sequence[Decimal] = (),
    ) -> None:  # fmt: skip
        self.positions = tuple(positions)
        self.ledger = Ledger(1, len(self.positions), 1)
        self.instruments = [on_grid(p.contract.instrument, [p.entry, *also], [p.size]) for p in self.positions]
        self.tables = [table_of(p.contract, self.instruments[m]) for m, p in enumerate(self.positions)]
        self.leverages = [self._leverage(m) for m in range(len(self.positions))]
        for m, position in enumerate(self.positions):
            configure(self.ledger, m, position.contract, self.instruments[m])
            self._set_leverage(m)
            self.ledger.set_mark(m, money_e8(position.entry, "entry"))
        for m in range(len(self.positions)):
            self._open(m)
        self.opened_e8 = self.ledger.initial_e8(0, 0)
        self.wallet_e8 = self._needed_e8() if wallet is None else money_e8(wallet, "wallet")
        self.wallet_e8 += money_e8(added, "added margin")
        if self.wallet_e8 < 0:
            raise InputError("a wallet is not below 0", source=ASKED, field="wallet")
        self.ledger.deposit(0, 0, self.wallet_e8)
        self.set_apart = isolated and self._isolate()
        for m, position in enumerate(self.positions):
            if position.mark is not None:
                self.ledger.set_mark(m, money_e8(position.mark, "mark"))
        self.check()

    def _leverage(self, m: int) -> int | None:
        """The leverage of a position; None where the venue has no such setting and none is asked for."""
        position, table = self.positions[m], self.tables[m]
        if position.leverage is not None or not by_leverage(position.contract):
            return position.leverage
        default = position.contract.card.margin.default_leverage.value
        return default if table is None else min(default, table.max_leverage[0])

    def _set_leverage(self, m: int) -> None:
        leverage = self.leverages[m]
        if self.tables[m] is None or leverage is None or not by_leverage(self.positions[m].contract):
            return
        try:
            self.ledger.set_leverage(0, m, leverage)
        except ValueError as error:
            raise InputError(str(error).partition(": ")[2], source=ASKED, field="leverage") from None

    def _needed_e8(self) -> int:
        """Initial margin; where the venue has no leverage setting, the money that makes the leverage asked about."""
        leverage = self.leverages[0]
        if len(self.positions) > 1 or leverage is None or by_leverage(self.positions[0].contract):
            return self.opened_e8
        amount = -(-self.notional_e8() // leverage)
        if amount < self.opened_e8:
            raise InputError(
                f"{leverage} leaves less than the initial margin, {decimal_e8(self.opened_e8)}", source=ASKED,
                field="leverage",
            )  # fmt: skip
        return amount

    def _isolate(self) -> bool:
        """Give a single position the wallet as its isolated margin.

        Needed where its margin holds a closing fee, which cross positions reckon otherwise; elsewhere the account,
        which has nothing else, is the same.
        """
        contract = self.positions[0].contract
        if len(self.positions) > 1 or contract.table is None or not closes_at_bankruptcy(contract):
            return False
        answer = self.ledger.set_mode(0, 0, MODE_ISOLATED)
        more = self.wallet_e8 - self.ledger.isolated_e8(0, 0)
        if answer == R_NONE and more:
            answer = self.ledger.add_margin(0, 0, more)
        if answer != R_NONE:
            raise InputError(
                f"is less than the position needs, {decimal_e8(self.opened_e8)} with the closing fee", source=ASKED,
                field="wallet",
            )  # fmt: skip
        return True

    def _open(self, m: int) -> None:
        position, instrument = self.positions[m], self.instruments[m]
        size = abs(position.size)
        if not size:
            raise InputError("is 0: there is nothing to ask about", source=ASKED, field="position")
        side = BUY if position.size > 0 else SELL
        self.ledger.fill(0, m, side, ticks_of(instrument, position.entry), lots_of(instrument, size), LIQ_NONE)
        self.check()

    def above_limit(self, m: int = 0) -> str | None:
        """What the tiers allow at the leverage, where the position is larger: the venue would not let it be opened."""
        leverage, table = self.leverages[m], self.tables[m]
        if table is None or leverage is None or not by_leverage(self.positions[m].contract):
            return None
        lots = isinstance(self.positions[m].contract.table, ContractTiers)
        held = abs(self.ledger.position(0, m)) if lots else self.notional_e8(m)
        most = max(
            (cap for cap, row in zip(table.cap_e8, table.max_leverage, strict=True) if row >= leverage), default=0
        )
        if held <= most:
            return None
        shown = plain(most * (self.instruments[m].lot_size if lots else Decimal("1e-8")))
        return f"{leverage}x allows up to {shown:,f}: the venue would refuse to open this"

    def check(self) -> None:
        """Raise if the ledger could not book what was asked."""
        problem = self.ledger.failure()
        if problem is not None:
            raise InputError(f"does not fit the ledger: {problem}", source=ASKED)

    # -- answers, at 1e-8

    def liquidation_price_e8(self, m: int = 0) -> int:
        """The mark at which position ``m`` is liquidated; 0: at none."""
        return self.ledger.liquidation_price_e8(0, m)

    def bankruptcy_price(self, m: int = 0) -> Decimal:
        """The price at which closing position ``m`` leaves nothing, on the price grid."""
        return plain(self.instruments[m].price_of(self.ledger.bankruptcy_ticks(0, m)))

    def initial_e8(self) -> int:
        """Initial margin of the positions at their marks; of an isolated one with a closing fee, at its entry."""
        return self.opened_e8 if self.set_apart else self.ledger.initial_e8(0, 0)

    def maintenance_e8(self, m: int | None = None) -> int:
        """Of position ``m``, or of all."""
        return self.ledger.maintenance_e8(0, 0) if m is None else self.ledger.market_maintenance_e8(0, m)

    def unrealized_e8(self, m: int = 0) -> int:
        return self.ledger.unrealized_e8(0, m)

    def equity_e8(self) -> int:
        return self.ledger.equity_e8(0, 0)

    def notional_e8(self, m: int = 0) -> int:
        """Value of position ``m`` at its mark."""
        return self.ledger.notional_e8(m, abs(self.ledger.position(0, m)))

    def liquidatable(self) -> bool:
        """Whether the account is below its maintenance margin at the marks."""
        return self.ledger.is_liquidatable(0)

    def tier(self, m: int = 0) -> dict[str, Any] | None:
        """The tier that the position falls into: its number (from 1), what it reaches to and its rates."""
        table, instrument = self.tables[m], self.instruments[m]
        if table is None:
            return None
        lots = isinstance(self.positions[m].contract.table, ContractTiers)
        value = abs(self.ledger.position(0, m)) if lots else self.notional_e8(m)
        row = next((k for k, cap in enumerate(table.cap_e8) if value <= cap), len(table.cap_e8) - 1)
        unit = instrument.lot_size if lots else Decimal("1e-8")
        slope = table.slope_e12[row]
        return {
            "number": row + 1,
            "of": len(table.cap_e8),
            "above": plain(table.floor_e8[row] * unit),
            "up_to": None if table.cap_e8[row] >= UNBOUNDED_E8 else plain(table.cap_e8[row] * unit),
            "maintenance_rate": plain(Decimal(table.rate_e12[row]).scaleb(-12)),
            "rate_grows_per_coin": plain(Decimal(slope).scaleb(-12)) if slope else None,
            "deduction": decimal_e8(table.cum_e8[row]),
            "max_leverage": table.max_leverage[row],
        }

    def funding_e8(self, rate: Decimal, m: int = 0) -> int:
        """One payment at the mark and a rate; negative is paid."""
        position = self.positions[m]
        mark = position.entry if position.mark is None else position.mark
        lots = self.ledger.position(0, m)
        paid = self.ledger.funding(0, m, lots, money_e8(mark, "price"), rate_e12(rate, "rate"))
        self.check()
        return paid

    def close_e8(
        self, price: Decimal, liquidity: int = LIQ_TAKER, m: int = 0, part: Decimal | None = None
    ) -> tuple[int, int]:
        """Close position ``m``, or a part of it, at a price: (realised profit, fee)."""
        instrument = self.instruments[m]
        held = self.ledger.position(0, m)
        lots = abs(held) if part is None else lots_of(instrument, part)
        if on_grid(instrument, [price], []).tick_size != instrument.tick_size:
            raise InputError(f"{price} lies off the grid of the account's prices", source=ASKED, field="exit")
        side = SELL if held > 0 else BUY
        fee = self.ledger.fill(0, m, side, ticks_of(instrument, price), lots, liquidity)
        self.check()
        return self.ledger.last_realized_e8, fee


def need_margin(contract: Contract) -> None:
    """Raise ``InputError`` where no tiers of the contract are known, naming those that are and how to give them."""
    if contract.table is not None:
        return
    known = ", ".join(symbol for symbol, _ in contract.card.margin.tables) or "none"
    raise InputError(
        f"no margin tiers of {contract.card.venue} {contract.instrument.symbol} are documented here (known: {known}): "
        "give them with --brackets FILE, or one rate with --mmr",
        source=ASKED, field="symbol",
    )  # fmt: skip


def given_table(rule_card: RuleCard, symbol: str | None, file: Path | None, mmr: Decimal | None) -> Brackets | None:
    """Tiers from a file, or one maintenance rate for every size; None: the card's own."""
    if file is not None:
        from recorders.tables import load_brackets

        known = known_symbols(rule_card.venue)
        return load_brackets(file, symbol or (known[0] if known else "")).table
    if mmr is None:
        return None
    rate = rate_e12(mmr, "--mmr")
    if not 0 < rate < E12:
        raise InputError(f"{mmr} is not between 0 and 1", source="--mmr")
    return Brackets.with_cum([0], [UNBOUNDED_E8], [rate], [E12 // rate])


def funding_interval_ns(contract: Contract, at_ns: int | None = None) -> int:
    """The time between two payments of the contract; where funding is continuous, the time that its rate is of."""
    instant = LATEST_NS if at_ns is None else at_ns
    interval = contract.card.funding_terms(contract.instrument.symbol, instant).value.interval_ns
    if not interval or contract.card.funding.accrual.value == "none":
        raise InputError(f"{contract.card.venue} has no funding", source=ASKED, field="venue")
    return interval


def configure(ledger: Ledger, m: int, contract: Contract, instrument: Instrument) -> None:
    """Say what market ``m`` of a ledger is, by the contract's card."""
    rule_card = contract.card
    own = instrument.liquidation_fee_e12
    ledger.configure_market(
        m, 0, instrument.inverse, instrument.value_num, instrument.value_den, instrument.lot_num, instrument.lot_den,
        contract.maker_e12, contract.taker_e12, rule_card.liquidation.fee_rate_e12.latest.value if own is None else own,
        table_of(contract, instrument), fee_rounding=ROUNDING[rule_card.fees.rounding.value],
        funding_rounding=ROUNDING[rule_card.funding.payment_rounding.value],
        fee_unit=rule_card.fees.rounding_e8.value, funding_unit=rule_card.funding.payment_unit_e8.value,
    )  # fmt: skip
    if contract.table is not None:
        configure_margin(ledger, m, rule_card, contract.table, **contract.form)


def table_of(contract: Contract, instrument: Instrument) -> Brackets | None:
    """The contract's margin table as a ledger holds it."""
    return None if contract.table is None else ledger_table(contract.table, instrument)


def by_leverage(contract: Contract) -> bool:
    """Whether the account's leverage decides the initial margin."""
    return contract.table is None or margin_words(contract.card, contract.table)["initial_from"] == "leverage"


def closes_at_bankruptcy(contract: Contract) -> bool:
    """Whether the margin holds the fee for closing at the bankruptcy price."""
    return contract.form.get("close_fee", contract.card.margin.close_fee.value) == "taker_at_bankruptcy"


def average_entry_e8(contract: Contract, fills: Sequence[tuple[Decimal, Decimal]]) -> int:
    """The entry price of a position that these fills (size, price) made."""
    instrument = on_grid(contract.instrument, [price for _, price in fills], [size for size, _ in fills])
    ledger = Ledger(1, 1, 1)
    configure(ledger, 0, replace(contract, table=None), instrument)
    for size, price in fills:
        side = BUY if size > 0 else SELL
        ledger.fill(0, 0, side, ticks_of(instrument, price), lots_of(instrument, abs(size)), LIQ_NONE)
    return ledger.entry_price_e8(0, 0)


def fee_e8(contract: Contract, price: Decimal, size: Decimal, liquidity: int) -> int:
    """The fee of one fill; negative is a rebate."""
    instrument = on_grid(contract.instrument, [price], [size])
    ledger = Ledger(1, 1, 1)
    configure(ledger, 0, replace(contract, table=None), instrument)
    fee = ledger.fill(0, 0, BUY, ticks_of(instrument, price), lots_of(instrument, abs(size)), liquidity)
    if ledger.failure() is not None:
        raise InputError(f"does not fit the ledger: {ledger.failure()}", source=ASKED)
    return fee


# -- grids: prices and sizes asked about may be finer than an order's


def on_grid(instrument: Instrument, prices: Sequence[Decimal], sizes: Sequence[Decimal]) -> Instrument:
    """The instrument with tick and lot fine enough for these numbers (average prices lie off the venue's grid)."""
    return replace(
        instrument, tick_size=_step(instrument.tick_size, prices, "price"),
        lot_size=_step(instrument.lot_size, sizes, "size"),
        min_lots=1, max_lots=None, max_market_lots=None, min_ticks=None, max_ticks=None,
    )  # fmt: skip


def _step(step: Decimal, values: Sequence[Decimal], what: str) -> Decimal:
    for value in values:
        if not value.is_finite() or (what == "price" and value <= 0):
            raise InputError(f"{value} is not a {what} above 0", source=ASKED)
        if Fraction(value) % Fraction(step):
            exponent = plain(value).as_tuple().exponent
            step = min(step, Decimal(1).scaleb(min(0, int(exponent))))
    if step < Decimal("1e-12"):
        raise InputError(f"a {what} has more than 12 decimals", source=ASKED)
    return step


def ticks_of(instrument: Instrument, price: Decimal) -> int:
    """The price in ticks, exactly."""
    return _fitting(int(Fraction(price) / Fraction(instrument.tick_size)), price)


def lots_of(instrument: Instrument, size: Decimal) -> int:
    """The size in lots, exactly."""
    return _fitting(int(Fraction(size) / Fraction(instrument.lot_size)), size)


def _fitting(count: int, value: Decimal) -> int:
    if abs(count) >= 1 << 62:
        raise InputError(f"{value} is too large", source=ASKED)
    return count


LIQUIDITY: Final = {"maker": LIQ_MAKER, "taker": LIQ_TAKER}
