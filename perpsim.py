"""perpsim: a simulation-first framework for perpetual futures. The public names, in one place.

    from perpsim import Strategy, backtest

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
    "SELL": "matching.codes",
    "build_info": "matching",
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
    from matching.codes import SELL as SELL

__all__ = [
    "BUY",
    "FOK",
    "GTC",
    "GTX",
    "IOC",
    "LIMIT",
    "MARKET",
    "SELL",
    "build_info",
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
