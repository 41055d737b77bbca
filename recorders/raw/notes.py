"""What a recorder says about itself, as records of their own: JSON objects with a ``note`` that names their form.

A reader of the recording needs nothing else to know what it may believe: which streams ran on which connection, where
something is missing and why, when a book was whole again, how far the clocks were off. ``venue``, ``symbol`` and
``stream`` are the names the venue uses; empty stands for all of them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from venues.errors import InputError

# Why something is missing. The lake's gap codes have the same names (matching/codes.py: GAP_...).
SEQUENCE: Final = "sequence"
DISCONNECT: Final = "disconnect"
SESSION_END: Final = "session_end"
CHECKSUM: Final = "checksum"
RECORDER: Final = "recorder"
STOPPING: Final = "the recorder stopped"  # why connections close when the recording ends: no outage
GAP_REASONS: Final = (SEQUENCE, DISCONNECT, SESSION_END, CHECKSUM, RECORDER)


class Started(msgspec.Struct, frozen=True, tag_field="note", tag="started"):
    """A recorder began. ``config`` is what it was told to record."""

    config: dict[str, Any] = {}
    code_version: str = ""


class Opened(msgspec.Struct, frozen=True, tag_field="note", tag="opened"):
    """A connection is up. ``streams``: what is subscribed on it, in the venue's names."""

    connection: int
    venue: str
    url: str
    streams: tuple[str, ...] = ()


class Closed(msgspec.Struct, frozen=True, tag_field="note", tag="closed"):
    """A connection is down. ``code`` is the websocket close code, None when there was none."""

    connection: int
    why: str
    code: int | None = None


class Gap(msgspec.Struct, frozen=True, tag_field="note", tag="gap"):
    """Something is missing before this record. ``why`` is one of ``GAP_REASONS``; ``detail`` says it in words."""

    venue: str
    symbol: str
    stream: str
    why: str
    detail: str = ""
    connection: int = 0


class Resynced(msgspec.Struct, frozen=True, tag_field="note", tag="resynced"):
    """A stream is whole again. ``how``: snapshot, resubscribe, reconnect ...; ``took_ns`` since the gap was noticed."""

    venue: str
    symbol: str
    stream: str
    how: str = ""
    tries: int = 1
    took_ns: int = 0


class ClockStep(msgspec.Struct, frozen=True, tag_field="note", tag="clock_step"):
    """The wall clock moved against the monotonic one: ``step_ns`` forward (negative: back)."""

    step_ns: int


class ClockOffset(msgspec.Struct, frozen=True, tag_field="note", tag="clock_offset"):
    """The estimate of a venue's clock minus ours. ``error_ns`` bounds it, ``samples`` went into it."""

    venue: str
    offset_ns: int
    error_ns: int = 0
    samples: int = 0
    how: str = ""


class Dropped(msgspec.Struct, frozen=True, tag_field="note", tag="dropped"):
    """A full queue dropped ``count`` messages of a stream, as ``policy`` says."""

    stream: str
    count: int
    policy: str
    venue: str = ""
    symbol: str = ""


class Remark(msgspec.Struct, frozen=True, tag_field="note", tag="remark"):
    """Something a person should know: a refusal, a frame that is not the venue's, a snapshot that did not join."""

    venue: str
    symbol: str
    text: str


class RunBegan(msgspec.Struct, frozen=True, tag_field="note", tag="run_began"):
    """A run over this recording's own feed began, after a warm-up. A record is received at its monotonic time plus
    ``base_ns`` (wall minus monotonic clock at the beginning, plus ``offset_ns`` where our clock ran behind the venue's)
    and later than the one before; the venue is simulated ``delay_ns`` behind. ``begin_ns`` is the run's first instant,
    later than all records before this one. ``samples`` messages of the warm-up gave the delay, ``margin_ns`` of it on
    top; 0 where it was given. ``run`` names the run."""

    delay_ns: int
    base_ns: int
    begin_ns: int
    offset_ns: int = 0
    samples: int = 0
    margin_ns: int = 0
    run: str = ""


class RunEnded(msgspec.Struct, frozen=True, tag_field="note", tag="run_ended"):
    """The run that began over this recording's feed ended at ``stamp_ns``; nothing that follows is part of it."""

    stamp_ns: int
    why: str = ""


class Stopped(msgspec.Struct, frozen=True, tag_field="note", tag="stopped"):
    """The recording ended. ``lost`` records after ``last_synced_seq`` never reached the disk, as far as is known."""

    why: str
    last_synced_seq: int
    lost: int = 0


Note = (
    Started | Opened | Closed | Gap | Resynced | ClockStep | ClockOffset | Dropped | Remark | RunBegan | RunEnded
    | Stopped
)  # fmt: skip

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Note] = msgspec.json.Decoder(Note)


def encode_note(note: Note) -> bytes:
    """The payload of a NOTE record."""
    return _encoder.encode(note)


def decode_note(payload: bytes, *, source: str = "note") -> Note:
    """The note in a NOTE record's payload. Raises ``InputError`` when it is none."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is no note of a recorder: {error}", source=source) from None
