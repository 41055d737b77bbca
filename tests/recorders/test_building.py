"""The lake from raw recordings: the same messages as from lines, notes as gaps, the same bytes whenever and however."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.codes import DEPTH, GAP, GAP_DISCONNECT, GAP_RECORDER, GAP_SEQUENCE, SNAPSHOT, TRADE
from matching.feed import I64
from recorders.book import BookTrack
from recorders.building import build
from recorders.captures import book_asked_for, import_captures
from recorders.dayfile import DayFile, DayWriter
from recorders.lake import Lake
from recorders.raw import (
    FRAME_IN,
    NOTE,
    REPLY,
    REQUEST,
    ClockStep,
    Closed,
    Dropped,
    Gap,
    Note,
    Opened,
    RawWriter,
    Started,
    encode_note,
)
from recorders.raw.segment import MAGIC
from recorders.replaying import of_book
from recorders.writer import instrument_fields
from tests.recorders.captures import MS, Line, Market, replay, whole_feed, write
from venues import known_instrument
from venues.errors import InputError
from venues.instruments import Instrument

USDM = "binance_usdm"
EARLIER_NS = 200 * MS  # that recordings begin before their first frame
COLUMNS = ("ts_event", "ts_recv", "kind", "ref", "row_start", "side", "px_ticks", "qty_lots")
MIDNIGHT_MS = 1_700_006_400_000  # 2023-11-15


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, wall_ns: int) -> None:
        self.now_ns = wall_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    async def sleep_ns(self, duration_ns: int) -> None:
        self.now_ns += duration_ns


class Entropy:
    def __init__(self, seed: int) -> None:
        self._seed = seed

    def token(self, size: int) -> bytes:
        return self._seed.to_bytes(size, "big")

    def below(self, limit: int) -> int:
        return 0

    def uniform(self) -> float:
        return 0.0


class Recorder:
    """Writes what a test's market sends as a raw recording."""

    def __init__(
        self, root: Path, start_ns: int, seed: int = 7, step_ns: int = 0,
        settings_of_recorder: dict[str, Any] | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        self.clock = Clock(start_ns)
        self.writer = RawWriter(
            root, settings_of_recorder or {"test": True}, clock=self.clock, entropy=Entropy(seed), **settings
        )
        self.step_ns = step_ns
        self.note(Started(settings_of_recorder or {}))

    def put(self, kind: int, connection: int, recv_ns: int, payload: bytes) -> int:
        """A record received at an instant of true time; the wall clock may be off."""
        self.clock.now_ns = max(self.clock.now_ns, recv_ns)
        at = self.clock.now_ns
        return self.writer.append(kind, connection, at + self.step_ns, at, payload)

    def note(self, *notes: Note) -> None:
        for note in notes:
            self.put(NOTE, 0, self.clock.now_ns, encode_note(note))

    def lines(self, lines: list[Line], connection: int = 1, symbol: str = "BTCUSDT") -> Recorder:
        """Captured lines, REST replies with their requests."""
        for line in lines:
            body = json.dumps(line.message, separators=(",", ":")).encode()
            if "lastUpdateId" in line.message:
                request = {"method": "GET", "url": "https://x/fapi/v1/depth", "symbol": symbol, "stream": "depth"}
                self.put(REQUEST, 99, line.recv_ns, json.dumps(request).encode())
                self.put(REPLY, 99, line.recv_ns, body)
            else:
                self.put(FRAME_IN, connection, line.recv_ns, body)
        return self

    def opened(self, connection: int = 1, venue: str = USDM) -> Recorder:
        self.note(Opened(connection, venue, "wss://x", ("depth",)))
        return self

    def close(self) -> Path:
        self.writer.close()
        return self.writer.path


def recorded(root: Path, lines: list[Line], seed: int = 7, **settings: Any) -> Path:
    """A recording of one connection and one for REST."""
    recorder = Recorder(root, lines[0].recv_ns - EARLIER_NS, seed, **settings)
    return recorder.opened(1).opened(99).lines(lines).close()


def hashes(lake: Path) -> dict[str, str]:
    """sha256 of every file of a lake."""
    return {
        str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(lake.rglob("*"))
        if path.is_file()
    }


def same_feed(one: Path, two: Path, columns: tuple[str, ...] = COLUMNS) -> None:
    a, b = whole_feed(one), whole_feed(two)
    for name in columns:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert np.array_equal(a.aux, b.aux)


def verified(lake: Path) -> None:
    assert [entry["problems"] for entry in Lake(lake).verify() if entry["problems"]] == []


@pytest.fixture
def market() -> Market:
    return Market().run(150)


def test_a_recording_gives_the_messages_that_its_lines_give(tmp_path: Path, market: Market) -> None:
    import_captures([write(tmp_path / "day", market.lines)], tmp_path / "lines")
    result = build([recorded(tmp_path / "raw", market.lines)], tmp_path / "lake")
    same_feed(tmp_path / "lines", tmp_path / "lake")
    verified(tmp_path / "lake")
    (report,) = result["instruments"]
    assert (result["gaps"], result["problems"], report["snapshots"]) == (0, [], 1)
    assert result["messages"] == len(market.lines) and result["recordings"][0]["state"] == "closed"
    assert report["sources"][0]["name"].endswith("/00000001.seg")
    books = replay(whole_feed(tmp_path / "lake"))
    assert books and all(book == market.truth[update_id] for _, update_id, book in books)


def test_a_lost_diff_repeats_and_disorder_are_what_they_are_in_lines(tmp_path: Path, market: Market) -> None:
    places = market.diffs()
    lost, swapped, again = places[60], places[90], places[100:110]
    lines = list(market.lines)
    texts = [line.message for line in lines]
    a, b = swapped, places[91]
    texts[a], texts[b] = texts[b], texts[a]
    noisy = []
    for k, line in enumerate(lines):
        if k != lost:
            noisy.append(Line(line.recv_ns, texts[k]))
            if k in again:
                noisy.append(Line(line.recv_ns, texts[k]))
    result = build([recorded(tmp_path / "raw", noisy)], tmp_path / "lake")
    import_captures([write(tmp_path / "day", noisy)], tmp_path / "lines")
    same_feed(tmp_path / "lines", tmp_path / "lake")
    (report,) = result["instruments"]
    assert (report["gaps"], report["duplicates"], report["stale_at_end"]) == (1, len(again), True)
    assert [gap["kind"] for gap in report["gap_list"]] == ["sequence"]
    problem = next(p for p in result["problems"] if p["kind"] == "gap")
    assert problem["file"].endswith("/00000001.seg") and problem["line"] > lost
    clean = build([recorded(tmp_path / "raw2", market.lines)], tmp_path / "clean")
    assert clean["instruments"][0]["duplicates"] == 0


def test_repeats_alone_change_nothing(tmp_path: Path, market: Market) -> None:
    noisy = [again for line in market.lines for again in [line] * (1 + ("lastUpdateId" not in line.message))]
    build([recorded(tmp_path / "raw", market.lines)], tmp_path / "clean")
    build([recorded(tmp_path / "raw2", noisy)], tmp_path / "lake")
    same_feed(tmp_path / "clean", tmp_path / "lake")


def _cut(market: Market, at: int) -> tuple[list[Line], list[Line]]:
    place = market.diffs()[at]
    return market.lines[:place], market.lines[place:]


@pytest.mark.parametrize(
    ("notes", "kind"),
    [
        ((Closed(1, "reset by peer"),), GAP_DISCONNECT),
        ((Gap(USDM, "BTCUSDT", "depth", "sequence", "3 messages"),), GAP_SEQUENCE),
        ((Gap(USDM, "", "", "recorder", "the queue is full"),), GAP_RECORDER),
        ((Dropped("depth", 7, "drop", USDM, "BTCUSDT"),), GAP_RECORDER),
        ((Closed(1, "x"), Gap(USDM, "BTCUSDT", "depth", "disconnect")), GAP_DISCONNECT),
    ],
)
def test_notes_of_the_recorder_are_gaps_at_once(
    tmp_path: Path, market: Market, notes: tuple[Note, ...], kind: int
) -> None:
    first, rest = _cut(market, 100)
    recorder = Recorder(tmp_path / "raw", first[0].recv_ns - EARLIER_NS).opened(1).opened(99).lines(first)
    recorder.note(*notes)
    told_ns = recorder.clock.now_ns
    recorder.opened(2).lines(rest, 2)
    market.lines = rest[:41]
    now = [line for line in rest[:41] if line.message.get("data", {}).get("e") == "depthUpdate"][-1].message["data"]
    again = market.add_snapshot(now["u"], now["T"], rest[-1].recv_ns + MS)
    recorder.lines([again])
    result = build([recorder.close()], tmp_path / "lake")
    feed = whole_feed(tmp_path / "lake")
    (gap,) = np.flatnonzero(feed.kind == GAP)
    assert feed.aux[feed.ref[gap] - feed.aux_base][0] == kind
    assert feed.ts_recv[gap] == told_ns
    (report,) = result["instruments"]
    assert (report["gaps"], report["resyncs"], report["gap_list"][0]["resynced"]) == (1, 1, True)
    depth = [line.message["data"] for line in rest if line.message.get("data", {}).get("e") == "depthUpdate"]
    assert report["gap_list"][0]["span_ns"] == depth[0]["T"] * MS - report["gap_list"][0]["start_ns"] > 0
    assert all(book == market.truth[update_id] for _, update_id, book in replay(feed))
    verified(tmp_path / "lake")


def test_what_touches_no_book_is_named_and_makes_no_gap(tmp_path: Path, market: Market) -> None:
    first, rest = _cut(market, 100)
    recorder = Recorder(tmp_path / "raw", first[0].recv_ns - EARLIER_NS).opened(1).opened(2).opened(99).lines(first)
    recorder.note(Closed(2, "another connection"), Dropped("trades", 3, "drop", USDM, "BTCUSDT"))
    result = build([recorder.lines(rest).close()], tmp_path / "lake")
    assert result["gaps"] == 0 and result["problem_counts"] == {"missing": 1}
    assert "dropped 3 messages" in result["problems"][0]["why"]


def test_a_step_of_the_wall_clock_bends_nothing(tmp_path: Path, market: Market) -> None:
    first, rest = _cut(market, 100)
    build([recorded(tmp_path / "raw", market.lines)], tmp_path / "clean")
    for step_ns in (-3_000 * MS, 3_000 * MS):
        recorder = Recorder(tmp_path / f"raw{step_ns}", first[0].recv_ns - EARLIER_NS).opened(1).opened(99).lines(first)
        recorder.step_ns = step_ns
        recorder.note(ClockStep(step_ns))
        lake = tmp_path / f"lake{step_ns}"
        result = build([recorder.lines(rest).close()], lake)
        same_feed(tmp_path / "clean", lake)
        assert result["problem_counts"] == {"clock_step": 1}
        moved = _raw_times(lake) - _raw_times(tmp_path / "clean")
        assert set(moved.tolist()) == {0, step_ns}  # what the wall clock wrote is kept


def _raw_times(lake: Path) -> I64:
    files = [DayFile(path) for path in sorted(lake.rglob("*.parquet"))]
    return np.concatenate([file.message_block(block).ts_recv_raw for file in files for block in file.blocks])


def test_a_clock_that_was_set_right_counts_from_its_right_stretch(tmp_path: Path, market: Market) -> None:
    """The recorder began an hour ahead, and its clock was then set: receive times are by the clock as it was set."""
    first, rest = _cut(market, 20)
    build([recorded(tmp_path / "raw", market.lines)], tmp_path / "clean")
    hour_ns = 3_600_000 * MS
    recorder = Recorder(tmp_path / "ahead", first[0].recv_ns - EARLIER_NS, step_ns=hour_ns)
    recorder.opened(1).opened(99).lines(first)
    recorder.step_ns = 0
    recorder.note(ClockStep(-hour_ns))
    build([recorder.lines(rest).close()], tmp_path / "lake")
    same_feed(tmp_path / "clean", tmp_path / "lake")


# -- damage


def test_a_damaged_block_is_a_gap_and_the_rest_is_built(tmp_path: Path, market: Market) -> None:
    path = recorded(tmp_path / "raw", market.lines, block_bytes=4096)
    segment = path / "00000001.seg"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0x40
    segment.write_bytes(content)
    result = build([path], tmp_path / "lake")
    (report,) = result["instruments"]
    assert report["gaps"] == 1 and report["gap_list"][0]["kind"] == "recorder"
    (named,) = [p for p in result["problems"] if p["kind"] == "damaged"]
    assert "are lost" in named["why"] and named["line"] > 0
    feed = whole_feed(tmp_path / "lake")
    assert all(book == market.truth[update_id] for _, update_id, book in replay(feed))
    assert (feed.kind[int(np.flatnonzero(feed.kind == GAP)[0]) :] == TRADE).any()
    verified(tmp_path / "lake")


@pytest.mark.parametrize("cut", [1, 100, 2000])
def test_a_torn_tail_is_a_gap_at_the_end(tmp_path: Path, market: Market, cut: int) -> None:
    path = recorded(tmp_path / "raw", market.lines, block_bytes=4096)
    segment = path / "00000001.seg"
    segment.write_bytes(segment.read_bytes()[:-cut])
    result = build([path], tmp_path / "lake")
    assert result["recordings"][0]["state"] == "unfinished"
    assert result["problem_counts"]["damaged"] >= 1
    feed = whole_feed(tmp_path / "lake")
    books = replay(feed)
    assert books and all(book == market.truth[update_id] for _, update_id, book in books)
    assert feed.kind[-1] == GAP or int(np.flatnonzero(feed.kind == GAP)[-1]) > books[-1][0]
    verified(tmp_path / "lake")


# -- again


def _two_days() -> Market:
    """A market that is recorded across midnight."""
    market = Market(now_ms=MIDNIGHT_MS - 4000)
    return market.run(400)


def test_built_again_it_is_up_to_date_and_built_anew_the_same_bytes(tmp_path: Path) -> None:
    market = _two_days()
    other = Market(seed=9, symbol="ETHUSDT", centre=20_000, now_ms=market.lines[0].recv_ns // MS).run(120)
    recorder = Recorder(tmp_path / "raw", market.lines[0].recv_ns - EARLIER_NS, block_bytes=8192, rotate_bytes=20_000)
    recorder.opened(1).opened(2).opened(99)
    others = [line for line in other.lines if line.message.get("data", {}).get("e") != "markPriceUpdate"]
    merged = [(line, "BTCUSDT") for line in market.lines] + [(line, "ETHUSDT") for line in others]
    for line, symbol in sorted(merged, key=lambda item: item[0].recv_ns):
        recorder.lines([line], 1 if symbol == "BTCUSDT" else 2, symbol)
    recorder.close()
    lake = tmp_path / "lake"
    first = build([tmp_path / "raw"], lake)
    assert len(first["written"]) >= 3 and first["gaps"] == 0
    before = hashes(lake)
    second = build([tmp_path / "raw"], lake)
    assert second["recordings"][0]["up_to_date"] and second["written"] == [] and hashes(lake) == before
    third = build([tmp_path / "raw"], lake, again=True)
    assert third["written"] == [] and hashes(lake) == before
    for field in ("instruments", "problems", "unused", "messages"):
        assert third[field] == first[field]
    for jobs in (1, 3):
        anew = build([tmp_path / "raw"], tmp_path / f"lake{jobs}", jobs=jobs)
        assert hashes(tmp_path / f"lake{jobs}") == before
        assert anew["instruments"] == first["instruments"] and anew["unused"] == first["unused"]
    (lake / ".built").rename(tmp_path / "away")
    assert build([tmp_path / "raw"], lake)["written"] == [] and hashes(lake) == before
    verified(lake)


def test_the_book_of_midnight_is_verified_against_the_day_before(tmp_path: Path) -> None:
    recorded(tmp_path / "raw", _two_days().lines)
    build([tmp_path / "raw"], tmp_path / "lake")
    entries = Lake(tmp_path / "lake").verify()
    assert [entry["findings"] + entry["unproven"] for entry in entries] == [[], []]
    file = DayFile(Lake(tmp_path / "lake").feed("binance_usdm", "BTCUSDT").paths[1])
    found = [(info, file.message_block(info), file.checkpoint(info)) for info in file.blocks]
    writer = DayWriter(file.path)
    for number, (info, block, (side, ticks, lots)) in enumerate(found):
        track = BookTrack()
        track.resume((side, ticks, lots + (number == 0)), info)
        writer.write(block, info.recording, track)
    writer.finish({key: value for key, value in file.about.items() if key != "format"}, file.clock())
    _, second = Lake(tmp_path / "lake").verify()
    assert (second["findings"][0]["check"], second["findings"][0]["block"]) == ("book", 0)


def test_of_a_recording_that_grows_only_the_touched_days_are_rewritten(tmp_path: Path) -> None:
    market = _two_days()
    lines = market.lines
    late = [k for k, line in enumerate(lines) if line.recv_ns > (MIDNIGHT_MS + 500) * MS]
    recorder = Recorder(tmp_path / "raw", lines[0].recv_ns - EARLIER_NS, rotate_bytes=2000, block_bytes=1000)
    recorder.opened(1).opened(99).lines(lines[: late[0]])
    recorder.writer.sync()
    lake = tmp_path / "lake"
    growing = build([tmp_path / "raw"], lake)
    assert growing["recordings"][0]["state"] == "open" and growing["gaps"] == 0
    before = hashes(lake)
    recorder.lines(lines[late[0] :])
    recorder.close()
    grown = build([tmp_path / "raw"], lake)
    assert [Path(path).stem for path in grown["written"]] == ["2023-11-15"]
    after = hashes(lake)
    same = {name for name in before if before[name] == after[name]}
    assert {Path(name).stem for name in same if name.endswith("parquet")} == {"2023-11-14"}
    build([tmp_path / "raw"], tmp_path / "anew")
    assert hashes(tmp_path / "anew") == after
    first, second = grown["instruments"]
    assert second["continues"] == first["recording"] and first["continues"] == ""
    feed = whole_feed(lake)
    assert not (feed.kind == GAP).any() and int((feed.kind == SNAPSHOT).sum()) == 1
    assert all(book == market.truth[update_id] for _, update_id, book in replay(feed))
    verified(lake)


def test_two_recordings_of_a_day_are_built_in_any_order(tmp_path: Path) -> None:
    one, two = Market(seed=1).run(60), Market(seed=2, now_ms=1_700_000_060_000).run(60)
    recorded(tmp_path / "raw", one.lines, 1)
    recorded(tmp_path / "raw", two.lines, 2)
    together = build([tmp_path / "raw"], tmp_path / "together")
    first, second = sorted((tmp_path / "raw").iterdir())
    for order in ((first, second), (second, first), (first, second, first)):
        lake = tmp_path / f"lake{len(order)}{order[0].name}"
        for path in order:
            build([path], lake, again=True)
        assert {n: h for n, h in hashes(lake).items() if n.endswith("parquet")} == {
            n: h for n, h in hashes(tmp_path / "together").items() if n.endswith("parquet")
        }
    assert together["gaps"] == 0
    assert [gap["kind"] for gap in Lake(tmp_path / "together").gaps()] == ["session_end"]


# -- whose reply, what was asked for


def test_what_is_no_url_asks_for_no_book() -> None:
    assert book_asked_for("https://[bad/fapi/v1/depth?symbol=BTCUSDT") == ""
    assert book_asked_for("https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000") == "BTCUSDT"


def test_a_reply_goes_to_the_book_that_was_asked_for(tmp_path: Path) -> None:
    """Both books were asked for before either answer came, and answers name nothing: each has its connection."""
    one = Market(seed=1).run(40, snapshot_at=-1)
    two = Market(seed=2, symbol="ETHUSDT").run(40, snapshot_at=-1)  # at the same price
    recorder = Recorder(tmp_path / "raw", one.lines[0].recv_ns - EARLIER_NS).opened(1).opened(98).opened(99)
    for line in sorted(one.lines[:60] + two.lines[:60], key=lambda line: line.recv_ns):
        recorder.lines([line])
    asked = [(97, "BTCUSDT"), (98, "BTCUSDT"), (99, "BTCUSDT"), (99, "ETHUSDT")]  # the first on 99 had no answer
    for connection, symbol in asked:
        request = {"method": "GET", "url": "x", "symbol": symbol, "stream": "depth"}
        recorder.put(REQUEST, connection, 0, json.dumps(request).encode())
    for connection, market in ((99, two), (98, one)):
        data = [m["data"] for line in market.lines[:60] if (m := line.message)["data"]["e"] == "depthUpdate"][-2]
        line = market.add_snapshot(data["u"], data["T"], recorder.clock.now_ns)
        recorder.put(REPLY, connection, 0, json.dumps(line.message).encode())
    recorder.put(REPLY, 98, 0, b"{}")
    result = build([recorder.close()], tmp_path / "lake", jobs=2)
    assert result["problem_counts"] == {"reply_unasked": 1}
    assert [report["snapshots"] for report in result["instruments"]] == [1, 1]
    for market in (one, two):
        feed = whole_feed(tmp_path / "lake", symbol=market.symbol)
        scale = 10 if market is two else 1  # a tick of ETHUSDT is a tenth of the toy market's
        for _, update_id, book in replay(feed):
            assert book == tuple({t * scale: q for t, q in side.items()} for side in market.truth[update_id])


@pytest.mark.parametrize(
    ("stream", "is_book"),
    [("", True), ("depth", True), ("btcusdt@depth@100ms", True), ("orderbook.50.BTCUSDT", True), ("l2Book", True),
     ("books5", True), ("bookTicker", False), ("trades", False), ("markPrice@1s", False)],
)  # fmt: skip
def test_which_streams_are_the_books(stream: str, is_book: bool) -> None:
    assert of_book(stream) is is_book


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"jobs": 0}, "from 1 to 64 jobs"),
        ({"venue": "nowhere"}, "is none of"),
        ({"raw": "nothing"}, "holds no raw recording"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    raw = tmp_path / options.pop("raw", "")
    raw.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=why):
        build([raw], tmp_path / "lake", **options)


