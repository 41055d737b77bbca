"""Times cryptofeed's Binance Futures feed against an emulator; started by ``perpsim bench wire`` in its environment.

    run_cryptofeed.py JSON        {"http", "ws", "seconds", "warm", "busy"}

Prints one JSON object of durations: from a frame's ``data_received`` to the feed's own callback for books (L2_BOOK) and
best quotes (TICKER), with aggregate trades beside them, by the event loop of wire_timing.py. The library is unmodified:
addresses are class attributes, and since it takes none but wss, its hook for authentication gives the plain one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from importlib.metadata import version
from typing import Any

from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import BinanceFutures
from wire_timing import DEPTH, TOP, Busy, DataTimes, TimedLoop, TimedPolicy, now_ns

SYMBOL = "BTC-USDT-PERP"
LATE_S = 30.0  # beyond its seconds a course has failed


def feed_of(given: dict[str, Any], times: DataTimes) -> Any:
    class Feed(BinanceFutures):  # type: ignore[misc]
        websocket_endpoints = (
            WebsocketEndpoint(
                given["ws"].replace("ws://", "wss://", 1), options={"compression": None}, authentication=True
            ),
        )
        rest_endpoints = (RestEndpoint(given["http"], routes=BinanceFutures.rest_endpoints[0].routes),)

        async def _ws_authentication(self, address: str, ws_options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
            return address.replace("wss://", "ws://", 1), ws_options

    async def book(one: Any, _: float) -> None:
        if "u" in one.raw:  # a snapshot has none
            times.told(DEPTH, one.raw["u"], now_ns())

    async def quote(one: Any, _: float) -> None:
        times.told(TOP, one.raw["u"], now_ns())

    async def prints(one: Any, _: float) -> None:
        pass

    return Feed(
        symbols=[SYMBOL],
        channels=[L2_BOOK, TICKER, TRADES],
        callbacks={L2_BOOK: book, TICKER: quote, TRADES: prints},
        retries=0,
    )


async def main(given: dict[str, Any], loop: TimedLoop) -> None:
    times = DataTimes(loop.marks, given["warm"])
    feed = feed_of(given, times)
    feed.start(loop)
    gc.collect()
    end = loop.time() + given["seconds"]
    found = times.summary()
    while loop.time() < end or (loop.time() < end + LATE_S and not all(row["count"] for row in found.values())):
        await asyncio.sleep(0.1)
        found = times.summary()
    feed.stop()
    await feed.shutdown()
    if not all(row["count"] for row in found.values()):
        sys.exit("not every callback was called")  # the library has logged why
    print(json.dumps({"version": version("cryptofeed")} | found), flush=True)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    timed = TimedPolicy(Busy if told["busy"] else None).new_event_loop()
    asyncio.set_event_loop(timed)
    timed.run_until_complete(main(told, timed))
