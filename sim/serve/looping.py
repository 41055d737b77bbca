"""A feed that begins again when it ends, each pass right after the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from matching.codes import FUNDING, GAP, GAP_SESSION_END, MARK
from matching.feed import FeedSource, FeedWindow, stable_local_order

SECOND_NS: Final = 10**9


class LoopedSource:
    """``reopen()`` gives the feed from its beginning. A pass lasts ``span_ns``; between two passes the book is not
    known (GAP_SESSION_END), and funding boundaries that messages name move with the pass."""

    rows = -1

    def __init__(self, reopen: Callable[[], FeedSource], first_ns: int, span_ns: int) -> None:
        self._reopen, self._span_ns = reopen, span_ns
        self._source: FeedSource | None = reopen()
        self.first_ns = first_ns
        self.last_ns = (1 << 62) - 1
        self.passes = 0
        self._aux = 0
        self._aux_of_pass = 0
        self._ended_ns = first_ns

    def next_window(self) -> FeedWindow:
        """The next stretch; there is always one."""
        if self._source is None:
            self._source = self._reopen()
            self.passes += 1
            self._aux_of_pass = self._aux
            return self._break()
        window = self._source.next_window()
        if window is None:
            self._source = None
            return self.next_window()
        return self._shifted(window)

    def _shifted(self, window: FeedWindow) -> FeedWindow:
        by = self.passes * self._span_ns
        aux = window.aux.copy()
        for kind, column in ((MARK, 3), (FUNDING, 2)):
            rows = window.ref[window.kind == kind] - window.aux_base
            if len(rows):
                rows = rows[aux[rows, column] > 0]
                aux[rows, column] = window.aux[rows, column] + by
        named = np.isin(window.kind, (MARK, FUNDING, GAP))
        base = self._aux_of_pass + window.aux_base
        self._aux = max(self._aux, base + len(aux))
        return replace(
            window, ts_event=window.ts_event + by, ts_recv=window.ts_recv + by, aux=aux, aux_base=base,
            ref=np.where(named, window.ref + self._aux_of_pass, window.ref), room=None,
        )  # fmt: skip

    def _break(self) -> FeedWindow:
        at = np.array([self.first_ns + self.passes * self._span_ns], np.int64)
        base, self._aux = self._aux, self._aux + 1
        self._aux_of_pass = self._aux
        return FeedWindow(
            ts_event=at, ts_recv=at, kind=np.array([GAP], np.uint8), row_start=np.zeros(2, np.int64),
            ref=np.array([base], np.int64), local_order=stable_local_order(at), side=np.zeros(0, np.uint8),
            px_ticks=np.zeros(0, np.int32), qty_lots=np.zeros(0, np.int32),
            aux=np.array([[GAP_SESSION_END, 0, 0, 0]], np.int64), aux_base=base,
        )  # fmt: skip
