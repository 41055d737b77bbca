"""Instruments: exact grids, contract arithmetic and the parsing of a venue's decimal strings.

Theory of operation. A venue writes prices and sizes as decimal strings. Inside, a price is a whole number of ticks
and a size a whole number of lots; mark, index and oracle prices, which lie off the tick grid, are integers at 1e-8
(``_e8``), rates integers at 1e-12 (``_e12``). Parsing is exact or an ``InstrumentError``: nothing is rounded, no
float takes part, and ``Decimal`` is used only when an instrument is built, because an importer parses millions of
strings. Decoders get a reader (``price_reader``, ``size_reader``), which is compiled for the numbers that venues write
(``venues/digits.py``) and asks the exact parser here about all others.

Contract arithmetic is left to integers as well. For a fill of ``lots`` at ``ticks`` and a mark of ``mark_e8``:

    linear   value_e8 = ticks * lots * value_num / value_den        at mark: lots * mark_e8 * lot_num / lot_den
    inverse  value_e8 = lots * value_num / (ticks * value_den)      at mark: lots * lot_num * 1e8 / (mark_e8 * lot_den)

Values are in units of 1e-8 of the settlement asset. Linear: ``lot_num / lot_den`` is one lot in base coin. Inverse:
it is one lot's face value in units of 1e-8 of the quote currency. Division and its rounding belong to the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from venues.digits import Steps
from venues.errors import InstrumentError

MAX_COLUMN: Final = (1 << 31) - 1  # ticks and lots travel in int32 feed columns
MAX_INT64: Final = (1 << 63) - 1
MAX_TEXT: Final = 40  # no venue writes longer numbers; bounds the work on hostile input
MAX_DECIMALS: Final = 18
CACHE_ENTRIES: Final = 1 << 13

_FILTERS: Final = (
    "max_market_lots", "min_ticks", "max_ticks", "min_notional_e8", "band_up_e12", "band_down_e12", "market_bound_e12",
    "liquidation_fee_e12", "max_open_orders", "band_x_e12", "band_y_e12",
)  # fmt: skip
_POWERS_OF_TEN: Final[tuple[int, ...]] = tuple(10**n for n in range(MAX_DECIMALS + 1))


def scaled_from_str(text: bytes | str, decimals: int) -> int:
    """A non-negative decimal string as an exact integer at ``10**-decimals``.

    Digits, optionally a point and more digits; no sign, exponent, blank or separator. Raises ``InstrumentError`` for
    anything else and for a value that needs more decimals than asked for (trailing zeros are fine).
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    whole, point, fraction = raw.partition(b".")
    if len(raw) > MAX_TEXT or not whole.isdigit() or (point and not fraction.isdigit()):
        raise InstrumentError(f"{_shown(raw)} is not a plain decimal number")
    excess = len(fraction) - decimals
    if excess > 0:
        if fraction[decimals:].strip(b"0"):
            raise InstrumentError(f"{_shown(raw)} has more than {decimals} decimals")
        return int(whole + fraction[:decimals])
    return int(whole + fraction) * _POWERS_OF_TEN[-excess]


def _shown(raw: bytes) -> str:
    return repr(raw[:MAX_TEXT].decode("utf-8", "replace")) + ("..." if len(raw) > MAX_TEXT else "")


def signed_from_str(text: bytes | str, decimals: int) -> int:
    """As ``scaled_from_str``, with an optional leading minus sign."""
    if isinstance(text, str):
        return -scaled_from_str(text[1:], decimals) if text.startswith("-") else scaled_from_str(text, decimals)
    return -scaled_from_str(text[1:], decimals) if text.startswith(b"-") else scaled_from_str(text, decimals)


def mark_e8_from_str(text: bytes | str) -> int:
    """A mark, index or oracle price as an integer at 1e-8. Zero is refused: it is a missing price, not a price."""
    value_e8 = scaled_from_str(text, 8)
    if not 0 < value_e8 <= MAX_INT64:
        raise InstrumentError(f"{text!r} is no price: it must be above 0 and below 2**63 at 1e-8")
    return value_e8


