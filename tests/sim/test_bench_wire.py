"""The wire's benchmark: what its figures are made of, and that each instant belongs to what it is said to be of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sim.bench.peers.wire_timing import (
    DEPTH,
    KEPT,
    OTHER,
    PRIVATE,
    REST,
    TOP,
    Connection,
    DataTimes,
    Marks,
    OrderTimes,
    TimedLoop,
    Times,
    heads,
    now_ns,
)
from sim.bench.runner import BenchError
from sim.bench.wire import FIGURES, FLOORS, PEERS, run_wire, summary, table

TEXT, PING = 1, 9


def frame(payload: bytes, kind: int = TEXT) -> bytes:
    """As a server sends it: not masked."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | kind, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | kind, 127)) + size.to_bytes(8, "big") + payload


def depth(update: int, size: int = 0) -> bytes:
    return b'{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":1,"u":%d,"pu":0,"b":"%s"}' % (update, b"x" * size)


def top(update: int) -> bytes:
    return b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":%d,"s":"BTCUSDT"}}' % update


def opened(marks: Marks, path: bytes) -> Connection:
    """A connection whose handshake is over."""
    connection = Connection(marks)
    assert connection.writes(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n") is None
    connection.reads(b"HTTP/1.1 101 Switching Protocols\r\n\r")
    connection.reads(b"\n")
    return connection


def figures(scale: float, *, orders: bool = True) -> dict[str, Any]:
    row = {"count": 100, "p50_us": 10 * scale, "p99_us": 20 * scale}
    found: dict[str, Any] = {"depth": dict(row), "top": dict(row)}
    if orders:
        order = dict.fromkeys(("out", "out_sent", "back", "whole", "tick_to_order"), row)
        found |= {"order_ws": order, "order_rest": order, "frames_s": 100.0}
    return found


def rows(ours: list[float], ccxt: list[float], cryptofeed: list[float]) -> dict[str, list[dict[str, Any]]]:
    return {
        "perpsim": [figures(one) for one in ours],
        "ccxt": [figures(one) for one in ccxt],
        "cryptofeed": [figures(one, orders=False) for one in cryptofeed],
    }


def test_ratios_are_of_the_best_medians_and_floors_are_judged_against_ccxt() -> None:
    found = summary(rows([3, 1, 2], [8, 6], [4, 2]))
    assert found["ratios"]["ccxt"] == dict.fromkeys(FIGURES, 6.0)
    assert found["ratios"]["cryptofeed"] == {"data_depth": 2.0, "data_top": 2.0}
    assert found["met"] == dict.fromkeys(FLOORS, True)
    assert summary(rows([1], [4.9], [9]))["met"] == dict.fromkeys(FLOORS, False)
    assert found["figures"]["tick_to_order"]["perpsim"]["p50_us"] == 10


def test_a_client_that_measured_nothing_is_an_error() -> None:
    given = rows([1], [6], [2])
    given["cryptofeed"][0]["top"] = {"count": 0}
    with pytest.raises(BenchError, match="cryptofeed has measured no top"):
        summary(given)


def test_a_median_of_few_does_not_count_where_there_is_another() -> None:
    given = rows([2, 1], [12], [2])
    given["perpsim"][1]["top"] |= {"count": 9}
    found = summary(given)
    assert found["figures"]["data_top"]["perpsim"]["p50_us"] == found["figures"]["order_out"]["perpsim"]["p50_us"] * 2
    assert " of 9 alone" not in "".join(table("", found))
    del given["perpsim"][0]
    assert "perpsim 10 / 20 of 9 alone" in "".join(table("", summary(given)))


def test_the_table_names_every_client_and_what_is_met() -> None:
    lines = table("calm, sleeping", summary(rows([1], [6], [2])))
    assert lines[0].startswith("calm, sleeping: 100.0 frames/s") and len(lines) == 1 + len(FIGURES)
    first = next(line for line in lines if "data_depth" in line)
    assert "perpsim 10 / 20" in first and "ccxt 60 / 120 (6x)" in first and "cryptofeed 20 / 40 (2x)" in first
    assert first.endswith(" floor met") and table("", summary(rows([1], [4], [2])))[1].endswith(" below the floor")


def test_unknown_markets_and_missing_environments_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="make clients"):
        run_wire(tmp_path)
    for name in PEERS:
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
    with pytest.raises(BenchError, match="'wild' is not one of calm, busy"):
        run_wire(tmp_path, markets=("wild",))
    with pytest.raises(BenchError, match="'idle' is not one of sleeping, busy_poll"):
        run_wire(tmp_path, loops=("idle",))


def test_times_are_summed_up_in_microseconds_without_the_first() -> None:
    times = Times(warm=2)
    assert times.summary() == {"count": 0}
    for n in (-2, -1, *range(100)):
        times.add(n * 1000)
    assert times.summary() == {"count": 100, "p50_us": 50.0, "p99_us": 99.0, "max_us": 99.0}


