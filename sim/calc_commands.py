"""``perpsim venue calc ...``: a trader's questions to a venue, answered by the ledger of its rule card.

Sizes are in the venue's own unit (base coin, contracts, or quote currency for inverse ones), negative is short; amounts
come out in the settlement asset, negative is paid. ``--json`` prints numbers with all their digits.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.command import Json, errors

if TYPE_CHECKING:
    from sim.calc import Account, Contract

calc_app = typer.Typer(
    help="Liquidation price, funding, margin, fees and profit of a position at a venue.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise typer.BadParameter(f"{text!r} is not a number")
    return value


def _option(name: str, text: str, *more: str) -> Any:
    return typer.Option(name, *more, parser=_decimal, metavar="NUMBER", help=text, show_default=False)


Venue = Annotated[str, typer.Argument(help="venue, e.g. binance_usdm, bybit, okx", show_default=False)]
Symbol = Annotated[str | None, typer.Option("--symbol", help="contract; default: the venue's first documented one")]
Size = Annotated[Decimal, _option("--position", "size in the venue's unit, negative: short", "--size")]
Entry = Annotated[Decimal, _option("--entry", "average entry price")]
OptionalEntry = Annotated[Decimal | None, _option("--entry", "average entry price; default: the price")]
Price = Annotated[Decimal, _option("--price", "price at which it is charged", "--mark")]
OptionalPrice = Annotated[Decimal | None, _option("--price", "mark price now; default: the entry", "--mark")]
Leverage = Annotated[int | None, typer.Option("--leverage", min=1, help="default: what the venue gives a new account")]
Isolated = Annotated[bool, typer.Option("--isolated/--cross", help="margin of the position alone, or the whole wallet")]
Wallet = Annotated[Decimal | None, _option("--wallet", "balance behind the position; isolated: default its margin")]
Added = Annotated[Decimal | None, _option("--added", "isolated margin given on top of it")]
ContractSize = Annotated[Decimal | None, _option("--contract-size", "what one unit of size is, where not documented")]
BracketFile = Annotated[
    Path | None, typer.Option("--brackets", help="CSV of the symbol's margin tiers", show_default=False)
]
Rate = Annotated[Decimal | None, _option("--mmr", "one maintenance margin rate for every size, e.g. 0.005")]
Maker = Annotated[Decimal | None, _option("--maker", "maker fee rate, e.g. 0.0002")]
Taker = Annotated[Decimal | None, _option("--taker", "taker fee rate")]


@calc_app.command("liq")
def liq(
    venue: Venue, position: Size, entry: Entry, price: OptionalPrice = None, symbol: Symbol = None,
    leverage: Leverage = None, isolated: Isolated = True, wallet: Wallet = None, brackets: BracketFile = None,
    mmr: Rate = None, contract_size: ContractSize = None, taker: Taker = None, added: Added = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Where a position is liquidated, and where its margin is gone."""
    with errors():
        from sim import calc_answers as answers

        contract = _contract(venue, symbol, contract_size, brackets, mmr, taker=taker)
        account = _account(contract, position, entry, price, leverage, isolated, wallet, added)
        _print("liq", answers.liquidation(account, isolated), contract, json_, isolated)


@calc_app.command("bankruptcy")
def bankruptcy(
    venue: Venue, position: Size, entry: Entry, symbol: Symbol = None, leverage: Leverage = None,
    isolated: Isolated = True, wallet: Wallet = None, brackets: BracketFile = None, mmr: Rate = None,
    contract_size: ContractSize = None, taker: Taker = None, json_: Json = False,
) -> None:  # fmt: skip
    """The price at which closing a position leaves nothing of its margin."""
    with errors():
        from sim import calc_answers as answers

        contract = _contract(venue, symbol, contract_size, brackets, mmr, taker=taker)
        account = _account(contract, position, entry, None, leverage, isolated, wallet)
        _print("liq", answers.bankruptcy(account), contract, json_, isolated)


