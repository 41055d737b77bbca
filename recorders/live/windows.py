"""Messages on their way into small feed windows, as fast as plain Python makes them.

A ``Message`` is a tuple that sorts into venue order: time, rank, number. ``Columns`` collects messages in buffers that
become the columns of a window without being copied; each window has buffers of its own."""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np

from matching.feed import I32, FeedWindow, stable_local_order
from recorders.blocks import AUX_WIDTH

# v (ns), rank, number, ts_recv (ns), kind, ref, sides, ticks, lots, aux or None
Message = tuple[int, int, int, int, int, int, bytes, list[int], list[int], tuple[int, int, int, int] | None]

_IDENTITY: Final[I32] = np.arange(64, dtype=np.int32)
_NO_AUX: Final = np.zeros((0, AUX_WIDTH), np.int64)
_NO_SIDE: Final = np.zeros(0, np.uint8)
_NO_ROWS: Final = np.zeros(0, np.int32)
_IDENTITY.flags.writeable = False


class Columns:
    """The window in the making. Aux rows are numbered through all windows that come from here."""

    __slots__ = ("_aux", "_aux_base", "_event", "_kind", "_lots", "_recv", "_ref", "_row_start", "_side", "_ticks")

    def __init__(self) -> None:
        self._aux_base = 0
        self._new()

    def _new(self) -> None:
        self._event, self._recv, self._ref, self._aux = array("q"), array("q"), array("q"), array("q")
        self._row_start = array("q", (0,))
        self._kind, self._side = bytearray(), bytearray()
        self._ticks, self._lots = array("i"), array("i")

    def __len__(self) -> int:
        return len(self._kind)

    def add(self, message: Message) -> None:
        """Append a message."""
        v, _, _, recv, kind, ref, sides, ticks, lots, aux = message
        self._event.append(v)
        self._recv.append(recv)
        self._kind.append(kind)
        if aux is not None:
            ref = self._aux_base + len(self._aux) // AUX_WIDTH
            self._aux.extend(aux)
        self._ref.append(ref)
        if ticks:
            self._side += sides
            self._ticks.extend(ticks)
            self._lots.extend(lots)
        self._row_start.append(len(self._ticks))

    def take(self, *, in_order: bool) -> FeedWindow | None:
        """The messages as a window, None without any. ``in_order``: they were received in the order they stand in."""
        count = len(self._kind)
        if not count:
            return None
        recv = np.frombuffer(self._recv, np.int64)
        order = _IDENTITY[:count] if in_order and count <= len(_IDENTITY) else stable_local_order(recv)
        rows = len(self._ticks)
        window = FeedWindow(
            ts_event=np.frombuffer(self._event, np.int64),
            ts_recv=recv,
            kind=np.frombuffer(self._kind, np.uint8),
            row_start=np.frombuffer(self._row_start, np.int64),
            ref=np.frombuffer(self._ref, np.int64),
            local_order=order,
            side=np.frombuffer(self._side, np.uint8) if rows else _NO_SIDE,
            px_ticks=np.frombuffer(self._ticks, np.int32) if rows else _NO_ROWS,
            qty_lots=np.frombuffer(self._lots, np.int32) if rows else _NO_ROWS,
            aux=np.frombuffer(self._aux, np.int64).reshape(-1, AUX_WIDTH) if self._aux else _NO_AUX,
            aux_base=self._aux_base,
        )
        self._aux_base += len(self._aux) // AUX_WIDTH
        self._new()
        return window
