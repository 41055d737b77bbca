"""Which emulator speaks which venue's side of the wire, and what it is made from.

An emulator's class is made of ``(engine, credentials, entropy)``: the simulated venue, what opens each of its accounts
(one or several a venue account), and where ids and listen keys come from. The names that ``perpsim serve`` takes are
the venues' own and, where a venue has several products, the venue's short name for its first.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from venues.emulation import Credentials, Emulator, VenueEngine
from venues.errors import InputError
from venues.ports import Entropy

# venue: module and class
EMULATORS: Final = {
    "binance_usdm": ("venues.binance.emulator", "BinanceEmulator"),
    "binance_coinm": ("venues.binance.emulator", "BinanceEmulator"),
    "hyperliquid": ("venues.hyperliquid.emulator", "HyperliquidEmulator"),
}
SHORT_NAMES: Final = {"binance": "binance_usdm"}


def served_venue(name: str) -> str:
    """The venue that a name on the command line means. Raises ``InputError`` for one that is not emulated."""
    venue = SHORT_NAMES.get(name, name)
    if venue not in EMULATORS:
        raise InputError(f"cannot be served; known are {', '.join([*SHORT_NAMES, *EMULATORS])}", source=f"venue {name}")
    return venue


def emulator(engine: VenueEngine, credentials: Sequence[Credentials], entropy: Entropy) -> Emulator:
    """The emulator of the engine's venue. Raises ``InputError`` for a venue that has none."""
    module, name = EMULATORS[served_venue(engine.venue)]
    made: Emulator = getattr(importlib.import_module(module), name)(engine, credentials, entropy)
    return made
