"""How Binance's futures write things: numbers, refusals, parameters. Shared by the parts of the emulator.

Decimals leave as strings, exactly, with the decimals of the symbol; flags as booleans. A request's parameters are its
query and its form body together (the WS API: its ``params``), each as text, whatever type a client sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from matching import codes
from venues.binance.reasons import REASONS
from venues.errors import InstrumentError
from venues.instruments import Instrument, scaled_from_str
from venues.wire import MS, plain_number

E8: Final = 10**8
_Name = TypeVar("_Name")
_PRICE_DECIMALS: Final = {"BTCUSDT": 2}  # pricePrecision where it is finer than the tick (exchangeInfo, 2026-09-15)
_CACHE_MOST: Final = 1 << 13
_PLAIN: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{0,20})?$|-?\.[0-9]{1,20}$")
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}$")

# -- refusals

WORDS: Final[dict[int, str]] = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests; please use the websocket for live updates to avoid polling the API.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1013: "Invalid message.",
    -1015: "Too many new orders.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1102: "A mandatory parameter was not sent, was empty/null, or malformed.",
    -1109: "Invalid account.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1130: "Invalid data sent for a parameter.",
    -1136: "Invalid newOrderRespType.",
    -2010: "New order rejected.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2018: "Balance is insufficient.",
    -2019: "Margin is insufficient.",
    -2020: "Unable to fill.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2023: "User in liquidation mode now.",
    -2025: "Reach max open order limit.",
    -2026: "This OrderType is not supported when reduceOnly.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -2028: "Leverage is smaller than permitted: insufficient margin balance.",
    -4001: "Price less than 0.",
    -4002: "Price greater than max price.",
    -4003: "Quantity less than zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4006: "Stop price less than zero.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4016: "Price is higher than mark price multiplier cap.",
    -4021: "Invalid depth limit.",
    -4023: "Qty not increased by step size.",
    -4024: "Price is lower than mark price multiplier floor.",
    -4028: "Leverage is not valid",
    -4031: "Invalid parameter working type.",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4049: "Add margin only support for isolated position.",
    -4051: "Isolated balance insufficient.",
    -4054: "Cannot add position margin: position is 0.",
    -4055: "Amount must be positive.",
    -4059: "No need to change position side.",
    -4060: "Invalid position side.",
    -4061: "Order's position side does not match user's setting.",
    -4062: "Invalid or improper reduceOnly value.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4082: "Invalid number of batch place orders.",
    -4087: "User can only place reduce only order.",
    -4116: "ClientOrderId is duplicated.",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4135: "Invalid activation price.",
    -4136: "Invalid callback rate.",
    -4137: "Quantity must be zero with closePosition equals true.",
    -4138: "Reduce only must be true with closePosition equals true.",
    -4140: "Invalid symbol status for opening position.",
    -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions.",
    -4164: "Order's notional must be no smaller than the minimum (unless you choose reduce only).",
    -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
    -4171: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
    -4192: "Trade forbidden due to Cooling-off Period.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    -5025: "Only limit order is supported.",
    -5026: "Exceed maximum modify order limit.",
    -5027: "No need to modify the order.",
    -5028: "Timestamp for this request is outside of the ME recvWindow.",
    -5029: "Order's notional must be no smaller than the minimum.",
    -5037: "Invalid price match.",
    -5038: "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT.",
    -5039: "Invalid self trade prevention mode.",
    -5040: "The goodTillDate timestamp must be greater than the current time plus 600 seconds.",
    -5041: "No depth matches this BBO order.",
    -5043: "A pending modification already exists for this order.",
}
_STATUS: Final = {-1001: 503, -1003: 429, -1007: 408, -1008: 503, -1015: 429, -2014: 401, -2015: 401}


class Refusal(Exception):  # noqa: N818  # an answer, not a failure of ours
    """What the venue answers instead of a result: its code, its words, an HTTP status of 4xx or 5xx."""

    def __init__(self, code: int, text: str = "", status: int = 0) -> None:
        self.code = code
        self.text = text or WORDS.get(code, "An error occurred.")
        self.status = status or _STATUS.get(code, 400)
        super().__init__(f"{code}: {self.text}")

    def body(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.text}


def refused(reason: int, code: int, text: str, asked: str, minimum: str = "") -> Refusal:
    """The refusal of a request that the simulated venue rejected for ``reason`` with a code of its own (0: none)."""
    if reason in (codes.R_NO_BOOK, codes.R_LATENCY):
        return Refusal(-1008)
    found = REASONS.find(reason, asked)
    number = code or (found.code if found is not None and found.code is not None else -2010)
    if number == -4164 and minimum:
        return Refusal(number, f"Order's notional must be no smaller than {minimum} (unless you choose reduce only).")
    return Refusal(number, WORDS.get(number, "") or text)


# -- numbers


class Printer:
    """One symbol's numbers as text."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.price_decimals = max(instrument.price_decimals, _PRICE_DECIMALS.get(instrument.symbol, 0))
        self.size_decimals = instrument.size_decimals
        self._prices: dict[int, str] = {}
        self._sizes: dict[int, str] = {}

    def price(self, ticks: int) -> str:
        found = self._prices.get(ticks)
        if found is None:
            if len(self._prices) >= _CACHE_MOST:
                self._prices.clear()
            found = self._prices[ticks] = f"{self.instrument.price_of(ticks):.{self.price_decimals}f}"
        return found

    def size(self, lots: int) -> str:
        found = self._sizes.get(lots)
        if found is None:
            if len(self._sizes) >= _CACHE_MOST:
                self._sizes.clear()
            found = self._sizes[lots] = self.instrument.size_str(lots)
        return found

    def average(self, value: Fraction, lots: int, decimals: int = 5) -> str:
        """The price at which ``lots`` are worth ``value`` (1e-8 of the settlement asset); zero where there are none."""
        return fixed(self.average_e8(value, lots), 8, decimals)

    def average_e8(self, value: Fraction, lots: int) -> Fraction:
        if not lots or not value:
            return Fraction(0)
        one = self.instrument
        if one.inverse:
            return Fraction(lots * one.lot_num * E8, one.lot_den) / value
        return value * one.lot_den / (lots * one.lot_num)

    def quote(self, value: Fraction, decimals: int = 8) -> str:
        """A value (1e-8 of the settlement asset)."""
        return fixed(value, 8, decimals)


