"""ccxt ``binanceusdm``: asynchronous REST and pro websockets against the emulator. See steps.py."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro
from steps import Steps, Watchers, refusal_of, setting, until


def client_of(given: dict[str, Any], key: str, secret: str, **options: Any) -> Any:
    http, ws = given["http"], given["ws"]
    known = ccxt.pro.binanceusdm().exceptions
    return ccxt.pro.binanceusdm(
        {
            "apiKey": key,
            "secret": secret,
            "enableRateLimit": False,
            "options": {"fetchCurrencies": False, **options},
            "urls": {
                "api": {
                    "fapiPublic": f"{http}/fapi/v1",
                    "fapiPublicV2": f"{http}/fapi/v2",
                    "fapiPublicV3": f"{http}/fapi/v3",
                    "fapiPrivate": f"{http}/fapi/v1",
                    "fapiPrivateV2": f"{http}/fapi/v2",
                    "fapiPrivateV3": f"{http}/fapi/v3",
                    "fapiData": f"{http}/futures/data",
                    "sapi": f"{http}/sapi/v1",
                    "ws": {"linear": f"{ws}/ws", "ws-api": {"linear": f"{ws}/ws-fapi/v1"}},
                }
            },
            # ccxt looks an error code up in its table for USD-M only if the address is the venue's own: say it here.
            "exceptions": {"exact": known["linear"]["exact"], "broad": known["broad"]},
        }
    )


class Scenario:
    """One account's life, step by step; later steps use what earlier ones left."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.client = client_of(given, given["key"], given["secret"])
        self.symbol = "BTC/USDT:USDT"
        self.watchers = Watchers()
        self.bid = self.ask = 0.0

    def price(self, part: float) -> float:
        return float(self.client.price_to_precision(self.symbol, self.bid * part))

    async def load(self) -> Any:
        markets = await self.client.load_markets()
        market = markets[self.symbol]
        return {
            "id": market["id"],
            "linear": market["linear"],
            "tick": market["precision"]["price"],
            "step": market["precision"]["amount"],
            "smallest_cost": market["limits"]["cost"]["min"],
            "clock_ms": abs(await self.client.fetch_time() - self.client.milliseconds()),
        }

    async def book(self) -> Any:
        book = await self.client.fetch_order_book(self.symbol, 20)
        self.bid, self.ask = book["bids"][0][0], book["asks"][0][0]
        return {"levels": len(book["bids"]), "crossed": self.bid >= self.ask, "id": book["nonce"]}

    async def quotes(self) -> Any:
        c, s = self.client, self.symbol
        ticker, tops, marks = await c.fetch_ticker(s), await c.fetch_bids_asks([s]), await c.fetch_mark_price(s)
        bars, trades = await c.fetch_ohlcv(s, "1m", limit=5), await c.fetch_trades(s, limit=5)
        return {
            "last": ticker["last"],
            "bid": tops[s]["bid"],
            "mark": marks["markPrice"],
            "bars": [len(bar) for bar in bars],
            "trades": [trade["side"] for trade in trades],
        }

    async def funding_rate(self) -> Any:
        rate = await self.client.fetch_funding_rate(self.symbol)
        history = await self.client.fetch_funding_rate_history(self.symbol, limit=3)
        return {"rate": rate["fundingRate"], "next": rate["fundingTimestamp"], "past": len(history)}

    async def balance(self) -> Any:
        return (await self.client.fetch_balance())["USDT"]

    async def settings(self) -> Any:
        leverage = await self.client.set_leverage(10, self.symbol)
        mode = await self.client.fetch_position_mode(self.symbol)
        tiers = await self.client.fetch_leverage_tiers([self.symbol])
        fees = await self.client.fetch_trading_fee(self.symbol)
        return {
            "leverage": int(leverage["leverage"]),
            "hedged": mode["hedged"],
            "tiers": len(tiers[self.symbol]),
            "maker": fees["maker"],
            "taker": fees["taker"],
        }

    # user streams

    async def streams(self) -> Any:
        self.watchers.watch_account(self.client, self.symbol)
        self.watchers.watch("balances", lambda: self.client.watch_balance())
        return await self.watchers.failures()

    # orders

    async def place_amend_cancel(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.create_order(s, "limit", "buy", 0.01, self.price(0.97), {"clientOrderId": "first-1"})
        open_ids = [o["id"] for o in await c.fetch_open_orders(s)]
        changed = await c.edit_order(placed["id"], s, "limit", "buy", 0.02, self.price(0.96))
        found = await c.fetch_order(placed["id"], s)
        canceled = await c.cancel_order(placed["id"], s)
        await until(
            lambda: self.watchers.has_order(placed["id"], "open") and self.watchers.has_order(placed["id"], "canceled")
        )
        return {
            "placed": [placed["status"], placed["clientOrderId"]],
            "is_open": placed["id"] in open_ids,
            "same_id": changed["id"] == placed["id"],
            "found": [found["amount"], found["price"] == self.price(0.96), found["status"]],
            "canceled": canceled["status"],
            "left": len(await c.fetch_open_orders(s)),
        }

    async def post_only(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.create_order(s, "limit", "sell", 0.01, self.price(1.03), {"postOnly": True})
        await c.cancel_order(placed["id"], s)
        return [placed["timeInForce"], placed["postOnly"]]

    async def batch(self) -> Any:
        c, s = self.client, self.symbol
        one = {"symbol": s, "type": "limit", "side": "buy", "amount": 0.01}
        rows = [{**one, "price": self.price(0.95)}, {**one, "price": self.price(0.94)}]
        orders = await c.create_orders(rows)
        ids = [order["id"] for order in orders]
        canceled = await c.cancel_orders(ids, s)
        more = await c.create_order(s, "limit", "buy", 0.01, self.price(0.95))
        await c.cancel_all_orders(s)
        after = await c.fetch_order(more["id"], s)
        return {
            "placed": [o["status"] for o in orders],
            "canceled": [o["status"] for o in canceled],
            "after_cancel_all": after["status"],
            "left": len(await c.fetch_open_orders(s)),
        }

    async def stops(self) -> Any:
        c, s = self.client, self.symbol
        trigger = self.price(0.9)
        stop = await c.create_order(s, "STOP_MARKET", "sell", 0.01, None, {"stopPrice": trigger})
        limit = await c.create_order(s, "limit", "sell", 0.01, self.price(0.89), {"triggerPrice": trigger})
        waiting = await c.fetch_open_orders(s, None, None, {"trigger": True})
        await c.cancel_order(stop["id"], s, {"trigger": True})
        await c.cancel_order(limit["id"], s, {"trigger": True})
        left = await c.fetch_open_orders(s, None, None, {"trigger": True})
        return {
            "prices": sorted({o["triggerPrice"] == trigger for o in waiting}),
            "open": len(waiting),
            "left": len(left),
        }

    async def trade(self) -> Any:
        c, s = self.client, self.symbol
        bought = await c.create_order(s, "market", "buy", 0.01)
        await until(lambda: self.watchers.has_fill(bought["id"]))
        fills = [f for f in await c.fetch_my_trades(s) if f["order"] == bought["id"]]
        (position,) = await c.fetch_positions([s])
        await until(lambda: self.watchers.told["positions"])
        streamed = self.watchers.told["positions"][-1]
        return {
            "amount": round(sum(f["amount"] for f in fills), 8),
            "takers": sorted({f["takerOrMaker"] for f in fills}),
            "fee": sum(f["fee"]["cost"] for f in fills) / sum(f["cost"] for f in fills),
            "fee_asset": fills[0]["fee"]["currency"],
            "position": [position["contracts"], position["side"], position["leverage"]],
            "entry": position["entryPrice"] / fills[0]["price"],
            "liquidation": position["liquidationPrice"],
            "streamed": [streamed["contracts"], streamed["side"]],
        }

    async def close(self) -> Any:
        c, s = self.client, self.symbol
        sold = await c.create_order(s, "market", "sell", 0.01, None, {"reduceOnly": True})
        await until(lambda: self.watchers.has_order(sold["id"], "closed"))
        order = await c.fetch_order(sold["id"], s)
        left = [p["contracts"] for p in await c.fetch_positions([s])]
        return {
            "status": order["status"],
            "filled": order["filled"],
            "left": left,
            "balances": bool(self.watchers.told["balances"]),
        }

    async def history(self) -> Any:
        ledger = await self.client.fetch_ledger("USDT")
        funding = await self.client.fetch_funding_history(self.symbol)
        orders = await self.client.fetch_orders(self.symbol)
        return {"types": sorted({row["type"] for row in ledger}), "funding": len(funding), "orders": len(orders) >= 5}

    # the websocket trading API

    async def by_websocket(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.create_order_ws(s, "limit", "buy", 0.01, self.price(0.97))
        changed = await c.edit_order_ws(placed["id"], s, "limit", "buy", 0.01, self.price(0.96))
        found = await c.fetch_order_ws(placed["id"], s)
        canceled = await c.cancel_order_ws(placed["id"], s)
        balance, positions = await c.fetch_balance_ws(), await c.fetch_positions_ws()
        return {
            "placed": placed["status"],
            "changed": changed["price"] == self.price(0.96),
            "found": found["status"],
            "canceled": canceled["status"],
            "balance": balance["USDT"]["total"],
            "positions": len(positions),
        }

    async def refused_by_websocket(self) -> Any:
        c, s = self.client, self.symbol
        return {
            "margin": await refusal_of(c.create_order_ws(s, "limit", "buy", 900, self.price(0.97))),
            "unknown": await refusal_of(c.cancel_order_ws("123456789", s)),
        }

    # market data streams

    async def market_streams(self) -> Any:
        c, s = self.client, self.symbol
        book = await c.watch_order_book(s)
        first = book["nonce"]
        for _ in range(3):
            book = await c.watch_order_book(s)
        tops, mark = await c.watch_bids_asks([s]), await c.watch_mark_price(s)
        return {
            "advanced": book["nonce"] > first,
            "crossed": book["bids"][0][0] >= book["asks"][0][0],
            "top": tops[s]["bid"] < tops[s]["ask"],
            "mark": mark["markPrice"],
        }

    async def more_market_streams(self) -> Any:
        c, s = self.client, self.symbol
        trades, ticker = await c.watch_trades(s), await c.watch_ticker(s)
        bars = await c.watch_ohlcv(s, "1m")
        await c.un_watch_trades(s)
        return {"trade": trades[0]["side"], "last": ticker["last"], "bar": len(bars[0])}

    # what the venue refuses

    async def refused(self) -> Any:
        c, s = self.client, self.symbol
        wrong = client_of(self.given, self.given["key"], "0" * 64)
        stranger = client_of(self.given, "k" * 64, "0" * 64)
        late = client_of(self.given, self.given["key"], self.given["secret"], timeDifference=60_000)
        raw = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        off = {**raw, "price": f"{self.price(0.97):.1f}3"}
        seen = {
            "margin": await refusal_of(c.create_order(s, "limit", "buy", 900, self.price(0.97))),
            "post_only": await refusal_of(
                c.create_order(s, "limit", "buy", 0.01, self.price(1.02), {"postOnly": True})
            ),
            "off_grid": await refusal_of(c.fapiPrivatePostOrder(off)),
            "too_small": await refusal_of(c.create_order(s, "limit", "buy", 0.001, self.price(0.2))),
            "reduce_only": await refusal_of(
                c.create_order(s, "limit", "sell", 0.01, self.price(1.01), {"reduceOnly": True})
            ),
            "unknown_cancel": await refusal_of(c.cancel_order("123456789", s)),
            "unknown_fetch": await refusal_of(c.fetch_order("123456789", s)),
            "symbol": await refusal_of(c.fapiPrivatePostOrder({**raw, "symbol": "NOSUCH", "price": "1"})),
            "signature": await refusal_of(wrong.fapiPrivateV3GetAccount()),
            "key": await refusal_of(stranger.fapiPrivateV3GetAccount()),
            "timestamp": await refusal_of(late.fapiPrivateV3GetAccount()),
        }
        for client in (wrong, stranger, late):
            await client.close()
        return seen


async def main() -> None:
    scenario, steps = Scenario(setting()), Steps()
    s = scenario
    for step in (
        s.load, s.book, s.quotes, s.funding_rate, s.balance, s.settings, s.streams, s.place_amend_cancel, s.post_only,
        s.batch, s.stops, s.trade, s.close, s.history, s.by_websocket, s.refused_by_websocket, s.market_streams,
        s.more_market_streams, s.refused,
    ):  # fmt: skip
        await steps.wait(step)
    for task in scenario.watchers.tasks:
        task.cancel()
    await scenario.client.close()
    steps.report()


if __name__ == "__main__":
    asyncio.run(main())
