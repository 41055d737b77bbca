"""What an account of the emulated Binance can ask of its orders, fills and income. All from what has been delivered.

Orders that ended unfilled vanish from queries after three days on the venue; here the table's size is the limit.
Sources: USDM and COINM, "Trade" and "Account" endpoints.
"""

from __future__ import annotations

from typing import Any, Final

from venues.binance.emulator_ledger import Ledger
from venues.binance.emulator_market import Market
from venues.binance.emulator_orders import Row, algo_query, amendment, order_query
from venues.binance.emulator_site import Call, Site
from venues.binance.emulator_trading import Trading
from venues.binance.emulator_wire import Params, Refusal

WEEK_MS: Final = 7 * 86_400_000
_FOREVER: Final = 1 << 62


class Queries:
    """See the module's text. Each method answers one call at once."""

    def __init__(self, site: Site, trading: Trading, ledger: Ledger) -> None:
        self._site = site
        self._trading = trading
        self._ledger = ledger

    def _market(self, params: Params) -> Market | None:
        return self._site.market(params) if params.has("symbol") else None

    # -- orders

    def order(self, call: Call) -> Any:
        row = self._trading.found(call.params, call.account)
        if row.is_pending:
            raise Refusal(-2013)
        return order_query(row)

    def open_order(self, call: Call) -> Any:
        row = self._trading.found(call.params, call.account)
        if not row.is_open:
            raise Refusal(-2013)
        return order_query(row)

    def open_orders(self, call: Call) -> Any:
        rows = self._trading.tables[call.account].open(self._market(call.params))
        pair = call.params.word("pair", "")
        return [order_query(row) for row in rows if not pair or row.market.pair == pair]

    def all_orders(self, call: Call) -> Any:
        params, market = call.params, self._market(call.params)
        first = params.integer("orderId", 0)
        start, end = params.integer("startTime", 0), params.integer("endTime", _FOREVER)
        rows = [
            row
            for row in self._trading.tables[call.account].rows(market)
            if row.order_id and row.status and row.order_id >= first and start <= row.created_ms <= end
        ]
        rows.sort(key=lambda row: row.order_id)
        limit = params.limit(500, 1000)
        return [order_query(row) for row in (rows[:limit] if first or start else rows[-limit:])]

    def amendments(self, call: Call) -> Any:
        market = self._site.market(call.params)
        if call.params.has("orderId") or call.params.has("origClientOrderId"):
            rows = [self._trading.found(call.params, call.account)]
        else:
            rows = list(self._trading.tables[call.account].rows(market))
        found = [amendment(row, one, count) for row in rows for count, one in _counted(row)]
        found.sort(key=lambda one: -int(one["amendmentId"]))
        return found[: call.params.limit(50, 100)]

    def forced(self, call: Call) -> Any:
        market = self._market(call.params)
        close = call.params.word("autoCloseType", "")
        prefix = str(self._site.card.loss.adl_id_prefix.value)
        rows = [row for row in self._trading.tables[call.account].rows(market) if row.number < 0]
        if close:
            rows = [row for row in rows if row.client_id.startswith(prefix) == (close == "ADL")]
        return [order_query(row) for row in rows[-call.params.limit(50, 100) :]]

    # -- conditional orders

    def algo_order(self, call: Call) -> Any:
        row = self._trading.found_algo(call.params, call.account)
        if row.is_pending:
            raise Refusal(-2013)
        return algo_query(row)

    def open_algos(self, call: Call) -> Any:
        rows = self._trading.tables[call.account].open(self._market(call.params), algo=True)
        wanted = call.params.integer("algoId", 0)
        return [algo_query(row) for row in rows if not wanted or row.algo_id == wanted]

    def all_algos(self, call: Call) -> Any:
        params, market = call.params, self._market(call.params)
        first = params.integer("algoId", 0)
        start, end = params.integer("startTime", 0), params.integer("endTime", _FOREVER)
        rows = [
            row
            for row in self._trading.tables[call.account].rows(market)
            if row.algo_id and row.algo_status and row.algo_id >= first and start <= row.created_ms <= end
        ]
        limit = params.limit(500, 1000)
        return [algo_query(row) for row in (rows[:limit] if first or start else rows[-limit:])]

    # -- fills and income

    def fills(self, call: Call) -> Any:
        params, told = call.params, self._ledger.told[call.account]
        if not params.has("symbol") and not params.has("pair"):
            self._site.market(params)
        markets = {market.symbol for market in self._site.chosen(params)}
        first, order = params.integer("fromId", 0), params.integer("orderId", 0)
        start, end = params.integer("startTime", 0), params.integer("endTime", _FOREVER)
        rows = [
            row
            for row in told.fills
            if row["symbol"] in markets
            and row["id"] >= first
            and (not order or row["orderId"] == order)
            and start <= row["time"] <= end
        ]
        limit = params.limit(500, 1000)
        return rows[:limit] if first or start else rows[-limit:]

    def income(self, call: Call) -> Any:
        params, told = call.params, self._ledger.told[call.account]
        market, kind = self._market(params), params.word("incomeType", "")
        start, end = params.integer("startTime", 0), params.integer("endTime", _FOREVER)
        rows = [
            row
            for row in told.income
            if (market is None or row["symbol"] == market.symbol)
            and (not kind or row["incomeType"] == kind)
            and start <= row["time"] <= end
        ]
        limit, page = params.limit(100, 1000), max(1, params.integer("page", 1))
        if params.has("page"):
            return rows[(page - 1) * limit : page * limit]
        return rows[:limit] if start else rows[-limit:]

    def order_limits(self, call: Call) -> Any:
        return [self._site.budget.described(row) for row in self._site.budget.order_rows]


def _counted(row: Row) -> list[tuple[int, tuple[int, int, int, int, int, int]]]:
    first = row.amend_count - len(row.amendments) + 1
    return list(enumerate(row.amendments, first))