def fixed(value: Fraction | int, scale: int, decimals: int) -> str:
    """A number given in units of ``10**-scale`` with a number of decimals, half to even."""
    scaled = round(Fraction(value) * 10**decimals / 10**scale)
    sign = "-" if scaled < 0 else ""
    whole, rest = divmod(abs(scaled), 10**decimals)
    return f"{sign}{whole}.{rest:0{decimals}d}" if decimals else f"{sign}{whole}"


def money(amount_e8: int) -> str:
    sign = "-" if amount_e8 < 0 else ""
    whole, rest = divmod(abs(amount_e8), E8)
    return f"{sign}{whole}.{rest:08d}"


def rate(rate_e12: int, decimals: int = 8) -> str:
    return fixed(rate_e12, 12, decimals)


def plain(amount_e8: int) -> str:
    """An amount without trailing zeros, such as "0.0" or "22185.2"."""
    text = money(amount_e8).rstrip("0")
    return text + "0" if text.endswith(".") else text


def ms(time_ns: int) -> int:
    return time_ns // MS


def encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


# -- parameters


def form(query: str, body: bytes) -> dict[str, str]:
    """Parameters of a query and of a form body (or of a JSON object as body)."""
    text = body.decode("utf-8", "replace").strip()
    found = dict(parse_qsl(query, keep_blank_values=True))
    if text.startswith("{"):
        try:
            found.update(raw_texts(_OBJECT.decode(text.encode())))
        except (msgspec.DecodeError, RecursionError):
            raise Refusal(-1013) from None
    elif text:
        found.update(parse_qsl(text, keep_blank_values=True))
    return found


def raw_texts(values: Mapping[_Name, msgspec.Raw]) -> dict[_Name, str]:
    """JSON parameters as text: strings without their quotes, all else as it was written (numbers are never floats)."""
    found = {}
    for name, raw in values.items():
        text = bytes(raw).decode("utf-8", "replace").strip()
        if text != "null":
            found[name] = str(msgspec.json.decode(text)) if text.startswith('"') else text
    return found


class Params:
    """Named parameters with the venue's refusals for what is missing or malformed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def has(self, name: str) -> bool:
        return self.values.get(name, "") != ""

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, "")
        if value == "":
            if default is None:
                raise missing(name)
            return default
        return value

    def word(self, name: str, default: str | None = None) -> str:
        return self.text(name, default).upper()

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.values.get(name, "")
        if value == "":
            if default is None:
                raise missing(name)
            return default
        if value.endswith(".0"):
            value = value[:-2]
        if not _WHOLE.match(value):
            raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.text(name, "true" if default else "false").lower()  # Python clients write True
        if value not in ("true", "false"):
            raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value == "true"

    def scaled(self, name: str, decimals: int) -> int:
        """A decimal, exactly, at ``10**-decimals``; too many decimals are -1111."""
        value = plain_number(self.text(name))
        if not _PLAIN.match(value):
            legal = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
            raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
        whole, _, fraction = value.lstrip("-").partition(".")
        try:
            amount = scaled_from_str(f"{whole or '0'}.{fraction or '0'}", decimals)
        except InstrumentError:
            raise Refusal(-1111) from None
        return -amount if value.startswith("-") else amount

    def limit(self, default: int, most: int, name: str = "limit") -> int:
        found = self.integer(name, default)
        if found < 1:
            raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
        return min(found, most)

    def objects(self, name: str) -> list[dict[str, str]]:
        """A JSON list of objects, each as parameters."""
        try:
            return [raw_texts(one) for one in _OBJECTS.decode(self.text(name).encode())]
        except (msgspec.DecodeError, RecursionError):
            raise missing(name) from None

    def scalars(self, name: str) -> list[str]:
        """A JSON list of numbers or strings, as text."""
        try:
            return list(raw_texts(dict(enumerate(_LIST.decode(self.text(name).encode())))).values())
        except (msgspec.DecodeError, RecursionError):
            raise missing(name) from None


def missing(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
