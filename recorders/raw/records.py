"""What a raw recording is made of: one record per frame, request, reply or note, numbered without holes.

    FRAME_IN    a websocket message from the venue, the exact bytes (text as UTF-8)
    FRAME_OUT   a websocket message to the venue, secrets redacted
    REQUEST     a REST request, as JSON: {"method", "url", ...}, secrets redacted
    REPLY       the body of a REST reply, the exact bytes, secrets redacted
    NOTE        what the recorder has to say about itself (notes.py), as JSON

``seq`` starts at 1 and grows by one, across segments, so that whatever is missing can be counted. ``connection`` is the
recorder's own number, given by an ``Opened`` note; 0 is the recorder itself. On one connection at most one request
waits for its reply, so a reply answers the last request before it. ``wall_ns`` is UTC and may step,
``mono_ns`` never goes back and has no meaning outside its recording; both are of the moment of receipt or sending.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FRAME_IN: Final = 1
FRAME_OUT: Final = 2
REQUEST: Final = 3
REPLY: Final = 4
NOTE: Final = 5
KINDS: Final = {FRAME_IN: "frame_in", FRAME_OUT: "frame_out", REQUEST: "request", REPLY: "reply", NOTE: "note"}


class RawRecord(NamedTuple):
    """One record as it was written."""

    seq: int
    kind: int
    connection: int
    wall_ns: int
    mono_ns: int
    payload: bytes
