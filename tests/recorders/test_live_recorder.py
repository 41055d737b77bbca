"""The recorder against a venue on loopback that plays recorded frames and misbehaves in every way we know of.

Whatever happens, each frame that was sent on a connection and arrived is in the recording byte for byte and in order,
and what is missing has a note. Time runs faster than the wall where a test waits for timers; nothing is asserted about
how long anything takes.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from recorders.live.clocks import STEP_NS, WINDOW_NS, WINDOWS, Offset, StepWatch
from recorders.live.recorder import Recorder, Settings
from recorders.raw import (
    FRAME_IN,
    FRAME_OUT,
    NOTE,
    REPLY,
    REQUEST,
    ClockOffset,
    ClockStep,
    Closed,
    Dropped,
    Gap,
    Note,
    Opened,
    RawRecord,
    RawRecording,
    RawWriter,
    RecordingStopped,
    Remark,
    Resynced,
    Started,
    Stopped,
    decode_note,
)
from tests.tools.replay_server import (
    Abort,
    Answer,
    Close,
    Pause,
    Ping,
    Raw,
    ReplayServer,
    Silence,
    Stay,
    Step,
    Until,
    captured,
    frame,
)
from venues.errors import LocalError
from venues.instruments import Instrument
from venues.ports import Clock, CountingEntropy, SystemClock
from venues.session_parts import Wanted
from venues.sessions import market_session
from venues.transport import AiohttpWire, ConnectError

DATA = Path(__file__).resolve().parents[3] / "shared/data"
N = TypeVar("N", bound=Note)
Scripts = Callable[[str, int], Iterable[Step] | Answer]


class FastClock(SystemClock):
    """Time that runs faster by a factor; its wall clock can be moved."""

    def __init__(self, speed: int = 1) -> None:
        self.speed = speed
        self.moved_ns = 0
        self._mono_ns, self._wall_ns = super().monotonic_ns(), super().wall_ns()

    def monotonic_ns(self) -> int:
        return self._mono_ns + (super().monotonic_ns() - self._mono_ns) * self.speed

    def wall_ns(self) -> int:
        return self._wall_ns + self.monotonic_ns() - self._mono_ns + self.moved_ns

    async def sleep_ns(self, duration_ns: int) -> None:
        await super().sleep_ns(duration_ns // self.speed)


class Made:
    """A finished recording, and the venue that was recorded."""

    def __init__(self, path: Path, server: ReplayServer, status: dict[str, Any]) -> None:
        self.server = server
        self.status = status
        self.recording = RawRecording(path)
        found = list(self.recording.records())
        assert all(isinstance(record, RawRecord) for record in found), found
        self.records: list[RawRecord] = [record for record in found if isinstance(record, RawRecord)]

    def notes(self, kind: type[N]) -> list[N]:
        found = [decode_note(record.payload) for record in self.records if record.kind == NOTE]
        return [note for note in found if isinstance(note, kind)]

    def frames(self, connection: int) -> list[bytes]:
        """What came on the n-th websocket, from 0."""
        opened = [note.connection for note in self.notes(Opened) if note.streams != ("rest",)]
        number = opened[connection]
        return [record.payload for record in self.records if (record.kind, record.connection) == (FRAME_IN, number)]

    def kinds(self, *kinds: int) -> list[bytes]:
        return [record.payload for record in self.records if record.kind in kinds]


def everything_sent_is_recorded(made: Made) -> None:
    for number, sent in enumerate(made.server.sent):
        assert made.frames(number) == sent


def record(
    folder: Path,
    scripts: Scripts,
    until: Callable[[ReplayServer, Recorder], bool],
    *,
    venue: str = "binance_coinm",
    symbols: tuple[str, ...] = ("BTCUSD_PERP",),
    streams: tuple[str, ...] = ("depth", "trades", "quotes"),
    rest: Callable[[str], Answer] = lambda path: Answer(404),
    clock: Clock | None = None,
    settings: Settings | None = None,
    frame_bytes: int = 1 << 20,
    wrap: Callable[[RawWriter], Any] = lambda writer: writer,
    book: str = "",
    wire: type[AiohttpWire] = AiohttpWire,
    show: Callable[[dict[str, Any]], None] = lambda status: None,
    listener: Callable[[RawRecord], None] | None = None,
) -> Made:
    """Record a scripted venue until a condition holds (or 20 s have passed)."""
    used = clock or FastClock(5)

    async def run() -> Made:
        server = ReplayServer(scripts, rest)
        port = await server.start()
        instruments = tuple(
            Instrument(venue, symbol, "BTC", "USD", "USD", False, Decimal("0.1"), Decimal("0.001"))
            for symbol in symbols
        )
        wanted = Wanted(
            venue, instruments, frozenset(streams), f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}", book
        )
        writer = RawWriter(folder, {}, sync_ns=50_000_000)
        sessions = [market_session(wanted, CountingEntropy())]
        recorder = Recorder(
            sessions, wrap(writer), wire(frame_bytes), used, CountingEntropy(), settings or Settings(), show, listener
        )
        running = asyncio.create_task(recorder.run())
        async with asyncio.timeout(20):
            await asyncio.sleep(0.05)
            while not running.done() and not until(server, recorder):
                await asyncio.sleep(0.01)
            recorder.stop("the test has seen enough")
            status = await running
        await server.stop()
        return Made(writer.path, server, status)

    return asyncio.run(run())


def taken(count: int) -> Callable[[ReplayServer, Recorder], bool]:
    """Until so many frames have come in."""
    return lambda server, recorder: sum(link.frames for s in recorder.sessions for link in s.links) >= count


def diff(u: int, previous: int, symbol: str = "BTCUSD_PERP") -> bytes:
    data = {"e": "depthUpdate", "E": u, "T": u, "s": symbol, "U": u, "u": u, "pu": previous, "b": [], "a": []}
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data}).encode()


def quote(u: int, symbol: str = "BTCUSD_PERP", ms: int = 1) -> bytes:
    data = {"e": "bookTicker", "u": u, "s": symbol, "E": ms, "T": ms, "b": "1", "B": "1", "a": "2", "A": "1"}
    return json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": data}).encode()


def book(last: int) -> Answer:
    return Answer(200, json.dumps({"lastUpdateId": last, "bids": [["1", "1"]], "asks": [["2", "1"]]}).encode())


# -- every frame, of every venue whose raw captures there are

CAPTURES = {
    "binance_usdm": ("hftbacktest/examples/usdm/btcusdt_20240718.gz", ("BTCUSDT",)),
    "okx": ("cryptofeed/sample_data/OKX.ws.1.0", ("BTC-USDT", "UNI-USD-SWAP", "BTC-USD-220527")),
    "deribit": ("cryptofeed/sample_data/DERIBIT.ws.1.0", ("BTC-24SEP21-8000-P",)),
    "bybit_inverse": ("cryptofeed/sample_data/BYBIT.ws.26.0", ("BTCUSD",)),
    "hyperliquid": ("hftbacktest/examples/hyperliquid/btcusd_20250126.gz", ("BTC",)),
}


@pytest.mark.parametrize("venue", sorted(CAPTURES))
def test_recorded_frames_are_recorded_again_byte_for_byte(venue: str, tmp_path: Path) -> None:
    name, symbols = CAPTURES[venue]
    if not (DATA / name).exists():
        pytest.skip("../shared/data is not here")
    payloads = [payload for _, payload in captured(DATA / name)]
    made = record(
        tmp_path, lambda path, number: [*payloads, Stay()], taken(len(payloads)), venue=venue, symbols=symbols,
        streams=("depth", "quotes"), clock=FastClock(),
    )  # fmt: skip
    everything_sent_is_recorded(made)
    assert made.frames(0) == payloads
    assert made.notes(Gap) == [] and made.recording.state == "closed"
    mono = [record.mono_ns for record in made.records if record.kind == FRAME_IN]
    assert mono == sorted(mono) and made.status["frames"] == len(payloads)


def test_the_books_of_recorded_frames_are_watched(tmp_path: Path) -> None:
    name, symbols = CAPTURES["okx"]
    if not (DATA / name).exists():
        pytest.skip("../shared/data is not here")
    payloads = [payload for _, payload in captured(DATA / name)]
    made = record(
        tmp_path, lambda path, number: [*payloads, Stay()], taken(len(payloads)), venue="okx", symbols=symbols
    )
    assert sorted((note.symbol, note.how) for note in made.notes(Resynced)) == [
        (s, "snapshot") for s in sorted(symbols)
    ]


# -- notes and what is sent


def test_a_recording_says_what_it_is(tmp_path: Path) -> None:
    made = record(
        tmp_path, lambda path, number: [b'{"channel":"pong"}', Ping(), Stay()], taken(1), venue="hyperliquid",
        symbols=("BTC",), settings=Settings(config={"name": "mine"}),
    )  # fmt: skip
    assert made.notes(Started) == [Started({"name": "mine"})]
    (opened,) = made.notes(Opened)
    assert (opened.venue, opened.streams) == ("hyperliquid", ("l2Book:BTC", "trades:BTC", "bbo:BTC"))
    assert json.loads(made.kinds(FRAME_OUT)[0])["subscription"] == {"type": "l2Book", "coin": "BTC"}
    assert made.notes(Closed) == [Closed(opened.connection, "the recorder stopped")]
    assert made.notes(Stopped)[0].why == "the test has seen enough"
    assert any(opcode == 10 for _, opcode, _ in made.server.received), "pings are answered"


def test_secrets_stay_out(tmp_path: Path) -> None:
    leak = b'{"listenKey":"' + b"k" * 64 + b'"}'
    made = record(tmp_path, lambda path, number: [leak, quote(1), Stay()], taken(2))
    assert b"k" * 64 not in b"".join(record.payload for record in made.records)
    assert made.frames(0)[1] == quote(1)


# -- disconnects


@pytest.mark.parametrize("end", [Close(1000), Close(1012), Abort()])
def test_a_disconnect_is_a_gap_of_every_stream_and_a_new_connection(end: Step, tmp_path: Path) -> None:
    first = [diff(1, 0), diff(2, 1), quote(1), Pause(0.2)]

    def scripts(path: str, number: int) -> list[Step]:
        return [*first, end] if number == 0 else [diff(9, 8), quote(2), Stay()]

    made = record(tmp_path, scripts, taken(5), rest=lambda path: book(9))
    everything_sent_is_recorded(made)
    assert [(gap.stream, gap.why) for gap in made.notes(Gap)] == [
        (stream, "disconnect") for stream in ("depth", "quotes", "trades")
    ]
    assert len(made.notes(Opened)) - len([n for n in made.notes(Opened) if n.streams == ("rest",)]) == 2
    codes = [closed.code for closed in made.notes(Closed)][:1]
    assert codes == [end.code if isinstance(end, Close) else 1006]


def test_reconnects_do_not_spin(tmp_path: Path) -> None:
    clock = FastClock(400)
    began_ns = clock.monotonic_ns()
    made = record(
        tmp_path,
        lambda path, number: [Close(1000)],
        lambda server, recorder: clock.monotonic_ns() - began_ns > 600 * 10**9,
        clock=clock,
    )
    assert 5 <= made.server.handshakes <= 30, "in ten minutes"


# -- gaps in the stream


def test_a_missing_diff_is_noted_before_the_next_one_and_only_its_book_resyncs(tmp_path: Path) -> None:
    both = ("BTCUSD_PERP", "ETHUSD_PERP")
    seen: list[Recorder] = []

    def until(server: ReplayServer, recorder: Recorder) -> bool:
        seen.append(recorder)
        return len(server.requests) == 3

    synced = Until(lambda: bool(seen) and all(c.synced for c in seen[0].sessions[0].links[0].channels))
    begin: list[Step] = [diff(1, 0), diff(1, 0, both[1]), synced]
    script = [*begin, diff(2, 1), diff(2, 1, both[1]), diff(4, 3), diff(3, 2, both[1]), Stay()]
    made = record(
        tmp_path, lambda path, number: script, until, symbols=both, clock=FastClock(5),
        rest=lambda path: book(4), streams=("depth",),
    )  # fmt: skip
    everything_sent_is_recorded(made)
    (gap,) = made.notes(Gap)
    assert (gap.symbol, gap.stream, gap.why, gap.detail) == (both[0], "depth", "sequence", "expected 2, found 3")
    at = next(i for i, r in enumerate(made.records) if r.kind == NOTE and decode_note(r.payload) == gap)
    assert made.records[at + 1].payload == diff(4, 3)
    asked = [json.loads(payload)["symbol"] for payload in made.kinds(REQUEST)]
    assert sorted(asked[:2]) == sorted(both) and asked[2:] == [both[0]]
    replies = [record.payload for record in made.records if record.kind == REPLY]
    assert replies and set(replies) == {book(4).body}
    assert "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000" in made.server.requests


def test_repeated_frames_are_recorded_and_no_gap(tmp_path: Path) -> None:
    script = [diff(1, 0), diff(2, 1), diff(2, 1), diff(1, 0), diff(3, 2), Stay()]
    made = record(tmp_path, lambda path, number: script, taken(5))
    everything_sent_is_recorded(made)
    assert made.notes(Gap) == []
    assert next(row for row in made.status["streams"] if row["stream"] == "depth")["duplicates"] == 2


def test_a_refused_snapshot_is_remarked_and_asked_for_again_after_the_deadline(tmp_path: Path) -> None:
    clock = FastClock(100)
    asked_ns: list[int] = []

    def rest(path: str) -> Answer:
        asked_ns.append(clock.monotonic_ns())
        return Answer(429, b"slow down", {"Retry-After": "60"}) if len(asked_ns) == 1 else book(1)

    made = record(
        tmp_path, lambda path, number: [diff(1, 0), Stay()], lambda server, recorder: recorder.sessions[0].links[0]
        .channels[0].synced, rest=rest, clock=clock, streams=("depth",),
    )  # fmt: skip
    assert asked_ns[1] - asked_ns[0] >= 60 * 10**9
    assert any("HTTP 429: slow down; no request for 60 s" in remark.text for remark in made.notes(Remark))
    assert made.kinds(REPLY) == [book(1).body], "a refusal is no snapshot"


# -- dead and hostile peers


def test_a_half_open_connection_is_noticed(tmp_path: Path) -> None:
    scripts: list[list[Step]] = [[quote(1), Silence()], [quote(2), Stay()]]
    made = record(tmp_path, lambda path, number: scripts[min(number, 1)], taken(2), clock=FastClock(200))
    assert "no frame for 45 s, not even a pong" in made.notes(Closed)[0].why
    everything_sent_is_recorded(made)


@pytest.mark.parametrize(("status", "wait_s"), [(403, 60), (429, 60), (503, 60), (404, 0)])
def test_refused_handshakes_are_tried_again_after_a_while(status: int, wait_s: int, tmp_path: Path) -> None:
    clock = FastClock(200)
    at_ns: list[int] = []

    def scripts(path: str, number: int) -> list[Step] | Answer:
        at_ns.append(clock.monotonic_ns())
        return Answer(status, b"no") if number == 0 else [quote(1), Stay()]

    made = record(tmp_path, scripts, taken(1), clock=clock)
    assert at_ns[1] - at_ns[0] >= wait_s * 10**9
    assert f"cannot connect: binance_coinm: HTTP {status}" in made.notes(Remark)[0].text
    assert made.notes(Gap) == [], "nothing had come yet"


@pytest.mark.parametrize(
    "hostile",
    [
        frame(b"x" * (1 << 17)),
        struct.pack(">BBQ", 0x81, 127, 1 << 62),
        b"\x83\x02{}",
        b"\xc1\x02{}",
        frame(b"\xff\xff", 9)[:1] + b"\x7f" + b"\0" * 8,
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["too long", "absurdly long", "opcode", "reserved bit", "long ping", "not a frame"],
)
def test_frames_against_the_protocol_end_the_connection(hostile: bytes, tmp_path: Path) -> None:
    def scripts(path: str, number: int) -> list[Step]:
        return [quote(1), Raw(hostile), Pause(0.5)] if number == 0 else [quote(2), Stay()]

    made = record(tmp_path, scripts, taken(2), frame_bytes=1 << 16)
    assert made.notes(Closed)[0].why.startswith("protocol error")
    everything_sent_is_recorded(made)


@pytest.mark.parametrize("hostile", [b"{", b'{"stream":"\xff\xfe"}', b"[" * 50_000, b'{"data":{"u":1e400}}'])
def test_frames_that_are_no_json_are_kept_and_end_the_connection(hostile: bytes, tmp_path: Path) -> None:
    def scripts(path: str, number: int) -> list[Step]:
        return [hostile, Pause(0.5)] if number == 0 else [quote(2), Stay()]

    made = record(tmp_path, scripts, taken(2))
    assert made.frames(0) == [hostile] and made.notes(Closed)[0].why == "malformed frame"
    assert "malformed frame" in made.notes(Remark)[0].text


def test_plain_connections_go_nowhere_else() -> None:
    async def connect(url: str) -> None:
        wire = AiohttpWire()
        try:
            await wire.connect(url, "venue")
        finally:
            await wire.close()

    with pytest.raises(LocalError, match="without TLS"):
        asyncio.run(connect("ws://example.org/"))
    with pytest.raises(ConnectError):
        asyncio.run(connect("ws://127.0.0.1:1/"))


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    async def connect() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        wire = AiohttpWire()
        try:
            await wire.connect(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "venue")
        finally:
            await wire.close()
            server.close()

    with pytest.raises(ConnectError):
        asyncio.run(connect())


def test_a_sender_that_fails_ends_the_recording_and_is_not_silent(tmp_path: Path) -> None:
    class Wire(AiohttpWire):
        async def connect(self, url: str, venue: str) -> Any:
            socket = await super().connect(url, venue)

            async def send(payload: bytes) -> None:
                raise ZeroDivisionError("a defect")

            socket.send = send  # type: ignore[method-assign]
            return socket

    with pytest.raises(ZeroDivisionError):
        record(
            tmp_path, lambda path, number: [Stay()], lambda server, recorder: False, venue="hyperliquid",
            symbols=("BTC",), wire=Wire,
        )  # fmt: skip


def test_whoever_looks_may_go_and_the_recording_goes_on(tmp_path: Path) -> None:
    shown: list[dict[str, Any]] = []

    def show(status: dict[str, Any]) -> None:
        shown.append(status)
        raise BrokenPipeError("nobody reads")

    made = record(
        tmp_path, lambda path, number: [quote(1), Until(lambda: bool(shown)), quote(2), Stay()], taken(2), show=show,
        settings=Settings(status_ns=1),
    )  # fmt: skip
    assert len(shown) == 1 and 0 <= shown[0]["idle_s"] < 60
    assert made.frames(0) == [quote(1), quote(2)] and made.recording.state == "closed"
    assert [note.text for note in made.notes(Remark)] == ["the status is shown no more: nobody reads"]


# -- a writer that cannot keep up, a disk that fails


class SlowWriter:
    """Waits before each batch reaches the disk."""

    def __init__(self, writer: RawWriter) -> None:
        self._writer = writer
        self.path = writer.path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def tick(self, mono_ns: int) -> None:
        asyncio.run(asyncio.sleep(0.01))
        self._writer.tick(mono_ns)


def test_a_slow_writer_loses_nothing_when_connections_block(tmp_path: Path) -> None:
    frames = [quote(number) for number in range(1, 20_001)]
    settings = Settings(queue_bytes=200_000)
    made = record(
        tmp_path, lambda path, number: [*frames, Stay()], taken(len(frames)), settings=settings, wrap=SlowWriter
    )
    everything_sent_is_recorded(made)
    assert made.notes(Gap) == made.notes(Dropped) == []
    assert 200_000 < made.status["queue"]["peak_bytes"] < 600_000, "the limit, a frame and a batch on its way"


def test_what_may_be_dropped_is_dropped_whole_counted_and_noted(tmp_path: Path) -> None:
    frames: list[bytes] = []
    for number in range(1, 6_001):
        frames += [quote(number), quote(number), diff(number, number - 1)]
    settings = Settings(queue_bytes=200_000, drop=frozenset({"quotes"}))
    made = record(
        tmp_path, lambda path, number: [*frames, Pause(0.7), quote(9_999), Stay()], taken(len(frames) + 1),
        settings=settings, wrap=SlowWriter, rest=lambda path: book(1 << 40),
    )  # fmt: skip
    quotes = [payload for payload in made.frames(0) if b"bookTicker" in payload]
    diffs = [payload for payload in made.frames(0) if b"depthUpdate" in payload]
    dropped = made.notes(Dropped)
    assert diffs == [payload for payload in frames if b"depthUpdate" in payload]
    assert dropped and {note.stream for note in dropped} == {"quotes"}
    assert len(quotes) + sum(note.count for note in dropped) == 12_001
    assert made.status["dropped"] == sum(note.count for note in dropped)
    gaps = made.notes(Gap)
    assert {(gap.stream, gap.why) for gap in gaps} == {("quotes", "recorder")} and len(gaps) == 2 * len(dropped)


def test_what_is_still_being_dropped_at_the_end_is_counted(tmp_path: Path) -> None:
    frames = [quote(number) for number in range(1, 6_001)]
    made = record(
        tmp_path, lambda path, number: [*frames, Stay()], taken(len(frames)), wrap=SlowWriter,
        settings=Settings(queue_bytes=100_000, drop=frozenset({"quotes"})),
    )  # fmt: skip
    kept = [payload for payload in made.frames(0) if b"bookTicker" in payload]
    assert made.status["dropped"] > 0
    assert len(kept) + sum(note.count for note in made.notes(Dropped)) == len(frames)


def test_a_disk_that_fails_ends_the_recording(tmp_path: Path) -> None:
    class Failing(SlowWriter):
        def append(self, kind: int, connection: int, wall_ns: int, mono_ns: int, payload: bytes) -> int:
            if b"5000" in payload:
                raise RecordingStopped("no space: the recording ends after record 7", 7)
            return self._writer.append(kind, connection, wall_ns, mono_ns, payload)

    frames = [quote(number) for number in range(1, 100_000)]
    with pytest.raises(RecordingStopped, match="after record 7"):
        record(
            tmp_path, lambda path, number: [*frames, Stay()], taken(1 << 60), wrap=Failing,
            settings=Settings(queue_bytes=100_000),
        )  # fmt: skip


# -- clocks


def test_a_step_of_the_wall_clock_is_noted(tmp_path: Path) -> None:
    clock = FastClock()

    def until(server: ReplayServer, recorder: Recorder) -> bool:
        if clock.monotonic_ns() - clock._mono_ns > 300_000_000:
            clock.moved_ns = -3 * 10**9
        return clock.monotonic_ns() - clock._mono_ns > 700_000_000

    made = record(tmp_path, lambda path, number: [quote(1), Stay()], until, clock=clock)
    (step,) = made.notes(ClockStep)
    assert abs(step.step_ns + 3 * 10**9) < STEP_NS


def test_the_offset_to_the_venue_is_estimated(tmp_path: Path) -> None:
    clock = FastClock()
    ahead = [quote(number, ms=clock.wall_ns() // 10**6 + 5_000) for number in range(3)]
    made = record(tmp_path, lambda path, number: [*ahead, Stay()], lambda s, r: s.handshakes > 0 and
                  clock.monotonic_ns() - clock._mono_ns > 500_000_000, clock=clock)  # fmt: skip
    (offset,) = made.notes(ClockOffset)
    assert offset.venue == "binance_coinm" and offset.samples == 3
    assert 4_000_000_000 < offset.offset_ns <= 5_000_000_000


def test_an_offset_comes_from_the_last_minutes_only() -> None:
    offset = Offset()
    assert offset.least_ns is None
    offset.add(-7, 1, 0)
    offset.add(3, 1, 1)
    assert offset.least_ns == -7
    for window in range(1, WINDOWS + 1):
        offset.add(window + 100, 10, window * WINDOW_NS)
        assert offset.least_ns == -7
    offset.add(500, 1, (WINDOWS + 1) * WINDOW_NS)
    assert offset.least_ns == 101
    offset.restart()
    assert offset.least_ns is None


def test_slewing_is_no_step() -> None:
    clock = FastClock()
    watch = StepWatch(clock)
    steps = []
    for _ in range(50):
        clock.moved_ns += 500_000
        steps.append(watch.step_ns())
    assert not any(steps)
    clock.moved_ns += 40_000_000
    assert abs(watch.step_ns() - 40_000_000) < 5_000_000