def money_e8_from_str(text: bytes | str) -> int:
    """An amount of money, signed, as an integer at 1e-8."""
    amount_e8 = signed_from_str(text, 8)
    if abs(amount_e8) > MAX_INT64:
        raise InstrumentError(f"{text!r} does not fit 64 bits at 1e-8")
    return amount_e8


def rate_e12_from_str(text: bytes | str) -> int:
    """A rate, signed (funding is negative when shorts pay), as an integer at 1e-12."""
    rate_e12 = signed_from_str(text, 12)
    if abs(rate_e12) > MAX_INT64:
        raise InstrumentError(f"{text!r} does not fit 64 bits at 1e-12")
    return rate_e12


def exact_decimal(value: object, name: str) -> Decimal:
    """A run file's or venue's number as a ``Decimal``. Floats are refused: 0.1 is not a tenth in binary."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise InstrumentError(f'{name}: {value!r} must be a whole number or a decimal string, such as "0.1"')
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise InstrumentError(f"{name}: {value!r} is not a decimal number") from None
    if not number.is_finite():
        raise InstrumentError(f"{name}: {value!r} is not finite")
    return number


class ParseCache(dict[str, int]):
    """Remembers what strings parse to: ``cache[text]``. Emptied when full, so that its memory is bounded."""

    def __init__(self, parse: Callable[[str], int]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> int:
        value = self._parse(text)
        if len(self) >= CACHE_ENTRIES:
            self.clear()
        self[text] = value
        return value

    def __reduce__(self) -> tuple[type[ParseCache], tuple[Callable[[str], int]]]:
        return type(self), (self._parse,)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One contract of one venue, with its grids and filters.

    ``contract_size`` is base coin a unit of size for linear contracts (1 on Binance USD-M), and the face value in quote
    currency a contract for inverse ones (100 USD for Binance BTCUSD_PERP). Filters that are None do not apply.
    ``source`` says where the numbers come from, ``as_of`` the ISO date they were seen on ("": not dated), and
    ``unverified`` names the fields for which no proof was found.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    settle: str
    inverse: bool
    tick_size: Decimal
    lot_size: Decimal
    contract_size: Decimal = Decimal(1)
    min_lots: int = 1
    max_lots: int | None = None
    max_market_lots: int | None = None
    min_ticks: int | None = None
    max_ticks: int | None = None
    min_notional_e8: int | None = None
    band_up_e12: int | None = None  # limit buys at most mark * band_up
    band_down_e12: int | None = None  # limit sells at least mark * band_down
    market_bound_e12: int | None = None  # market orders fill within mark * (1 +- bound)
    liquidation_fee_e12: int | None = None
    max_open_orders: int | None = None
    significant_digits: int | None = None  # prices have at most so many, whole numbers excepted
    tick_steps: tuple[tuple[Decimal, Decimal], ...] = ()  # (above this price, tick there), rising
    band_x_e12: int | None = None  # the x and y of bands around index and mark (rule card: price_band_form)
    band_y_e12: int | None = None
    source: str = ""
    as_of: str = ""
    unverified: tuple[str, ...] = ()
    value_num: int = field(init=False)
    value_den: int = field(init=False)
    lot_num: int = field(init=False)
    lot_den: int = field(init=False)
    price_decimals: int = field(init=False)
    size_decimals: int = field(init=False)
    grid_steps: tuple[tuple[int, int], ...] = field(init=False)  # (from these ticks on, multiples of), rising
    _tick_units: int = field(init=False, repr=False)
    _lot_units: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "contract_size"):
            number = exact_decimal(getattr(self, name), f"{self.symbol}: {name}")
            if number <= 0:
                raise InstrumentError(f"{self.symbol}: {name} must be above 0, not {number}")
            self._set(name, number)
        self._set_grid("tick_size", "price_decimals", "_tick_units")
        self._set_grid("lot_size", "size_decimals", "_lot_units")
        lot = Fraction(self.lot_size) * Fraction(self.contract_size)
        e8 = 10**8
        value = lot * e8 / Fraction(self.tick_size) if self.inverse else lot * e8 * Fraction(self.tick_size)
        mark = lot * e8 if self.inverse else lot
        for name, ratio in (("value", value), ("lot", mark)):
            if max(ratio.numerator, ratio.denominator) > MAX_INT64:
                raise InstrumentError(f"{self.symbol}: tick, lot and contract size need more than 64 bits together")
            self._set(f"{name}_num", ratio.numerator)
            self._set(f"{name}_den", ratio.denominator)
        self._set("tick_steps", self._exact_steps())
        self._set("grid_steps", self._grid_of_price())
        if self.min_lots < 1 or (self.max_lots is not None and self.max_lots < self.min_lots):
            raise InstrumentError(f"{self.symbol}: lots must satisfy 1 <= min_lots <= max_lots")
        for name in _FILTERS:
            number = getattr(self, name)
            if number is not None and not 0 <= number <= MAX_INT64:
                raise InstrumentError(f"{self.symbol}: {name} must be from 0 to 2**63 - 1, not {number}")
        if self.min_ticks and self.max_ticks and self.min_ticks > self.max_ticks:
            raise InstrumentError(f"{self.symbol}: min_ticks {self.min_ticks} is above max_ticks {self.max_ticks}")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _set_grid(self, size_name: str, decimals_name: str, units_name: str) -> None:
        size: Decimal = getattr(self, size_name).normalize()
        exponent = size.as_tuple().exponent
        decimals = max(0, -int(exponent))
        if decimals > MAX_DECIMALS:
            raise InstrumentError(f"{self.symbol}: {size_name} {size} has more than {MAX_DECIMALS} decimals")
        self._set(decimals_name, decimals)
        self._set(units_name, int(size.scaleb(decimals)))

    def _grid_of_price(self) -> tuple[tuple[int, int], ...]:
        """The price grid as steps: multiples of ``tick_size``, coarser from some prices on."""
        digits = self.significant_digits
        if digits is not None:
            if self.tick_steps or digits < 1 or self._tick_units != 1:
                raise InstrumentError(f"{self.symbol}: significant digits need a tick of a power of ten and no steps")
            whole = self.price_decimals  # whole numbers are legal however many digits they have
            return ((0, 1), *((10 ** (digits + k), 10 ** (k + 1)) for k in range(whole)))
        steps = [(0, 1)]
        for above, tick in self.tick_steps:
            last_tick, step = above / self.tick_size, tick / self.tick_size
            if step < 1 or step != int(step) or last_tick != int(last_tick) or last_tick < steps[-1][0]:
                raise InstrumentError(f"{self.symbol}: tick_steps must rise, in multiples of {self.tick_size}")
            steps.append((int(last_tick) + 1, int(step)))
        return tuple(steps)

    def _exact_steps(self) -> tuple[tuple[Decimal, Decimal], ...]:
        where = f"{self.symbol}: tick_steps"
        return tuple((exact_decimal(above, where), exact_decimal(tick, where)) for above, tick in self.tick_steps)

    # -- the price grid, which may be coarser than the tick at high prices

    def step_at(self, ticks: int) -> int:
        """The step of the price grid at a price, in ticks: legal prices are multiples of it."""
        step = 1
        for from_ticks, coarser in self.grid_steps:
            if ticks >= from_ticks:
                step = coarser
        return step

    def on_grid(self, ticks: int) -> bool:
        """Whether the venue takes this price (> 0, in ticks)."""
        return ticks > 0 and ticks % self.step_at(ticks) == 0

    def grid_at_most(self, ticks: int) -> int:
        """The highest legal price not above ``ticks``; 0 when there is none."""
        for from_ticks, step in reversed(self.grid_steps):
            if ticks >= from_ticks:
                down = ticks - ticks % step
                if down >= from_ticks:
                    return down
                ticks = from_ticks - 1
        return 0

    def grid_at_least(self, ticks: int) -> int:
        """The lowest legal price not below ``ticks``."""
        ends = [*(from_ticks for from_ticks, _ in self.grid_steps[1:]), None]
        up = max(ticks, 1)
        for (_, step), end in zip(self.grid_steps, ends, strict=True):
            if end is None or up < end:
                up = -(-up // step) * step
                if end is None or up < end:
                    break
        return up

    # -- strings to integers

    def ticks_from_str(self, text: bytes | str) -> int:
        """A price string as ticks. Exact: off the grid, out of int32 or not a number is an ``InstrumentError``."""
        return self._on_grid(text, self.price_decimals, self._tick_units, "price", self.tick_size)

    def lots_from_str(self, text: bytes | str) -> int:
        """A size string as lots, 0 included (a level's size 0 deletes it). Exact, as ``ticks_from_str``."""
        return self._on_grid(text, self.size_decimals, self._lot_units, "size", self.lot_size)

    def _on_grid(self, text: bytes | str, decimals: int, units: int, what: str, step: Decimal) -> int:
        try:
            count, rest = divmod(scaled_from_str(text, decimals), units)
        except InstrumentError as error:
            raise InstrumentError(f"{self.symbol}: {what} {error} (grid {step})") from None
        if rest:
            raise InstrumentError(f"{self.symbol}: {what} {text!r} is off the grid of {step}")
        if count > MAX_COLUMN:
            raise InstrumentError(f"{self.symbol}: {what} {text!r} is more than {MAX_COLUMN} steps of {step}")
        return count

    def price_reader(self) -> Steps:
        """``ticks_from_str`` for decoders: ``reader[text]``."""
        return Steps(self.price_decimals, min(self._tick_units, MAX_INT64), MAX_COLUMN, self.ticks_from_str)

    def size_reader(self) -> Steps:
        """``lots_from_str`` for decoders: ``reader[text]``."""
        return Steps(self.size_decimals, min(self._lot_units, MAX_INT64), MAX_COLUMN, self.lots_from_str)

    # -- integers to decimals and strings

    def price_of(self, ticks: int) -> Decimal:
        """The price of a number of ticks, exactly, with the grid's decimals."""
        return Decimal(ticks * self._tick_units).scaleb(-self.price_decimals)

    def size_of(self, lots: int) -> Decimal:
        """The venue's size unit (base coin, or contracts) of a number of lots, exactly."""
        return Decimal(lots * self._lot_units).scaleb(-self.size_decimals)

    def price_str(self, ticks: int) -> str:
        """The price as a venue writes it: plain digits, no exponent."""
        return _digits(ticks * self._tick_units, self.price_decimals)

    def size_str(self, lots: int) -> str:
        """The size as a venue writes it: plain digits, no exponent."""
        return _digits(lots * self._lot_units, self.size_decimals)

    def ticks_at_most(self, price_e8: int) -> int:
        """The highest price on the grid not above ``price_e8`` (>= 0), in ticks."""
        return price_e8 * _POWERS_OF_TEN[self.price_decimals] // (self._tick_units * 10**8)

    def ticks_at_least(self, price_e8: int) -> int:
        """The lowest price on the grid not below ``price_e8`` (>= 0), in ticks."""
        return -(-price_e8 * _POWERS_OF_TEN[self.price_decimals] // (self._tick_units * 10**8))

    def price_e8_of(self, ticks: int) -> Fraction:
        """The price of a number of ticks in units of 1e-8, exactly (a fraction when the grid is finer than 1e-8)."""
        return Fraction(ticks * self._tick_units * 10**8, _POWERS_OF_TEN[self.price_decimals])

    # -- contract arithmetic, exact; the ledger's integer rules round these

    def value_e8(self, ticks: int, lots: int) -> Fraction:
        """The exact value of ``lots`` at ``ticks``, in units of 1e-8 of the settlement asset."""
        if self.inverse:
            return Fraction(lots * self.value_num, ticks * self.value_den)
        return Fraction(ticks * lots * self.value_num, self.value_den)

    def value_at_mark_e8(self, lots: int, mark_e8: int) -> Fraction:
        """The exact value of ``lots`` at a mark price, in units of 1e-8 of the settlement asset."""
        if self.inverse:
            return Fraction(lots * self.lot_num * 10**8, mark_e8 * self.lot_den)
        return Fraction(lots * mark_e8 * self.lot_num, self.lot_den)

    def assumptions(self, date: str = "") -> tuple[str, ...]:
        """One sentence for each number of this instrument that no source proves, for the realism banner.

        ``date`` is the ISO date simulated; filters seen later than that are an assumption as well.
        """
        found = [f"{self.venue} {self.symbol}: {n} = {getattr(self, n)} ({self.source})" for n in self.unverified]
        if date and date < self.as_of:
            found.append(f"{self.venue} {self.symbol}: filters as of {self.as_of} used for {date} ({self.source})")
        return tuple(found)

    # -- other sources of instruments

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Instrument:
        """An instrument from a run file's fields (numbers as whole numbers or decimal strings, never floats).

        Required: venue, symbol, tick_size, lot_size. ``inverse`` defaults to False, ``settle`` to the quote currency
        (base for inverse contracts), ``base`` and ``quote`` to a split of the symbol where that is plain. The filters
        keep their names; unknown names are an ``InstrumentError``.
        """
        known = {f.name for f in fields(cls) if f.init}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InstrumentError(f"instrument {values.get('symbol')!r}: unknown field {unknown[0]!r}")
        missing = [name for name in ("venue", "symbol", "tick_size", "lot_size") if name not in values]
        if missing:
            raise InstrumentError(f"instrument {values.get('symbol')!r}: field {missing[0]!r} is missing")
        found = dict(values)
        if "base" not in found or "quote" not in found:
            base, quote = split_symbol(str(found["symbol"]))
            found.setdefault("base", base)
            found.setdefault("quote", quote)
        found.setdefault("inverse", False)
        found.setdefault("settle", found["base"] if found["inverse"] else found["quote"])
        found.setdefault("source", "run file")
        for name in ("tick_size", "lot_size", "contract_size"):
            if name in found:
                found[name] = exact_decimal(found[name], f"{found['symbol']}: {name}")
        return cls(**found)

    def with_venue(self, venue: str) -> Instrument:
        """The same contract under another venue name (the neutral card borrows real grids this way)."""
        return replace(self, venue=venue)


def _digits(units: int, decimals: int) -> str:
    """A whole number of 10**-decimals as decimal digits."""
    if units < 0:
        return "-" + _digits(-units, decimals)
    text = str(units)
    if not decimals:
        return text
    if len(text) <= decimals:
        text = text.zfill(decimals + 1)
    return f"{text[:-decimals]}.{text[-decimals:]}"


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote of a plain perpetual symbol such as BTCUSDT, BTCUSD_PERP, BTC-USDC, BTC-USDT-SWAP or
    SOL_USDC-PERPETUAL; BTC-PERPETUAL, without a quote, is in USD."""
    bare = symbol.upper().removesuffix("_PERP").removesuffix("-SWAP").removesuffix("-PERPETUAL")
    name = bare.replace("-", "").replace("/", "").replace("_", "")
    for quote in ("USDT", "USDC", "FDUSD", "BUSD", "USD", "BTC", "ETH"):
        if name.endswith(quote) and len(name) > len(quote):
            return name[: -len(quote)], quote
    if symbol.upper().endswith("-PERPETUAL") and name == bare:
        return name, "USD"
    raise InstrumentError(f"cannot tell base and quote of {symbol!r}: give both")
