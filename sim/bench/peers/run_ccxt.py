"""Times ccxt.pro ``binanceusdm`` against an emulator; started by ``perpsim bench wire`` in ccxt's own environment.

    run_ccxt.py JSON        {"http", "ws", "key", "secret", "orders", "seconds", "warm", "busy"}

Prints one JSON object of durations. The course is our own client's (``wire_client.py``): one client watches books,
best quotes and aggregate trades at once, and upon a book, every so often, places an order far from the market by
websocket and cancels it when it is acknowledged, while all the rest flows. An order's way out: from the call of
``create_order_ws`` to the call of the transport's write (``out_sent``: to its return, which is the kernel's send). Its
way back: from the reply's ``data_received`` to the return of ``create_order_ws``. Market data: from ``data_received``
to the return of ``watch_order_book`` or ``watch_bids_asks``. ``tick_to_order``: from the frame of the book to the
written order. All by the event loop of wire_timing.py. Then orders by REST, with nothing beside them. ccxt runs as a
user would run it who wants it quick: without its own throttle, with orjson, each watch a task.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from typing import Any

import ccxt.pro
from wire_timing import DEPTH, REST, TOP, Busy, DataTimes, OrderTimes, TimedLoop, TimedPolicy, now_ns

SYMBOL = "BTC/USDT:USDT"
LATE_S = 60.0  # beyond its seconds a course has failed


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


class Course:
    """Watches and trades at once, until the orders are placed and the time is over."""

    def __init__(self, client: Any, loop: TimedLoop, given: dict[str, Any]) -> None:
        self._client = client
        self._data = DataTimes(loop.marks, given["warm"])
        self._orders = OrderTimes(loop.marks, given["warm"])
        self._left = given["warm"] + given["orders"]
        self._seconds = given["seconds"]
        self._gap_ns = int(self._seconds * 1e9) // self._left
        self._next_ns = now_ns()
        self._end_ns = self._next_ns + int(self._seconds * 1e9)
        self._bid = 0.0
        self._trading: asyncio.Task[None] | None = None

    async def run(self) -> dict[str, Any]:
        watching = [asyncio.create_task(one) for one in (self._books(), self._quotes(), self._prints())]
        ending = asyncio.create_task(self._ended())
        done, _ = await asyncio.wait(
            [*watching, ending], timeout=self._seconds + LATE_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
        if ending not in done:
            raise SystemExit("the orders were not placed in time")
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        return {"order_ws": self._orders.summary(), **self._data.summary()}

    async def _ended(self) -> None:
        while self._left or now_ns() < self._end_ns:
            if self._trading is not None and self._trading.done():
                self._trading.result()
            await asyncio.sleep(0.1)
        if self._trading is not None:
            await self._trading

    async def _books(self) -> None:
        while True:
            book = await self._client.watch_order_book(SYMBOL)
            read_ns = self._data.told(DEPTH, book["nonce"], now_ns())
            self._bid = book["bids"][0][0]
            self._consider(read_ns)

    async def _quotes(self) -> None:
        while True:
            quotes = await self._client.watch_bids_asks([SYMBOL])
            quote = quotes[SYMBOL]
            read_ns = self._data.told(TOP, int(quote["info"]["u"]), now_ns())
            self._bid = quote["bid"]
            self._consider(read_ns)

    async def _prints(self) -> None:
        while True:
            await self._client.watch_trades(SYMBOL, params={"name": "aggTrade"})

    def _consider(self, read_ns: int | None) -> None:
        now = now_ns()
        if self._left and now >= self._next_ns and (self._trading is None or self._trading.done()):
            self._next_ns = now + self._gap_ns
            self._left -= 1
            self._trading = asyncio.create_task(self._trade(self._bid * 0.97, read_ns))

    async def _trade(self, price: float, read_ns: int | None) -> None:
        at = float(self._client.price_to_precision(SYMBOL, price))
        self._orders.decided(read_ns)
        order = await self._client.create_order_ws(SYMBOL, "limit", "buy", 0.01, at)
        self._orders.answered(now_ns())
        await self._client.cancel_order_ws(order["id"], SYMBOL)


async def orders_rest(client: Any, loop: TimedLoop, given: dict[str, Any]) -> dict[str, Any]:
    times = OrderTimes(loop.marks, given["warm"], REST)
    book = await client.fetch_order_book(SYMBOL, 5)
    price = float(client.price_to_precision(SYMBOL, book["bids"][0][0] * 0.97))
    for _ in range(given["warm"] + given["orders"]):
        times.decided()
        order = await client.create_order(SYMBOL, "limit", "buy", 0.01, price)
        times.answered(now_ns())
        await client.cancel_order(order["id"], SYMBOL)
        await asyncio.sleep(0.03)  # the venue takes 300 orders in 10 s
    return times.summary()


async def main(given: dict[str, Any], loop: TimedLoop) -> None:
    result: dict[str, Any] = {"version": ccxt.pro.__version__}
    client = client_of(given, loop)
    await client.load_markets()
    gc.collect()
    result |= await Course(client, loop, given).run()
    await client.close()
    client = client_of(given, loop)
    await client.load_markets()
    result["order_rest"] = await orders_rest(client, loop, given)
    await client.close()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    timed = TimedPolicy(Busy if told["busy"] else None).new_event_loop()
    asyncio.set_event_loop(timed)
    timed.run_until_complete(main(told, timed))
