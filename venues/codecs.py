"""Decoders of market data by venue: bytes as captured in, records of ``venues.market_data`` out.

A codec is a plain object for one connection. It may remember what a venue sends in pieces (Bybit's tickers, a mark and
an index on two channels, the strings that a checksum is made of), so every connection has its own, and ``restart`` is
called when the connection begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from venues.binance.codec import BinanceCodec
from venues.bybit.codec import BybitCodec
from venues.deribit.codec import DeribitCodec
from venues.dydx.codec import DydxCodec
from venues.errors import InstrumentError
from venues.hyperliquid.codec import HyperliquidCodec
from venues.instruments import Instrument
from venues.market_data import Record
from venues.okx.codec import OkxCodec


class MarketCodec(Protocol):
    """Decodes what one connection delivers, of the given instruments; everything else becomes ``Other``."""

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame or REST body as a record. ``symbol`` says whose it is where the body does not (a REST snapshot).

        Raises ``PayloadError`` naming the field, or another ``VenueError`` for a reply that is an error; nothing else.
        """
        ...

    def restart(self) -> None:
        """Forget what was sent before: the connection begins anew."""
        ...


_CODECS: Final[dict[str, Callable[[Iterable[Instrument]], MarketCodec]]] = {
    "binance_usdm": BinanceCodec,
    "binance_coinm": BinanceCodec,
    "bybit_linear": BybitCodec,
    "bybit_inverse": BybitCodec,
    "okx": OkxCodec,
    "hyperliquid": HyperliquidCodec,
    "dydx": DydxCodec,
    "deribit": DeribitCodec,
}


def codec_venues() -> tuple[str, ...]:
    """The venues whose market data can be decoded."""
    return tuple(_CODECS)


def market_codec(venue: str, instruments: Iterable[Instrument]) -> MarketCodec:
    """A codec for one connection. Raises ``InstrumentError`` for a venue without one, or without instruments."""
    make = _CODECS.get(venue)
    if make is None:
        raise InstrumentError(f"market data of {venue} cannot be decoded; known are {', '.join(_CODECS)}")
    return make(instruments)