@calc_app.command("margin")
def margin(
    venue: Venue, position: Size, entry: OptionalEntry = None, price: OptionalPrice = None, symbol: Symbol = None,
    leverage: Leverage = None, brackets: BracketFile = None, mmr: Rate = None, contract_size: ContractSize = None,
    taker: Taker = None, json_: Json = False,
) -> None:  # fmt: skip
    """Initial and maintenance margin of a position, with the tier it falls into."""
    with errors():
        from sim import calc_answers as answers
        from sim.calc import Account, Position

        contract = _contract(venue, symbol, contract_size, brackets, mmr, taker=taker)
        account = Account([Position(contract, position, _either(entry, price), price, leverage)], isolated=False)
        _print("margin", answers.margin(account), contract, json_)


@calc_app.command("funding")
def funding(
    venue: Venue, position: Size, price: Price,
    rate: Annotated[Decimal, _option("--rate", "funding rate of one interval, e.g. 0.0001")],
    symbol: Symbol = None, contract_size: ContractSize = None, json_: Json = False,
) -> None:  # fmt: skip
    """What a position pays (negative) or receives at one funding rate, and per day at the venue's interval."""
    with errors():
        from sim import calc_answers as answers

        contract = _contract(venue, symbol, contract_size, None, None)
        _print("funding", answers.funding(contract, position, price, rate), contract, json_)


@calc_app.command("fee")
def fee(
    venue: Venue, position: Size, price: Price, symbol: Symbol = None, contract_size: ContractSize = None,
    maker: Maker = None, taker: Taker = None, json_: Json = False,
) -> None:  # fmt: skip
    """The fee of a fill, as maker and as taker; negative is a rebate."""
    with errors():
        from sim import calc_answers as answers

        contract = _contract(venue, symbol, contract_size, None, None, maker=maker, taker=taker)
        _print("fee", answers.fee(contract, position, price), contract, json_)


@calc_app.command("pnl")
def pnl(
    venue: Venue, position: Size, entry: Entry,
    exit_: Annotated[Decimal, _option("--exit", "price at which it is closed")],
    symbol: Symbol = None, contract_size: ContractSize = None, maker: Maker = None, taker: Taker = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """The profit of closing a position, and what both fills cost as taker."""
    with errors():
        from sim import calc_answers as answers

        contract = _contract(venue, symbol, contract_size, None, None, maker=maker, taker=taker)
        _print("fee", answers.pnl(contract, position, entry, exit_), contract, json_)


# -- from the command line, and to it


def _contract(
    venue: str, symbol: str | None, size: Decimal | None, file: Path | None, mmr: Decimal | None,
    maker: Decimal | None = None, taker: Decimal | None = None,
) -> Contract:  # fmt: skip
    from sim import calc

    rule_card = calc.find_card(venue)
    table = calc.given_table(rule_card, symbol, file, mmr)
    return calc.find_contract(rule_card, symbol, contract_size=size, table=table, maker=maker, taker=taker)


def _account(
    contract: Contract, size: Decimal, entry: Decimal, price: Decimal | None, leverage: int | None,
    isolated: bool, wallet: Decimal | None, added: Decimal | None = None,
) -> Account:  # fmt: skip
    from sim import calc
    from venues.errors import InputError

    if not isolated and wallet is None:
        raise InputError("the whole wallet stands behind a cross position: say how much it is", source="--wallet")
    if added and not isolated:
        raise InputError("is given to an isolated position: a cross one has the whole --wallet", source="--added")
    position = calc.Position(contract, size, entry, price, leverage)
    return calc.Account([position], wallet, isolated=isolated, added=added or Decimal(0))


def _either(entry: Decimal | None, price: Decimal | None) -> Decimal:
    from venues.errors import InputError

    found = entry if entry is not None else price
    if found is None:
        raise InputError("give the price at which the position is valued", source="--price")
    return found


def _print(question: str, found: dict[str, Any], contract: Contract, as_json: bool, isolated: bool = False) -> None:
    from sim import calc_answers as answers

    assumptions = answers.assumptions(contract, question, isolated)
    if as_json:
        typer.echo(answers.json_text({**found, "assumptions": list(assumptions)}))
        return
    for line in answers.table_lines(found):
        typer.echo(line)
    for text in assumptions:
        typer.echo(f"assumed: {text}")
