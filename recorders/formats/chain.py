"""Order books whose messages carry update ids: what follows what, and what was lost.

A snapshot is the book as of an update; a change follows the book as of ``previous`` and makes it ``last``. The first
change after a snapshot may begin before it, since venues tell several updates in one change and snapshots are asked for
apart; later ones follow exactly. What does not follow is a gap, and until the next snapshot nothing is known.
"""

from __future__ import annotations

import numpy as np

from matching.codes import GAP_SEQUENCE, SNAPSHOT
from matching.feed import I64
from recorders.blocks import MessageBlock
from recorders.formats.assembly import gap_message, with_gaps


class Chain:
    """Checks the messages of a book in their order. ``in_stream``: snapshots are messages of the stream itself, so what
    lies between a change and a snapshot that does not follow it was lost, and the book unknown until then; snapshots
    that were asked for lose nothing, and are needed only where the next change does not follow the one before. Counts:
    ``early`` changes that no snapshot precedes or that a snapshot contains, ``again`` messages that repeat an update,
    ``redundant`` snapshots that were not needed."""

    def __init__(self, *, in_stream: bool = False) -> None:
        self._in_stream = in_stream
        self.valid = False
        self.early = self.again = self.redundant = 0
        self._last = -1
        self._exact = False
        self._at = (0, 0)  # venue and receive time of the last message used

    def take(self, block: MessageBlock, first: I64, last: I64, previous: I64) -> MessageBlock:
        """The messages that can be used, with a GAP where something is missing before one."""
        keep = np.zeros(len(block), np.bool_)
        gaps: list[tuple[int, MessageBlock]] = []
        kinds, events, recvs = block.kind.tolist(), block.ts_event.tolist(), block.ts_recv.tolist()
        ids = zip(first.tolist(), last.tolist(), previous.tolist(), strict=True)
        kept = 0
        changes = np.flatnonzero(block.kind != SNAPSHOT)

        def lost(at: int, before: int) -> None:
            span = max(0, events[at] - self._at[0])
            gap = gap_message(GAP_SEQUENCE, self._at[0], recvs[at], self._last + 1, max(before, 0), span)
            gaps.append((kept, gap))

        for at, (begin, end, before) in enumerate(ids):
            if kinds[at] == SNAPSHOT:
                good = not self.valid or end > self._last or end <= 1  # 1: the venue's numbers begin again
                if good and self.valid and self._in_stream and (before > self._last or end < self._last):
                    lost(at, before)
                elif good and self.valid and not self._in_stream and (more := changes[changes > at]).size:
                    follows = int(previous[more[0]])
                    if follows == self._last:
                        self.redundant += 1
                        continue
                    if follows > self._last:
                        lost(at, follows)
                self.valid, self._exact = True, False
                self.again += not good
            elif not self.valid:
                good = False
                self.early += 1
            elif end <= self._last:
                good = False
                self.early, self.again = self.early + (not self._exact), self.again + self._exact
            else:
                good = before == self._last or (not self._exact and min(begin - 1, before) <= self._last)
                if not good:
                    self.valid = False
                    lost(at, before)
                    self.early += 1
                self._exact = True
            if good:
                keep[at] = True
                kept += 1
                self._last, self._at = end, (events[at], recvs[at])
        return with_gaps(block.take(np.flatnonzero(keep)), gaps)
