"""Our own exports (``perpsim data export``: Parquet, CSV, JSON lines) back into a lake, column for column.

The form is ``recorders.events``'. Files of one command are recordings of the instruments that their headers describe
(``--instrument`` does not apply). Times stay as they are, receive times with their corrections too. The header's
recordings keep their names, so that importing the same slice again replaces it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from matching.codes import BBO, DEPTH, FORCE, FUNDING, MARK, OFFBOOK, SNAPSHOT, TRADE
from matching.feed import I64
from recorders.blocks import AUX_WIDTH, MessageBlock, has_aux
from recorders.book import BookTrack
from recorders.events import AUX, COLUMNS, CSV_COLUMNS, INTEGERS, KEY, KINDS, SCHEMA, VERSION
from recorders.files import SourceFile, writing
from recorders.formats.reading import Sample, open_bytes, reading
from recorders.formats.request import Request
from recorders.frames import SIDE_NAMES
from recorders.report import ImportReport, RecordingReport
from recorders.writer import FeedWriter, instrument_from
from venues.errors import InputError, LocalError
from venues.instruments import Instrument

PARQUET_MAGIC: Final = b"PAR1"
BATCH_ROWS: Final = 1 << 18
BATCH_BYTES: Final = 1 << 24
LINES_AT_ONCE: Final = 1 << 14
INT32_MAX: Final = (1 << 31) - 1

Mask = npt.NDArray[np.bool_]


class _Session(msgspec.Struct, frozen=True):
    recording: str
    first_ns: int
    last_ns: int
    continues: str = ""


class _Header(msgspec.Struct, frozen=True):
    perpsim_events: int
    instrument: dict[str, Any]
    sessions: list[_Session]


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of JSON: a message."""

    session: int
    message: int
    ts_event_ns: int
    ts_recv_ns: int
    ts_recv_raw_ns: int
    kind: str
    ref: int | None = None
    rows: list[tuple[str, int, int, str, str]] = []
    aux: tuple[int, int, int, int] | None = None


def recognises(sample: Sample) -> bool:
    """Whether a file is an export of ours."""
    if sample.head.startswith(PARQUET_MAGIC):
        try:
            return KEY.encode() in (pq.read_schema(sample.path).metadata or {}) or KEY.encode() in (
                pq.read_metadata(sample.path).metadata or {}
            )
        except (pa.ArrowException, OSError):
            return False
    return sample.head.startswith((b'# {"' + KEY.encode() + b'"', b'{"' + KEY.encode() + b'"'))


def import_events(request: Request) -> ImportReport:
    """Import exports. Raises ``InputError`` naming file, row and field."""
    whole = ImportReport(str(request.lake))
    sources = request.fingerprints()
    with writing(request.lake):
        files = [
            _File(path, open_events(path)[0], source, request)
            for path, source in zip(request.files, sources, strict=True)
        ]
        for file in files:  # all is checked before anything is published
            _check(file)
        for file in files:
            _one_file(file, whole)
    whole.files = [{**s.as_dict(), "path": str(p)} for s, p in zip(sources, request.files, strict=True)]
    return whole


# -- opening


def open_events(path: Path) -> tuple[_Header, Iterator[tuple[int, pl.DataFrame]]]:
    """The header of an export and its rows, in frames with the number of each one's first row."""
    with reading(path), path.open("rb") as raw:
        if raw.read(4) == PARQUET_MAGIC:
            file = pq.ParquetFile(path)
            return _header((file.metadata.metadata or {}).get(KEY.encode(), b""), path), _parquet(file, path)
    with open_bytes(path) as stream:
        first = stream.readline()
    about = _header(first.removeprefix(b"# "), path)
    return about, _csv(path, about) if first.startswith(b"# ") else _lines(path)


def _header(text: bytes, path: Path) -> _Header:
    try:
        about = msgspec.json.decode(text, type=_Header)
    except msgspec.DecodeError as error:
        raise InputError(f"is no export of perpsim, its header cannot be read: {error}", source=str(path)) from None
    if about.perpsim_events != VERSION:
        raise InputError(f"has form {about.perpsim_events}, this version reads {VERSION}", source=str(path))
    return about


def _parquet(file: pq.ParquetFile, path: Path) -> Iterator[tuple[int, pl.DataFrame]]:
    names = file.schema_arrow.names
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(f"lacks the columns {', '.join(missing)}", source=str(path))
    at = 0
    with reading(path):
        for batch in file.iter_batches(BATCH_ROWS, columns=list(COLUMNS)):
            frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch]))).select(COLUMNS)
            for name, kind in SCHEMA.items():
                if frame.schema[name] != kind:
                    raise InputError(f"is {frame.schema[name]}, must be {kind}", source=str(path), field=name)
            yield at, frame
            at += len(frame)


