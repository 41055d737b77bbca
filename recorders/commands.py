"""What ``perpsim data`` does, as functions that return plain dictionaries; the command line only parses and prints.

    import_    files of any format of ``recorders.formats``, named or recognised
    export     an instrument, or a slice of it, to files for other tools
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
from recorders.instants import Instant
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


def export(
    lake: str | Path,
    to: str | Path,
    form: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    from_: Instant | None = None,
    until: Instant | None = None,
) -> dict[str, Any]:
    """Write instruments of a lake, or a slice of them, to other tools' files.

    ``form``: parquet, csv, lines (``recorders.events``) or npz (``recorders.export_hft``); None: what the name of
    ``to`` ends in, else parquet. ``to`` is a file if its name ends as files of the form do (then there must be one
    instrument), else a folder that gets a file an instrument, ``<venue>_<symbol>``. A new folder's name has no ending.
    """
    from recorders.events import ENDINGS, FORMS, write_events
    from recorders.export_hft import write_npz

    target = Path(to)
    found = next((name for name in FORMS if target.name.endswith(ENDINGS[name])), None)
    if form is None and found is None and target.suffix and not target.is_dir():
        endings = ", ".join(ENDINGS[name] for name in FORMS)
        raise InputError(
            f"ends as no file that can be written ({endings}): rename it, or make the folder first", source=str(target)
        )
    form = form or found or "parquet"
    if form not in FORMS:
        raise InputError(f"{form!r} is none of {', '.join(FORMS)}", source="data export", field="format")
    if found not in (None, form):
        raise InputError(f"is named as {found}, asked for is {form}", source=str(target))
    feeds = Lake(lake).feeds(venue, symbol)
    if not feeds:
        raise InputError(f"has nothing of {venue or ''} {symbol or ''}".rstrip(), source=str(lake))
    if found is not None and len(feeds) > 1:
        names = ", ".join(f"{feed.venue} {feed.symbol}" for feed in feeds)
        raise InputError(f"one file for several instruments ({names}): name one, or give a folder", source=str(target))
    files = []
    for feed in feeds:
        market = Lake(lake).market(feed.venue, feed.symbol, from_, until)
        path = target if found is not None else target / f"{feed.venue}_{feed.symbol}{ENDINGS[form]}"
        rows = write_npz(market, path) if form == "npz" else write_events(market, path, form)
        files.append(
            {"venue": feed.venue, "symbol": feed.symbol, "path": str(path), "rows": rows, "bytes": path.stat().st_size}
        )
    return {"ok": True, "lake": str(lake), "form": form, "files": files}


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


__all__ = ["cache", "compact", "export", "gaps", "import_", "info", "instruments_from_file", "ls", "verify"]
