"""What ``perpsim data`` does, as functions that return plain dictionaries; the command line only parses and prints.

    import_    files of any format of ``recorders.formats``, named or recognised
    build      the lake from raw recordings
    ls info verify gaps compact cache

Each result has ``ok``: False when something needs a person (nothing imported, a damaged file); gaps in a recording
are a fact, not a failure. Errors a caller can correct are raised as ``InputError``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recorders import building
from recorders.clock import LATENCY_FLOOR_NS
from recorders.dayfile import DayFile
from recorders.formats.registry import import_files
from recorders.formats.request import Request
from recorders.instruments import instruments_from_file
from recorders.lake import Lake
from venues.errors import InputError


def import_(
    source: str | None,
    files: Sequence[str | Path],
    lake: str | Path,
    *,
    venue: str | None = None,
    symbol: str | None = None,
    instrument: str | Path | None = None,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    latency_ns: int | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Import ``files`` into ``lake``.

    ``source`` names their format (``recorders.formats.registry``); None: it is found by looking at them. ``venue`` and
    ``symbol`` name the instrument where the files do not, and restrict what is taken where they do. ``instrument``: a
    JSON file that describes instruments which are not documented here (fields of a run file's instrument, a list of
    such, or a venue's exchangeInfo reply). ``latency_ns``: feed latency to add where the files have no receive times.
    """
    request = Request(
        files=tuple(Path(file) for file in files),
        lake=Path(lake),
        venue=venue,
        symbol=symbol,
        instrument=None if instrument is None else Path(instrument),
        latency_floor_ns=latency_floor_ns,
        latency_ns=latency_ns,
        replace=replace,
    )
    name, report = import_files(source, request)
    return {"format": name, **_result(report.as_dict())}


def build(
    raw: Sequence[str | Path],
    lake: str | Path,
    *,
    jobs: int = 1,
    venue: str | None = None,
    symbol: str | None = None,
    instrument: str | Path | None = None,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
    again: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Derive ``lake`` from raw recordings, or bring it up to date with them: see ``recorders.building.build``.

    ``instrument``: a JSON file that describes the contracts to take, see ``import_``."""
    result = building.build(
        raw, lake, jobs=jobs, venue=venue, symbol=symbol,
        instruments=() if instrument is None else instruments_from_file(instrument, venue),
        latency_floor_ns=latency_floor_ns, replace=replace, again=again, progress=progress,
    )  # fmt: skip
    found = bool(result["instruments"]) or all(recording["up_to_date"] for recording in result["recordings"])
    return {"ok": found, **result}


def _result(report: dict[str, Any]) -> dict[str, Any]:
    recordings = report["recordings"]
    totals = {
        name: sum(recording[name] for recording in recordings)
        for name in ("messages", "rows", "gaps", "crossed", "bbo_equal", "bbo_different", "duplicates")
    }
    counts = report["problem_counts"]
    totals["malformed"] = counts.get("malformed", 0) + counts.get("damaged", 0)
    totals["reordered"] = counts.get("reordered", 0)
    return {"ok": bool(recordings), **report, "totals": totals}


def ls(lake: str | Path) -> dict[str, Any]:
    """What a lake holds, by instrument."""
    return {"ok": True, "lake": str(lake), "feeds": Lake(lake).ls()}


def info(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Instruments, files, recordings and clock corrections in full."""
    return {"ok": True, "lake": str(lake), "feeds": Lake(lake).info(venue, symbol)}


def verify(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Check every file (``recorders/verify.py`` says how); ``ok`` is False when one has a problem."""
    files = Lake(lake).verify(venue, symbol)
    return {"ok": not any(file["problems"] for file in files), "lake": str(lake), "files": files}


def gaps(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Every hole in the recordings and between them, and what is there: by feed, and of the time all feeds share."""
    held = Lake(lake)
    covered, common = held.coverage(venue, symbol)
    return {"ok": True, "lake": str(lake), "gaps": held.gaps(venue, symbol), "totals": covered, "common": common}


def compact(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Put small blocks together (``recorders/compact.py``)."""
    from recorders import compact as compaction

    files, left = compaction.compact(Path(lake), venue, symbol)
    return {"ok": True, "lake": str(lake), "files": files, "left_behind": left}


def cache(lake: str | Path, *, clear: bool = False) -> dict[str, Any]:
    """What the hot cache of a lake holds, by day; ``clear`` drops it."""
    held = Lake(lake)
    found = held.cache()
    if found is None:
        return {"ok": True, "lake": str(lake), "folder": None, "days": [], "bytes": 0, "limit_bytes": 0}
    names: dict[str, tuple[str, str, str]] = {}
    for feed in held.feeds():
        for path in feed.paths:
            with suppress(InputError):  # a damaged day is for ``verify``
                names[DayFile(path).digest] = feed.venue, feed.symbol, path.stem
    cleared = {"cleared_bytes": found.clear()} if clear else {}
    days = []
    for day in found.days():
        venue, symbol, name = names.get(day.identity, ("", "", ""))
        days.append({"venue": venue, "symbol": symbol, "day": name, **asdict(day)})
    total = sum(day["bytes"] for day in days)
    about = {"folder": str(found.folder), "limit_bytes": found.limit_bytes, "bytes": total}
    return {"ok": True, "lake": str(lake), **about, "days": days, **cleared}


__all__ = ["cache", "compact", "gaps", "import_", "info", "instruments_from_file", "ls", "verify"]
