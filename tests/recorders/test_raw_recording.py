"""A raw recording gives back what was appended, in order, and says how it ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorders.raw import (
    FRAME_IN,
    FRAME_OUT,
    NOTE,
    Closed,
    Gap,
    Opened,
    RawRecord,
    RawRecording,
    RawWriter,
    Stopped,
    decode_note,
    encode_note,
    open_recordings,
)
from recorders.raw.segment import COUNT_MAX, PAYLOAD_MAX
from tests.recorders.raw_scenes import START_NS, append_all, frame, read, rows, split, writer
from venues.errors import InputError, LocalError
from venues.ports import CountingEntropy, SystemFiles, VirtualClock


def test_what_goes_in_comes_out_in_order(tmp_path: Path) -> None:
    recorder = writer(tmp_path, block_bytes=2_000)
    assert append_all(recorder, rows(500)) == list(range(1, 501))
    recorder.close("enough")
    recording = RawRecording(recorder.path)
    found, damage = split(recording.records())
    assert damage == [] and recording.damage == []
    assert [record[1:] for record in found[:500]] == rows(500)
    assert [record.seq for record in found] == list(range(1, 502))
    assert decode_note(found[500].payload) == Stopped("enough", 500)
    assert recording.state == "closed" and recording.whole and not recording.is_open
    assert recording.about == {"streams": ["trade"]}
    assert recording.id == recorder.id == "0000000000000001"
    assert recorder.path.name == "20260921T141320Z-0000000000000001"
    (segment,) = recording.segments
    assert (segment.state, segment.first_seq, segment.last_seq, segment.records) == ("sealed", 1, 501, 501)
    assert segment.blocks > 10 and segment.bytes == segment.path.stat().st_size == recorder.bytes_written
    assert sorted(p.name for p in recorder.path.iterdir()) == [".lock", "00000001.seg"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 5),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**63 - 1),
            st.integers(0, 2**63 - 1),
            st.binary(max_size=300),
        ),
        max_size=60,
    ),
    st.integers(1, 3_000),
)
def test_any_record_survives_exactly(
    tmp_path_factory: pytest.TempPathFactory, what: list[tuple[int, int, int, int, bytes]], block_bytes: int
) -> None:
    recorder = writer(tmp_path_factory.mktemp("raw"), block_bytes=block_bytes, sync_ns=10**18)
    append_all(recorder, what)
    recorder.close()
    found, damage = read(recorder.path)
    assert [record[1:] for record in found[:-1]] == what and damage == []


def test_a_block_is_synced_when_full_when_old_and_when_asked(tmp_path: Path) -> None:
    recorder = writer(tmp_path, block_bytes=10_000, sync_ns=1_000)
    recorder.append(FRAME_IN, 1, START_NS, 5_000, b"x")
    assert recorder.synced_seq == 0
    recorder.tick(5_999)
    assert recorder.synced_seq == 0
    recorder.tick(6_000)
    assert recorder.synced_seq == 1
    recorder.append(FRAME_IN, 1, START_NS, 7_000, b"x")
    recorder.append(FRAME_IN, 1, START_NS, 8_000, b"x")
    assert recorder.synced_seq == 3
    recorder.append(FRAME_IN, 1, START_NS, 9_000, b"x" * 10_000)
    assert recorder.synced_seq == 4
    recorder.append(FRAME_IN, 1, START_NS, 9_001, b"x")
    recorder.sync()
    assert recorder.synced_seq == 5 and recorder.next_seq == 6
    recorder.close()


def test_segments_rotate_by_size_and_by_the_hour(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    recorder = writer(tmp_path, clock=clock, block_bytes=1_000, rotate_bytes=4_000, rotate_ns=3_600 * 10**9)
    append_all(recorder, rows(300))
    recorder.sync()
    by_size = recorder.segment
    assert by_size > 2
    clock.advance_ns(3_600 * 10**9 - START_NS % (3_600 * 10**9))
    recorder.tick(1)
    assert recorder.segment == by_size + 1
    append_all(recorder, rows(10, 301))
    recorder.close()
    recording = RawRecording(recorder.path)
    found, damage = split(recording.records())
    assert [record.payload for record in found[:310]] == [frame(n) for n in range(1, 311)] and damage == []
    assert [segment.state for segment in recording.segments] == ["sealed"] * (by_size + 1)
    assert [segment.seal.last for segment in recording.segments if segment.seal] == [False] * by_size + [True]
    about = recording.segments[-1].about
    assert about is not None and about.wall_ns % (3_600 * 10**9) == 0 and about.started_wall_ns == START_NS


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    recorder = writer(tmp_path, block_bytes=2_000)
    append_all(recorder, rows(100))
    recorder.note(Opened(2, "binance_usdm", "wss://x/ws", ("btcusdt@trade",)), START_NS, 200_000_000)
    recorder.close()
    recording = RawRecording(recorder.path)
    assert {r.kind for r in recording.records(kinds=[NOTE]) if isinstance(r, RawRecord)} == {NOTE}
    two, _ = split(recording.records(connections=[2], kinds=[FRAME_IN]))
    assert [r.seq for r in two] == [n for n in range(1, 101) if 1 + n % 3 == 2]
    some, _ = split(recording.records(start_ns=rows(1, 20)[0][2], end_ns=rows(1, 30)[0][2]))
    assert [r.seq for r in some] == list(range(20, 30))


def test_a_recording_in_progress_is_read_up_to_the_last_sync(tmp_path: Path) -> None:
    recorder = writer(tmp_path, block_bytes=1_000)
    append_all(recorder, rows(105))
    recording = RawRecording(recorder.path)
    found, damage = split(recording.records())
    assert recording.is_open and recording.state == "open" and damage == []
    assert [r.seq for r in found] == list(range(1, recorder.synced_seq + 1))
    with recording.segments[0].path.open("ab") as half:
        half.write(b"\xabPSR")  # a write of the living writer, half done
    found, damage = read(recorder.path)
    assert len(found) == recorder.synced_seq and damage == []


def test_one_recording_has_one_writer(tmp_path: Path) -> None:
    first = writer(tmp_path)
    with pytest.raises(LocalError, match="File exists"):
        writer(tmp_path)
    other = writer(tmp_path, entropy=_Second())
    assert [one.state for one in open_recordings(tmp_path)] == ["open", "open"]
    first.close()
    other.close()
    assert [one.state for one in open_recordings(tmp_path)] == ["closed", "closed"]
    with pytest.raises(LocalError, match="File exists"):
        writer(tmp_path)  # never taken up again


class _Second(CountingEntropy):
    def token(self, length: int) -> bytes:
        self.count = 1
        return super().token(length)


def test_a_closed_writer_takes_nothing_more(tmp_path: Path) -> None:
    recorder = writer(tmp_path)
    recorder.close()
    recorder.close()
    for call in (lambda: recorder.append(FRAME_IN, 1, 1, 1, b""), recorder.sync, lambda: recorder.tick(1)):
        with pytest.raises(LocalError, match="closed"):
            call()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((9, 1, 1, 1, b""), "no kind 9"),
        ((FRAME_IN, -1, 1, 1, b""), "connection -1"),
        ((FRAME_IN, 1 << 32, 1, 1, b""), "connection 4294967296"),
        ((FRAME_OUT, 1, -1, 1, b""), "times -1"),
        ((FRAME_OUT, 1, 1, 1 << 63, b""), "times 1 and"),
        ((FRAME_IN, 1, 1, 1, bytes(PAYLOAD_MAX + 1)), "more than"),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_the_recording_goes_on(
    tmp_path: Path, row: tuple[int, int, int, int, bytes], why: str
) -> None:
    recorder = writer(tmp_path)
    with pytest.raises(InputError, match=why):
        recorder.append(*row)
    assert recorder.append(*rows(1)[0]) == 1
    recorder.close()
    assert len(read(recorder.path)[0]) == 2


def test_blocks_stay_within_their_bounds(tmp_path: Path) -> None:
    recorder = writer(tmp_path, block_bytes=32 << 20, sync_ns=10**18)
    for _ in range(COUNT_MAX + 5):
        recorder.append(FRAME_IN, 1, 1, 1, b"")
    assert recorder.synced_seq == COUNT_MAX
    recorder.append(FRAME_IN, 1, 1, 1, os.urandom(PAYLOAD_MAX))
    recorder.close()
    found, damage = read(recorder.path)
    assert len(found) == COUNT_MAX + 7 and damage == [] and len(found[-2].payload) == PAYLOAD_MAX


@pytest.mark.parametrize("field", ["rotate_bytes", "rotate_ns", "block_bytes"])
def test_impossible_settings_are_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(InputError, match=field):
        writer(tmp_path, **{field: 0})
    with pytest.raises(InputError, match="about"):
        RawWriter(tmp_path, {"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no raw recording"):
        open_recordings(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        open_recordings(tmp_path / "absent")
    with pytest.raises(InputError, match="is no recording"):
        RawRecording(tmp_path)


@pytest.mark.parametrize(
    "note",
    [
        Opened(3, "okx", "wss://ws.okx.com:8443/ws/v5/public", ("books:BTC-USDT-SWAP",)),
        Closed(3, "reset by peer", 1006),
        Gap("okx", "BTC-USDT-SWAP", "books", "checksum"),
    ],
)
def test_notes_go_both_ways(note: Opened | Closed | Gap) -> None:
    assert decode_note(encode_note(note)) == note


@pytest.mark.parametrize("content", [b"", b"{}", b'{"note":"opened"}', b'{"note":"rumour"}', b"\xff", b"[" * 100_000])
def test_what_is_no_note_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        decode_note(content)


def test_the_system_files_are_used_when_none_are_given(tmp_path: Path) -> None:
    recorder = RawWriter(tmp_path, {}, files=SystemFiles())
    recorder.append(*rows(1)[0])
    recorder.close()
    assert len(read(recorder.path)[0]) == 2
