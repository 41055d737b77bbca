"""python-binance against the emulator: asynchronous REST, streams, user stream, websocket orders. See steps.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from binance.base_client import BaseClient
from binance.ws.streams import FuturesType
from steps import Steps, refusal_of, setting, until


def point_at(given: dict[str, Any]) -> None:
    """The client takes no addresses as arguments: they are attributes of its classes."""
    http, ws = given["http"], given["ws"]
    BaseClient.API_URL = f"{http}/api"
    BaseClient.MARGIN_API_URL = f"{http}/sapi"
    BaseClient.FUTURES_URL = f"{http}/fapi"
    BaseClient.FUTURES_DATA_URL = f"{http}/futures/data"
    BaseClient.FUTURES_COIN_URL = f"{http}/dapi"
    BaseClient.WS_FUTURES_URL = f"{ws}/ws-fapi/v1"
    BinanceSocketManager.STREAM_URL = BinanceSocketManager.FSTREAM_URL = f"{ws}/"


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.symbol = given["symbol"]
        self.events: list[dict[str, Any]] = []
        self.listening: list[asyncio.Task[None]] = []
        self.bid = 0.0

    def price(self, part: float) -> str:
        return f"{self.bid * part:.1f}"

    def order(self, part: float, quantity: str = "0.01", **more: Any) -> dict[str, Any]:
        row = {"symbol": self.symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": quantity}
        return {**row, "price": self.price(part), **more}

    async def load(self) -> Any:
        self.client = await AsyncClient.create(self.given["key"], self.given["secret"])
        info = await self.client.futures_exchange_info()
        (row,) = [row for row in info["symbols"] if row["symbol"] == self.symbol]
        return {"status": row["status"], "time": (await self.client.futures_time())["serverTime"]}

    async def book(self) -> Any:
        book = await self.client.futures_order_book(symbol=self.symbol, limit=5)
        self.bid = float(book["bids"][0][0])
        return {"levels": len(book["bids"]), "crossed": self.bid >= float(book["asks"][0][0])}

    async def quotes(self) -> Any:
        c, s = self.client, self.symbol
        return {
            "mark": (await c.futures_mark_price(symbol=s))["markPrice"],
            "top": (await c.futures_orderbook_ticker(symbol=s))["symbol"],
            "last": (await c.futures_symbol_ticker(symbol=s))["price"],
            "day": (await c.futures_ticker(symbol=s))["lastPrice"],
            "bars": [len(bar) for bar in await c.futures_klines(symbol=s, interval="1m", limit=2)][:1],
            "trades": len(await c.futures_aggregate_trades(symbol=s, limit=5)),
            "rates": type(await c.futures_funding_rate(symbol=s, limit=2)).__name__,
            "interest": type(await c.futures_open_interest(symbol=s)).__name__,
        }

    async def account(self) -> Any:
        c, s = self.client, self.symbol
        return {
            "wallet": (await c.futures_account())["totalWalletBalance"],
            "balance": [row["balance"] for row in await c.futures_account_balance() if row["asset"] == "USDT"],
            "leverage": (await c.futures_change_leverage(symbol=s, leverage=10))["leverage"],
            "dual": (await c.futures_get_position_mode())["dualSidePosition"],
            "brackets": len((await c.futures_leverage_bracket())[0]["brackets"]),
            "fees": (await c.futures_commission_rate(symbol=s))["takerCommissionRate"],
            "settings": (await c.futures_symbol_config(symbol=s))[0]["leverage"],
        }

    async def user_stream(self) -> Any:
        self.sockets = BinanceSocketManager(self.client)

        async def listen() -> None:
            async with self.sockets.futures_user_socket() as stream:
                while True:
                    self.events.append(await stream.recv())

        self.listening.append(asyncio.ensure_future(listen()))
        await asyncio.sleep(0.7)
        return [str(task.exception()) for task in self.listening if task.done()]

    def _told(self, order_id: int) -> list[str]:
        orders = [e["o"] for e in self.events if e.get("e") == "ORDER_TRADE_UPDATE"]
        return [o["x"] for o in orders if o["i"] == order_id]

    async def place_amend_cancel(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.futures_create_order(**self.order(0.97))
        i = placed["orderId"]
        changed = await c.futures_modify_order(symbol=s, orderId=i, side="BUY", quantity="0.02", price=self.price(0.96))
        found = await c.futures_get_order(symbol=s, orderId=i)
        canceled = await c.futures_cancel_order(symbol=s, orderId=i)
        await until(lambda: "CANCELED" in self._told(i))
        return {
            "status": [placed["status"], changed["status"], found["status"], canceled["status"]],
            "amount": found["origQty"],
            "events": self._told(i),
            "left": len(await c.futures_get_open_orders(symbol=s)),
        }

    async def batch(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.futures_place_batch_order(batchOrders=[self.order(0.95), self.order(0.94)])
        ids = [order["orderId"] for order in placed]
        canceled = await c.futures_cancel_orders(symbol=s, orderidlist=ids)
        more = await c.futures_create_order(**self.order(0.93))
        swept = await c.futures_cancel_all_open_orders(symbol=s)
        after = await c.futures_get_order(symbol=s, orderId=more["orderId"])
        return {
            "placed": [order["status"] for order in placed],
            "canceled": [order["status"] for order in canceled],
            "swept": [swept["code"], after["status"]],
        }

    async def stops(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.futures_create_order(
            symbol=s, side="SELL", type="STOP_MARKET", stopPrice=self.price(0.9), quantity="0.01"
        )
        waiting = await c.futures_get_open_algo_orders()
        await c.futures_cancel_algo_order(algoId=placed["algoId"])
        return {"waiting": len(waiting), "left": len(await c.futures_get_open_algo_orders())}

    async def trade(self) -> Any:
        c, s = self.client, self.symbol
        bought = await c.futures_create_order(symbol=s, side="BUY", type="MARKET", quantity="0.01")
        await until(lambda: "TRADE" in self._told(bought["orderId"]))
        fills = await c.futures_account_trades(symbol=s, orderId=bought["orderId"])
        (position,) = await c.futures_position_information(symbol=s)
        await c.futures_create_order(symbol=s, side="SELL", type="MARKET", quantity="0.01", reduceOnly="true")

        async def flat() -> bool:
            return not any(float(p["positionAmt"]) for p in await c.futures_position_information(symbol=s))

        await until(flat)
        income = await c.futures_income_history()
        return {
            "status": bought["status"],
            "filled": round(sum(float(f["qty"]) for f in fills), 8),
            "position": float(position["positionAmt"]),
            "income": sorted({row["incomeType"] for row in income}),
            "events": sorted({e["e"] for e in self.events}),
        }

    async def by_websocket(self) -> Any:
        c, s = self.client, self.symbol
        placed = await c.ws_futures_create_order(**self.order(0.97, quantity=0.01, price=float(self.price(0.97))))
        i = placed["orderId"]
        changed = await c.ws_futures_edit_order(
            symbol=s, orderId=i, side="BUY", quantity=0.01, price=float(self.price(0.96))
        )
        found = await c.ws_futures_get_order(symbol=s, orderId=i)
        canceled = await c.ws_futures_cancel_order(symbol=s, orderId=i)
        return {
            "status": [order["status"] for order in (placed, changed, found, canceled)],
            "text": [type(placed[name]).__name__ for name in ("price", "origQty", "reduceOnly")],
            "balance": len(await c.ws_futures_v2_account_balance()),
            "book": len((await c.ws_futures_get_order_book(symbol=s, limit=5))["bids"]),
        }

    async def market_streams(self) -> Any:
        s = self.symbol.lower()
        streams = {
            "depth": self.sockets.futures_depth_socket(s, depth="10"),
            "mark": self.sockets.symbol_mark_price_socket(s),
            "top": self.sockets.futures_multiplex_socket([f"{s}@bookTicker"], FuturesType.USD_M, category="public"),
            "two": self.sockets.futures_multiplex_socket([f"{s}@markPrice@1s", f"{s}@aggTrade"], FuturesType.USD_M),
            "bars": self.sockets.kline_futures_socket(self.symbol),
        }

        async def first(socket: Any) -> Any:
            async with socket as stream:
                return await stream.recv()

        got = await asyncio.gather(*(first(socket) for socket in streams.values()))
        return dict(zip(streams, (sorted(message) for message in got), strict=True))

    async def refused(self) -> Any:
        c, s = self.client, self.symbol
        wrong = await AsyncClient.create(self.given["key"], "0" * 64)
        calls: dict[str, Awaitable[Any]] = {
            "margin": c.futures_create_order(**self.order(0.97, "900")),
            "off_grid": c.futures_create_order(**self.order(0.97, price=f"{self.price(0.97)}3")),
            "too_small": c.futures_create_order(**self.order(0.2, "0.001")),
            "post_only": c.futures_create_order(**self.order(1.02, timeInForce="GTX")),
            "unknown_cancel": c.futures_cancel_order(symbol=s, orderId=123456789),
            "unknown_fetch": c.futures_get_order(symbol=s, orderId=123456789),
            "symbol": c.futures_create_order(**self.order(0.97, symbol="NOSUCH")),
            "signature": wrong.futures_account(),
            "missing": c.futures_create_order(symbol=s, side="BUY", type="LIMIT", quantity="0.01"),
            "by_websocket": c.ws_futures_create_order(**self.order(0.97, "900")),
        }
        seen = {name: await refusal_of(call) for name, call in calls.items()}
        c.timestamp_offset, before = -60_000, c.timestamp_offset
        seen["timestamp"] = await refusal_of(c.futures_account())
        c.timestamp_offset = before
        await wrong.close_connection()
        return seen


async def main() -> None:
    given = setting()
    point_at(given)
    scenario, steps = Scenario(given), Steps()
    s = scenario
    for step in (
        s.load, s.book, s.quotes, s.account, s.user_stream, s.place_amend_cancel, s.batch, s.stops, s.trade,
        s.by_websocket, s.market_streams, s.refused,
    ):  # fmt: skip
        await steps.wait(step)
    for task in s.listening:
        task.cancel()
    if hasattr(s, "client"):
        await s.client.close_connection()
    steps.report()


if __name__ == "__main__":
    asyncio.run(main())
