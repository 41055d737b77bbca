"""Message blocks: a stretch of one feed in columns, on its way into the lake.

A block is a ``FeedWindow`` with the raw receive times beside the corrected ones and without a client order (that is
found when the block is final). Blocks can be cut, joined and permuted; rows and aux entries follow their messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from matching.codes import FUNDING, GAP, MARK
from matching.feed import I32, I64, U8, FeedWindow, stable_local_order

AUX_WIDTH: Final = 4
AUX_KINDS: Final = (MARK, FUNDING, GAP)


def has_aux(kind: U8) -> npt.NDArray[np.bool_]:
    """Which messages carry their payload in ``aux`` instead of rows."""
    found: npt.NDArray[np.bool_] = (kind == MARK) | (kind == FUNDING) | (kind == GAP)
    return found


@dataclass(slots=True, eq=False)
class MessageBlock:
    """Messages of one feed. Times in ns; ``ref`` of MARK, FUNDING and GAP indexes ``aux`` (a, 4) of this block."""

    ts_event: I64
    ts_recv: I64
    ts_recv_raw: I64
    kind: U8
    ref: I64
    row_start: I64
    side: U8
    px_ticks: I32
    qty_lots: I32
    aux: I64

    def __len__(self) -> int:
        return len(self.ts_event)

    @property
    def rows(self) -> int:
        return int(self.row_start[-1])

    def cut(self, start: int, stop: int) -> MessageBlock:
        """Messages ``start:stop``; columns are views."""
        row0, row1 = int(self.row_start[start]), int(self.row_start[stop])
        kind = self.kind[start:stop]
        ref = self.ref[start:stop]
        carries = has_aux(kind)
        aux = self.aux[:0]
        if carries.any():
            aux = self.aux[ref[carries]]
            ref = ref.copy()
            ref[carries] = np.arange(len(aux))
        return MessageBlock(
            ts_event=self.ts_event[start:stop],
            ts_recv=self.ts_recv[start:stop],
            ts_recv_raw=self.ts_recv_raw[start:stop],
            kind=kind,
            ref=ref,
            row_start=self.row_start[start : stop + 1] - row0,
            side=self.side[row0:row1],
            px_ticks=self.px_ticks[row0:row1],
            qty_lots=self.qty_lots[row0:row1],
            aux=aux,
        )

    def take(self, order: I64) -> MessageBlock:
        """The messages at the positions ``order``, in that order."""
        starts = self.row_start[order]
        counts = self.row_start[order + 1] - starts
        row_start = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
        rows = np.repeat(starts - row_start[:-1], counts) + np.arange(row_start[-1])
        kind = self.kind[order]
        ref = self.ref[order]
        carries = has_aux(kind)
        aux = self.aux[ref[carries]]
        ref[carries] = np.arange(len(aux))
        return MessageBlock(
            ts_event=self.ts_event[order],
            ts_recv=self.ts_recv[order],
            ts_recv_raw=self.ts_recv_raw[order],
            kind=kind,
            ref=ref,
            row_start=row_start,
            side=self.side[rows],
            px_ticks=self.px_ticks[rows],
            qty_lots=self.qty_lots[rows],
            aux=aux,
        )

    def window(self, aux_base: int = 0) -> FeedWindow:
        """This block as a feed window whose aux rows count from ``aux_base``."""
        ref = np.ascontiguousarray(self.ref)
        if aux_base and len(self.aux):
            ref = np.where(has_aux(self.kind), ref + aux_base, ref)
        return FeedWindow(
            ts_event=np.ascontiguousarray(self.ts_event),
            ts_recv=np.ascontiguousarray(self.ts_recv),
            kind=np.ascontiguousarray(self.kind),
            row_start=np.ascontiguousarray(self.row_start),
            ref=ref,
            local_order=stable_local_order(self.ts_recv),
            side=np.ascontiguousarray(self.side),
            px_ticks=np.ascontiguousarray(self.px_ticks),
            qty_lots=np.ascontiguousarray(self.qty_lots),
            aux=np.ascontiguousarray(self.aux),
            aux_base=aux_base,
        )


def empty_block() -> MessageBlock:
    """A block of no messages."""
    none = np.zeros(0, np.int64)
    narrow = np.zeros(0, np.int32)
    small = np.zeros(0, np.uint8)
    return MessageBlock(
        ts_event=none,
        ts_recv=none,
        ts_recv_raw=none,
        kind=small,
        ref=none,
        row_start=np.zeros(1, np.int64),
        side=small,
        px_ticks=narrow,
        qty_lots=narrow,
        aux=np.zeros((0, AUX_WIDTH), np.int64),
    )


def join(blocks: Sequence[MessageBlock]) -> MessageBlock:
    """Blocks one after the other as one block."""
    if len(blocks) == 1:
        return blocks[0]
    refs, starts = [], [np.zeros(1, np.int64)]
    aux_count = row_count = 0
    for block in blocks:
        refs.append(np.where(has_aux(block.kind), block.ref + aux_count, block.ref) if aux_count else block.ref)
        starts.append(block.row_start[1:] + row_count)
        aux_count += len(block.aux)
        row_count += block.rows
    return MessageBlock(
        ts_event=np.concatenate([b.ts_event for b in blocks]),
        ts_recv=np.concatenate([b.ts_recv for b in blocks]),
        ts_recv_raw=np.concatenate([b.ts_recv_raw for b in blocks]),
        kind=np.concatenate([b.kind for b in blocks]),
        ref=np.concatenate(refs),
        row_start=np.concatenate(starts),
        side=np.concatenate([b.side for b in blocks]),
        px_ticks=np.concatenate([b.px_ticks for b in blocks]),
        qty_lots=np.concatenate([b.qty_lots for b in blocks]),
        aux=np.concatenate([b.aux for b in blocks]),
    )
