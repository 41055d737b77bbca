"""Captured Binance futures streams, USD-M and COIN-M: ``recorders/captures.py`` for these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recorders.captures import BINANCE as VENUES
from recorders.captures import import_captures, venue_of
from recorders.clock import LATENCY_FLOOR_NS
from recorders.report import ImportReport, RecordingReport
from venues.errors import InputError
from venues.instruments import Instrument


def import_binance(
    files: Sequence[str | Path],
    lake: str | Path,
    venue: str | None = None,
    instrument: Instrument | Sequence[Instrument] | None = None,
    *,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
) -> list[RecordingReport]:
    """Import captured lines; one report a recording and instrument. ``import_binance_report`` says more."""
    return import_binance_report(
        files, lake, venue, instrument, latency_floor_ns=latency_floor_ns, replace=replace
    ).recordings


def import_binance_report(
    files: Sequence[str | Path],
    lake: str | Path,
    venue: str | None = None,
    instrument: Instrument | Sequence[Instrument] | None = None,
    *,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
) -> ImportReport:
    """Import files of captured lines into a lake; ``venue`` is binance_usdm or binance_coinm (None: told by the
    symbols). Raises ``InputError``, see ``recorders.captures.import_captures``."""
    if venue is not None and venue not in VENUES:
        raise InputError(f"is none of {', '.join(VENUES)}", source="venue " + repr(venue))
    return import_captures(files, lake, venue, instrument, latency_floor_ns=latency_floor_ns, replace=replace)


__all__ = ["VENUES", "import_binance", "import_binance_report", "venue_of"]
