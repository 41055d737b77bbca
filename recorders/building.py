"""``perpsim data build``: the lake derived from raw recordings, by the codecs that read the wire live.

Theory of operation. A recording is read up to its last whole block (``recorders/raw``), told again to an importer a
venue (``recorders/replaying.py``), and written down by days (``recorders/stream.py``). Work is cut into *parts*: a
venue and some of its instruments; every part reads the recording for itself and writes other day files, so that parts
run in processes of their own and the lake does not depend on how many there are.

What has been built is remembered beside the lake's files (``LAKE/.built/<recording>.json``): the segments with their
sizes and hashes, the code, the options, and which recordings in which day files came of them. When nothing of that has
changed, there is nothing to do. Otherwise everything is derived again from the recording's beginning, and a day file
that comes out the same, byte by byte, is left as it is: of a recording that has grown, only the days that it touched
are rewritten. The note is a convenience; without it the same files come out."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from recorders.captures import MarketImport, documented
from recorders.clock import LATENCY_FLOOR_NS
from recorders.dayfile import DayFile
from recorders.files import SPOOL_PREFIX, SourceFile, fingerprint, partial_path, publish, writing
from recorders.raw import NOTE, RawRecording, open_recordings
from recorders.replaying import Axis, Owners, Replay, Segment, config_of
from recorders.report import NAMED_MAX, ImportReport, Problems
from recorders.stream import Shared
from recorders.writer import code_version, instrument_fields, instrument_from
from venues.codecs import codec_venues
from venues.errors import InputError, LocalError
from venues.instruments import Instrument

BUILT: Final = ".built"
FORMAT: Final = 1
JOBS_MAX: Final = 64
Progress = Callable[[str], None]


@dataclass(slots=True)
class _Source:
    """A recording as it was when the build began."""

    path: Path
    segments: list[Segment]
    sources: list[SourceFile]
    stamps: list[dict[str, Any]]  # what the note remembers of the segments
    state: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def until(self) -> int:
        """The last record to build: all there are, unless more are being written meanwhile."""
        return self.last_seq if self.state == "open" else (1 << 63) - 1

    @property
    def last_seq(self) -> int:
        return max((segment.last_seq for segment in self.segments), default=0)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one process does: some instruments of a venue in one recording. The first part of a venue ``speaks``: it
    reports what concerns no instrument."""

    path: Path
    segments: tuple[tuple[str, int], ...]
    until: int
    sources: tuple[SourceFile, ...]
    root: Path
    folder: Path
    venue: str
    instruments: tuple[Instrument, ...]
    only: frozenset[str]
    speaks: bool
    recorded: dict[str, frozenset[str]]
    floor_ns: int
    replace: bool


@dataclass(slots=True)
class _Done:
    """What a part has done."""

    report: ImportReport
    notices: Problems
    messages: int
    days: dict[str, list[str]] = field(default_factory=dict)


# -- one part


def _run(part: _Part) -> _Done:
    recording = RawRecording(part.path)
    segments = [Segment(name, last) for name, last in part.segments]
    report = ImportReport(str(part.root))
    notices = Problems()
    axis = Axis()
    with tempfile.TemporaryDirectory(prefix="part-", dir=part.folder) as folder:
        prefix = part.path.name + "/"
        shared = Shared(
            segments, list(part.sources), report.problems, report, Path(folder), part.floor_ns,
            by_silence=False, daily=True, notices=notices, since_ns=_began(recording), shifts_ns=axis.shifts_ns,
        )  # fmt: skip
        target = MarketImport(
            shared, part.root, part.venue, part.instruments, replace=part.replace, only=part.only, speaks=part.speaks,
            owns=lambda found: any(source["name"].startswith(prefix) for source in found.get("sources", ())),
        )  # fmt: skip
        replay = Replay(part.venue, target, segments, notices, axis, Owners(part.recorded))
        done = _Done(report, notices, 0)
        try:
            replay.run(recording.records(), part.until)
            for stream in target.streams.values():
                report.written += [str(path) for path in stream.writer.close()]
                report.replaced += stream.writer.replaced
                done.days |= {str(path): names for path, names in stream.writer.days.items()}
        except BaseException:
            for stream in target.streams.values():
                stream.writer.abandon()
            raise
    done.messages = replay.messages
    if not part.speaks:
        report.unused.clear()
        done.notices = Problems()
    return done


def _began(recording: RawRecording) -> int | None:
    """The first record's wall time: where the recording's time axis begins."""
    for block in recording.blocks():
        wall_ns = getattr(block, "wall_ns", None)
        if wall_ns is not None and len(wall_ns):
            return int(wall_ns[0])
    return None


# -- what there is to do


def _found(paths: Sequence[str | Path]) -> list[RawRecording]:
    """The recordings in some folders, oldest first, each once."""
    found: dict[Path, RawRecording] = {}
    for path in paths:
        for recording in open_recordings(path):
            found.setdefault(recording.path.resolve(), recording)
    names: dict[str, Path] = {}
    for path in found:
        if path.name in names:
            raise InputError(f"has the name of another recording, {names[path.name]}", source=str(path))
        names[path.name] = path
    return [found[path] for path in sorted(found, key=lambda path: path.name)]