def test_only_what_is_asked_for_is_built(tmp_path: Path, market: Market) -> None:
    path = recorded(tmp_path / "raw", market.lines)
    assert build([path], tmp_path / "lake", symbol="ETHUSDT")["instruments"] == []
    assert build([path], tmp_path / "lake2", venue="binance_coinm")["instruments"] == []


def test_instruments_are_those_that_the_recorder_was_told(tmp_path: Path) -> None:
    market = Market(symbol="FOOUSDT").run(40)
    fields = {
        "venue": USDM,
        "symbol": "FOOUSDT",
        "base": "FOO",
        "quote": "USDT",
        "tick_size": "0.1",
        "lot_size": "0.001",
    }
    for root, rows in (("told", [instrument_fields(Instrument.from_fields(fields))]), ("untold", [])):
        recorder = Recorder(
            tmp_path / root, market.lines[0].recv_ns - EARLIER_NS, settings_of_recorder={"instruments": rows}
        )
        recorder.opened(1).opened(99).lines(market.lines, symbol="FOOUSDT")
        result = build([recorder.close()], tmp_path / f"lake of {root}")
        assert [report["instrument"] for report in result["instruments"]] == ["FOOUSDT"] * len(rows)
    feed = whole_feed(tmp_path / "lake of told", symbol="FOOUSDT")
    assert all(book == market.truth[update_id] for _, update_id, book in replay(feed))


