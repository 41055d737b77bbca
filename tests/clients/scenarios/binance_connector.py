"""binance-futures-connector, Binance's older library: everything in the query string, blocking REST, threads for
streams; the user stream is joined by SUBSCRIBE with the listen key. See steps.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from binance.um_futures import UMFutures
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient
from steps import Steps, refusal, setting, until_now


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.symbol = given["symbol"]
        self.client = UMFutures(key=given["key"], secret=given["secret"], base_url=given["http"], timeout=5)
        self.heard: list[dict[str, Any]] = []
        self.combined: list[dict[str, Any]] = []
        self.sockets: list[UMFuturesWebsocketClient] = []
        self.bid = 0.0

    def price(self, part: float) -> float:
        return round(self.bid * part, 1)

    def place(self, part: float, quantity: float = 0.01, tif: str = "GTC", **more: Any) -> Any:
        row = {"symbol": self.symbol, "side": "BUY", "type": "LIMIT", "timeInForce": tif, "quantity": quantity}
        return self.client.new_order(**{**row, "price": self.price(part), **more})

    def load(self) -> Any:
        c = self.client
        (row,) = [row for row in c.exchange_info()["symbols"] if row["symbol"] == self.symbol]
        return {"status": row["status"], "ping": c.ping(), "clock_ms": abs(c.time()["serverTime"] - time.time() * 1000)}

    def book(self) -> Any:
        book = self.client.depth(self.symbol, limit=5)
        self.bid = float(book["bids"][0][0])
        return {
            "levels": len(book["bids"]),
            "mark": self.client.mark_price(self.symbol)["symbol"],
            "last": self.client.ticker_price(self.symbol)["symbol"],
            "trades": len(self.client.trades(self.symbol, limit=5)) > 0,
        }

    def account(self) -> Any:
        c, s = self.client, self.symbol
        return {
            "wallet": c.account()["totalWalletBalance"],
            "balance": [row["balance"] for row in c.balance() if row["asset"] == "USDT"],
            "leverage": c.change_leverage(s, 10)["leverage"],
            "brackets": len(c.leverage_brackets(symbol=s)["brackets"]),
        }

    def streams(self) -> Any:
        def into(heard: list[dict[str, Any]]) -> Callable[[Any, str], None]:
            return lambda _, text: heard.append(json.loads(text))

        key = self.client.new_listen_key()["listenKey"]
        plain = UMFuturesWebsocketClient(stream_url=self.given["ws"], on_message=into(self.heard))
        combined = UMFuturesWebsocketClient(
            stream_url=self.given["ws"], on_message=into(self.combined), is_combined=True
        )
        self.sockets = [plain, combined]
        plain.user_data(listen_key=key, id=7)
        plain.book_ticker(symbol=self.symbol.lower(), id=8)
        combined.diff_book_depth(symbol=self.symbol.lower(), speed=100, id=9)
        until_now(lambda: [m for m in self.heard if m.get("e") == "bookTicker"])
        until_now(lambda: [m for m in self.combined if "stream" in m])
        acks = [m for m in self.heard + self.combined if "result" in m]
        wrapped = next(m for m in self.combined if "stream" in m)
        return {"acks": sorted(m["id"] for m in acks), "wrapped": sorted(wrapped), "data": wrapped["data"]["e"]}

    def place_cancel(self) -> Any:
        c, s = self.client, self.symbol
        placed = self.place(0.97, newClientOrderId="old-client-1")
        found = c.query_order(symbol=s, origClientOrderId="old-client-1")
        canceled = c.cancel_order(symbol=s, origClientOrderId="old-client-1")
        i = placed["orderId"]

        def told() -> list[str]:
            orders = [m["o"] for m in self.heard if m.get("e") == "ORDER_TRADE_UPDATE"]
            return [o["x"] for o in orders if o["i"] == i]

        until_now(lambda: "CANCELED" in told())
        return {"status": [placed["status"], found["status"], canceled["status"]], "events": told()}

    def batch(self) -> Any:
        c, s = self.client, self.symbol
        row = {"symbol": s, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        placed = c.new_batch_order([{**row, "price": str(self.price(part))} for part in (0.95, 0.94)])
        swept = c.cancel_open_orders(symbol=s)
        return {
            "placed": [order["status"] for order in placed],
            "swept": swept["code"],
            "left": len(c.get_orders(symbol=s)),
        }

    def trade(self) -> Any:
        c, s = self.client, self.symbol
        c.new_order(symbol=s, side="BUY", type="MARKET", quantity=0.01)

        def amount() -> float:
            return sum(float(p["positionAmt"]) for p in c.get_position_risk(symbol=s))

        until_now(lambda: amount() == 0.01)
        c.new_order(symbol=s, side="SELL", type="MARKET", quantity=0.01, reduceOnly="true")
        until_now(lambda: amount() == 0)
        return {
            "fills": len(c.get_account_trades(symbol=s)) >= 2,
            "income": sorted({row["incomeType"] for row in c.get_income_history()}),
            "orders": len(c.get_all_orders(symbol=s)) >= 3,
        }

    def refused(self) -> Any:
        wrong = UMFutures(key=self.given["key"], secret="0" * 64, base_url=self.given["http"], timeout=5)
        return {
            "margin": refusal(lambda: self.place(0.97, 900)),
            "post_only": refusal(lambda: self.place(1.02, tif="GTX")),
            "off_grid": refusal(lambda: self.place(0.97, price=round(self.bid * 0.97) + 0.123)),
            "unknown": refusal(lambda: self.client.cancel_order(symbol=self.symbol, orderId=123456789)),
            "signature": refusal(wrong.account),
        }


def main() -> None:
    scenario, steps = Scenario(setting()), Steps()
    s = scenario
    for step in (s.load, s.book, s.account, s.streams, s.place_cancel, s.batch, s.trade, s.refused):
        steps.take(step)
    for socket in s.sockets:
        socket.stop()
    steps.report()


if __name__ == "__main__":
    main()
