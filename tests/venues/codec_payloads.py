"""Every codec with the payloads written in its tests: what the fuzz tests and campaigns start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.venues import (
    test_binance_codec,
    test_bybit_codec,
    test_deribit_codec,
    test_dydx_codec,
    test_hyperliquid_codec,
    test_okx_codec,
)
from tests.venues.wire_cases import Golden
from venues import known_instrument
from venues.codecs import MarketCodec, codec_venues, market_codec
from venues.instruments import Instrument

INSTRUMENTS: dict[str, list[Instrument]] = {
    "binance_usdm": [test_binance_codec.BTCUSDT, test_binance_codec.ETHUSDT],
    "binance_coinm": [test_binance_codec.BTCUSD_PERP],
    "bybit_linear": [test_bybit_codec.BTCUSDT],
    "bybit_inverse": [known_instrument("bybit_inverse", "BTCUSD")],
    "okx": [test_okx_codec.SWAP, known_instrument("okx", "ETH-USDT-SWAP")],
    "hyperliquid": [test_hyperliquid_codec.BTC],
    "dydx": [test_dydx_codec.BTC, test_dydx_codec.ETH],
    "deribit": [test_deribit_codec.PERP],
}
_GOLDEN: dict[str, dict[str, Golden]] = {
    "bybit": test_bybit_codec.KINDS | {f"v2 {kind}": golden for kind, golden in test_bybit_codec.V2_KINDS.items()},
    "okx": test_okx_codec.KINDS,
    "hyperliquid": test_hyperliquid_codec.KINDS,
    "dydx": test_dydx_codec.KINDS,
    "deribit": test_deribit_codec.KINDS,
}
_OTHERS: dict[str, list[Any]] = {
    "bybit": [message for message, _ in test_bybit_codec.OTHERS],
    "okx": [message for message, _ in test_okx_codec.OTHERS],
    "hyperliquid": [message for message, _ in test_hyperliquid_codec.OTHERS],
    "dydx": [message for message, _ in test_dydx_codec.OTHERS],
    "deribit": [message for message, _ in test_deribit_codec.OTHERS],
}


def new_codec(venue: str) -> MarketCodec:
    return market_codec(venue, INSTRUMENTS[venue])


def messages(venue: str) -> list[Any]:
    """Each kind of message, after what the connection sends before it."""
    family = venue.partition("_")[0]
    if family == "binance":
        found = [message for message, _ in test_binance_codec.KINDS.values()]
        return [*found, *({"stream": "btcusdt@x", "data": message} for message in found)]
    kinds = [part for golden in _GOLDEN[family].values() for part in (*golden.before, golden.message)]
    return [*kinds, *_OTHERS[family]]


VENUES = codec_venues()
MAKERS: dict[str, Callable[[], MarketCodec]] = {venue: (lambda venue=venue: new_codec(venue)) for venue in VENUES}