def test_bytes_are_cut_into_frames_wherever_they_are_split() -> None:
    payloads = [b"a" * 5, b"b" * 126, b"c" * 70_000, b"d"]
    data = b"".join([frame(payloads[0]), frame(b"", PING), *map(frame, payloads[1:])])
    assert heads(data) == ([one[:200] for one in payloads], b"")
    for split in (1, 3, 8, 10, 12, 140, 145, 60_000, len(data) - 1):
        found, rest = heads(data[:split])
        more, end = heads(rest + data[split:])
        assert found + more == [one[:200] for one in payloads] and end == b""


def test_instants_are_kept_by_connection_and_by_what_a_frame_says() -> None:
    marks = Marks()
    orders, data = opened(marks, b"/ws-fapi/v1"), opened(marks, b"/public/stream")
    assert opened(marks, b"/private/ws?listenKey=k").writes(b"\x81\x80") is marks.of[PRIVATE]
    assert marks.kind == OTHER and not any(stream.reads for stream in marks.of.values())
    orders.reads(frame(b'{"id":"1","status":200}'))
    answered_ns = marks.read_ns
    data.reads(frame(depth(7)))
    assert (marks.kind, marks.update) == (DEPTH, 7) and marks.of[PRIVATE].read_ns == answered_ns
    data.reads(frame(top(9)))
    assert (marks.kind, marks.update) == (TOP, 9) and marks.of[DEPTH].reads == marks.of[TOP].reads == 1
    data.reads(frame(b'{"e":"aggTrade"}') + frame(top(10)))
    assert marks.kind == OTHER and marks.take(TOP, 10) is None, "only the first frame of a read is timed"
    orders.reads(frame(b"", PING))
    assert marks.of[PRIVATE].reads == 1 and orders.writes(b"\x8a\x80") is None, "pings are no answers"


def test_a_frame_in_several_reads_is_of_the_last_of_them() -> None:
    marks = Marks()
    data = opened(marks, b"/public/ws/0")
    sent = frame(depth(5, 1000))
    data.reads(sent[:500])
    assert marks.kind == OTHER and marks.of[DEPTH].reads == 0
    data.reads(sent[500:] + frame(top(6)))
    assert (marks.kind, marks.update, marks.of[TOP].reads) == (DEPTH, 5, 0)
    assert marks.frames == 2


def test_an_update_is_timed_once_and_from_its_own_read() -> None:
    marks = Marks()
    data, times = opened(marks, b"/public/ws/0"), DataTimes(marks, warm=0)
    data.reads(frame(top(1)))
    first_ns = marks.read_ns
    data.reads(frame(top(2)))
    assert times.told(TOP, 1, first_ns + 3000) == first_ns and times.told(TOP, 1, now_ns()) is None
    assert times.told(TOP, 3, now_ns()) is None and times.told(DEPTH, 2, now_ns()) is None
    assert times.summary() == {
        DEPTH: {"count": 0}, TOP: {"count": 1, "p50_us": 3.0, "p99_us": 3.0, "max_us": 3.0},
    }  # fmt: skip
    for update in range(1, KEPT + 10):
        data.reads(frame(top(update)))
    assert len(marks.of[TOP].read_of) == KEPT


def test_an_order_counts_only_when_nothing_else_went_over_its_connections() -> None:
    marks = Marks()
    stream, connection, times = marks.of[PRIVATE], opened(marks, b"/ws-fapi/v1"), OrderTimes(marks, warm=0)

    def write() -> None:
        assert connection.writes(b"\x81\x80") is stream
        stream.writes, stream.handed_ns, stream.written_ns = stream.writes + 1, now_ns(), now_ns()

    def order(writes: int, reads: int) -> None:
        times.decided(now_ns())
        for _ in range(writes):
            write()
        for _ in range(reads):
            connection.reads(frame(b"{}"))
        times.answered(now_ns())

    for writes, reads in ((1, 1), (2, 1), (1, 2), (1, 0)):
        order(writes, reads)
    found = times.summary()
    assert found["unclear"] == 3
    assert {name: row["count"] for name, row in found.items() if name != "unclear"} == dict.fromkeys(
        ("out", "out_sent", "back", "whole", "tick_to_order"), 1
    )


def test_a_connection_marks_what_it_reads_and_writes() -> None:
    async def echo() -> tuple[int, int, int, int, int]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(4))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        begun = now_ns()
        writer.writelines([b"pi", b"ng"])
        assert await reader.read(4) == b"ping"
        ended = now_ns()
        writer.close()
        server.close()
        http = loop.marks.of[REST]
        assert http.writes == http.reads == 1
        return begun, http.handed_ns, http.written_ns, http.read_ns, ended

    loop = TimedLoop()
    try:
        instants = loop.run_until_complete(echo())
    finally:
        loop.close()
    assert list(instants) == sorted(instants)
