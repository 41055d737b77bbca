"""Torn, flipped, cut and hostile recordings: what is whole is read, what is not is named, nothing is made up.

The truth that everything is compared with is what was appended, and a naive reader of blocks that was never damaged.
"""

from __future__ import annotations

import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorders.raw import Damage, RawRecord, RawRecording, open_recordings
from recorders.raw.reader import UNFINISHED
from recorders.raw.report import cat, info, verify
from recorders.raw.segment import ABOUT, HEADER_BYTES, PLAIN_MAX, RECORDS, SEAL, block, parse_header, records_block
from tests.recorders.raw_scenes import START_NS, append_all, read, rows, writer
from venues.errors import InputError
from venues.ports import CountingEntropy

COUNT = 26
EXAMPLES = int(os.environ.get("PERPSIM_EXAMPLES", "150"))  # of the fuzz tests; more for a campaign
TRUTH = rows(COUNT)
TAG = 1  # of the first id that CountingEntropy gives


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed recording of one segment with five blocks."""
    recorder = writer(tmp_path_factory.mktemp("whole"), block_bytes=800, sync_ns=10**18)
    append_all(recorder, TRUTH)
    recorder.close()
    return recorder.path


def spans(content: bytes) -> list[tuple[int, int, int, int, int]]:
    """(start, end, kind, first_seq, records) of every block of an undamaged segment."""
    found, at = [], 0
    while at < len(content):
        header = parse_header(content[at : at + HEADER_BYTES])
        assert header is not None
        end = at + HEADER_BYTES + header.stored
        found.append((at, end, header.kind, header.first_seq, header.records))
        at = end
    return found


def damaged(tmp_path: Path, whole: Path, content: bytes, number: int = 1) -> Path:
    """A recording with these bytes as a segment, under the name that its blocks belong to."""
    folder = tmp_path / whole.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / f"{number:08d}.seg").write_bytes(content)
    return folder


def is_truth(records: list[RawRecord]) -> bool:
    """Whether all of these were appended, under these numbers, in this order, none twice."""
    numbers = [one.seq for one in records]
    return numbers == sorted(set(numbers)) and all(one[1:] == TRUTH[one.seq - 1] for one in records if one.seq <= COUNT)


def missing(damage: list[Damage]) -> set[int]:
    """The numbers that damage says are lost; open ends up to the last that there was (the note of the close)."""
    lost: set[int] = set()
    for one in damage:
        if one.first_lost is not None:
            last = COUNT + 1 if one.last_lost is None else one.last_lost
            lost |= set(range(one.first_lost, last + 1))
    return lost


def test_truncation_at_every_byte_of_the_last_blocks(tmp_path: Path, whole: Path) -> None:
    content = (whole / "00000001.seg").read_bytes()
    blocks = spans(content)
    assert [kind for _, _, kind, _, _ in blocks] == [ABOUT] + [RECORDS] * (len(blocks) - 2) + [SEAL]
    for length in range(blocks[-3][0], len(content)):
        recording = RawRecording(damaged(tmp_path, whole, content[:length]))
        found = list(recording.records())
        kept = sum(count for _, end, _, _, count in blocks if end <= length)
        records = [one for one in found if isinstance(one, RawRecord)]
        assert [one.seq for one in records] == list(range(1, kept + 1)) and is_truth(records)
        (loss,) = [one for one in found if isinstance(one, Damage)]
        edge = max((end for _, end, _, _, _ in blocks if end <= length), default=0)
        assert (loss.start, loss.end, loss.first_lost, loss.last_lost) == (edge, length, kept + 1, None)
        (segment,) = recording.segments
        assert recording.state == "unfinished"
        assert (segment.state, segment.torn_at) == (("unsealed", None) if edge == length else ("torn", edge))
        assert recording.whole == (edge == length)


def test_a_flipped_bit_in_every_byte_costs_one_block(tmp_path: Path, whole: Path) -> None:
    content = (whole / "00000001.seg").read_bytes()
    blocks = spans(content)
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        recording = RawRecording(damaged(tmp_path, whole, bytes(changed)))
        found = list(recording.records())
        records = [one for one in found if isinstance(one, RawRecord)]
        damage = [one for one in found if isinstance(one, Damage)]
        start, end, kind, first, count = next(one for one in blocks if one[0] <= at < one[1])
        assert is_truth(records)
        lost = set(range(first, first + count))
        assert {one.seq for one in records} == set(range(1, COUNT + 2)) - lost
        if kind == SEAL:  # then nobody knows whether that was the end
            assert [one.first_lost for one in damage] == [COUNT + 2]
            assert recording.segments[0].torn_at == start
        else:
            (one,) = damage
            assert (one.start, one.end) == (start, end) and missing(damage) == lost
            assert recording.state == "closed" and recording.segments[0].state == "damaged" and not recording.whole


def _without(content: bytes, start: int, size: int) -> bytes:
    return content[:start] + content[start + size :]


MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 6_000), st.integers(1, 500)),
        st.tuples(st.just("flip"), st.integers(0, 6_000), st.integers(0, 7)),
        st.tuples(st.just("zero"), st.integers(0, 6_000), st.integers(1, 500)),
        st.tuples(st.just("insert"), st.integers(0, 6_000), st.binary(max_size=100)),
        st.tuples(st.just("repeat"), st.integers(0, 6_000), st.integers(1, 900)),
    ),
    min_size=1,
    max_size=4,
)


def _mutated(content: bytes, what: list[tuple[str, int, int | bytes]]) -> bytes:
    for kind, at, how in what:
        at %= max(1, len(content))
        if isinstance(how, bytes):
            content = content[:at] + how + content[at:]
        elif kind == "cut":
            content = _without(content, at, how)
        elif kind == "zero":
            content = content[:at] + bytes(min(how, len(content) - at)) + content[at + how :]
        elif kind == "repeat":
            content = content[: at + how] + content[at:]
        elif content:
            content = content[:at] + bytes([content[at] ^ 1 << how]) + content[at + 1 :]
    return content


def _surviving(original: bytes, content: bytes) -> list[int]:
    """The naive reader: every occurrence of an original block, in the order of the file, that leads on."""
    places = []
    for start, end, kind, first, count in spans(original):
        place = content.find(original[start:end])
        while place >= 0:
            places.append((place, kind, first, count))
            place = content.find(original[start:end], place + 1)
    surviving: list[int] = []
    for _, kind, first, count in sorted(places):
        if kind == SEAL:
            break
        if not surviving or first > surviving[-1]:
            surviving += range(first, first + count)
    return surviving


@settings(max_examples=EXAMPLES, deadline=None)
@given(MUTATIONS)
def test_every_untouched_block_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, whole: Path, what: list[tuple[str, int, int | bytes]]
) -> None:
    """Whatever was cut, flipped, zeroed, inserted or repeated: what lies there unharmed in order is delivered."""
    original = (whole / "00000001.seg").read_bytes()
    content = _mutated(original, what)
    found = list(RawRecording(damaged(tmp_path_factory.getbasetemp(), whole, content)).records())
    records = [one for one in found if isinstance(one, RawRecord)]
    assert is_truth(records)
    assert {one.seq for one in records} >= set(_surviving(original, content))
    lost = missing([one for one in found if isinstance(one, Damage)])
    assert set(range(1, COUNT + 2)) - {one.seq for one in records} <= lost
    assert not lost & {one.seq for one in records}


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, whole: Path, content: bytes, where: int, seal: bytes
) -> None:
    """One sentence: whatever the bytes, records and damage come out, or an InputError; nothing else ever does."""
    good = block(ABOUT, TAG, 1, 1, b"{}") + records_block(TAG, 1, 1, TRUTH[:2])
    wrapped = [
        content,
        good + content,
        block(RECORDS, TAG, 1, 1, content, plain=max(25, len(seal)), count=1) + good,
        block(SEAL, TAG, 1, 1, content) + block(ABOUT, TAG, 1, 1, seal) + good,
    ][where]
    folder = damaged(tmp_path_factory.getbasetemp(), whole, wrapped)
    try:
        info(folder)
        verify(folder)
        for _ in cat(folder):
            pass
    except InputError:
        return


def test_claims_are_bounded_before_anything_is_allocated(tmp_path: Path, whole: Path) -> None:
    import pyarrow as pa

    bomb = pa.Codec("zstd").compress(bytes(200 << 20), asbytes=True)
    parts = [
        block(RECORDS, TAG, 1, 1, bomb, plain=200 << 20, count=1_000),  # refused by its header
        block(RECORDS, TAG, 1, 1, bomb, plain=PLAIN_MAX, count=1_000),  # more inside than it says
        block(RECORDS, TAG, 1, 1, bomb, plain=30_000, count=1_000),
        block(RECORDS, TAG, 1, 1, b"", plain=PLAIN_MAX, count=1),
        records_block(TAG, 1, 1, TRUTH[:2]),
    ]
    for part in parts[:-1]:
        folder = damaged(tmp_path, whole, part + records_block(TAG, 1, 1_001, TRUTH[:2]))
        tracemalloc.start()
        records, damage = read(folder)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [one.seq for one in records] == [1_001, 1_002] and damage[0].start == 0
        assert most < 2 * PLAIN_MAX


def test_a_file_made_to_waste_time_is_refused(tmp_path: Path, whole: Path) -> None:
    head = block(RECORDS, TAG, 1, 1, bytes(1 << 20), plain=30, count=1)[:HEADER_BYTES]
    folder = damaged(tmp_path, whole, head * 40_000 + bytes(1 << 20))
    with pytest.raises(InputError, match="only pretend"):
        read(folder)


def test_blocks_of_other_places_are_not_taken(tmp_path: Path, whole: Path) -> None:
    content = (whole / "00000001.seg").read_bytes()
    _, damage = read(damaged(tmp_path, whole, content, number=2))  # a copy under another number
    assert "segments before 2" in damage[0].why and "block of segment 1" in damage[1].why
    other = block(ABOUT, 2, 1, 1, b"{}") + records_block(2, 1, 1, TRUTH[:5])
    records, damage = read(damaged(tmp_path, whole, other + content))
    assert is_truth(records) and len(records) == COUNT + 1
    assert [one.why for one in damage] == ["a block of another recording, 0000000000000002"]
    records, damage = read(damaged(tmp_path, whole, content + content))  # the same twice
    assert is_truth(records) and len(records) == COUNT + 1 and "repeats record 1" in damage[-1].why


def test_a_recording_inside_a_recorded_frame_stays_inside(tmp_path: Path, whole: Path) -> None:
    inner = (whole / "00000001.seg").read_bytes()
    recorder = writer(tmp_path, entropy=_From(TAG))  # the same id even
    recorder.append(1, 1, START_NS, 1, inner)
    recorder.close()
    records, damage = read(recorder.path)
    assert [one.payload for one in records[:1]] == [inner] and len(records) == 2 and damage == []


class _From(CountingEntropy):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.count = number - 1


def test_a_lost_segment_is_counted(tmp_path: Path) -> None:
    recorder = writer(tmp_path, block_bytes=500, rotate_bytes=900, sync_ns=10**18)
    append_all(recorder, TRUTH)
    recorder.close()
    before, _ = read(recorder.path)
    recording = RawRecording(recorder.path)
    second = recording.segments[1]
    second.path.unlink()
    assert second.first_seq is not None and second.last_seq is not None
    records, damage = read(recorder.path)
    assert [one for one in before if not second.first_seq <= one.seq <= second.last_seq] == records
    assert [(one.first_lost, one.last_lost) for one in damage] == [(second.first_seq, second.last_seq)]
    recording.segments[-1].path.unlink()
    _, damage = read(recorder.path)
    assert damage[-1].why == UNFINISHED and damage[-1].last_lost is None
    assert not verify(tmp_path)["ok"]


def test_a_killed_recorder_that_wrote_nothing_is_a_recording_without_segments(tmp_path: Path) -> None:
    folder = tmp_path / "20260101T000000Z-0123456789abcdef"
    folder.mkdir()
    (recording,) = open_recordings(tmp_path)
    assert recording.state == "unfinished" and recording.segments == [] and recording.id == "0123456789abcdef"
    assert [one.why for one in recording.records() if isinstance(one, Damage)] == [UNFINISHED]
    (folder / "00000001.seg").write_bytes(b"")
    assert [one.why for one in RawRecording(folder).records() if isinstance(one, Damage)] == [UNFINISHED]


def test_an_unreadable_segment_is_an_input_error(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / whole.name
    (folder / "00000001.seg").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be read"):
        RawRecording(folder)


def test_verify_says_what_is_amiss(tmp_path: Path, whole: Path) -> None:
    found = verify(whole)
    assert found["ok"] and found["recordings"][0]["records"] == COUNT + 1
    content = (whole / "00000001.seg").read_bytes()
    wrong = block(SEAL, TAG, 1, COUNT + 2, b'{"why":"x","last":true,"records":7,"wall_ns":1,"mono_ns":1}')
    start = spans(content)[-1][0]
    (one,) = verify(damaged(tmp_path, whole, content[:start] + wrong))["recordings"]
    assert one["findings"] == [f"segment 1: sealed over 7 records, has {COUNT + 1}"]
    note = records_block(TAG, 1, COUNT + 2, [(5, 0, 1, 1, b"no note")])
    (one,) = verify(damaged(tmp_path, whole, content[:start] + note))["recordings"]
    assert [text.split(":")[0] for text in one["findings"]] == [f"record {COUNT + 2}", "segment 1"]
    bad = bytearray(content)
    bad[200] ^= 1
    (one,) = verify(damaged(tmp_path, whole, bytes(bad)))["recordings"]
    assert "segment 1: its head is not readable" in one["findings"]


def test_what_the_columns_contradict_is_damage(tmp_path: Path, whole: Path) -> None:
    import pyarrow as pa

    for plain in (
        bytes(25),
        b"\x09" + bytes(24),
        b"\x01" + bytes(20) + b"\x05\0\0\0",
        b"\x01" + bytes(4) + b"\xff" * 20,
    ):
        body = pa.Codec("zstd").compress(plain, asbytes=True)
        broken = block(RECORDS, TAG, 1, 1, body, plain=len(plain), count=1)
        records, damage = read(damaged(tmp_path, whole, broken + records_block(TAG, 1, 2, TRUTH[1:3])))
        assert [one.seq for one in records] == [2, 3]
        assert (damage[0].first_lost, damage[0].last_lost) == (1, 1) and "contradict" in damage[0].why