def test_a_bad_frame_is_named_by_segment_and_record(tmp_path: Path, market: Market) -> None:
    recorder = Recorder(tmp_path / "raw", market.lines[0].recv_ns - EARLIER_NS).opened(1).opened(99).lines(market.lines)
    seq = recorder.put(FRAME_IN, 1, 0, b'{"e":"trade"')
    recorder.note(Opened(3, "unheard_of", "wss://y"))
    recorder.put(FRAME_IN, 3, 0, b"{}")
    result = build([recorder.close()], tmp_path / "lake", jobs=2)
    assert result["problem_counts"] == {"malformed": 1, "unknown_venue": 1}
    (bad,) = [p for p in result["problems"] if p["kind"] == "malformed"]
    assert bad["line"] == seq and bad["text"].startswith(f"{bad['file']}:{seq}: ")


# -- connections whose opening cannot be read


def _about(*instruments: tuple[str, str]) -> dict[str, Any]:
    return {"instruments": [instrument_fields(known_instrument(*one)) for one in instruments]}


@pytest.mark.parametrize("first", ["damaged", "removed"])
def test_what_a_connection_brought_is_built_when_its_opening_is_lost(
    tmp_path: Path, market: Market, first: str
) -> None:
    about = _about((USDM, "BTCUSDT"))
    path = recorded(tmp_path / "raw", market.lines, settings_of_recorder=about, block_bytes=2048, rotate_bytes=8000)
    segment = path / "00000001.seg"
    if first == "removed":
        segment.unlink()
    else:
        content = bytearray(segment.read_bytes())
        content[content.index(MAGIC, 64) + 100] ^= 0x40  # the first block of records
        segment.write_bytes(content)
    result = build([path], tmp_path / "lake", jobs=2)
    assert result["messages"] > 100 and result["problem_counts"]["damaged"] >= 1
    named = [problem["why"] for problem in result["problems"] if problem["kind"] == "unopened"]
    assert len(named) == 1 and "connection 1 " in named[0] and USDM in named[0]
    feed = whole_feed(tmp_path / "lake")
    assert (feed.kind == TRADE).any()
    assert all(book == market.truth[update_id] for _, update_id, book in replay(feed))
    verified(tmp_path / "lake")


