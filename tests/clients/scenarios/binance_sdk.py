"""Binance's own SDK for USD-M futures: REST, the websocket trading API, streams and user data. See steps.py.

The SDK checks every answer against its own models and logs a warning when one does not fit: those warnings are part of
what is seen.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)
from steps import Steps, refusal, setting, until


class Misfits(logging.Handler):
    """Answers that do not fit the SDK's models."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "response" in text or "callback" in text:
            self.texts.append(text[:400])


def client_of(given: dict[str, Any], key: str, secret: str) -> DerivativesTradingUsdsFutures:
    http, ws = given["http"], given["ws"]
    keys = {"api_key": key, "api_secret": secret}
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(**keys, base_path=http, timeout=5000, retries=0),
        config_ws_api=ConfigurationWebSocketAPI(**keys, stream_url=f"{ws}/ws-fapi/v1"),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=ws),
    )


def shown(model: Any) -> Any:
    """A model of the SDK as plain data, by the venue's names."""
    if isinstance(model, list):
        return [shown(row) for row in model]
    inner = getattr(model, "actual_instance", None)
    if inner is not None:
        return shown(inner)
    return model.to_dict() if hasattr(model, "to_dict") else model


def event(model: Any) -> dict[str, Any]:
    """A user event with its name; ``raw`` where no model of the SDK fits it."""
    inner = model.actual_instance
    if isinstance(inner, dict):
        return inner | {"raw": True}
    return {"e": re.sub("(?<=[a-z])(?=[A-Z])", "_", type(inner).__name__).upper(), **shown(inner)}


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.sdk = client_of(given, given["key"], given["secret"])
        self.rest = self.sdk.rest_api
        self.symbol = given["symbol"]
        self.events: list[Any] = []
        self.market: dict[str, list[Any]] = {}
        self.bid = self.ask = 0.0

    def price(self, part: float) -> float:
        return round(self.bid * part, 1)

    async def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """A blocking REST call of the SDK, with its answer as plain data."""
        answer = await asyncio.to_thread(function, *arguments, **named)
        return shown(answer.data())

    async def load(self) -> Any:
        info = await self.call(self.rest.exchange_information)
        clock = await self.call(self.rest.check_server_time)
        (row,) = [row for row in info["symbols"] if row["symbol"] == self.symbol]
        return {
            "status": row["status"],
            "filters": sorted(f["filterType"] for f in row["filters"]),
            "tick": [f["tickSize"] for f in row["filters"] if f["filterType"] == "PRICE_FILTER"],
            "limits": [limit["rateLimitType"] for limit in info["rateLimits"]],
            "clock_ms": abs(clock["serverTime"] - int(time.time() * 1000)),
        }

    async def book(self) -> Any:
        answer = await asyncio.to_thread(self.rest.order_book, self.symbol, 10)
        book = shown(answer.data())
        self.bid, self.ask = float(book["bids"][0][0]), float(book["asks"][0][0])
        limits = {limit.rateLimitType: limit.count for limit in answer.rate_limits}
        return {"levels": len(book["bids"]), "crossed": self.bid >= self.ask, "weight": limits}

    async def quotes(self) -> Any:
        rest, s = self.rest, self.symbol
        return {
            "mark": await self.call(rest.mark_price, s),
            "top": await self.call(rest.symbol_order_book_ticker, s),
            "day": await self.call(rest.ticker24hr_price_change_statistics, s),
            "bars": len((await self.call(rest.kline_candlestick_data, s, "1m"))[0]),
            "groups": len(await self.call(rest.compressed_aggregate_trades_list, s)),
            "rates": len(await self.call(rest.get_funding_rate_history, s)),
            "funding": type(await self.call(rest.get_funding_rate_info)).__name__,
        }

    async def account(self) -> Any:
        rest, s = self.rest, self.symbol
        three = await self.call(rest.account_information_v3)
        two = await self.call(rest.account_information_v2)
        balances = await self.call(rest.futures_account_balance_v3)
        return {
            "wallet": [three["totalWalletBalance"], two["totalWalletBalance"]],
            "assets": sorted(row["asset"] for row in balances),
            "balance": [row["balance"] for row in balances if row["asset"] == "USDT"],
            "can_trade": (await self.call(rest.futures_account_configuration))["canTrade"],
            "fees": await self.call(rest.user_commission_rate, s),
            "dual": (await self.call(rest.get_current_position_mode))["dualSidePosition"],
            "multi": (await self.call(rest.get_current_multi_assets_mode))["multiAssetsMargin"],
            "leverage": (await self.call(rest.change_initial_leverage, s, 10))["leverage"],
            "settings": await self.call(rest.symbol_configuration, s),
            "brackets": await self.call(rest.notional_and_leverage_brackets, s),
            "used": await self.call(rest.query_user_rate_limit),
        }

    async def user_stream(self) -> Any:
        key = (await self.call(self.rest.start_user_data_stream))["listenKey"]
        await self.call(self.rest.keepalive_user_data_stream)
        self.streams = await self.sdk.websocket_streams.create_connection()
        stream = await self.streams.user_data(key)
        stream.on("message", lambda told: self.events.append(event(told)))
        await asyncio.sleep(0.3)
        return len(key)

    def _orders(self, order_id: int) -> list[str]:
        told = [e["o"] for e in self.events if e.get("e") == "ORDER_TRADE_UPDATE"]
        return [o["x"] for o in told if o["i"] == order_id]

    async def place_amend_cancel(self) -> Any:
        rest, s = self.rest, self.symbol
        placed = await self.call(
            rest.new_order, s, "BUY", "LIMIT", time_in_force="GTC", quantity=0.01, price=self.price(0.97)
        )
        i = placed["orderId"]
        found = await self.call(rest.query_order, s, order_id=i)
        one = await self.call(rest.query_current_open_order, s, order_id=i)
        changed = await self.call(rest.modify_order, s, "BUY", 0.02, self.price(0.96), order_id=i)
        canceled = await self.call(rest.cancel_order, s, order_id=i)
        await until(lambda: "CANCELED" in self._orders(i))
        return {
            "status": [placed["status"], found["status"], one["status"], changed["status"], canceled["status"]],
            "changed": [changed["origQty"], float(changed["price"]) == self.price(0.96), changed["orderId"] == i],
            "events": self._orders(i),
            "left": len(await self.call(rest.current_all_open_orders, s)),
            "history": len(await self.call(rest.get_order_modify_history, s, order_id=i)),
        }

    async def batch(self) -> Any:
        rest, s = self.rest, self.symbol
        row = {"symbol": s, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        good = [{**row, "price": str(self.price(part))} for part in (0.95, 0.94)]
        bad = {**row, "price": "1.23456"}
        placed = await self.call(rest.place_multiple_orders, [*good, bad])
        ids = [order["orderId"] for order in placed[:2]]
        changes = [
            {"symbol": s, "side": "BUY", "orderId": i, "quantity": "0.02", "price": str(self.price(0.93))} for i in ids
        ]
        changed = await self.call(rest.modify_multiple_orders, changes)
        canceled = await self.call(rest.cancel_multiple_orders, s, order_id_list=ids)
        await self.call(rest.new_order, s, "BUY", "LIMIT", time_in_force="GTX", quantity=0.01, price=self.price(0.97))
        swept = await self.call(rest.cancel_all_open_orders, s)
        return {
            "placed": [order.get("status") or order.get("code") for order in placed],
            "changed": [order.get("origQty") for order in changed],
            "canceled": [order["status"] for order in canceled],
            "swept": swept["code"],
            "left": len(await self.call(rest.current_all_open_orders, s)),
        }

    async def stops(self) -> Any:
        rest, s = self.rest, self.symbol
        trigger = self.price(0.9)
        placed = await self.call(
            rest.new_algo_order, "CONDITIONAL", s, "SELL", "STOP_MARKET", quantity=0.01, trigger_price=trigger
        )
        waiting = await self.call(rest.current_all_algo_open_orders)
        found = await self.call(rest.query_algo_order, algo_id=placed["algoId"])
        await self.call(rest.cancel_algo_order, algo_id=placed["algoId"])

        def heard() -> list[str]:
            return [e["o"]["X"] for e in self.events if e.get("e") == "ALGO_UPDATE"]

        await until(lambda: "CANCELED" in heard())
        told = heard()
        return {
            "placed": placed["algoStatus"],
            "waiting": [row["algoId"] == placed["algoId"] for row in waiting],
            "trigger": float(found["triggerPrice"]) == trigger,
            "left": len(await self.call(rest.current_all_algo_open_orders)),
            "events": told,
        }

    async def triggered(self) -> Any:
        """A stop that the market reaches becomes an order, and trades; one it moves away from is placed anew."""
        for _ in range(12):
            states = await self._stop_near()
            if "FINISHED" in states:
                return states
        raise TimeoutError("the market reached none of twelve stops")

    async def _stop_near(self) -> list[str]:
        """What is told of a stop just above the market, within six seconds; canceled if it was not reached."""
        rest, s = self.rest, self.symbol
        await self.book()
        before = len(self.events)
        trigger = round(self.ask * 1.00003 + 0.1, 1)
        placed = await self.call(
            rest.new_algo_order, "CONDITIONAL", s, "BUY", "STOP_MARKET", quantity=0.01, trigger_price=trigger
        )
        algo_id = placed["algoId"]

        def states() -> list[str]:
            told = [e["o"] for e in self.events[before:] if e.get("e") == "ALGO_UPDATE"]
            return [o["X"] for o in told if o["aid"] == algo_id]

        try:
            await until(lambda: "FINISHED" in states(), 6.0)
        except TimeoutError:
            await self.call(rest.cancel_algo_order, algo_id=algo_id)
        return states()

    async def trade(self) -> Any:
        rest, s = self.rest, self.symbol
        bought = await self.call(rest.new_order, s, "BUY", "MARKET", quantity=0.01, new_order_resp_type="RESULT")
        i = bought["orderId"]
        await until(lambda: "TRADE" in self._orders(i))
        fills = await self.call(rest.account_trade_list, s, order_id=i)
        (position,) = await self.call(rest.position_information_v3, s)
        two = await self.call(rest.position_information_v2, s)
        await until(lambda: [e for e in self.events if e.get("e") == "ACCOUNT_UPDATE"])
        update = [e for e in self.events if e.get("e") == "ACCOUNT_UPDATE"][-1]
        return {
            "bought": [bought["status"], float(bought["executedQty"])],
            "fills": [round(sum(float(f["qty"]) for f in fills), 8), fills[0]["maker"], fills[0]["commissionAsset"]],
            "position": float(position["positionAmt"]),
            "older": [float(row["positionAmt"]) for row in two],
            "update": [update["a"]["m"], sorted(update["a"]["B"][0]), sorted(update["a"]["P"][0])],
            "events": self._orders(i),
        }

    async def close(self) -> Any:
        rest, s = self.rest, self.symbol
        (position,) = await self.call(rest.position_information_v3, s)
        amount = float(position["positionAmt"])
        await self.call(
            rest.new_order, s, "SELL", "MARKET", quantity=amount, reduce_only="true", new_order_resp_type="RESULT"
        )
        left = await self.call(rest.position_information_v3, s)
        income = await self.call(rest.get_income_history)
        return {
            "left": [float(row["positionAmt"]) for row in left],
            "income": sorted({row["incomeType"] for row in income}),
            "orders": len(await self.call(rest.all_orders, s)) >= 3,
        }

    async def countdown(self) -> Any:
        rest, s = self.rest, self.symbol
        await self.call(rest.new_order, s, "BUY", "LIMIT", time_in_force="GTC", quantity=0.01, price=self.price(0.97))
        armed = await self.call(rest.auto_cancel_all_open_orders, s, 300)

        async def gone() -> bool:
            return not await self.call(rest.current_all_open_orders, s)

        await until(gone, 5.0)
        return armed

    async def by_websocket(self) -> Any:
        ws, s = await self.sdk.websocket_api.create_connection(), self.symbol
        price = self.price(0.97)

        async def result(call: Any) -> Any:
            return shown((await call).data().result)

        try:
            placed = await result(ws.new_order(s, "BUY", "LIMIT", time_in_force="GTC", quantity=0.01, price=price))
            i = placed["orderId"]
            changed = await result(ws.modify_order(s, "BUY", 0.01, self.price(0.96), order_id=i))
            found = await result(ws.query_order(s, order_id=i))
            canceled = await result(ws.cancel_order(s, order_id=i))
            algo = await result(
                ws.new_algo_order("CONDITIONAL", s, "SELL", "STOP_MARKET", quantity=0.01, trigger_price=self.price(0.9))
            )
            await result(ws.cancel_algo_order(algo_id=algo["algoId"]))
            return {
                "status": [order["status"] for order in (placed, changed, found, canceled)],
                "balances": len(await result(ws.futures_account_balance_v2())),
                "account": (await result(ws.account_information_v2()))["totalWalletBalance"],
                "positions": type(await result(ws.position_information_v2())).__name__,
                "book": len((await result(ws.order_book(s, limit=5)))["bids"]),
                "refused": shown((await ws.cancel_order(s, order_id=123456789)).data()),
            }
        finally:
            await ws.close_connection(close_session=True)

    async def market_streams(self) -> Any:
        streams, s = self.streams, self.symbol.lower()
        wanted = {
            "depth": streams.diff_book_depth_streams(s, update_speed="100ms"),
            "partial": streams.partial_book_depth_streams(s, 5, update_speed="100ms"),
            "top": streams.individual_symbol_book_ticker_streams(s),
            "mark": streams.mark_price_stream(s, update_speed="1s"),
            "groups": streams.aggregate_trade_streams(s),
            "bars": streams.kline_candlestick_streams(s, "1m"),
            "day": streams.individual_symbol_ticker_streams(s),
        }
        for name, opening in wanted.items():
            heard: list[Any] = self.market.setdefault(name, [])
            stream = await opening
            stream.on("message", lambda event, heard=heard: heard.append(shown(event)))
        await until(lambda: all(self.market.values()) and len(self.market["depth"]) > 3, 7.0)
        rows = self.market["depth"]
        return {
            "linked": all(b["pu"] == a["u"] for a, b in itertools.pairwise(rows)),
            "keys": {name: sorted(heard[0]) for name, heard in self.market.items()},
        }

    async def refused(self) -> Any:
        rest, s = self.rest, self.symbol
        wrong = client_of(self.given, self.given["key"], "0" * 64).rest_api
        stranger = client_of(self.given, "k" * 64, "0" * 64).rest_api

        def order(quantity: float, price: float, tif: str = "GTC", symbol: str = s) -> Callable[[], Any]:
            return lambda: rest.new_order(symbol, "BUY", "LIMIT", time_in_force=tif, quantity=quantity, price=price)

        def late() -> Any:
            with mock.patch("binance_common.utils.get_timestamp", lambda: int(time.time() * 1000) - 60_000):
                return rest.account_information_v3()

        def early() -> Any:
            with mock.patch("binance_common.utils.get_timestamp", lambda: int(time.time() * 1000) + 10_000):
                return rest.account_information_v3()

        calls: dict[str, Callable[[], Any]] = {
            "margin": order(900, self.price(0.97)),
            "off_grid": order(0.01, round(self.bid * 0.97) + 0.123),
            "off_step": order(0.0105, self.price(0.97)),
            "too_small": order(0.001, self.price(0.2)),
            "post_only": order(0.01, self.price(1.02), "GTX"),
            "fill_or_kill": order(0.01, self.price(0.97), "FOK"),
            "symbol": order(0.01, 1.0, symbol="NOSUCH"),
            "stop_type": lambda: rest.new_order(s, "SELL", "STOP_MARKET", quantity=0.01),
            "reduce_only": lambda: rest.new_order(s, "SELL", "MARKET", quantity=0.01, reduce_only="true"),
            "unknown_cancel": lambda: rest.cancel_order(s, order_id=123456789),
            "unknown_fetch": lambda: rest.query_order(s, order_id=123456789),
            "leverage": lambda: rest.change_initial_leverage(s, 1000),
            "signature": wrong.account_information_v3,
            "key": stranger.account_information_v3,
            "late": late,
            "early": early,
        }
        return {name: await asyncio.to_thread(refusal, call) for name, call in calls.items()}


async def main() -> None:
    misfits = Misfits()
    logging.getLogger().addHandler(misfits)
    scenario, steps = Scenario(setting()), Steps()
    s = scenario
    for step in (
        s.load, s.book, s.quotes, s.account, s.user_stream, s.place_amend_cancel, s.batch, s.stops, s.trade,
        s.triggered, s.close, s.countdown, s.by_websocket, s.market_streams, s.refused,
    ):  # fmt: skip
        await steps.wait(step, 90.0)
    if hasattr(s, "streams"):
        await s.streams.close_connection(close_session=True)
    raw = [told for told in s.events if "raw" in told]
    steps.seen["misfits"] = {"ok": True, "saw": misfits.texts + raw}
    steps.report()


if __name__ == "__main__":
    asyncio.run(main())