def _csv(path: Path, about: _Header) -> Iterator[tuple[int, pl.DataFrame]]:
    instrument = _instrument(about, path)
    with open_bytes(path) as stream:
        stream.readline()
        names = stream.readline().decode("utf-8", "replace").strip().split(",")
        if names != list(CSV_COLUMNS):
            raise InputError(f"must have the columns {', '.join(CSV_COLUMNS)}", source=str(path), place="line 2")
        at = 0
        while text := stream.read(BATCH_BYTES):
            text += stream.readline()
            try:
                raw = pl.read_csv(
                    io.BytesIO(text), has_header=False, new_columns=names, infer_schema=False, quote_char=None
                )
            except pl.exceptions.PolarsError as error:
                where = f"lines from {at + 3} on"
                raise InputError(f"is no CSV of these columns: {error}", source=str(path), place=where) from None
            if raw.width != len(names):
                raise InputError(f"must have {len(names)} fields a line", source=str(path), place=f"line {at + 3}")
            yield at, _typed(raw, instrument, path, at + 3)
            at += len(raw)


def _typed(raw: pl.DataFrame, instrument: Instrument, path: Path, line: int) -> pl.DataFrame:
    """Text as integers; prices and sizes must say what ticks and lots say."""
    found = raw.select(
        pl.col(name).cast(pl.Int64, strict=False) if kind == pl.Int64 else pl.col(name) for name, kind in SCHEMA.items()
    )
    for name, kind in SCHEMA.items():
        if kind == pl.Int64:
            _refuse(raw[name].is_not_null() & found[name].is_null(), raw[name], name, "is no whole number", path, line)
    for name, word, parse in (("ticks", "price", _ticks_of), ("lots", "size", _lots_of)):
        texts = raw[word].unique().drop_nulls().to_list()
        known = {text: parse(text, instrument) for text in texts}
        stated = raw[word].replace_strict(known, default=None, return_dtype=pl.Int64)
        _refuse(~stated.eq_missing(found[name]), raw[word], word, f"does not agree with {name}", path, line)
    return found


def _refuse(wrong: pl.Series, values: pl.Series, name: str, why: str, path: Path, line: int) -> None:
    if wrong.any():
        at = int(wrong.arg_max() or 0)
        raise InputError(f"{values[at]!r} {why}", source=str(path), place=f"line {line + at}", field=name)


def _ticks_of(text: str, instrument: Instrument) -> int | None:
    try:
        return _signed(text, instrument.ticks_from_str)
    except LocalError:
        return None


def _lots_of(text: str, instrument: Instrument) -> int | None:
    try:
        return _signed(text, instrument.lots_from_str)
    except LocalError:
        return None


def _signed(text: str, parse: Any) -> int:
    return -int(parse(text[1:])) if text.startswith("-") else int(parse(text))


def _lines(path: Path) -> Iterator[tuple[int, pl.DataFrame]]:
    decoder = msgspec.json.Decoder(_Line)
    rows: list[tuple[Any, ...]] = []
    at = 0
    with open_bytes(path) as stream:
        for number, text in enumerate(stream, 1):
            if number == 1:
                continue
            try:
                line = decoder.decode(text)
            except msgspec.DecodeError as error:
                raise InputError(f"is no message: {error}", source=str(path), place=f"line {number}") from None
            head = (*(getattr(line, name) for name in INTEGERS), line.kind, line.ref)
            aux = line.aux or (None,) * AUX_WIDTH
            rows += [(*head, *row[:3], *aux) for row in line.rows] or [(*head, None, None, None, *aux)]
            if len(rows) >= LINES_AT_ONCE:
                yield at, pl.DataFrame(rows, schema=SCHEMA, orient="row")
                at, rows = at + len(rows), []
    if rows:
        yield at, pl.DataFrame(rows, schema=SCHEMA, orient="row")


# -- importing


_COUNTED: Final = (
    ("trades", TRADE), ("offbook", OFFBOOK), ("snapshots", SNAPSHOT), ("diffs", DEPTH), ("quotes", BBO),
    ("marks", MARK), ("marks", FUNDING), ("forced", FORCE),
)  # fmt: skip


