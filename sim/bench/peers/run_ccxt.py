"""Times ccxt.pro ``binanceusdm`` against an emulator; started by ``perpsim bench wire`` in ccxt's own environment.

    run_ccxt.py JSON        {"http", "ws", "key", "secret", "orders", "seconds", "busy"}

Prints one JSON object of durations. An order's way out: from the call of ``create_order_ws`` to the call of the
transport's last write (``out_sent``: to its return, which is the kernel's send). Its way back: from the reply's
``data_received`` to the return of ``create_order_ws``. Market data: from ``data_received`` to the return of
``watch_order_book`` or ``watch_bids_asks``. All by the event loop of wire_timing.py. ccxt runs as a user would run it
who wants it quick: without its own throttle.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any

import ccxt.pro
from wire_timing import TimedLoop, TimedPolicy, Times

SYMBOL = "BTC/USDT:USDT"
WARM = 20


def client_of(given: dict[str, Any], loop: asyncio.AbstractEventLoop) -> Any:
    http, ws = given["http"], given["ws"]
    paths = {"fapiPublic": "v1", "fapiPublicV2": "v2", "fapiPublicV3": "v3"}
    api: dict[str, Any] = {name: f"{http}/fapi/{path}" for name, path in paths.items()}
    api |= {name.replace("Public", "Private"): url for name, url in api.items()}
    api["ws"] = {"linear": f"{ws}/ws", "ws-api": {"linear": f"{ws}/ws-fapi/v1"}}
    return ccxt.pro.binanceusdm(
        {
            "apiKey": given["key"],
            "secret": given["secret"],
            "enableRateLimit": False,
            "options": {"fetchCurrencies": False},
            "urls": {"api": api},
            "asyncio_loop": loop,
        }
    )


async def orders(client: Any, loop: TimedLoop, count: int, by_websocket: bool) -> dict[str, Any]:
    out, sent, back, whole = Times(), Times(), Times(), Times()
    book = await client.fetch_order_book(SYMBOL, 5)
    price = float(client.price_to_precision(SYMBOL, book["bids"][0][0] * 0.97))
    create = client.create_order_ws if by_websocket else client.create_order
    cancel = client.cancel_order_ws if by_websocket else client.cancel_order
    for number in range(WARM + count):
        begun = time.perf_counter_ns()
        order = await create(SYMBOL, "limit", "buy", 0.01, price)
        done = time.perf_counter_ns()
        if number >= WARM:
            out.ns.append(loop.marks.handed_ns - begun)
            sent.ns.append(loop.marks.written_ns - begun)
            back.ns.append(done - loop.marks.read_ns)
            whole.ns.append(done - begun)
        await cancel(order["id"], SYMBOL)
        await asyncio.sleep(0.03)  # the venue takes 300 orders in 10 s
    return {"out": out.summary(), "out_sent": sent.summary(), "back": back.summary(), "whole": whole.summary()}


async def data(client: Any, loop: TimedLoop, seconds: float, what: str) -> dict[str, Any]:
    times = Times()
    call = client.watch_order_book if what == "depth" else client.watch_bids_asks
    symbol = SYMBOL if what == "depth" else [SYMBOL]
    for _ in range(WARM):
        await call(symbol)
    end = time.perf_counter_ns() + int(seconds * 1e9)
    last = 0
    while time.perf_counter_ns() < end:
        await call(symbol)
        done = time.perf_counter_ns()
        if loop.marks.read_ns != last:
            times.ns.append(done - loop.marks.read_ns)
            last = loop.marks.read_ns
    return times.summary()


async def main(given: dict[str, Any], loop: TimedLoop) -> None:
    result: dict[str, Any] = {"version": ccxt.pro.__version__}
    client = client_of(given, loop)
    await client.load_markets()
    gc.collect()
    result["order_ws"] = await orders(client, loop, given["orders"], True)
    result["order_rest"] = await orders(client, loop, given["orders"], False)
    await client.close()
    for what in ("depth", "top"):
        client = client_of(given, loop)
        await client.load_markets()
        result[what] = await data(client, loop, given["seconds"], what)
        await client.close()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    timed = TimedPolicy(is_busy=told["busy"]).new_event_loop()
    asyncio.set_event_loop(timed)
    timed.run_until_complete(main(told, timed))
