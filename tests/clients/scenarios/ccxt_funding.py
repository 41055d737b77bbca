"""Holds a position over a funding boundary with ccxt at either venue and reads the payment back. See steps.py.

The feed runs quicker than the clock, so the boundary is seconds away."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt_binance
import ccxt_hyperliquid
from steps import Steps, setting, until


class Scenario:
    def __init__(self, given: dict[str, Any]) -> None:
        if "address" in given:
            self.client = ccxt_hyperliquid.client_of(given, given["address"], given["secret"])
            self.symbol = "BTC/USDC:USDC"
        else:
            self.client = ccxt_binance.client_of(given, given["key"], given["secret"])
            self.symbol = "BTC/USDT:USDT"

    async def paid(self) -> Any:
        c, s = self.client, self.symbol
        await c.load_markets()
        price = (await c.fetch_order_book(s))["asks"][0][0]
        await c.create_order(s, "market", "buy", 0.5, price)
        rows = await until(lambda: c.fetch_funding_history(s), 75.0, pause=1.0)
        rates = await c.fetch_funding_rate_history(s, since=rows[0]["timestamp"] - 3_600_000)
        return {
            "amount": rows[0]["amount"],
            "code": rows[0]["code"],
            "value": 0.5 * price,
            "rate": rates[-1]["fundingRate"],
        }


async def main() -> None:
    scenario, steps = Scenario(setting()), Steps()
    await steps.wait(scenario.paid, 100.0)
    await scenario.client.close()
    steps.report()


if __name__ == "__main__":
    asyncio.run(main())
