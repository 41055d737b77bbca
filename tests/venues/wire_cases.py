"""What the tests of the venues' codecs share: golden cases, payload files of others, and the fuzz invariant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from venues.codecs import MarketCodec
from venues.errors import PayloadError, VenueError
from venues.instruments import Instrument
from venues.market_data import Batch, DepthDiff, DepthSnapshot, Other, Record, Single

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ADAPTERS = DATA / "nautilus" / "crates" / "adapters"
CRYPTOFEED = DATA / "cryptofeed" / "sample_data"
MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Golden:
    """A message written by hand, what it must become, and what the connection had sent before."""

    message: Any
    record: Record
    before: tuple[Any, ...] = ()
    symbol: str = ""


def encoded(message: object) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()


def check_golden(codec: MarketCodec, golden: Golden) -> None:
    """As written, with blanks, and with the keys of the whole message in another order."""
    spellings = [encoded(golden.message)]
    if isinstance(golden.message, dict):
        spellings.append(json.dumps(golden.message, indent=1).encode())
        spellings.append(encoded(dict(reversed(golden.message.items()))))
    for raw in spellings:
        codec.restart()
        for earlier in golden.before:
            codec.decode(encoded(earlier))
        assert codec.decode(raw, golden.symbol) == golden.record


def refused(codec: MarketCodec, message: object, symbol: str = "") -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        codec.decode(encoded(message), symbol)
    return caught.value


def singles(record: Record) -> tuple[Single, ...]:
    return record.records if isinstance(record, Batch) else (record,)


def outcome(codec: MarketCodec, raw: bytes, symbol: str = "") -> str:
    """A word for a table: the kinds of records, the name of an ``Other``, or the field and words of an error."""
    try:
        record = codec.decode(raw, symbol)
    except PayloadError as error:
        return f"malformed {error.field}"
    except VenueError as error:
        return f"error {error.code}: {error.text}" if error.code is not None else f"error: {error.text}"
    found = singles(record)
    names = sorted({f"Other {r.event}" if isinstance(r, Other) else type(r).__name__ for r in found})
    count = f"{len(found)} " if len(found) > 1 else ""
    return count + ", ".join(names)


def payload_files(folder: Path) -> list[Path]:
    if not folder.exists():
        pytest.skip(f"no payloads of others: {folder} is absent")
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ""))


def captured(name: str) -> Iterator[tuple[float, bytes]]:
    """(receive time in seconds, frame) of a capture by cryptofeed; what was sent to the venue is left out."""
    path = CRYPTOFEED / name
    if not path.exists():
        pytest.skip(f"no recorded frames: {path} is absent")
    for line in path.read_bytes().splitlines():
        time, _, raw = line.partition(b": ")
        if time.replace(b".", b"").isdigit():
            yield float(time), raw


def answers(name: str) -> Iterator[Any]:
    """The REST bodies of a capture by cryptofeed, numbers as ``int`` and ``Decimal``."""
    path = CRYPTOFEED / name
    if not path.exists():
        pytest.skip(f"no recorded frames: {path} is absent")
    for line in path.read_text().splitlines():
        body = line.partition(" -> ")[2].partition(": ")[2]
        if body:
            yield json.loads(body, parse_float=Decimal)


class PlainGrid:
    """Ticks, lots and scaled numbers by ``Decimal``, apart from the code under test."""

    def __init__(self, instrument: Instrument) -> None:
        self.tick, self.lot = instrument.tick_size, instrument.lot_size

    def ticks(self, text: object) -> int:
        return whole(Decimal(str(text)) / self.tick)

    def lots(self, text: object) -> int:
        return whole(Decimal(str(text)) / self.lot)


def whole(number: Decimal) -> int:
    assert number == number.to_integral_value()
    return int(number)


class PlainBook:
    """A book from records, for the invariants: never crossed, and a chain without a hole."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last_id: int | None = None
        self.broken = 0
        self.crossed = 0

    def take(self, record: Any) -> None:
        name = type(record).__name__
        if name == "DepthSnapshot":
            self.bids, self.asks = {}, {}
        elif record.previous_id != self.last_id:
            self.broken += 1
        self.last_id = record.last_id
        for side, ticks, lots in (
            (self.bids, record.bid_ticks, record.bid_lots),
            (self.asks, record.ask_ticks, record.ask_lots),
        ):
            for at, size in zip(ticks, lots, strict=True):
                if size:
                    side[at] = size
                else:
                    side.pop(at, None)
        if self.bids and self.asks and max(self.bids) >= min(self.asks):
            self.crossed += 1


# -- the fuzz invariant: any bytes decode or raise VenueError, nothing else


def decodes_or_raises_venue_error(codec: MarketCodec, raw: bytes, symbol: str = "") -> None:
    try:
        record = codec.decode(raw, symbol)
    except VenueError:
        return
    for one in singles(record):
        check_usable(one)


_COLUMN_MAX = (1 << 31) - 1
_INT64_MAX = (1 << 63) - 1
_SMALL = {"ticks", "lots", "filled_lots", "bid_lots", "ask_lots", "bid_ticks", "ask_ticks"}


def check_usable(record: Single) -> None:
    """What every reader of records relies on: integers that fit their columns, sides of equal length."""
    assert isinstance(record, Single)
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if type(value) is int:
            low = -_INT64_MAX if name == "rate_e12" else 0
            assert low <= value <= (_COLUMN_MAX if name in _SMALL else _INT64_MAX), (name, value)
        elif type(value) is list:
            assert all(type(item) is int and 0 <= item <= _COLUMN_MAX for item in value), name
        else:
            assert value is None or type(value) in (str, bool), (name, value)
            assert not isinstance(value, str) or len(value) <= 100, name
    if isinstance(record, DepthDiff | DepthSnapshot):
        assert len(record.bid_ticks) == len(record.bid_lots)
        assert len(record.ask_ticks) == len(record.ask_lots)


_PATCHES = [
    b'"', b"-", b"1e9", b"null", b"[", b"}", b"[]", b"{}", b'""', b"true", b"0", b"9" * 30, b'"0"', b"-1",
]  # fmt: skip


def mutilated(draw: Any, payloads: Sequence[bytes]) -> bytes:
    raw = bytearray(draw(st.sampled_from(payloads)))
    for _ in range(draw(st.integers(1, 4))):
        if not raw:
            break
        at = draw(st.integers(0, len(raw) - 1))
        cut = draw(st.integers(0, 8))
        raw[at : at + cut] = draw(st.one_of(st.binary(max_size=6), st.sampled_from(_PATCHES)))
    return bytes(raw)


def changed(draw: Any, message: Any) -> Any:
    """A copy of a JSON value with one of its parts replaced by nonsense."""
    nonsense = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}),
        st.sampled_from(["snapshot", "delta", "update", "0", "-1", "1e400", "9" * 39, "error", 2**63, -1]),
    )  # fmt: skip
    if isinstance(message, dict) and message and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(list(message)))
        if draw(st.integers(0, 7)) == 0:
            return {name: value for name, value in message.items() if name != key}
        return message | {key: changed(draw, message[key])}
    if isinstance(message, list) and message and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(message) - 1))
        return [*message[:at], changed(draw, message[at]), *message[at + 1 :]]
    return draw(nonsense)
