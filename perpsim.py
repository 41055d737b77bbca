"""perpsim: a simulation-first framework for perpetual futures. The public names, in one place.

    from perpsim import Strategy, backtest, live, paper

Names are looked up on first use, so that importing this module costs next to nothing. The code lives in the packages
``matching``, ``venues``, ``recorders`` and ``sim`` beside this file; a foreign package of one of these names earlier
on the import path would silently take the place of ours, so that is refused here, naming both.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PACKAGES = ("matching", "venues", "recorders", "sim")

# Public name -> module that defines it.
_HOME = {
    "BUY": "matching.codes",
    "FOK": "matching.codes",
    "GTC": "matching.codes",
    "GTX": "matching.codes",
    "IOC": "matching.codes",
    "LIMIT": "matching.codes",
    "MARKET": "matching.codes",
    "NO_PRICE": "matching.codes",
    "SELL": "matching.codes",
    "Bar": "sim.bars",
    "Book": "sim.strategy",
    "Context": "sim.strategy",
    "Fill": "sim.strategy",
    "Funding": "sim.strategy",
    "Gap": "sim.strategy",
    "InputError": "venues.errors",
    "Instrument": "venues",
    "Lake": "recorders.lake",
    "Liquidation": "sim.strategy",
    "LocalError": "venues.errors",
    "Market": "recorders.access",
    "Order": "sim.strategy",
    "OrderEvent": "sim.strategy",
    "PerpsimError": "venues.errors",
    "Result": "sim.backtest",
    "RunConfig": "sim.config",
    "Setting": "sim.strategy",
    "Strategy": "sim.strategy",
    "Trade": "sim.strategy",
    "VenueError": "venues.errors",
    "backtest": "sim.backtest",
    "build_info": "matching",
    "card": "venues",
    "known_instrument": "venues",
    "live": "sim.live.shell",
    "load_config": "sim.config",
    "paper": "sim.live.shell",
}

if TYPE_CHECKING:
    from matching import build_info as build_info
    from matching.codes import BUY as BUY
    from matching.codes import FOK as FOK
    from matching.codes import GTC as GTC
    from matching.codes import GTX as GTX
    from matching.codes import IOC as IOC
    from matching.codes import LIMIT as LIMIT
    from matching.codes import MARKET as MARKET
    from matching.codes import NO_PRICE as NO_PRICE
    from matching.codes import SELL as SELL
    from recorders.access import Market as Market
    from recorders.lake import Lake as Lake
    from sim.backtest import Result as Result
    from sim.backtest import backtest as backtest
    from sim.bars import Bar as Bar
    from sim.config import RunConfig as RunConfig
    from sim.config import load_config as load_config
    from sim.live.shell import live as live
    from sim.live.shell import paper as paper
    from sim.strategy import Book as Book
    from sim.strategy import Context as Context
    from sim.strategy import Fill as Fill
    from sim.strategy import Funding as Funding
    from sim.strategy import Gap as Gap
    from sim.strategy import Liquidation as Liquidation
    from sim.strategy import Order as Order
    from sim.strategy import OrderEvent as OrderEvent
    from sim.strategy import Setting as Setting
    from sim.strategy import Strategy as Strategy
    from sim.strategy import Trade as Trade
    from venues import Instrument as Instrument
    from venues import card as card
    from venues import known_instrument as known_instrument
    from venues.errors import InputError as InputError
    from venues.errors import LocalError as LocalError
    from venues.errors import PerpsimError as PerpsimError
    from venues.errors import VenueError as VenueError

__all__ = [
    "BUY",
    "FOK",
    "GTC",
    "GTX",
    "IOC",
    "LIMIT",
    "MARKET",
    "NO_PRICE",
    "SELL",
    "Bar",
    "Book",
    "Context",
    "Fill",
    "Funding",
    "Gap",
    "InputError",
    "Instrument",
    "Lake",
    "Liquidation",
    "LocalError",
    "Market",
    "Order",
    "OrderEvent",
    "PerpsimError",
    "Result",
    "RunConfig",
    "Setting",
    "Strategy",
    "Trade",
    "VenueError",
    "backtest",
    "build_info",
    "card",
    "known_instrument",
    "live",
    "load_config",
    "paper",
]


def _package_folder(name: str) -> Path | None:
    """The folder that ``import name`` gives (or has given) in this process."""
    module = sys.modules.get(name)
    spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None


def _refuse_shadows() -> None:
    """Raise ImportError if one of our packages is hidden by another of its name."""
    here = Path(__file__).resolve().parent
    for name in _PACKAGES:
        found = _package_folder(name)
        if found == here / name:
            continue
        if found is None:
            raise ImportError(f"perpsim: its package {name!r} is missing beside {__file__}: reinstall perpsim")
        raise ImportError(
            f"perpsim: {found} hides perpsim's own package {name!r} ({here / name}), because it comes first on the "
            f"import path. Rename your {name!r}, or start Python from another folder.",
            name=name,
            path=str(found),
        )


def main() -> None:
    """The command ``perpsim``."""
    from sim.cli import main as command

    command()


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'perpsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_refuse_shadows()