@dataclass(slots=True)
class _File:
    path: Path
    about: _Header
    source: SourceFile
    request: Request
    reports: list[RecordingReport] = field(default_factory=list)


def _instrument(about: _Header, path: Path) -> Instrument:
    try:
        return instrument_from(about.instrument)
    except (LocalError, TypeError, ValueError) as error:
        raise InputError(f"describes no instrument: {error}", source=str(path), place="header") from None


def _check(file: _File) -> None:
    instrument = _instrument(file.about, file.path)
    request = file.request
    if request.symbol not in (None, instrument.symbol) or request.venue not in (None, instrument.venue):
        raise InputError(f"is of {instrument.venue} {instrument.symbol}", source=str(file.path))
    number = -1
    for block, session in _blocks(file):
        if session != number and not number < session < len(file.about.sessions):
            raise InputError(f"names session {session}, out of turn", source=str(file.path), field="session")
        number = session
        about = file.about.sessions[session]
        if block.ts_event[0] < about.first_ns or block.ts_event[-1] > about.last_ns:
            raise InputError(f"session {session} leaves the span that the header says", source=str(file.path))


def _one_file(file: _File, whole: ImportReport) -> None:
    instrument = _instrument(file.about, file.path)
    request = file.request
    writer = FeedWriter(request.lake, instrument, [file.source], replace=request.replace)
    try:
        sessions = _Sessions(file, writer, instrument)
        for block, session in _blocks(file):
            sessions.take(block, session)
        sessions.end()
        whole.written += [str(path) for path in writer.close()]
        whole.replaced += writer.replaced
        whole.recordings += file.reports
    except BaseException:
        writer.abandon()
        raise


class _Sessions:
    """Blocks on their way into the writer, a recording after the other."""

    def __init__(self, file: _File, writer: FeedWriter, instrument: Instrument) -> None:
        self._file, self._writer, self._instrument = file, writer, instrument
        self._number = -1

    def take(self, block: MessageBlock, session: int) -> None:
        if session != self._number:
            self.end()
            self._begin(session)
        report = self._file.reports[-1]
        _count(report, block)
        self._writer.append(block)

    def _begin(self, session: int) -> None:
        file = self._file
        about = file.about.sessions[session]
        before = self._writer.track
        carried = BookTrack()
        if self._number >= 0 and about.continues == file.about.sessions[self._number].recording:
            state = SimpleNamespace(
                valid=before.valid, update_id=before.update_id, book_recv=before.ts_recv_max,
                quotes=list(before.quotes), mark=before.mark,
            )  # fmt: skip
            carried.resume(before.book.columns(), state)
        self._writer.begin(about.recording, about.first_ns, about.last_ns)
        self._writer.track = carried
        self._number = session
        file.reports.append(
            RecordingReport(
                recording=about.recording,
                venue=self._instrument.venue,
                instrument=self._instrument.symbol,
                continues=about.continues,
                sources=[file.source.as_dict()],
                first_ns=about.first_ns,
                last_ns=about.last_ns,
            )
        )

    def end(self) -> None:
        if self._number < 0:
            return
        report, writer = self._file.reports[-1], self._writer
        counts = writer.flush()
        report.crossed, report.bbo_equal, report.bbo_different = counts.crossed, counts.bbo_equal, counts.bbo_different
        report.messages, report.rows, report.stale_at_end = writer.messages, writer.rows, not writer.track.valid
        report.clock_offset_ns = report.latency_least_ns
        report.close_gaps()
        writer.end(report.as_dict(), None)


def _count(report: RecordingReport, block: MessageBlock) -> None:
    least = int((block.ts_recv - block.ts_event).min())
    first = not report.last_recv_ns
    report.latency_least_ns = least if first else min(report.latency_least_ns, least)
    report.first_recv_ns = int(block.ts_recv.min()) if first else min(report.first_recv_ns, int(block.ts_recv.min()))
    report.last_recv_ns = max(report.last_recv_ns, int(block.ts_recv.max()))
    report.lines += len(block)
    report.count_gaps(block)
    for name, kind in _COUNTED:
        setattr(report, name, getattr(report, name) + int((block.kind == kind).sum()))


def _blocks(file: _File) -> Iterator[tuple[MessageBlock, int]]:
    """Rows as blocks of whole messages, each of one session."""
    kept: pl.DataFrame | None = None
    row = last_ns = 0
    for _, frame in open_events(file.path)[1]:
        joined = frame if kept is None else pl.concat([kept, frame])
        number = joined["message"].fill_null(-1).to_numpy()
        stop = int(np.flatnonzero(number != number[-1])[-1]) + 1 if (number != number[-1]).any() else 0
        kept = joined[stop:]
        for part in _by_session(joined[:stop]):
            block, session = _block(file, part, row, last_ns)
            last_ns = int(block.ts_event[-1])
            yield block, session
            row += len(part)
    if kept is not None and len(kept):
        yield _block(file, kept, row, last_ns)


