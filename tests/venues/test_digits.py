"""Compiled readers of numbers beside the exact parser and Python's own JSON: the same answer, or no answer."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from venues import known_instrument
from venues.digits import read_levels
from venues.errors import InstrumentError
from venues.instruments import MAX_COLUMN, Instrument

BTCUSDT = known_instrument("binance_usdm", "BTCUSDT")
COARSE = Instrument("v", "XUSDT", "X", "USDT", "USDT", False, Decimal("2.5"), Decimal(100), Decimal(1))
FINE = Instrument("v", "XUSDT", "X", "USDT", "USDT", False, Decimal("0.000000000005"), Decimal("0.00001"), Decimal(1))
ODD = Instrument("v", "XUSDT", "X", "USDT", "USDT", False, Decimal("12345.000000001"), Decimal(1), Decimal(1))
INSTRUMENTS = st.sampled_from([BTCUSDT, COARSE, FINE, ODD])
NUMBERS = st.one_of(
    st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True),
    st.integers(0, 10**8).map(lambda n: f"{n / 10:.1f}"),
    st.integers(0, MAX_COLUMN + 2).map(str),
    st.text("0123456789.-+ eE_\u0661", max_size=8),
    st.text(max_size=5),
)
ROWS = st.lists(st.lists(NUMBERS, min_size=2, max_size=2), max_size=6)


def exact(instrument: Instrument, text: str, *, is_price: bool) -> int | str:
    try:
        return instrument.ticks_from_str(text) if is_price else instrument.lots_from_str(text)
    except InstrumentError as error:
        return str(error)


def read(instrument: Instrument, text: str, *, is_price: bool) -> int | str:
    try:
        return (instrument.price_reader() if is_price else instrument.size_reader())[text]
    except InstrumentError as error:
        return str(error)


@given(INSTRUMENTS, NUMBERS, st.booleans())
@example(BTCUSDT, "00000000000000001.50", True)
@example(BTCUSDT, "999999999999999999", True)
@example(BTCUSDT, "9223372036854775807", False)
@example(BTCUSDT, "1.", True)
@example(BTCUSDT, ".1", True)
@example(BTCUSDT, "", True)
@example(BTCUSDT, "1.5000000000000000000", True)
@example(ODD, "0.0", True)
def test_a_reader_answers_as_the_exact_parser(instrument: Instrument, text: str, is_price: bool) -> None:
    assert read(instrument, text, is_price=is_price) == exact(instrument, text, is_price=is_price)


@given(INSTRUMENTS, ROWS)
@example(BTCUSDT, [["1.0", "2"], ["3.1", "0.000"]])
def test_levels_are_read_as_the_exact_parser_has_them_or_left_to_it(
    instrument: Instrument, rows: list[list[str]]
) -> None:
    raw = json.dumps(rows, separators=(",", ":")).encode()
    ticks: list[int] = []
    lots: list[int] = []
    wanted = [(exact(instrument, p, is_price=True), exact(instrument, q, is_price=False)) for p, q in rows]
    if read_levels(instrument.price_reader(), instrument.size_reader(), raw, ticks, lots):
        assert list(zip(ticks, lots, strict=True)) == wanted
    else:
        assert any(isinstance(found, str) or len(text) > 18 for pair, row in zip(wanted, rows, strict=True)
                   for found, text in zip(pair, row, strict=True))  # fmt: skip


@given(st.binary(max_size=30), st.integers(0, 60), st.integers(0, 20))
def test_no_bytes_are_read_otherwise_than_json_reads_them(noise: bytes, at: int, cut: int) -> None:
    good = b'[["1.0","2.000"],["3.5","0.001"],["7","1"]]'
    raw = good[: min(at, len(good))] + noise + good[min(at + cut, len(good)) :]
    ticks: list[int] = []
    lots: list[int] = []
    if read_levels(BTCUSDT.price_reader(), BTCUSDT.size_reader(), raw, ticks, lots):
        rows = json.loads(raw)
        assert ticks == [BTCUSDT.ticks_from_str(price) for price, _ in rows]
        assert lots == [BTCUSDT.lots_from_str(size) for _, size in rows]


@pytest.mark.parametrize("cut", range(29))
def test_a_text_that_ends_early_is_refused(cut: int) -> None:
    good = b'[["1.0","2.000"],["3.5","0"]]'
    assert len(good) == 29 and read_levels(BTCUSDT.price_reader(), BTCUSDT.size_reader(), good, [], [])
    assert not read_levels(BTCUSDT.price_reader(), BTCUSDT.size_reader(), good[:cut], [], [])
