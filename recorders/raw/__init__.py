"""Raw recordings: the exact frames, requests and replies with their times, in segments that survive a kill.

records.py  what a record is            notes.py   what a recorder says about itself
segment.py  the bytes on the disk       writer.py  appends records          reader.py  streams them back
redact.py   what never reaches a recording
"""

from recorders.raw.notes import (
    STOPPING,
    ClockOffset,
    ClockStep,
    Closed,
    Dropped,
    Gap,
    Note,
    Opened,
    Remark,
    Resynced,
    RunBegan,
    RunEnded,
    Started,
    Stopped,
    decode_note,
    encode_note,
)
from recorders.raw.reader import Damage, RawRecording, SegmentState, open_recordings
from recorders.raw.records import FRAME_IN, FRAME_OUT, KINDS, NOTE, REPLY, REQUEST, RawRecord
from recorders.raw.redact import Redactor
from recorders.raw.writer import RawWriter, RecordingStopped

__all__ = [
    "FRAME_IN",
    "FRAME_OUT",
    "KINDS",
    "NOTE",
    "REPLY",
    "REQUEST",
    "STOPPING",
    "ClockOffset",
    "ClockStep",
    "Closed",
    "Damage",
    "Dropped",
    "Gap",
    "Note",
    "Opened",
    "RawRecord",
    "RawRecording",
    "RawWriter",
    "RecordingStopped",
    "Redactor",
    "Remark",
    "Resynced",
    "RunBegan",
    "RunEnded",
    "SegmentState",
    "Started",
    "Stopped",
    "decode_note",
    "encode_note",
    "open_recordings",
]