def _by_session(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    number = frame["session"].fill_null(-1).to_numpy()
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(frame)]
    for start, stop in pairwise(cuts):
        if stop > start:
            yield frame[start:stop]


def _block(file: _File, frame: pl.DataFrame, row: int, after_ns: int) -> tuple[MessageBlock, int]:
    def require(mask: Any, name: str, why: str) -> None:
        good = np.asarray(mask, np.bool_)
        if not good.all():
            at = row + int(np.argmin(good)) + 1
            raise InputError(why, source=str(file.path), place=f"row {at}", field=name)

    for name in (*INTEGERS, "kind"):
        require(frame[name].is_not_null().to_numpy(), name, "is missing")
    heads = {name: frame[name].to_numpy() for name in INTEGERS}
    require(frame["kind"].is_in(list(KINDS)).to_numpy(), "kind", f"must be one of {', '.join(KINDS)}")
    kinds = frame["kind"].replace_strict(KINDS, return_dtype=pl.UInt8).to_numpy()
    starts = np.concatenate((np.ones(1, np.bool_), heads["message"][1:] != heads["message"][:-1]))
    first = np.flatnonzero(starts)
    message = np.cumsum(starts) - 1
    for name in ("ts_event_ns", "ts_recv_ns", "ts_recv_raw_ns"):
        require(heads[name] == heads[name][first][message], name, "differs within a message")
    require(kinds == kinds[first][message], "kind", "differs within a message")
    event = heads["ts_event_ns"]
    require(event >= np.concatenate((np.array([after_ns]), event[:-1])), "ts_event_ns", "goes back")
    require(heads["ts_recv_ns"] >= event, "ts_recv_ns", "is before the venue's time")
    ref, aux = _payloads(frame, kinds, first, require)
    side, ticks, lots, has_row = _levels(frame, require)
    counts = np.add.reduceat(has_row.astype(np.int64), first)
    require(has_row | (np.repeat(np.diff(np.append(first, len(frame))), np.diff(np.append(first, len(frame)))) == 1),
            "side", "is missing in a message of several rows")  # fmt: skip
    block = MessageBlock(
        ts_event=event[first],
        ts_recv=heads["ts_recv_ns"][first],
        ts_recv_raw=heads["ts_recv_raw_ns"][first],
        kind=kinds[first],
        ref=ref,
        row_start=np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))),
        side=side,
        px_ticks=ticks,
        qty_lots=lots,
        aux=aux,
    )
    return block, int(heads["session"][0])


def _payloads(frame: pl.DataFrame, kinds: Any, first: I64, require: Any) -> tuple[I64, I64]:
    carries = has_aux(kinds)
    require(carries != frame["ref"].is_not_null().to_numpy(), "ref", "must be given, except with mark, funding and gap")
    for name in AUX:
        require(carries == frame[name].is_not_null().to_numpy(), name, "must be given with mark, funding and gap only")
    mine = first[carries[first]]
    aux = np.stack([frame[name].fill_null(0).to_numpy()[mine] for name in AUX], axis=1)
    ref = frame["ref"].fill_null(0).to_numpy()[first].copy()
    ref[carries[first]] = np.arange(len(mine))
    return ref, np.ascontiguousarray(aux, np.int64).reshape(-1, AUX_WIDTH)


def _levels(frame: pl.DataFrame, require: Any) -> tuple[Any, Any, Any, Mask]:
    has_row = frame["side"].is_not_null().to_numpy()
    require(~has_row | frame["side"].fill_null("").is_in(list(SIDE_NAMES)).to_numpy(), "side", "must be buy or sell")
    found = []
    for name, least in (("ticks", -INT32_MAX), ("lots", 0)):
        require(has_row == frame[name].is_not_null().to_numpy(), name, "must stand beside side, and only there")
        values = frame[name].fill_null(0).to_numpy()
        require((values >= least) & (values <= INT32_MAX), name, "must fit 32 bits")
        found.append(np.ascontiguousarray(values[has_row], np.int32))
    side = (frame["side"].to_numpy()[has_row] == SIDE_NAMES[1]).astype(np.uint8)
    return side, found[0], found[1], has_row
