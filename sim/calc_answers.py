"""The answers of ``perpsim venue calc`` as data, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sim.calc import LIQUIDITY, Account, Contract, Position, decimal_e8, fee_e8, funding_interval_ns, need_margin, plain
from venues.rule_text import statement
from venues.rules import DAY_NS, HOUR_NS

ISOLATED: Final = {True: "isolated", False: "cross"}


def liquidation(account: Account, isolated: bool) -> dict[str, Any]:
    """Liquidation and bankruptcy price, how far the first is from the mark, and what the position holds."""
    position = account.positions[0]
    need_margin(position.contract)
    at = account.liquidation_price_e8()
    mark = position.entry if position.mark is None else position.mark
    price = decimal_e8(at) if at else None
    return {
        **_position(account),
        "mode": ISOLATED[isolated],
        "wallet": decimal_e8(account.wallet_e8),
        "liquidation_price": price,
        "distance_percent": None if price is None else plain(round((price / mark - 1) * 100, 4)),
        "bankruptcy_price": account.bankruptcy_price(),
        **_margins(account),
        "liquidated_now": account.liquidatable(),
    }


def bankruptcy(account: Account) -> dict[str, Any]:
    return {
        **_position(account),
        "wallet": decimal_e8(account.wallet_e8),
        "bankruptcy_price": account.bankruptcy_price(),
    }


def margin(account: Account) -> dict[str, Any]:
    need_margin(account.positions[0].contract)
    return {**_position(account), **_margins(account)}


def funding(contract: Contract, size: Decimal, price: Decimal, rate: Decimal) -> dict[str, Any]:
    """One payment in the venue's rounding, and what a day of such payments comes to."""
    account = Account([Position(contract, size, price)], Decimal(0), isolated=False)
    payment = account.funding_e8(rate)
    interval_ns = funding_interval_ns(contract)
    return {
        **_about(contract),
        "position": size,
        "price": price,
        "rate": rate,
        "notional": decimal_e8(account.notional_e8()),
        "payment": decimal_e8(payment),
        "interval_hours": plain(Decimal(interval_ns) / HOUR_NS),
        "per_day": plain(decimal_e8(payment) * DAY_NS / interval_ns),
    }


def fee(contract: Contract, size: Decimal, price: Decimal) -> dict[str, Any]:
    """What a fill costs as maker and as taker; negative is a rebate."""
    return {
        **_about(contract),
        "position": size,
        "price": price,
        "maker_rate": plain(Decimal(contract.maker_e12).scaleb(-12)),
        "taker_rate": plain(Decimal(contract.taker_e12).scaleb(-12)),
        "maker_fee": decimal_e8(fee_e8(contract, price, size, LIQUIDITY["maker"])),
        "taker_fee": decimal_e8(fee_e8(contract, price, size, LIQUIDITY["taker"])),
    }


def pnl(contract: Contract, size: Decimal, entry: Decimal, leave: Decimal) -> dict[str, Any]:
    """The profit of a round trip, and both fees as taker."""
    account = Account([Position(contract, size, entry)], Decimal(0), isolated=False, also=[leave])
    gain, closing = account.close_e8(leave)
    opening = fee_e8(contract, entry, size, LIQUIDITY["taker"])
    return {
        **_about(contract),
        "position": size,
        "entry": entry,
        "exit": leave,
        "pnl": decimal_e8(gain),
        "open_fee": decimal_e8(opening),
        "close_fee": decimal_e8(closing),
        "net": decimal_e8(gain - opening - closing),
    }


def _about(contract: Contract) -> dict[str, Any]:
    instrument = contract.instrument
    return {
        "venue": contract.card.venue,
        "symbol": instrument.symbol,
        "unit": contract.unit,
        "asset": instrument.settle,
    }


def _position(account: Account) -> dict[str, Any]:
    """The question, as understood."""
    position = account.positions[0]
    return {
        **_about(position.contract),
        "position": position.size,
        "entry": position.entry,
        "price": position.entry if position.mark is None else position.mark,
        "leverage": account.leverages[0],
        "notional": decimal_e8(account.notional_e8()),
    }


def _margins(account: Account) -> dict[str, Any]:
    return {
        "initial_margin": decimal_e8(account.initial_e8()),
        "maintenance_margin": decimal_e8(account.maintenance_e8(0)),
        "tier": account.tier(),
    } | ({} if (over := account.above_limit()) is None else {"above_limit": over})


RESTS_ON: Final = {
    "margin": ("margin.tier_key", "margin.form", "margin.initial_from", "margin.close_fee"),
    "liq": (
        "margin.tier_key", "margin.form", "margin.close_fee", "margin.liquidation_price",
        "liquidation.trigger_price",
    ),
    "funding": (
        "funding.accrual", "funding.interval_ns", "funding.price", "funding.payment_unit_e8",
        "funding.payment_rounding",
    ),
    "fee": ("fees.maker_rate_e12", "fees.taker_rate_e12", "fees.rounding_e8", "fees.rounding"),
}  # fmt: skip


def assumptions(contract: Contract, question: str, isolated: bool = False) -> tuple[str, ...]:
    """What an answer rests on that is not in the question: the card's terms, and facts that no source proves."""
    found = list(contract.terms(question))
    if isolated and "isolated" not in contract.card.margin.modes.value:
        found.append(f"{contract.card.venue} has no isolated margin: an account that holds nothing else is meant")
    for name, fact in contract.card.facts((1 << 63) - 1):
        if name in RESTS_ON[question] and not fact.verified:
            found.append(f"UNVERIFIED {statement(name, fact.value)} ({fact.source})")
    return tuple(found)


# -- printing


def json_text(content: Mapping[str, Any]) -> str:
    """JSON whose numbers carry every digit of a ``Decimal``."""
    import msgspec

    def number(value: Any) -> Any:
        if isinstance(value, Decimal):
            return msgspec.Raw(f"{plain(value):f}".encode())
        if isinstance(value, Mapping):
            return {key: number(inner) for key, inner in value.items()}
        return [number(inner) for inner in value] if isinstance(value, list | tuple) else value

    return msgspec.json.format(msgspec.json.encode(number(content)), indent=1).decode()


def table_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Names and values in two columns."""
    rows = [(key.replace("_", " "), _text(value)) for key, value in found.items() if value is not None]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"{name.ljust(width)}  {text}"


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{plain(value):,f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_text(inner)}" for key, inner in value.items() if inner is not None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(inner) for inner in value)
    return str(value)
