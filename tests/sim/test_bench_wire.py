"""The wire's benchmark: what its figures are made of, and that both ends of a socket are timed."""

from __future__ import annotations

import asyncio
from typing import Any

from sim.bench.peers.wire_timing import TimedLoop, Times, now_ns
from sim.bench.wire import FLOORS, summary


def figures(scale: float) -> dict[str, Any]:
    row = {"count": 10, "p50_us": 10 * scale, "p99_us": 20 * scale}
    order = dict.fromkeys(("out", "out_sent", "back", "whole", "tick_to_order"), row)
    return {"order_ws": order, "order_rest": order, "depth": row, "top": row}


def test_ratios_are_of_the_best_medians_and_floors_are_judged() -> None:
    found = summary([figures(3), figures(1), figures(2)], [figures(8), figures(6)])
    assert set(found["ratios"].values()) == {6.0} and found["met"] == dict.fromkeys(FLOORS, True)
    assert summary([figures(1)], [figures(4.9)])["met"] == dict.fromkeys(FLOORS, False)
    assert found["tick_to_order"]["p50_us"] == 10


def test_times_are_summed_up_in_microseconds() -> None:
    times = Times()
    assert times.summary() == {"count": 0}
    times.ns = [n * 1000 for n in range(100)]
    assert times.summary() == {"count": 100, "p50_us": 50.0, "p99_us": 99.0, "max_us": 99.0}


def test_a_connection_marks_what_it_reads_and_writes() -> None:
    async def echo() -> tuple[int, int, int, int, int]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(4))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        begun = now_ns()
        writer.write(b"ping")
        assert await reader.read(4) == b"ping"
        ended = now_ns()
        writer.close()
        server.close()
        marks = loop.marks
        return begun, marks.handed_ns, marks.written_ns, marks.read_ns, ended

    loop = TimedLoop()
    try:
        instants = loop.run_until_complete(echo())
    finally:
        loop.close()
    assert list(instants) == sorted(instants)
