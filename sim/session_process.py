"""How a process that stamps frames is run: its garbage collection, its threads' turns, the signals that end it."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from typing import Final

SWITCH_SECONDS: Final = 0.0005  # how long the writing thread may keep the interpreter while a frame waits for its stamp
GC_ALLOCATIONS: Final = 20_000  # frames are tuples of bytes and numbers: nothing that needs collecting early
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def prompt() -> Iterator[None]:
    """What is there already is never collected, and no thread keeps the interpreter for long."""
    gc.collect()
    gc.freeze()
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(GC_ALLOCATIONS, 50, 100)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*before)
        gc.unfreeze()


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that end a session; SIGHUP (the terminal is gone) not under nohup."""
    return tuple(one for one in _SIGNALS if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN)
