"""The signed calls of the emulated Binance by path and by WS API method, with what each weighs; and listen keys.

Weights: A2 of the fact sheet (USDM and COINM, "Trade", "Account", "User Data Streams").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from venues.binance.emulator_account import Accounts
from venues.binance.emulator_public import answering
from venues.binance.emulator_queries import Queries
from venues.binance.emulator_site import KEYED, SIGNED, Call, Endpoint, Site
from venues.binance.emulator_trading import Trading
from venues.binance.emulator_wire import Params, Refusal, ms


def _open_weight(params: Params) -> int:
    return 1 if params.has("symbol") else 40


def _forced_weight(params: Params) -> int:
    return 20 if params.has("symbol") else 50


class PrivateCalls:
    """See the module's text."""

    def __init__(self, site: Site, trading: Trading, queries: Queries, accounts: Accounts) -> None:
        self._site = site
        self._trading = trading
        self._queries = queries
        self._accounts = accounts

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        api, found = self._site.api, {}
        for method, path, handler, weight in (*self._acting(), *self._asking()):
            found[method, f"{api}/{path}"] = Endpoint(handler, SIGNED, weight)
        for method, make in (("POST", self.start), ("PUT", self.extend), ("DELETE", self.stop)):
            found[method, f"{api}/v1/listenKey"] = Endpoint(answering(make), KEYED, 1)
        if not self._site.is_coin:
            found.update(self._of_usdm())
        else:
            found["GET", f"{api}/v2/leverageBracket"] = found["GET", f"{api}/v1/leverageBracket"]._replace(
                handler=answering(lambda call: self._accounts.brackets(call, 2))
            )
        return found

    def _acting(self) -> list[tuple[str, str, Callable[[Call], None], int]]:
        trading, accounts = self._trading, self._accounts
        return [
            ("POST", "v1/order", trading.place, 0),
            ("PUT", "v1/order", trading.amend, 0),
            ("DELETE", "v1/order", trading.cancel, 1),
            ("POST", "v1/order/test", trading.try_out, 0),
            ("POST", "v1/batchOrders", trading.place_batch, 5),
            ("PUT", "v1/batchOrders", trading.amend_batch, 5),
            ("DELETE", "v1/batchOrders", trading.cancel_batch, 1),
            ("DELETE", "v1/allOpenOrders", trading.cancel_all, 1),
            ("POST", "v1/countdownCancelAll", accounts.countdown, 10),
            ("POST", "v1/algoOrder", trading.place_algo, 0),
            ("DELETE", "v1/algoOrder", trading.cancel_algo, 1),
            ("DELETE", "v1/algoOpenOrders", trading.cancel_all_algo, 1),
            ("POST", "v1/leverage", accounts.leverage, 1),
            ("POST", "v1/marginType", accounts.margin_type, 1),
            ("POST", "v1/positionMargin", accounts.position_margin, 1),
            ("POST", "v1/positionSide/dual", accounts.set_dual, 1),
            ("POST", "v1/multiAssetsMargin", accounts.set_multi_assets, 1),
        ]

    def _asking(self) -> list[tuple[str, str, Callable[[Call], None], int | Callable[[Params], int]]]:
        queries, accounts = self._queries, self._accounts
        table: list[tuple[str, Callable[[Call], Any], int | Callable[[Params], int]]] = [
            ("v1/order", queries.order, 1),
            ("v1/openOrder", queries.open_order, 1),
            ("v1/openOrders", queries.open_orders, _open_weight),
            ("v1/allOrders", queries.all_orders, 5),
            ("v1/orderAmendment", queries.amendments, 1),
            ("v1/forceOrders", queries.forced, _forced_weight),
            ("v1/algoOrder", queries.algo_order, 1),
            ("v1/openAlgoOrders", queries.open_algos, _open_weight),
            ("v1/allAlgoOrders", queries.all_algos, 5),
            ("v1/userTrades", queries.fills, 5),
            ("v1/income", queries.income, 30 if not self._site.is_coin else 20),
            ("v1/rateLimit/order", queries.order_limits, 1),
            ("v1/account", lambda call: accounts.account(call, 2), 5),
            ("v1/balance", accounts.balance, 1),
            ("v1/positionRisk", lambda call: accounts.position_risk(call, 2), 1),
            ("v1/leverageBracket", lambda call: accounts.brackets(call, 1), 1),
            ("v1/commissionRate", accounts.commission, 20),
            ("v1/adlQuantile", accounts.adl, 5),
            ("v1/positionSide/dual", accounts.dual, 30),
            ("v1/positionMargin/history", accounts.margin_history, 1),
        ]
        return [("GET", path, answering(make), weight) for path, make, weight in table]

    def _of_usdm(self) -> dict[tuple[str, str], Endpoint]:
        accounts = self._accounts
        table: list[tuple[str, Callable[[Call], Any], int]] = [
            ("v2/account", lambda call: accounts.account(call, 2), 5),
            ("v3/account", lambda call: accounts.account(call, 3), 5),
            ("v2/balance", accounts.balance, 5),
            ("v3/balance", accounts.balance, 5),
            ("v2/positionRisk", lambda call: accounts.position_risk(call, 2), 5),
            ("v3/positionRisk", lambda call: accounts.position_risk(call, 3), 5),
            ("v1/symbolConfig", accounts.symbol_config, 5),
            ("v1/accountConfig", accounts.config, 5),
            ("v1/multiAssetsMargin", accounts.multi_assets, 30),
            ("v1/feeBurn", lambda call: {"feeBurn": False}, 30),
            ("v1/apiTradingStatus", lambda call: {"indicators": {}, "updateTime": ms(self._site.wall_ns)}, 10),
        ]
        return {("GET", f"/fapi/{path}"): Endpoint(answering(make), SIGNED, weight) for path, make, weight in table}

    def methods(self) -> dict[str, Endpoint]:
        """The WS API's, by name."""
        trading, accounts = self._trading, self._accounts
        version = 3 if not self._site.is_coin else 2
        account = answering(lambda call: accounts.account(call, 2))
        found = {
            "order.place": Endpoint(trading.place, SIGNED, 0),
            "order.modify": Endpoint(trading.amend, SIGNED, 0),
            "order.cancel": Endpoint(trading.cancel, SIGNED, 1),
            "order.status": Endpoint(answering(self._queries.order), SIGNED, 1),
            "algoOrder.place": Endpoint(trading.place_algo, SIGNED, 0),
            "algoOrder.cancel": Endpoint(trading.cancel_algo, SIGNED, 1),
            "account.balance": Endpoint(answering(accounts.balance), SIGNED, 5),
            "account.status": Endpoint(account, SIGNED, 5),
            "account.position": Endpoint(answering(lambda call: accounts.position_risk(call, 2)), SIGNED, 5),
            "userDataStream.start": Endpoint(answering(self.start), KEYED, 5),
            "userDataStream.ping": Endpoint(answering(self.extend), KEYED, 1),
            "userDataStream.stop": Endpoint(answering(self.stop), KEYED, 1),
        }
        v2_account = answering(lambda call: accounts.account(call, version))
        v2_position = answering(lambda call: accounts.position_risk(call, version))
        found["v2/account.balance"] = found["account.balance"]
        found["v2/account.status"] = Endpoint(v2_account, SIGNED, 5)
        found["v2/account.position"] = Endpoint(v2_position, SIGNED, 5)
        return found

    # -- user streams

    def start(self, call: Call) -> Any:
        return {"listenKey": self._site.listen_keys.start(call.account, self._site.wall_ns)}

    def extend(self, call: Call) -> Any:
        given = call.params.text("listenKey", "")
        if given and self._site.listen_keys.key(call.account) != given:
            raise Refusal(-1125)
        return {"listenKey": self._site.listen_keys.extend(call.account, self._site.wall_ns)}

    def stop(self, call: Call) -> Any:
        self._site.listen_keys.stop(call.account)
        return {}
