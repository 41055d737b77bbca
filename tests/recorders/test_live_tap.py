"""Whoever listens to a recorder sees exactly what the recording holds: same records, same order, same stamps."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorders.raw import NOTE, Gap, RawRecord, RawRecording, RunBegan, RunEnded, Stopped, decode_note, encode_note
from tests.recorders.test_live_recorder import book, diff, quote, record, taken
from tests.tools.replay_server import Close, Stay


def test_the_listener_hears_every_record_that_is_written(tmp_path: Path) -> None:
    heard: list[RawRecord] = []
    script = [quote(1), diff(1, 0), diff(2, 1), diff(5, 4), quote(2), Close(), Stay()]
    made = record(
        tmp_path,
        lambda path, number: script if number == 0 else [quote(3), Stay()],
        lambda server, recorder: len(server.sent) > 1 and taken(6)(server, recorder),
        rest=lambda path: book(1),
        listener=heard.append,
    )
    assert made.notes(Gap) and made.notes(Stopped)
    own = [record for record in made.records if not isinstance(_note(record), Stopped)]  # that one is the writer's own
    assert heard == own


def _note(record: RawRecord) -> object:
    return decode_note(record.payload) if record.kind == NOTE else None


def test_a_listener_that_fails_ends_the_recording_and_everything_heard_is_written(tmp_path: Path) -> None:
    heard: list[RawRecord] = []

    def listen(record: RawRecord) -> None:
        heard.append(record)
        if b"bookTicker" in record.payload:
            raise RuntimeError("a defect of the listener")

    with pytest.raises(RuntimeError, match="a defect of the listener"):
        record(tmp_path, lambda path, number: [quote(1), Stay()], taken(10), listener=listen)
    (folder,) = tmp_path.iterdir()
    recording = RawRecording(folder)
    assert recording.state == "closed"
    written = [record for record in recording.records() if isinstance(record, RawRecord)]
    assert written[: len(heard)] == heard


def test_the_notes_of_a_run_come_back_as_they_were() -> None:
    for note in (
        RunBegan(200_000_000, 1_789_000_000 * 10**9, 1_790_000_000 * 10**9, 1_500_000, 12, 50_000_000, "quotes"),
        RunEnded(5, "end"),
    ):
        assert decode_note(encode_note(note)) == note
