"""Hyperliquid's own Python SDK against the emulator: REST, its websocket thread, agents. See steps.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import eth_account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid
from steps import Steps, refusal, setting, until_now

GTC, ALO, IOC = ({"limit": {"tif": tif}} for tif in ("Gtc", "Alo", "Ioc"))


def status_of(answer: Any) -> Any:
    """The only status of an answer, or the text of an envelope that is an error."""
    if answer["status"] != "ok":
        return answer
    (status,) = answer["response"]["data"]["statuses"]
    return status


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.coin = given["symbol"]
        self.address = given["address"]
        self.wallet = eth_account.Account.from_key(given["secret"])
        self.seen: dict[str, list[Any]] = {}
        self.bid = self.ask = 0.0

    def price(self, part: float) -> float:
        """A part of the best bid, in five significant figures."""
        return float(f"{self.bid * part:.4g}")

    def load(self) -> Any:
        self.info = Info(self.given["http"], timeout=5)
        self.exchange = Exchange(self.wallet, self.given["http"], account_address=self.address, timeout=5)
        names = [row["name"] for row in self.info.meta()["universe"]]
        _, contexts = self.info.meta_and_asset_ctxs()
        context = contexts[names.index(self.coin)]
        return {
            "coin": self.coin in names,
            "mark": context["markPx"],
            "oracle": context["oraclePx"],
            "funding": context["funding"],
        }

    def book(self) -> Any:
        book = self.info.l2_snapshot(self.coin)
        bids, asks = book["levels"]
        self.bid, self.ask = float(bids[0]["px"]), float(asks[0]["px"])
        mid = float(self.info.all_mids()[self.coin])
        return {"levels": len(bids), "mid_inside": self.bid <= mid <= self.ask, "keys": sorted(bids[0])}

    def bars(self) -> Any:
        now = int(time.time() * 1000)
        return [sorted(bar) for bar in self.info.candles_snapshot(self.coin, "1m", now - 300_000, now)][:1]

    def account(self) -> Any:
        state, fees = self.info.user_state(self.address), self.info.user_fees(self.address)
        return {
            "value": state["marginSummary"]["accountValue"],
            "withdrawable": state["withdrawable"],
            "positions": len(state["assetPositions"]),
            "taker": fees["userCrossRate"],
            "maker": fees["userAddRate"],
            "role": self.info.user_role(self.address)["role"],
            "requests": sorted(self.info.user_rate_limit(self.address)),
        }

    def _hear(self, subscription: dict[str, Any]) -> None:
        heard: list[Any] = self.seen.setdefault(subscription["type"], [])
        self.info.subscribe(subscription, lambda message: heard.append(message["data"]))

    def streams(self) -> Any:
        for kind in ("l2Book", "bbo", "trades", "activeAssetCtx"):
            self._hear({"type": kind, "coin": self.coin})
        self._hear({"type": "allMids"})
        self._hear({"type": "candle", "coin": self.coin, "interval": "1m"})
        for kind in ("userFills", "orderUpdates", "userEvents", "userFundings"):
            self._hear({"type": kind, "user": self.address})
        until_now(lambda: all(self.seen[kind] for kind in ("l2Book", "bbo", "activeAssetCtx", "allMids", "userFills")))
        return {
            "fills_first": self.seen["userFills"][0].get("isSnapshot"),
            "ctx": sorted(self.seen["activeAssetCtx"][0]),
        }

    def _updates(self, oid: int) -> list[str]:
        return [u["status"] for message in self.seen["orderUpdates"] for u in message if u["order"]["oid"] == oid]

    def place_amend_cancel(self) -> Any:
        x, coin = self.exchange, self.coin
        cloid = Cloid.from_int(7)
        oid = status_of(x.order(coin, True, 0.01, self.price(0.97), GTC, cloid=cloid))["resting"]["oid"]
        found = self.info.query_order_by_cloid(self.address, cloid)
        shown = [row["oid"] for row in self.info.frontend_open_orders(self.address)]
        changed = status_of(x.modify_order(oid, coin, True, 0.02, self.price(0.96), ALO))
        new = changed["resting"]["oid"]
        (order,) = self.info.open_orders(self.address)
        canceled = status_of(x.cancel(coin, new))
        until_now(lambda: "canceled" in self._updates(new))
        return {
            "found": [found["status"], found["order"]["status"], found["order"]["order"]["oid"] == oid],
            "shown": oid in shown,
            "new_id": new != oid,
            "changed": [order["sz"], float(order["limitPx"]) == self.price(0.96)],
            "canceled": canceled,
            "updates": [self._updates(oid), self._updates(new)],
            "left": len(self.info.open_orders(self.address)),
            "after": self.info.query_order_by_oid(self.address, new)["order"]["status"],
        }

    def batch(self) -> Any:
        rows = [
            {"coin": self.coin, "is_buy": True, "sz": 0.01, "limit_px": self.price(part), "order_type": GTC,
             "reduce_only": False, "cloid": Cloid.from_int(number)}
            for number, part in ((11, 0.95), (12, 0.94), (13, 0.00001))
        ]  # fmt: skip
        placed = self.exchange.bulk_orders(rows)["response"]["data"]["statuses"]
        cancels = [{"coin": self.coin, "cloid": Cloid.from_int(number)} for number in (11, 12)]
        canceled = self.exchange.bulk_cancel_by_cloid(cancels)["response"]["data"]["statuses"]
        return {"placed": placed, "canceled": canceled, "left": len(self.info.open_orders(self.address))}

    def trade(self) -> Any:
        filled = status_of(self.exchange.market_open(self.coin, True, 0.01))["filled"]
        until_now(lambda: any(f["oid"] == filled["oid"] for m in self.seen["userFills"] for f in m["fills"]))
        streamed = [f for m in self.seen["userFills"] for f in m["fills"] if f["oid"] == filled["oid"]]
        fills = [f for f in self.info.user_fills(self.address) if f["oid"] == filled["oid"]]
        (row,) = self.info.user_state(self.address)["assetPositions"]
        return {
            "filled": filled["totalSz"],
            "fills": sum(float(f["sz"]) for f in fills),
            "streamed": sum(float(f["sz"]) for f in streamed),
            "same": sorted(f["tid"] for f in streamed) == sorted(f["tid"] for f in fills),
            "crossed": all(f["crossed"] for f in fills),
            "dir": fills[0]["dir"],
            "fee": sum(float(f["fee"]) for f in fills) / sum(float(f["px"]) * float(f["sz"]) for f in fills),
            "position": [row["position"]["szi"], row["position"]["leverage"]["type"]],
            "entry": float(row["position"]["entryPx"]) / float(fills[0]["px"]),
            "events": bool(self.seen["userEvents"]),
        }

    def stops(self) -> Any:
        trigger = self.price(0.9)
        stop = {"trigger": {"isMarket": True, "triggerPx": trigger, "tpsl": "sl"}}
        status = status_of(self.exchange.order(self.coin, False, 0.01, self.price(0.85), stop, reduce_only=True))
        oid = status["resting"]["oid"]
        (row,) = self.info.frontend_open_orders(self.address)
        canceled = status_of(self.exchange.cancel(self.coin, oid))
        return {
            "row": [row["isTrigger"], row["reduceOnly"], row["orderType"], float(row["triggerPx"]) == trigger],
            "canceled": canceled,
        }

    def close(self) -> Any:
        filled = status_of(self.exchange.market_close(self.coin))["filled"]
        return {"filled": filled["totalSz"], "left": len(self.info.user_state(self.address)["assetPositions"])}

    def settings(self) -> Any:
        cross = self.exchange.update_leverage(10, self.coin)
        isolated = self.exchange.update_leverage(5, self.coin, is_cross=False)
        back = self.exchange.update_leverage(10, self.coin)
        armed = self.exchange.schedule_cancel(int(time.time() * 1000) + 60_000)
        disarmed = self.exchange.schedule_cancel(None)
        return [answer["status"] for answer in (cross, isolated, back, armed, disarmed)]

    def history(self) -> Any:
        since = int(time.time() * 1000) - 86_400_000
        return {
            "orders": len(self.info.historical_orders(self.address)) >= 4,
            "fills": len(self.info.user_fills_by_time(self.address, since)) >= 2,
            "funding_rates": type(self.info.funding_history(self.coin, since)).__name__,
            "funding": type(self.info.user_funding_history(self.address, since)).__name__,
            "ledger": type(self.info.user_non_funding_ledger_updates(self.address, since)).__name__,
        }

    def agent(self) -> Any:
        approved, key = self.exchange.approve_agent()
        agent = Exchange(eth_account.Account.from_key(key), self.given["http"], account_address=self.address, timeout=5)
        oid = status_of(agent.order(self.coin, True, 0.01, self.price(0.97), ALO))["resting"]["oid"]
        return {
            "approved": approved["status"],
            "shown": [row["oid"] == oid for row in self.info.open_orders(self.address)],
            "canceled": status_of(agent.cancel(self.coin, oid)),
        }

    def market_streams(self) -> Any:
        until_now(lambda: len(self.seen["l2Book"]) > 2 and self.seen["trades"] and self.seen["candle"])
        times = [book["time"] for book in self.seen["l2Book"]]
        trade = self.seen["trades"][0][0]
        return {"in_order": times == sorted(times), "trade": sorted(trade), "bbo": len(self.seen["bbo"][0]["bbo"])}

    def refused(self) -> Any:
        coin, x = self.coin, self.exchange
        stranger = Exchange(eth_account.Account.from_key("0x" + "77" * 32), self.given["http"], timeout=5)

        def placed(size: float, price: float, kind: Any = GTC, **more: Any) -> Any:
            return status_of(x.order(coin, True, size, price, kind, **more))

        def aged() -> Any:
            with mock.patch("hyperliquid.exchange.get_timestamp_ms", lambda: int(time.time() * 1000) - 3 * 86_400_000):
                return x.order(coin, True, 0.01, self.price(0.97), GTC)

        def expired() -> Any:
            x.set_expires_after(int(time.time() * 1000) - 1000)
            try:
                return x.order(coin, True, 0.01, self.price(0.97), GTC)
            finally:
                x.set_expires_after(None)

        trigger = {"trigger": {"isMarket": True, "triggerPx": self.price(1.1), "tpsl": "sl"}}
        return {
            "margin": placed(900, self.price(0.97)),
            "off_grid": placed(0.01, round(self.bid * 0.97) + 0.123),
            "post_only": placed(0.01, self.price(1.02), ALO),
            "ioc": placed(0.01, self.price(0.97), IOC),
            "too_small": placed(0.0001, self.price(0.97)),
            "reduce_only": placed(0.01, self.price(0.97), reduce_only=True),
            "trigger": status_of(x.order(coin, False, 0.01, self.price(1.05), trigger)),
            "unknown_cancel": status_of(x.cancel(coin, 123456789)),
            "unknown_fetch": self.info.query_order_by_oid(self.address, 123456789),
            "signature": stranger.order(coin, True, 0.01, self.price(0.97), GTC),
            "timestamp": aged(),
            "expired": expired(),
            "request": refusal(lambda: self.info.post("/info", {"type": "noSuchThing"})),
        }


def main() -> None:
    scenario, steps = Scenario(setting()), Steps()
    s = scenario
    todo: tuple[Callable[[], Any], ...] = (
        s.load, s.book, s.bars, s.account, s.streams, s.settings, s.place_amend_cancel, s.batch, s.trade, s.stops,
        s.close, s.history, s.agent, s.market_streams, s.refused,
    )  # fmt: skip
    for step in todo:
        steps.take(step)
    if hasattr(s, "info"):
        s.info.disconnect_websocket()
    steps.report()


if __name__ == "__main__":
    main()