def test_whose_a_connection_was_is_told_by_its_frames(tmp_path: Path, market: Market) -> None:
    about, start_ns = _about((USDM, "BTCUSDT"), ("okx", "BTC-USDT-SWAP")), market.lines[0].recv_ns - EARLIER_NS
    recorder = Recorder(tmp_path / "raw", start_ns, settings_of_recorder=about).lines(market.lines)
    recorder.put(FRAME_IN, 5, 0, b"pong")
    result = build([recorder.close()], tmp_path / "lake")
    assert result["problem_counts"] == {"unopened": 2} and result["messages"] == len(market.lines)
    assert any(problem["why"].endswith("nothing tells whose it is: 1 messages were left out")
               for problem in result["problems"])  # fmt: skip
    right = [book == market.truth[update_id] for _, update_id, book in replay(whole_feed(tmp_path / "lake"))]
    assert right and all(right)
    nobody = Recorder(tmp_path / "raw2", start_ns).lines(market.lines).close()
    assert build([nobody], tmp_path / "lake2")["problem_counts"] == {"unopened": 1}
    assert build([nobody], tmp_path / "lake3", venue=USDM)["messages"] == len(market.lines)


def test_of_two_recorders_that_ran_at_once_one_is_kept_and_all_else_is_built(tmp_path: Path, market: Market) -> None:
    other = Market(seed=9, symbol="ETHUSDT", centre=20_000).run(150)
    other.lines = [line for line in other.lines if line.message.get("data", {}).get("e") != "markPriceUpdate"]
    start_ns = market.lines[0].recv_ns - EARLIER_NS
    recorded(tmp_path / "raw", market.lines, 1)
    second = Recorder(tmp_path / "raw", start_ns + 1_000 * MS, 2).opened(1).opened(2).opened(99)
    for line in sorted(market.lines[100:] + other.lines, key=lambda line: line.recv_ns):
        second.lines([line], 1, "ETHUSDT" if line in other.lines else "BTCUSDT")
    second.close()
    later = Market(seed=2, now_ms=1_700_000_060_000).run(60)
    recorded(tmp_path / "raw", later.lines, 3)
    result = build([tmp_path / "raw"], tmp_path / "lake")
    assert result["problem_counts"]["overlap"] == 1
    assert [report["instrument"] for report in result["instruments"]] == ["BTCUSDT", "BTCUSDT", "ETHUSDT"]
    (named,) = [problem["why"] for problem in result["problems"] if problem["kind"] == "overlap"]
    assert "already holds" in named and "--replace" in named and "left out" in named
    books = replay(whole_feed(tmp_path / "lake"))
    assert len(books) > 150
    assert all(book in (market.truth.get(at), later.truth.get(at)) for _, at, book in books)
    verified(tmp_path / "lake")
    again = build([tmp_path / "raw"], tmp_path / "lake", jobs=2)
    assert [recording["up_to_date"] for recording in again["recordings"]] == [True, False, True]
    assert again["problem_counts"]["overlap"] == 1 and again["written"] == []


def test_what_is_sent_again_while_the_book_is_unknown_breaks_no_chain(tmp_path: Path, market: Market) -> None:
    first, rest = _cut(market, 100)
    depth = [line for line in rest if line.message.get("data", {}).get("e") == "depthUpdate"]
    recorder = Recorder(tmp_path / "raw", first[0].recv_ns - EARLIER_NS).opened(1).opened(99).lines(first)
    for lines in (depth[:20], depth[5:]):
        recorder.note(Gap(USDM, "BTCUSDT", "depth", "disconnect"))
        recorder.lines(lines)
    result = build([recorder.close()], tmp_path / "lake")
    assert result["gaps"] == 1
    assert (np.diff(whole_feed(tmp_path / "lake").ref[whole_feed(tmp_path / "lake").kind == DEPTH]) < 0).any()
    verified(tmp_path / "lake")
