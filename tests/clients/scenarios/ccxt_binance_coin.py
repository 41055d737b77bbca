"""ccxt ``binancecoinm``: markets, books, a trade and its user stream against the emulator. See steps.py."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro
from steps import Steps, refusal_of, setting, until


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        http, ws = given["http"], given["ws"]
        known = ccxt.pro.binancecoinm().exceptions
        api = {"dapiPublic": f"{http}/dapi/v1", "dapiPrivate": f"{http}/dapi/v1", "dapiPrivateV2": f"{http}/dapi/v2"}
        streams = {"inverse": f"{ws}/ws", "ws-api": {"inverse": f"{ws}/ws-dapi/v1"}}
        self.client = ccxt.pro.binancecoinm(
            {
                "apiKey": given["key"],
                "secret": given["secret"],
                "enableRateLimit": False,
                "options": {"fetchCurrencies": False},
                "urls": {"api": {**api, "dapiData": f"{http}/futures/data", "sapi": f"{http}/sapi/v1", "ws": streams}},
                "exceptions": {"exact": known["inverse"]["exact"], "broad": known["broad"]},
            }
        )
        self.symbol = "BTC/USD:BTC"
        self.orders: list[Any] = []
        self.bid = 0.0

    def price(self, part: float) -> float:
        return float(self.client.price_to_precision(self.symbol, self.bid * part))

    async def load(self) -> Any:
        market = (await self.client.load_markets())[self.symbol]
        return {
            "id": market["id"],
            "size": market["contractSize"],
            "settle": market["settle"],
            "inverse": market["inverse"],
        }

    async def book(self) -> Any:
        book = await self.client.fetch_order_book(self.symbol, 10)
        self.bid = book["bids"][0][0]
        mark = await self.client.fetch_mark_price(self.symbol)
        return {"levels": len(book["bids"]), "crossed": self.bid >= book["asks"][0][0], "mark": mark["markPrice"]}

    async def balance(self) -> Any:
        return (await self.client.fetch_balance())["BTC"]

    async def stream(self) -> Any:
        async def forever() -> None:
            while True:
                self.orders += [dict(row) for row in await self.client.watch_orders(self.symbol)]

        self.watcher = asyncio.ensure_future(forever())
        await asyncio.sleep(0.5)
        return self.watcher.done()

    async def place_amend_cancel(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.create_order(s, "limit", "buy", 3, self.price(0.97))
        changed = await c.edit_order(placed["id"], s, "limit", "buy", 4, self.price(0.96))
        found = await c.fetch_order(placed["id"], s)
        await c.cancel_order(placed["id"], s)
        await until(lambda: any(o["id"] == placed["id"] and o["status"] == "canceled" for o in self.orders))
        return {
            "same_id": changed["id"] == placed["id"],
            "amount": found["amount"],
            "left": len(await c.fetch_open_orders(s)),
        }

    async def trade(self) -> Any:
        c, s = self.client, self.symbol
        bought = await c.create_order(s, "market", "buy", 2)
        await until(lambda: any(o["id"] == bought["id"] and o["status"] == "closed" for o in self.orders))
        (position,) = await c.fetch_positions([s])
        fills = [f for f in await c.fetch_my_trades(s) if f["order"] == bought["id"]]
        await c.create_order(s, "market", "sell", 2, None, {"reduceOnly": True})

        async def flat() -> bool:
            return not any(p["contracts"] for p in await c.fetch_positions([s]))

        await until(flat)
        return {
            "position": [position["contracts"], position["side"]],
            "amount": sum(f["amount"] for f in fills),
            "fee_asset": fills[0]["fee"]["currency"],
        }

    async def market_streams(self) -> Any:
        book = await self.client.watch_order_book(self.symbol)
        first = book["nonce"]
        book = await self.client.watch_order_book(self.symbol)
        mark = await self.client.watch_mark_price(self.symbol)
        return {"advanced": book["nonce"] > first, "mark": mark["markPrice"]}

    async def refused(self) -> Any:
        c, s = self.client, self.symbol
        return {
            "position": await refusal_of(c.create_order(s, "limit", "buy", 60_000, self.price(0.97))),
            "unknown_cancel": await refusal_of(c.cancel_order("123456789", s)),
        }


async def main() -> None:
    s, steps = Scenario(setting()), Steps()
    for step in (s.load, s.book, s.balance, s.stream, s.place_amend_cancel, s.trade, s.market_streams, s.refused):
        await steps.wait(step)
    s.watcher.cancel()
    await s.client.close()
    steps.report()


if __name__ == "__main__":
    asyncio.run(main())
