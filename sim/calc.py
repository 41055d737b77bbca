"""A trader's questions to a venue: what does this position cost, and where does it end?

Theory of operation. Every answer comes from a ledger that is configured from the venue's rule card as a run
configures it: the position asked about is opened in it, marked, and the ledger is asked. There are no formulas here, so
an answer and a run cannot disagree. A contract is named by its symbol where it is documented, and described otherwise
(size of a contract, margin brackets); what the answer assumes is said with it.

Amounts are ``Decimal`` outside and integers inside (1e-8 of the settlement asset, rates at 1e-12), never floats. Sizes
are in the venue's own unit: base coin, contracts, or quote currency; negative is short. Errors are ``InputError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from matching.brackets import Brackets
from matching.codes import BUY, LIQ_MAKER, LIQ_NONE, LIQ_TAKER, SELL
from matching.ledger import Ledger
from sim.fees import ROUNDING
from venues import card, card_names, known_instrument, known_symbols
from venues.errors import InputError, InstrumentError, RuleCardError
from venues.instruments import Instrument, split_symbol
from venues.rules import RuleCard

E8: Final = 10**8
E12: Final = 10**12
LATEST_NS: Final = (1 << 63) - 1
ALIASES: Final = {
    "binance": "binance_usdm",
    "bybit": "bybit_linear",
    "hl": "hyperliquid",
    "okex": "okx",
    "dydx_v4": "dydx",
}
UNBOUNDED_E8: Final = 1 << 62  # the cap of a tier that holds for every size
ASKED: Final = "the question"  # where an error's number came from


def find_card(name: str) -> RuleCard:
    """A venue's card by its name or a short form of it; an unknown name is answered with those there are."""
    wanted = name.strip().lower().replace("-", "_")
    try:
        return card(ALIASES.get(wanted, wanted))
    except RuleCardError:
        short = ", ".join(f"{alias} = {full}" for alias, full in ALIASES.items() if full in card_names())
        raise InputError(
            f"there is no venue {name!r}; known are {', '.join(card_names())} (short: {short})", source=ASKED
        ) from None


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract with the terms that a position in it has. ``brackets`` None: no margin is known."""

    card: RuleCard
    instrument: Instrument
    brackets: Brackets | None
    maker_e12: int
    taker_e12: int
    about: str = ""  # where contract and tiers come from
    tiers: str = ""

    def terms(self, question: str) -> tuple[str, ...]:
        """Where the terms that a question ("liq", "margin", "funding", "fee") rests on come from."""
        shown = (self.about, self.tiers) if question in ("liq", "margin") else (self.about,)
        return tuple(text for text in shown if text)

    @property
    def unit(self) -> str:
        """What one unit of size is."""
        instrument = self.instrument
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
    brackets: Brackets | None = None,
    maker: Decimal | None = None,
    taker: Decimal | None = None,
) -> Contract:
    """The contract of a symbol as the card has it, as of ``at_ns`` (None: the newest), with what is given instead.

    Without a symbol it is the card's first documented one. One that is not documented has 1 base coin a unit where the
    venue's sizes are in base coin; elsewhere ``contract_size`` must say it.
    """
    instrument, about = _instrument(rule_card, symbol, contract_size, inverse)
    instant = LATEST_NS if at_ns is None else at_ns
    table, tiers = brackets, "tiers: as given"
    if table is None and rule_card.margin.enabled.value:
        try:
            fact = rule_card.margin_table(instrument.symbol, instant)
        except RuleCardError:
            pass
        else:
            table = fact.value if isinstance(fact.value, Brackets) else None
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
    coin = rule_card.settles_in.value == "base" if inverse is None else inverse
    if size is None and (rule_card.size_unit.value != "base" or coin):
        raise InputError(
            f"{rule_card.venue} {named} is not documented here (known: {', '.join(known) or 'none'}): "
            "say what one unit of size is worth with --contract-size",
            source=ASKED, field="symbol",
        )  # fmt: skip
    try:
        base, quote = split_symbol(named)
    except InstrumentError:
        base, quote = named, "quote currency"
    instrument = Instrument(
        rule_card.venue, named, base, quote, base if coin else quote, coin, Decimal("0.01"), Decimal(1),
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

    ``wallet``: the balance behind them, None: what the positions' initial margin asks at their entry. ``isolated``: a
    single position stands on that amount as its isolated margin. ``also``: prices that will be asked about.
    """

    def __init__(
        self, positions: Sequence[Position], wallet: Decimal | None = None, *, isolated: bool = True,
        also: Sequence[Decimal] = (),
    ) -> None:  # fmt: skip
        self.positions = tuple(positions)
        self.isolated = isolated and len(self.positions) == 1
        self.ledger = Ledger(1, len(self.positions), 1)
        self.instruments = [on_grid(p.contract.instrument, [p.entry, *also], [p.size]) for p in self.positions]
        for m, position in enumerate(self.positions):
            configure(self.ledger, m, position.contract, self.instruments[m])
            self._set_leverage(m, position)
            self.ledger.set_mark(m, money_e8(position.entry, "entry"))
        for m in range(len(self.positions)):
            self._open(m)
        self.leverages = [self._leverage(position) for position in self.positions]
        self.wallet_e8 = self.ledger.initial_e8(0, 0) if wallet is None else money_e8(wallet, "wallet")
        if self.wallet_e8 < 0:
            raise InputError("a wallet is not below 0", source=ASKED, field="wallet")
        self.ledger.deposit(0, 0, self.wallet_e8)
        for m, position in enumerate(self.positions):
            if position.mark is not None:
                self.ledger.set_mark(m, money_e8(position.mark, "mark"))
        self.check()

    def _set_leverage(self, m: int, position: Position) -> None:
        if position.contract.brackets is None:
            return
        try:
            self.ledger.set_leverage(0, m, self._leverage(position))
        except ValueError as error:
            raise InputError(str(error).partition(": ")[2], source=ASKED, field="leverage") from None

    @staticmethod
    def _leverage(position: Position) -> int:
        if position.leverage is not None:
            return position.leverage
        default = position.contract.card.margin.default_leverage.value
        table = position.contract.brackets
        return default if table is None else min(default, table.max_leverage[0])

    def _open(self, m: int) -> None:
        position, instrument = self.positions[m], self.instruments[m]
        size = abs(position.size)
        if not size:
            raise InputError("is 0: there is nothing to ask about", source=ASKED, field="position")
        side = BUY if position.size > 0 else SELL
        self.ledger.fill(0, m, side, ticks_of(instrument, position.entry), lots_of(instrument, size), LIQ_NONE)
        self.check()

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
        return self.ledger.initial_e8(0, 0)

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

    def position_margin_e8(self, m: int = 0) -> int:
        """Initial margin of position ``m`` at its mark."""
        return self.ledger.initial_e8(0, 0)

    def liquidatable(self) -> bool:
        """Whether the account is below its maintenance margin at the marks."""
        return self.ledger.is_liquidatable(0)

    def tier(self, m: int = 0) -> dict[str, Any] | None:
        """The tier that the position falls into: its number (from 1), what it reaches to and its rates."""
        table = self.positions[m].contract.brackets
        if table is None:
            return None
        value = self.notional_e8(m)
        row = next((k for k, cap in enumerate(table.cap_e8) if value <= cap), len(table.cap_e8) - 1)
        return {
            "number": row + 1,
            "of": len(table.cap_e8),
            "above": decimal_e8(table.floor_e8[row]),
            "up_to": None if table.cap_e8[row] >= UNBOUNDED_E8 else decimal_e8(table.cap_e8[row]),
            "maintenance_rate": plain(Decimal(table.rate_e12[row]).scaleb(-12)),
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

    def close_e8(self, price: Decimal, liquidity: int = LIQ_TAKER, m: int = 0) -> tuple[int, int]:
        """Close position ``m`` at a price: (realised profit, fee)."""
        instrument = self.instruments[m]
        lots = self.ledger.position(0, m)
        if on_grid(instrument, [price], []).tick_size != instrument.tick_size:
            raise InputError(f"{price} lies off the grid of the account's prices", source=ASKED, field="exit")
        fee = self.ledger.fill(0, m, SELL if lots > 0 else BUY, ticks_of(instrument, price), abs(lots), liquidity)
        self.check()
        return self.ledger.last_realized_e8, fee


def need_margin(contract: Contract) -> None:
    """Raise ``InputError`` where no tiers of the contract are known, naming those that are and how to give them."""
    if contract.brackets is not None:
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
        contract.brackets, fee_rounding=ROUNDING[rule_card.fees.rounding.value],
        funding_rounding=ROUNDING[rule_card.funding.payment_rounding.value],
    )  # fmt: skip


def fee_e8(contract: Contract, price: Decimal, size: Decimal, liquidity: int) -> int:
    """The fee of one fill; negative is a rebate."""
    instrument = on_grid(contract.instrument, [price], [size])
    ledger = Ledger(1, 1, 1)
    configure(ledger, 0, replace(contract, brackets=None), instrument)
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
    return int(Fraction(price) / Fraction(instrument.tick_size))


def lots_of(instrument: Instrument, size: Decimal) -> int:
    """The size in lots, exactly."""
    return int(Fraction(size) / Fraction(instrument.lot_size))


LIQUIDITY: Final = {"maker": LIQ_MAKER, "taker": LIQ_TAKER}
