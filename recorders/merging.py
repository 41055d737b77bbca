"""A feed with messages of a table put in: funding that is charged from a table, marks that the recording lacks.

At equal venue time the table's messages come after the feed's (marks are last in venue order), so each is held until
the feed has passed its time. Marks from before the feed's first message are summed up by the last of them, stamped
with that message's time: a run knows the mark from its start. Funding from before it is left out, and so is
everything after the feed's end.
"""

from __future__ import annotations

import numpy as np

from matching.codes import MARK
from matching.feed import I64, U8, FeedSource, FeedWindow, stable_local_order
from recorders.blocks import has_aux


class MergedSource:
    """A ``FeedSource`` that adds the messages of ``extra`` (MARK and FUNDING only, by time) to another source."""

    def __init__(self, source: FeedSource, extra: FeedWindow) -> None:
        if not has_aux(extra.kind).all():
            raise ValueError("only MARK and FUNDING messages can be merged into a feed")
        self._source = source
        self.rows = source.rows
        self.first_ns = source.first_ns
        self.last_ns = source.last_ns
        self._kind, self._time, self._aux = _from_start(extra, source.first_ns)
        self._at = 0
        self._base = 0

    def next_window(self) -> FeedWindow | None:
        """The next stretch of the merged feed, or None at the end of the feed."""
        window = self._source.next_window()
        if window is None:
            return None
        last = int(window.ts_event[-1]) if len(window) else self.first_ns
        stop = max(self._at, int(self._time.searchsorted(last)))
        merged = self._merge(window, self._at, stop)
        self._at = stop
        self._base += len(merged.aux)
        return merged

    def _merge(self, window: FeedWindow, start: int, stop: int) -> FeedWindow:
        count = stop - start
        aux = self._aux[start:stop]
        ref = np.where(has_aux(window.kind), window.ref - window.aux_base + self._base, window.ref)
        times = self._time[start:stop]
        places = window.ts_event.searchsorted(times, side="right")
        ts_recv = np.insert(window.ts_recv, places, times)
        counts = np.insert(np.diff(window.row_start), places, 0)
        return FeedWindow(
            ts_event=np.insert(window.ts_event, places, times),
            ts_recv=ts_recv,
            kind=np.insert(window.kind, places, self._kind[start:stop]),
            row_start=np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))),
            ref=np.insert(ref, places, self._base + len(window.aux) + np.arange(count)),
            local_order=stable_local_order(ts_recv) if count else window.local_order,
            side=window.side,
            px_ticks=window.px_ticks,
            qty_lots=window.qty_lots,
            aux=np.concatenate((window.aux, aux)),
            aux_base=self._base,
        )


def _from_start(extra: FeedWindow, first_ns: int) -> tuple[U8, I64, I64]:
    """Kinds, times and payloads from ``first_ns`` on, the last mark before it included."""
    order = np.argsort(extra.ts_event, kind="stable")
    kind, times = extra.kind[order], extra.ts_event[order].copy()
    aux = extra.aux[extra.ref[order] - extra.aux_base]
    keep = times >= first_ns
    early = np.flatnonzero(~keep & (kind == MARK))
    if len(early):
        keep[early[-1]] = True
        times[early[-1]] = first_ns
    return kind[keep], times[keep], aux[keep]
