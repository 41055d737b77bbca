"""A feed read a little ahead, so that the instant of the next message is known before it comes.

Theory of operation. A message of venue time T is never received before T. So once a window has been read whose last
venue time lies beyond the earliest receive time that is still to come, nothing unknown can precede it. Windows are
handed on unchanged, in order; what is kept beside them are the receive times that have not passed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Final

import numpy as np

from matching.feed import FeedSource, FeedWindow

NEVER_NS: Final = 1 << 62
WINDOWS_AHEAD: Final = 1024


class AheadSource:
    """A ``FeedSource`` that also says when its next message is received."""

    def __init__(self, source: FeedSource) -> None:
        self.rows, self.first_ns, self.last_ns = source.rows, source.first_ns, source.last_ns
        self._source = source
        self._ready: deque[FeedWindow] = deque(maxlen=WINDOWS_AHEAD)
        self._ended = False
        self._known_ns = -NEVER_NS
        self._times: list[int] = []
        self._at = 0

    def next_window(self) -> FeedWindow | None:
        """The next stretch, or None at the end."""
        if not self._ready:
            self._read()
        return self._ready.popleft() if self._ready else None

    def _read(self) -> None:
        window = None if self._ended else self._source.next_window()
        if window is None:
            self._ended = True
            return
        self._ready.append(window)
        if len(window):
            self._known_ns = int(window.ts_event[-1])
            left = self._times[self._at :]
            self._times = np.sort(np.concatenate((np.array(left, np.int64), window.ts_recv))).tolist()
            self._at = 0

    def next_receive_ns(self, now_ns: int) -> int:
        """The first receive time after ``now_ns``, which does not go back; NEVER_NS at the end."""
        while True:
            self._at = bisect_right(self._times, now_ns, self._at)
            found = self._times[self._at] if self._at < len(self._times) else NEVER_NS
            if found <= self._known_ns or self._ended or len(self._ready) == WINDOWS_AHEAD:
                return found
            self._read()
