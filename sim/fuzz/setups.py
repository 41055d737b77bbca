"""What a fuzzed session needs to know of each venue: instruments, a starting price, what accounts begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

E8: Final = 10**8


@dataclass(frozen=True, slots=True)
class Setup:
    """``symbols``: (symbol, first mark at 1e-8); ``lot_steps``: lots of an order of size 1; ``step``: ticks between the
    prices that a session uses (those the venue's grid takes)."""

    card: str
    symbols: tuple[tuple[str, int], ...]
    assets: tuple[str, ...]
    deposit: Decimal
    insurance: Decimal
    lot_steps: int = 1
    step: int = 1
    venue: dict[str, Any] = field(default_factory=dict)
    instrument: dict[str, Any] = field(default_factory=dict)


SETUPS: Final = {
    setup.card: setup
    for setup in (
        Setup(
            "binance_usdm",
            (("BTCUSDT", 60_000 * E8), ("ETHUSDT", 3_000 * E8)),
            ("USDT",),
            Decimal(2_000),
            Decimal(3_000),
            lot_steps=20,
        ),
        Setup("binance_coinm", (("BTCUSD_PERP", 60_000 * E8),), ("BTC",), Decimal("0.05"), Decimal("0.05")),
        Setup("bybit_linear", (("BTCUSDT", 60_000 * E8),), ("USDT",), Decimal(2_000), Decimal(3_000), lot_steps=20),
        Setup("bybit_inverse", (("BTCUSD", 60_000 * E8),), ("BTC",), Decimal("0.05"), Decimal("0.05"), lot_steps=100),
        Setup(
            "hyperliquid",
            (("BTC", 60_000 * E8), ("ETH", 3_000 * E8)),
            ("USDC",),
            Decimal(2_000),
            Decimal(3_000),
            lot_steps=1_000,
            step=10,
        ),
        Setup(
            "okx",
            (("ADA-USDT-SWAP", 40_000_000),),  # the only one whose tiers are documented
            ("USDT",),
            Decimal(2_000),
            Decimal(3_000),
            lot_steps=30,
            instrument={
                "base": "ADA",
                "quote": "USDT",
                "settle": "USDT",
                "tick_size": Decimal("0.0001"),
                "lot_size": Decimal(1),
                "contract_size": Decimal(100),
            },
        ),
        Setup(
            "dydx",
            (("BTC-USD", 60_000 * E8), ("ETH-USD", 3_000 * E8)),
            ("USDC",),
            Decimal(2_000),
            Decimal(3_000),
            lot_steps=100,
        ),
        Setup("deribit", (("BTC-PERPETUAL", 60_000 * E8),), ("BTC",), Decimal("0.05"), Decimal("0.05"), lot_steps=10),
    )
}
