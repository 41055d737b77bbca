"""ccxt ``hyperliquid``: asynchronous REST and pro websockets against the emulator. See steps.py."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro
from steps import Steps, Watchers, refusal_of, setting, until


def client_of(given: dict[str, Any], address: str, secret: str) -> Any:
    return ccxt.pro.hyperliquid(
        {
            "walletAddress": address,
            "privateKey": secret,
            "enableRateLimit": False,
            "urls": {"api": {"public": given["http"], "private": given["http"], "ws": {"public": f"{given['ws']}/ws"}}},
        }
    )


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.client = client_of(given, given["address"], given["secret"])
        self.symbol = f"{given['symbol']}/USDC:USDC"
        self.watchers = Watchers()
        self.bid = 0.0

    def price(self, part: float) -> float:
        return float(f"{self.bid * part:.4g}")

    async def load(self) -> Any:
        markets = await self.client.load_markets()
        market = markets[self.symbol]
        return {"id": market["baseId"], "step": market["precision"]["amount"], "swap": market["swap"]}

    async def book(self) -> Any:
        book = await self.client.fetch_order_book(self.symbol)
        self.bid = book["bids"][0][0]
        return {"levels": len(book["bids"]), "crossed": self.bid >= book["asks"][0][0]}

    async def quotes(self) -> Any:
        c, s = self.client, self.symbol
        ticker, bars = await c.fetch_ticker(s), await c.fetch_ohlcv(s, "1m", limit=5)
        rates = await c.fetch_funding_rates([s])
        return {
            "bid": ticker["bid"],
            "bars": [len(bar) for bar in bars][:1],
            "rate": rates[s]["fundingRate"],
            "mark": rates[s]["markPrice"],
            "history": type(await c.fetch_funding_rate_history(s)).__name__,
            "status": (await c.fetch_status())["status"],
        }

    async def balance(self) -> Any:
        return (await self.client.fetch_balance())["USDC"]

    async def settings(self) -> Any:
        leverage = await self.client.set_leverage(10, self.symbol)
        fees = await self.client.fetch_trading_fee(self.symbol)
        return {"leverage": leverage["status"], "taker": fees["taker"], "maker": fees["maker"]}

    async def streams(self) -> Any:
        self.watchers.watch_account(self.client, self.symbol)
        return await self.watchers.failures()

    async def place_amend_cancel(self) -> Any:
        c, s = self.client, self.symbol
        cloid = "0x" + "1" * 32
        placed = await c.create_order(s, "limit", "buy", 0.01, self.price(0.97), {"clientOrderId": cloid})
        found = await c.fetch_order(placed["id"], s)
        shown = [o["id"] for o in await c.fetch_open_orders(s)]
        changed = await c.edit_order(placed["id"], s, "limit", "buy", 0.02, self.price(0.96))
        (order,) = await c.fetch_open_orders(s)
        await c.cancel_order(order["id"], s)
        await until(
            lambda: self.watchers.has_order(placed["id"], "open") and self.watchers.has_order(order["id"], "canceled")
        )
        return {
            "found": [found["status"], found["amount"], found["clientOrderId"] == cloid],
            "shown": placed["id"] in shown,
            "new_id": changed["id"] == order["id"] != placed["id"],
            "changed": [order["amount"], order["price"] == self.price(0.96)],
            "left": len(await c.fetch_open_orders(s)),
            "after": (await c.fetch_order(order["id"], s))["status"],
        }

    async def batch(self) -> Any:
        c, s = self.client, self.symbol
        one = {"symbol": s, "type": "limit", "side": "buy", "amount": 0.01, "params": {"postOnly": True}}
        orders = await c.create_orders([{**one, "price": self.price(0.95)}, {**one, "price": self.price(0.94)}])
        await c.cancel_orders([order["id"] for order in orders], s)
        return {"placed": [o["status"] for o in orders], "left": len(await c.fetch_open_orders(s))}

    async def trade(self) -> Any:
        c, s = self.client, self.symbol
        bought = await c.create_order(s, "market", "buy", 0.01, self.price(1.0))
        await until(lambda: self.watchers.has_fill(bought["id"]))
        fills = [f for f in await c.fetch_my_trades(s) if f["order"] == bought["id"]]
        (position,) = await c.fetch_positions([s])
        await until(lambda: any(p["contracts"] for p in self.watchers.told["positions"]))
        return {
            "amount": round(sum(f["amount"] for f in fills), 8),
            "takers": sorted({f["takerOrMaker"] for f in fills}),
            "fee": sum(f["fee"]["cost"] for f in fills) / sum(f["cost"] for f in fills),
            "position": [position["contracts"], position["side"], position["leverage"]],
        }

    async def stops(self) -> Any:
        c, s = self.client, self.symbol
        trigger = self.price(0.9)
        params = {"stopLossPrice": trigger, "reduceOnly": True}
        stop = await c.create_order(s, "market", "sell", 0.01, self.price(0.9), params)
        (waiting,) = await c.fetch_open_orders(s)
        await c.cancel_order(stop["id"], s)
        return {"trigger": waiting["triggerPrice"] == trigger, "left": len(await c.fetch_open_orders(s))}

    async def close(self) -> Any:
        c, s = self.client, self.symbol
        sold = await c.create_order(s, "market", "sell", 0.01, self.price(1.0), {"reduceOnly": True})
        order = await c.fetch_order(sold["id"], s)
        left = [p["contracts"] for p in await c.fetch_positions([s])]
        return {"status": order["status"], "filled": order["filled"], "left": left}

    async def history(self) -> Any:
        c, s = self.client, self.symbol
        return {
            "orders": len(await c.fetch_orders(s)) >= 3,
            "funding": type(await c.fetch_funding_history(s)).__name__,
            "ledger": type(await c.fetch_ledger()).__name__,
        }

    async def by_websocket(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.create_order_ws(s, "limit", "buy", 0.01, self.price(0.97))
        changed = await c.edit_order_ws(placed["id"], s, "limit", "buy", 0.01, self.price(0.96))
        await c.cancel_order_ws(changed["id"], s)
        return {"new_id": changed["id"] != placed["id"], "left": len(await c.fetch_open_orders(s))}

    async def market_streams(self) -> Any:
        c, s = self.client, self.symbol
        book = await c.watch_order_book(s)
        first = book["timestamp"]
        for _ in range(2):
            book = await c.watch_order_book(s)
        ticker, trades = await c.watch_ticker(s), await c.watch_trades(s)
        bars = await c.watch_ohlcv(s, "1m")
        return {
            "advanced": book["timestamp"] > first,
            "crossed": book["bids"][0][0] >= book["asks"][0][0],
            "ticker": ticker["symbol"] == s,
            "trade": trades[0]["side"],
            "bar": len(bars[0]),
        }

    async def refused(self) -> Any:
        c, s = self.client, self.symbol
        stranger = client_of(self.given, self.given["address"], "0x" + "77" * 32)
        stranger.options["builderFee"] = False
        await stranger.load_markets()
        seen = {
            "margin": await refusal_of(c.create_order(s, "limit", "buy", 900, self.price(0.97))),
            "post_only": await refusal_of(
                c.create_order(s, "limit", "buy", 0.01, self.price(1.02), {"postOnly": True})
            ),
            "ioc": await refusal_of(c.create_order(s, "limit", "buy", 0.01, self.price(0.97), {"timeInForce": "ioc"})),
            "too_small": await refusal_of(c.create_order(s, "limit", "buy", 0.0001, self.price(0.97))),
            "unknown_cancel": await refusal_of(c.cancel_order("123456789", s)),
            "unknown_fetch": await refusal_of(c.fetch_order("123456789", s)),
            "signature": await refusal_of(stranger.create_order(s, "limit", "buy", 0.01, self.price(0.97))),
            "margin_by_websocket": await refusal_of(c.create_order_ws(s, "limit", "buy", 900, self.price(0.97))),
        }
        await stranger.close()
        return seen


async def main() -> None:
    scenario, steps = Scenario(setting()), Steps()
    s = scenario
    for step in (
        s.load, s.book, s.quotes, s.balance, s.settings, s.streams, s.place_amend_cancel, s.batch, s.trade, s.stops,
        s.close, s.history, s.by_websocket, s.market_streams, s.refused,
    ):  # fmt: skip
        await steps.wait(step)
    for task in scenario.watchers.tasks:
        task.cancel()
    await scenario.client.close()
    steps.report()


if __name__ == "__main__":
    asyncio.run(main())