def _stamps(recording: RawRecording) -> list[dict[str, Any]]:
    found = []
    for path in sorted(recording.path.glob("*.seg")):
        stat = path.stat()
        found.append({"name": path.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns})
    return found


def _source(recording: RawRecording, stamps: list[dict[str, Any]]) -> _Source:
    """A recording read through once: what there is to build, up to its last whole block."""
    last_seq = 0
    segments, sources = [], []
    for state in recording.segments:
        last_seq = max(last_seq, state.last_seq or 0)
        name = f"{recording.path.name}/{state.path.name}"
        found = fingerprint(state.path)
        segments.append(Segment(name, last_seq))
        sources.append(SourceFile(name, found.bytes, found.sha256))
    return _Source(recording.path, segments, sources, stamps, recording.state)


def _note_path(root: Path, name: str) -> Path:
    return root / BUILT / f"{name}.json"


def _unchanged(root: Path, name: str, stamps: list[dict[str, Any]], options: dict[str, Any]) -> bool:
    """Whether a recording was built as it is now, and what came of it is still there."""
    try:
        note = msgspec.json.decode(_note_path(root, name).read_bytes())
        same = (note["format"], note["segments"], note["options"]) == (FORMAT, stamps, options)
        return same and all(_holds(root / path, names) for path, names in note["days"].items())
    except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return False


def _holds(path: Path, names: list[str]) -> bool:
    try:
        return set(names) <= {report["recording"] for report in DayFile(path).about["recordings"]}
    except InputError:
        return False


def _remember(root: Path, source: _Source, options: dict[str, Any], days: dict[str, list[str]]) -> None:
    path = _note_path(root, source.name)
    path.parent.mkdir(exist_ok=True)
    days = {str(Path(day).relative_to(root)): names for day, names in sorted(days.items())}
    note = {"format": FORMAT, "segments": source.stamps, "options": options, "days": days}
    partial_path(path).write_bytes(msgspec.json.encode(note))
    publish(path)


def _instruments(venue: str, given: Sequence[Instrument], config: dict[str, Any]) -> list[Instrument]:
    """What describes a venue's instruments: the user, else the recorder's own list beside the documented ones."""
    mine = [one for one in given if one.venue == venue]
    if given:
        return mine
    found = {one.symbol: one for one in documented([venue])}
    rows = config.get("instruments")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("venue") == venue:
            try:
                one = instrument_from(row)
            except (LocalError, TypeError) as error:
                raise InputError(f"describes an instrument that is none: {error}", source="the recording") from None
            found[one.symbol] = one
    return list(found.values())


def _recorded(opened: set[str], config: dict[str, Any], venue: str | None) -> dict[str, frozenset[str]]:
    """The venues of a recording with the symbols recorded there: those with a connection, and those it was told to
    record, since the openings may lie in a part that cannot be read. ``venue`` is what the user says it is of."""
    symbols: dict[str, set[str]] = {name: set() for name in opened}
    rows = config.get("instruments")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("venue"), str):
            symbols.setdefault(row["venue"], set()).add(str(row.get("symbol", "")))
    if not symbols and venue is not None:
        symbols[venue] = set()
    return {name: frozenset(found) for name, found in symbols.items()}


def _parts(
    source: _Source, root: Path, folder: Path, found: dict[str, list[Instrument]], symbol: str | None, jobs: int,
    recorded: dict[str, frozenset[str]], floor_ns: int, replace: bool,
) -> list[_Part]:  # fmt: skip
    parts = []
    segments = tuple((segment.name, segment.last_seq) for segment in source.segments)
    for venue, instruments in found.items():
        symbols = sorted(one.symbol for one in instruments if symbol in (None, one.symbol))
        groups = [frozenset(symbols[k::jobs]) for k in range(min(jobs, len(symbols)))]
        for k, only in enumerate(groups):
            parts.append(
                _Part(source.path, segments, source.until, tuple(source.sources), root, folder, venue,
                      tuple(instruments), only, k == 0, recorded, floor_ns, replace)
            )  # fmt: skip
    return parts


def _all(parts: Sequence[_Part], jobs: int, progress: Progress | None) -> Iterable[_Done]:
    """Every part's result, in the order of the parts."""
    if jobs == 1 or len(parts) == 1:
        for k, part in enumerate(parts):
            if progress is not None:
                progress(f"{part.path.name}: {part.venue}, part {k + 1} of {len(parts)}")
            yield _run(part)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(parts)), mp_context=context) as pool:
        waiting: dict[Future[_Done], int] = {pool.submit(_run, part): k for k, part in enumerate(parts)}
        results: dict[int, _Done] = {}
        for future in as_completed(waiting):
            results[waiting[future]] = future.result()
            if progress is not None:
                progress(f"{parts[0].path.name}: {len(results)} of {len(parts)} parts")
        yield from (results[k] for k in sorted(results))


# -- all of it


