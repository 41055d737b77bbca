"""Messages of one recording on their way from receive order to venue order, on disk.

Theory of operation. The receive clock's offset is known only when a recording has been read to its end, and venue
order differs from receive order by as much as the slowest message was late. So the importer first spools a
recording's messages to temporary files in receive order, chunk by chunk, and ``venue_order`` then streams them back:
receive times corrected, sorted by venue time. Each chunk's least venue time is remembered, so a message leaves as
soon as no later chunk can hold an earlier one; memory is bounded by a few chunks.

At equal venue time: trades, best quotes, the book, marks, then order of receipt. The book's messages (SNAPSHOT,
DEPTH, GAP) follow the venue's update ids, whatever their receive times; their corrected receive times never go back,
because nobody can use a change before the ones that precede it, nor a buffered change before the snapshot it belongs
to.

A message whose venue time nobody said (``made`` is OWN_CLOCK) happened, for all that is known, when it was received:
its ``ts_event`` is a time of the recorder's clock and is corrected with it. ``recv`` is the receive time that counts
(in a raw recording: monotonic), ``raw`` the one that the wall clock wrote."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from matching.codes import BBO, DEPTH, FUNDING, GAP, MARK, SNAPSHOT, TRADE
from matching.feed import I32, I64, U8
from recorders.blocks import AUX_WIDTH, MessageBlock, empty_block, join
from recorders.clock import ClockEstimate, ClockSeries
from venues.rules import DAY_NS

CHUNK_MESSAGES: Final = 1 << 16
CHUNK_ROWS: Final = 1 << 20
AGGREGATE: Final = 64  # spool-only kind: a print from aggTrade, a TRADE unless the recording has single prints
OWN_CLOCK: Final = -1  # "made" of a message whose ts_event is a receive time
SEQ_STEP: Final = 2  # between book messages, so that a SNAPSHOT fits in front of any of them

VENUE_RANK: Final = np.zeros(256, np.int8)  # by kind: the order of messages at equal venue time
VENUE_RANK[BBO] = 1
VENUE_RANK[[DEPTH, SNAPSHOT, GAP]] = 2
VENUE_RANK[[MARK, FUNDING]] = 3


class MessageSink(Protocol):
    """Where messages go: a ``Spool``, or the live feed. Arguments: see ``Spool``."""

    def drop(self, start: int, stop: int) -> None: ...

    def add(
        self,
        kind: int,
        ts_event: int,
        made: int,
        recv: int,
        ref: int,
        seq: int,
        sides: bytes,
        ticks: list[int],
        lots: list[int],
        aux: tuple[int, int, int, int] | None = None,
        raw: int | None = None,
    ) -> None: ...


class Spool:
    """One recording's messages, appended in any order of sequence numbers (``seq``: order within the same rank)."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._chunks: list[Path] = []
        self._least: list[int] = []
        self.clock = ClockEstimate()
        self.first_ns = (1 << 63) - 1
        self.last_ns = 0
        self.messages = 0
        self.before_start = 0  # messages that ``venue_order`` left out as made before the recording began
        self._last_of_day: dict[int, int] = {}
        self.own_clock = False  # some messages happened when they were received, for all that is known
        self.dropped: list[tuple[int, int]] = []  # half-open ranges of ``seq`` of book messages not to hand out
        self._new_buffers()

    def _new_buffers(self) -> None:
        self._columns = {name: array("q") for name in ("ts_event", "made", "recv", "raw", "ref", "seq", "count", "aux")}
        self._kind = bytearray()
        self._side = bytearray()
        self._ticks = array("i")
        self._lots = array("i")

    def add(
        self,
        kind: int,
        ts_event: int,
        made: int,
        recv: int,
        ref: int,
        seq: int,
        sides: bytes,
        ticks: list[int],
        lots: list[int],
        aux: tuple[int, int, int, int] | None = None,
        raw: int | None = None,
    ) -> None:
        """Append a message. ``made`` is max(engine, push) time, 0 for messages the importer makes itself, OWN_CLOCK for
        a ``ts_event`` that is a receive time; ``raw`` is the wall clock's receive time where it is not ``recv``."""
        columns = self._columns
        columns["ts_event"].append(ts_event)
        columns["made"].append(made)
        columns["recv"].append(recv)
        columns["raw"].append(recv if raw is None else raw)
        columns["ref"].append(len(columns["aux"]) // AUX_WIDTH if aux is not None else ref)
        columns["seq"].append(seq)
        columns["count"].append(len(ticks))
        if aux is not None:
            columns["aux"].extend(aux)
        self._kind.append(kind)
        self._side += sides
        self._ticks.extend(ticks)
        self._lots.extend(lots)
        self.messages += 1
        if len(self._kind) >= CHUNK_MESSAGES or len(self._ticks) >= CHUNK_ROWS:
            self.flush()

    def add_block(self, block: MessageBlock, made: I64 | None, seq: I64) -> None:
        """Append a block of messages in receive order. ``made`` as in ``add``, None for 0 throughout."""
        self.flush()
        for start in range(0, len(block), CHUNK_MESSAGES):
            piece = block.cut(start, min(start + CHUNK_MESSAGES, len(block)))
            columns = {
                "ts_event": piece.ts_event,
                "made": np.zeros(len(piece), np.int64) if made is None else made[start : start + len(piece)],
                "recv": piece.ts_recv,
                "raw": piece.ts_recv_raw,
                "ref": piece.ref,
                "seq": seq[start : start + len(piece)],
                "count": np.diff(piece.row_start),
                "aux": piece.aux.reshape(-1),
            }
            self._write(columns, piece.kind, piece.side, piece.px_ticks, piece.qty_lots)
            self.messages += len(piece)

    def drop(self, start: int, stop: int) -> None:
        """Do not hand out book messages with ``seq`` from ``start`` to before ``stop``: they are of no use."""
        self.dropped.append((start, stop))

    def flush(self) -> None:
        """Write what is buffered to a chunk file."""
        if not self._kind:
            return
        columns = {name: np.frombuffer(column, np.int64) for name, column in self._columns.items() if len(column)}
        columns.setdefault("aux", np.zeros(0, np.int64))
        self._write(
            columns,
            np.frombuffer(self._kind, np.uint8),
            np.frombuffer(self._side, np.uint8),
            np.frombuffer(self._ticks, np.int32),
            np.frombuffer(self._lots, np.int32),
        )
        self._new_buffers()

    def _write(self, columns: dict[str, I64], kind: U8, side: U8, ticks: I32, lots: I32) -> None:
        event, made, recv = columns["ts_event"], columns["made"], columns["recv"]
        self.clock.add(recv[made > 0], made[made > 0])
        days = event // DAY_NS
        for day in np.unique(days).tolist():
            self._last_of_day[day] = max(self._last_of_day.get(day, 0), int(event[days == day].max()))
        self.own_clock |= bool((made == OWN_CLOCK).any())
        self.first_ns = min(self.first_ns, int(event.min()))
        self.last_ns = max(self.last_ns, int(event.max()))
        self._least.append(int(event.min()))
        path = self._folder / f"{self._name}-{len(self._chunks)}.npz"
        np.savez(
            path,
            kind=kind,
            side=side,
            ticks=ticks,
            lots=lots,
            allow_pickle=False,
            **columns,
        )
        self._chunks.append(path)

    def last_of_day(self, day: int) -> int:
        """The last venue time of the messages of a day (its number since 1970), or the day's end if there are none."""
        return self._last_of_day.get(day, (day + 1) * DAY_NS - 1)

    def discard(self) -> None:
        """Remove the chunk files."""
        for path in self._chunks:
            path.unlink(missing_ok=True)
        self._chunks.clear()

    # -- back again

    def venue_order(
        self, clock: ClockSeries | None, *, aggregates: bool, shift_ns: int = 0, since_ns: int | None = None
    ) -> Iterator[MessageBlock]:
        """The messages by venue time, in blocks. ``aggregates``: hand out AGGREGATE prints as trades, or leave them
        out. ``shift_ns`` is added to all receive times. ``since_ns``: what was made before is left out, and a book that
        last changed before is one of this instant."""
        self.flush()
        later = (1 << 63) - 1
        due = [later] * len(self._chunks)  # the least venue time that any later chunk holds
        for at in range(len(self._chunks) - 1, 0, -1):
            later = min(later, self._least[at] + min(0, shift_ns))
            due[at - 1] = later
        rest, rest_seq = empty_block(), np.zeros(0, np.int64)
        book_recv = 0
        for path, limit in zip(self._chunks, due, strict=True):
            block, seq = self._chunk(path, clock, aggregates, shift_ns, since_ns)
            block, seq = join([rest, block]), np.concatenate((rest_seq, seq))
            order = np.lexsort((seq, VENUE_RANK[block.kind], block.ts_event))
            block, seq = block.take(order), seq[order]
            ready = int(block.ts_event.searchsorted(limit)) if limit != (1 << 63) - 1 else len(block)
            rest, rest_seq = block.cut(ready, len(block)), seq[ready:]
            block = block.cut(0, ready)
            if ready:
                book_recv = _keep_book_order(block, book_recv)
                yield block

    def _chunk(
        self, path: Path, clock: ClockSeries | None, aggregates: bool, shift_ns: int, since_ns: int | None
    ) -> tuple[MessageBlock, I64]:
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
        recv, event, made = columns["recv"], columns["ts_event"], columns["made"]
        own = made == OWN_CLOCK
        if shift_ns:
            recv += shift_ns
            event[own] += shift_ns
        if clock is not None:
            event[own] -= clock.offset(event[own])
            recv = recv - clock.offset(recv)
        kind: U8 = columns["kind"]
        keep = self._kept(kind, columns["seq"])
        if aggregates:
            kind[kind == AGGREGATE] = TRADE
        else:
            keep &= kind != AGGREGATE
        if since_ns is not None:
            book = VENUE_RANK[kind] == 2
            event[book] = np.maximum(event[book], since_ns)
            early = keep & ~book & (event < since_ns)
            self.before_start += int(early.sum())
            keep &= ~early
        block = MessageBlock(
            ts_event=event,
            ts_recv=recv,
            ts_recv_raw=columns["raw"],
            kind=kind,
            ref=columns["ref"],
            row_start=np.concatenate((np.zeros(1, np.int64), np.cumsum(columns["count"]))),
            side=columns["side"],
            px_ticks=columns["ticks"],
            qty_lots=columns["lots"],
            aux=columns["aux"].reshape(-1, AUX_WIDTH),
        )
        chosen = np.flatnonzero(keep)
        return block.take(chosen), columns["seq"][chosen]

    def _kept(self, kind: U8, seq: I64) -> npt.NDArray[np.bool_]:
        book = VENUE_RANK[kind] == 2
        keep = np.ones(len(kind), np.bool_)
        for start, stop in self.dropped:
            keep &= ~(book & (seq >= start) & (seq < stop) & (kind != GAP))
        return keep


def _keep_book_order(block: MessageBlock, earlier: int) -> int:
    """Make the receive times of the book's messages rise; returns the last one. No message is received before it is
    made."""
    book = np.flatnonzero(VENUE_RANK[block.kind] == 2)
    recv = np.maximum(block.ts_recv, block.ts_event)
    if len(book):
        rising = np.maximum.accumulate(np.maximum(recv[book], earlier))
        recv[book] = rising
        earlier = int(rising[-1])
    block.ts_recv = recv
    return earlier
