"""Public REST of the emulated Binance: server, symbols, book, prints, bars, tickers, marks and funding.

Figures over a time come from what this emulator has published so far (see ``emulator_market``). Sources: USDM and
COINM, "Market Data Endpoints"; the few spot calls that clients make at their start are answered so that they go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from venues.binance import emulator_shapes as shapes
from venues.binance.emulator_market import INTERVALS_MS, Bars, Market
from venues.binance.emulator_site import KEYED, PUBLIC, Call, Endpoint, Site
from venues.binance.emulator_wire import Params, Refusal, fixed, money, ms, rate
from venues.facts import E12, HOUR_NS
from venues.instruments import Instrument

DEPTH_LIMITS: Final = (5, 10, 20, 50, 100, 500, 1000)
ORDER_TYPES: Final = (
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
)  # fmt: skip
_ONBOARD_MS: Final = 1_569_398_400_000
_DELIVERY_MS: Final = 4_133_404_800_000  # perpetual contracts "deliver" in the year 2100
_NO_LIMIT: Final = 10**9


def depth_weight(params: Params) -> int:
    limit = params.integer("limit", 500)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def bars_weight(params: Params) -> int:
    limit = params.integer("limit", 500)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def _per_symbol(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if params.has("symbol") or params.has("pair") else every


class PublicCalls:
    """See the module's text."""

    def __init__(self, site: Site, held_lots: Callable[[Market], int]) -> None:
        self._site = site
        self._held_lots = held_lots

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        api = f"{self._site.api}/v1/"
        table: dict[str, tuple[Callable[[Call], Any], int | Callable[[Params], int]]] = {
            "ping": (lambda call: {}, 1),
            "time": (lambda call: {"serverTime": ms(self._site.wall_ns)}, 1),
            "exchangeInfo": (self.exchange_info, 1),
            "depth": (self.depth, depth_weight),
            "rpiDepth": (self.depth, 20),
            "trades": (self.trades, 5),
            "aggTrades": (self.agg_trades, 20),
            "klines": (self.klines, bars_weight),
            "continuousKlines": (self.continuous_klines, bars_weight),
            "markPriceKlines": (lambda call: self.price_klines(call, "mark_bars"), bars_weight),
            "indexPriceKlines": (lambda call: self.price_klines(call, "index_bars"), bars_weight),
            "ticker/24hr": (self.day, _per_symbol(1, 40)),
            "ticker/price": (self.price, _per_symbol(1, 2)),
            "ticker/bookTicker": (self.best, _per_symbol(2, 5)),
            "premiumIndex": (self.premium, _per_symbol(1, 10)),
            "fundingRate": (self.funding_rate, 1),
            "fundingInfo": (self.funding_info, 0),
            "openInterest": (self.open_interest, 1),
            "constituents": (self.constituents, 2),
            "indexInfo": (lambda call: [], 1),
            "assetIndex": (lambda call: [], 10),
        }
        found = {
            ("GET", api + name): Endpoint(answering(make), PUBLIC, weight) for name, (make, weight) in table.items()
        }
        found["GET", api + "historicalTrades"] = Endpoint(answering(self.trades), KEYED, 20)
        found["GET", f"{self._site.api}/v2/ticker/price"] = Endpoint(answering(self.price), PUBLIC, _per_symbol(1, 2))
        found["GET", "/api/v3/ping"] = found["GET", api + "ping"]
        found["GET", "/api/v3/time"] = found["GET", api + "time"]
        found["GET", "/api/v3/exchangeInfo"] = Endpoint(answering(self.no_spot), PUBLIC, 1)
        for name in ("capital/config/getall", "margin/allPairs", "margin/isolated/allPairs", "margin/allAssets"):
            found["GET", f"/sapi/v1/{name}"] = Endpoint(answering(lambda call: []), PUBLIC, 1)
        return found

    # -- server and symbols

    def no_spot(self, call: Call) -> dict[str, Any]:
        """No spot market is served; clients that load all markets find none."""
        return {"timezone": "UTC", "serverTime": ms(self._site.wall_ns), "rateLimits": [], "symbols": []}

    def exchange_info(self, call: Call) -> dict[str, Any]:
        site = self._site
        found: dict[str, Any] = {
            "timezone": "UTC",
            "serverTime": ms(site.wall_ns),
            "rateLimits": [site.budget.described(row) for row in site.budget.rows],
            "exchangeFilters": [],
        }
        if not site.is_coin:
            found["futuresType"] = "U_MARGINED"
            found["assets"] = [
                {"asset": name, "marginAvailable": True, "autoAssetExchange": "0"} for name in site.engine.assets()
            ]
        found["symbols"] = [self._symbol(market) for market in site.markets]
        return found

    def _symbol(self, market: Market) -> dict[str, Any]:
        one, printer = market.instrument, market.printer
        brackets = self._site.engine.brackets(market.index)
        maintenance = rate(brackets.rate_e12[0] * 100, 4) if brackets is not None else "0.0000"
        initial = fixed(100 * 10**4 // brackets.max_leverage[0], 4, 4) if brackets is not None else "100.0000"
        found: dict[str, Any] = {
            "symbol": one.symbol,
            "pair": market.pair,
            "contractType": "PERPETUAL",
            "deliveryDate": _DELIVERY_MS,
            "onboardDate": _ONBOARD_MS,
            "contractStatus" if self._site.is_coin else "status": "TRADING",
            "maintMarginPercent": maintenance,
            "requiredMarginPercent": initial,
            "baseAsset": one.base,
            "quoteAsset": one.quote,
            "marginAsset": one.settle,
            "pricePrecision": printer.price_decimals,
            "quantityPrecision": printer.size_decimals,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"] if one.base == "BTC" else [],
            "triggerProtect": rate(self._site.card.orders.trigger_protect_e12.value or 0, 4),
            "liquidationFee": rate(one.liquidation_fee_e12 or 0, 6),
            "marketTakeBound": rate(one.market_bound_e12 or 0, 2),
            "maxMoveOrderLimit": self._site.card.orders.amends_per_order.value or 10_000,
            "filters": self._filters(market),
            "orderTypes": list(ORDER_TYPES),
            "timeInForce": list(self._site.card.orders.times_in_force.value),
        }
        if self._site.is_coin:
            found.update(contractSize=int(one.contract_size), equalQtyPrecision=4)
        else:
            found.update(settlePlan=0, permissionSets=["GRID", "COPY"])
        return found

    def _filters(self, market: Market) -> list[dict[str, Any]]:
        one, printer = market.instrument, market.printer
        rules = self._site.card.orders
        least_ticks = one.min_ticks or 1
        most_ticks = one.max_ticks or _NO_LIMIT
        most_lots = one.max_lots or _NO_LIMIT
        found: list[dict[str, Any]] = [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": printer.price(least_ticks),
                "maxPrice": printer.price(most_ticks),
                "tickSize": printer.price(1),
            }
        ]
        for name, most in (("LOT_SIZE", most_lots), ("MARKET_LOT_SIZE", one.max_market_lots or most_lots)):
            sizes = {"minQty": printer.size(one.min_lots), "maxQty": printer.size(most), "stepSize": printer.size(1)}
            found.append({"filterType": name, **sizes})
        found.append(
            {"filterType": "MAX_NUM_ORDERS", "limit": one.max_open_orders or rules.max_open_orders.value or 200}
        )
        found.append({"filterType": "MAX_NUM_ALGO_ORDERS", "limit": rules.max_stop_orders.value or 200})
        if one.min_notional_e8 is not None:
            found.append({"filterType": "MIN_NOTIONAL", "notional": minimum_notional(one)})
        if one.band_up_e12 is not None and one.band_down_e12 is not None:
            up, down = rate(one.band_up_e12, 4), rate(one.band_down_e12, 4)
            decimals: int | str = "4" if not self._site.is_coin else 4
            band = {"multiplierUp": up, "multiplierDown": down, "multiplierDecimal": decimals}
            found.append({"filterType": "PERCENT_PRICE", **band})
        return found

    # -- book and prints

    def depth(self, call: Call) -> dict[str, Any]:
        market = self._site.market(call.params)
        limit = call.params.integer("limit", 500)
        if limit not in DEPTH_LIMITS:
            raise Refusal(-4021, f"{limit} is not valid depth limit.")
        if not market.book.is_valid:
            raise Refusal(-1001)
        return shapes.snapshot(market, limit)

    def trades(self, call: Call) -> list[dict[str, Any]]:
        market = self._site.market(call.params)
        rows = list(market.prints)
        if call.params.has("fromId"):
            first = call.params.integer("fromId")
            rows = [row for row in rows if row.trade_id >= first][: call.params.limit(500, 1000)]
        rows = rows[-call.params.limit(500, 1000) :]
        value = "baseQty" if self._site.is_coin else "quoteQty"
        return [
            {
                "id": row.trade_id,
                "price": market.printer.price(row.ticks),
                "qty": market.printer.size(row.lots),
                value: market.printer.quote(market.instrument.value_e8(row.ticks, row.lots)),
                "time": row.time_ms,
                "isBuyerMaker": row.side == 1,
            }
            for row in rows
        ]

    def agg_trades(self, call: Call) -> list[dict[str, Any]]:
        market, params = self._site.market(call.params), call.params
        start, end = params.integer("startTime", 0), params.integer("endTime", 1 << 62)
        first = params.integer("fromId", 0)
        rows = [(number, row) for number, row in market.aggregates if number >= first and start <= row.time_ms <= end]
        limit = params.limit(500, 1000)
        rows = rows[:limit] if first or start else rows[-limit:]
        return [
            {
                "a": number,
                "p": market.printer.price(row.ticks),
                "q": market.printer.size(row.lots),
                **({} if self._site.is_coin else {"nq": market.printer.size(row.lots)}),
                "f": row.first_id,
                "l": row.trade_id,
                "T": row.time_ms,
                "m": row.side == 1,
            }
            for number, row in rows
        ]

    # -- bars and tickers

    def klines(self, call: Call) -> list[list[Any]]:
        market = self._site.market(call.params)
        interval, rows = self._bars(call.params, market.bars)
        return [shapes.kline_row(market, interval, bar) for bar in rows]

    def continuous_klines(self, call: Call) -> list[list[Any]]:
        market = self._of_pair(call.params)
        if call.params.word("contractType") != "PERPETUAL":
            raise Refusal(-4104, "Invalid contract type.")
        interval, rows = self._bars(call.params, market.bars)
        return [shapes.kline_row(market, interval, bar) for bar in rows]

    def price_klines(self, call: Call, which: str) -> list[list[Any]]:
        market = self._of_pair(call.params) if which == "index_bars" else self._site.market(call.params)
        interval, rows = self._bars(call.params, getattr(market, which))
        return [shapes.price_row(interval, bar) for bar in rows]

    def _of_pair(self, params: Params) -> Market:
        pair = params.word("pair")
        for market in self._site.markets:
            if market.pair == pair:
                return market
        raise Refusal(-4144, "Invalid pair.")

    def _bars(self, params: Params, bars: Bars) -> tuple[str, list[Any]]:
        interval = params.text("interval")
        if interval not in INTERVALS_MS:
            raise Refusal(-1120)
        start, end = params.integer("startTime", 0), params.integer("endTime", 1 << 62)
        if start > end:
            raise Refusal(-1023, "Start time is greater than end time.")
        found = bars.of(interval, start, end)
        limit = params.limit(500, 1500)
        return interval, found[:limit] if params.has("startTime") else found[-limit:]

    def _single(self, call: Call, rows: list[dict[str, Any]]) -> Any:
        """USD-M answers one object for one symbol, COIN-M always a list."""
        return rows[0] if call.params.has("symbol") and not self._site.is_coin and rows else rows

    def day(self, call: Call) -> Any:
        now_ms = ms(self._site.engine.now_ns)
        found = [(market, market.day(now_ms)) for market in self._site.chosen(call.params)]
        rows = [shapes.day_row(market, bar, now_ms) for market, bar in found if bar is not None]
        if call.params.has("symbol") and not rows:
            raise Refusal(-2016, "No trading window could be found for the symbol. Try ticker/24hrs instead.")
        return self._single(call, rows)

    def price(self, call: Call) -> Any:
        rows = []
        for market in self._site.chosen(call.params):
            last = market.last
            ticks, time_ms = (last.ticks, last.time_ms) if last is not None else (market.best()[0], market.best()[4])
            row: dict[str, Any] = {"symbol": market.symbol}
            if self._site.is_coin:
                row["ps"] = market.pair
            rows.append({**row, "price": market.printer.price(ticks), "time": time_ms})
        return self._single(call, rows)

    def best(self, call: Call) -> Any:
        return self._single(call, [shapes.best_row(market) for market in self._site.chosen(call.params)])

    # -- marks and funding

    def premium(self, call: Call) -> Any:
        rows = []
        for market in self._site.chosen(call.params):
            state = self._site.engine.market(market.index)
            terms = self._site.card.funding_terms(market.symbol, self._site.engine.now_ns).value
            row: dict[str, Any] = {"symbol": market.symbol}
            if self._site.is_coin:
                row["pair"] = market.pair
            row.update(
                markPrice=money(state.mark_e8),
                indexPrice=money(state.index_e8),
                estimatedSettlePrice=money(state.index_e8 or state.mark_e8),
                lastFundingRate=rate(state.rate_e12),
                interestRate=rate(terms.interest_e12 or 0),
                nextFundingTime=ms(state.next_funding_ns),
                time=ms(self._site.engine.now_ns),
            )
            rows.append(row)
        return self._single(call, rows)

    def funding_rate(self, call: Call) -> list[dict[str, Any]]:
        start, end = call.params.integer("startTime", 0), call.params.integer("endTime", 1 << 62)
        rows = []
        for market in self._site.chosen(call.params):
            for charge in market.funding:
                if start <= charge.time_ms <= end:
                    row: dict[str, Any] = {
                        "symbol": market.symbol,
                        "fundingRate": rate(charge.rate_e12),
                        "fundingTime": charge.time_ms,
                    }
                    if not self._site.is_coin:
                        row["markPrice"] = money(charge.mark_e8)
                    rows.append(row)
        rows.sort(key=lambda row: row["fundingTime"])
        limit = call.params.limit(100, 1000)
        return rows[:limit] if call.params.has("startTime") else rows[-limit:]

    def funding_info(self, call: Call) -> list[dict[str, Any]]:
        rows = []
        for market in self._site.markets:
            terms = self._site.card.funding_terms(market.symbol, self._site.engine.now_ns).value
            cap_e12 = terms.cap_e12 if terms.cap_e12 is not None else E12 // 50
            floor_e12 = terms.floor_e12 if terms.floor_e12 is not None else -cap_e12
            rows.append(
                {
                    "symbol": market.symbol,
                    "adjustedFundingRateCap": rate(cap_e12),
                    "adjustedFundingRateFloor": rate(floor_e12),
                    "fundingIntervalHours": (terms.interval_ns or 8 * HOUR_NS) // HOUR_NS,
                    "disclaimer": False,
                }
            )
        return rows

    def open_interest(self, call: Call) -> dict[str, Any]:
        """What the emulator's own accounts hold: a feed does not say what the whole market does."""
        market = self._site.market(call.params)
        found: dict[str, Any] = {"symbol": market.symbol}
        if self._site.is_coin:
            found.update(pair=market.pair, contractType="PERPETUAL")
        return {
            **found,
            "openInterest": market.printer.size(self._held_lots(market)),
            "time": ms(self._site.engine.now_ns),
        }

    def constituents(self, call: Call) -> dict[str, Any]:
        market = self._of_pair(Params({"pair": call.params.text("symbol")})) if self._site.is_coin else None
        one = market or self._site.market(call.params)
        return {
            "symbol": one.pair if self._site.is_coin else one.symbol,
            "time": ms(self._site.wall_ns),
            "constituents": [],
        }


def minimum_notional(instrument: Instrument) -> str:
    text = money(instrument.min_notional_e8 or 0).rstrip("0")
    return text.rstrip(".")


def answering(make: Callable[[Call], Any]) -> Callable[[Call], None]:
    """A handler that answers at once."""

    def handle(call: Call) -> None:
        call.finish(make(call))

    return handle