def build(
    raw: Sequence[str | Path],
    lake: str | Path,
    *,
    jobs: int = 1,
    venue: str | None = None,
    symbol: str | None = None,
    instruments: Sequence[Instrument] = (),
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    replace: bool = False,
    again: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Derive a lake from raw recordings (folders of recordings, or recordings). The result is plain data:

    ``recordings`` (one entry a raw recording: state, segments, whether it was up to date), ``instruments`` (one entry
    an instrument and day), ``messages`` (frames and replies), ``gaps``, ``problems`` with segment and record number,
    ``problem_counts``, ``unused``, ``written``. ``venue`` and ``symbol`` restrict what is built, ``instruments``
    describes contracts that are not documented, ``again`` builds what is up to date too. Raises ``InputError``.
    """
    if not 1 <= jobs <= JOBS_MAX:
        raise InputError(f"from 1 to {JOBS_MAX} jobs, not {jobs}", source="data build", field="jobs")
    if venue is not None and venue not in codec_venues():
        raise InputError(f"is none of {', '.join(codec_venues())}", source="venue " + repr(venue))
    root = Path(lake)
    options = {
        "code": code_version()["sources_sha256"],
        "venue": venue,
        "symbol": symbol,
        "instruments": [instrument_fields(one) for one in instruments],
        "latency_floor_ns": latency_floor_ns,
    }
    result = _Result(str(root))
    with writing(root), tempfile.TemporaryDirectory(prefix=SPOOL_PREFIX, dir=root) as folder:
        for recording in _found(raw):
            stamps = _stamps(recording)
            if not again and _unchanged(root, recording.path.name, stamps, options):
                result.up_to_date(recording)
                continue
            source = _source(recording, stamps)
            venues, config = config_of(recording.records(kinds=(NOTE,)))
            recorded = _recorded(venues, config or recording.about, venue)
            venues = set(recorded)
            result.begin(source, venues)
            mine = sorted(venues & set(codec_venues()) & ({venue} if venue else venues))
            found = {
                name: described
                for name in mine
                if (described := _instruments(name, instruments, config or recording.about))
            }
            parts = _parts(source, root, Path(folder), found, symbol, jobs, recorded, latency_floor_ns, replace)
            days: dict[str, list[str]] = {}
            for part, done in zip(parts, _all(parts, jobs, progress), strict=True):
                result.take(part, done)
                days |= done.days
            if not result.overlaps:
                _remember(root, source, options, days)
    return result.as_dict()


class _Result:
    """What a build says when it is done."""

    def __init__(self, lake: str) -> None:
        self._lake = lake
        self._recordings: list[dict[str, Any]] = []
        self._instruments: list[dict[str, Any]] = []
        self._problems: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}
        self._unused: dict[str, int] = {}
        self._written: list[str] = []
        self.overlaps = False  # something of the last recording was left out for another in the lake

    def up_to_date(self, recording: RawRecording) -> None:
        self._recordings.append({"recording": recording.path.name, "up_to_date": True, "messages": 0})

    def begin(self, source: _Source, venues: set[str]) -> None:
        self._recordings.append(
            {
                "recording": source.name,
                "up_to_date": False,
                "state": source.state,
                "segments": len(source.segments),
                "records": source.last_seq,
                "messages": 0,
            }
        )
        self.overlaps = False
        problems = Problems()
        for name in sorted(venues - set(codec_venues())):
            problems.add(source.name, 0, "unknown_venue", f"market data of {name} cannot be decoded; it was left out")
        if not venues and source.last_seq:
            problems.add(source.name, 0, "unopened", "nothing that can be read says which venues it is of; left out")
        self._add(problems)

    def take(self, part: _Part, done: _Done) -> None:
        if part.speaks:
            self._recordings[-1]["messages"] += done.messages
        self._instruments += [report.as_dict() for report in done.report.recordings]
        self._add(done.report.problems)
        self.overlaps |= "overlap" in done.report.problems.counts
        self._add(done.notices)
        self._written += done.report.written
        for name, count in done.report.unused.items():
            self._unused[name] = self._unused.get(name, 0) + count

    def _add(self, problems: Problems) -> None:
        self._problems += problems.as_list()
        for kind, count in problems.counts.items():
            self._counts[kind] = self._counts.get(kind, 0) + count

    def as_dict(self) -> dict[str, Any]:
        """Plain data; the same however many parts there were."""
        named: dict[str, int] = {}
        problems = []
        for problem in sorted(self._problems, key=lambda p: (p["file"], p["line"], p["kind"], p["why"])):
            named[problem["kind"]] = named.get(problem["kind"], 0) + 1
            if named[problem["kind"]] <= NAMED_MAX:
                problems.append(problem)
        reports = sorted(self._instruments, key=lambda r: (r["venue"], r["instrument"], r["first_ns"]))
        return {
            "lake": self._lake,
            "recordings": self._recordings,
            "instruments": reports,
            "messages": sum(recording["messages"] for recording in self._recordings),
            "gaps": sum(report["gaps"] for report in reports),
            "problems": problems,
            "problem_counts": dict(sorted(self._counts.items())),
            "unused": dict(sorted(self._unused.items())),
            "written": sorted(self._written),
        }
