"""The questions of ``POST /info`` (and of websocket posts): what Hyperliquid answers to each type.

Theory of operation. ``Info.answer`` finds the type in a table and checks the fields that the type needs; what has not
their form is ``Unreadable``, which the venue answers with 422. An address that nobody has is an account without
anything. Only the venue's own market (``dex`` "") exists here, and no spot: balances are all in the perpetuals'
account.

Types that clients only ask to see whether there is anything (vaults, staking, sub-accounts, TWAP) are answered as for
an account that has none; see docs/emulator.md for the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from venues.emulation import VenueEngine
from venues.hyperliquid.auth import is_address
from venues.hyperliquid.emulator_accounts import Account, Accounts, within
from venues.hyperliquid.emulator_market import INTERVALS, LEVELS, RECENT_PRINTS, Market
from venues.hyperliquid.emulator_numbers import ms, plain, price_e8, rate
from venues.hyperliquid.emulator_orders import Orders
from venues.hyperliquid.emulator_signers import Signers, Unreadable
from venues.instruments import signed_from_str

ROWS_MOST: Final = 500
FILLS_MOST: Final = 2000
_FOREVER_MS: Final = (1 << 62) - 1
Params = Mapping[str, Any]

USDC: Final[Mapping[str, Any]] = {
    "name": "USDC",
    "szDecimals": 8,
    "weiDecimals": 8,
    "index": 0,
    "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "isCanonical": True,
    "evmContract": None,
    "fullName": None,
    "deployerTradingFeeShare": "0.0",
}
# types about things that are not simulated: what an account without them is told
_EMPTY: Final[Mapping[str, Any]] = {
    "delegations": [],
    "delegatorHistory": [],
    "delegatorRewards": [],
    "delegatorSummary": {
        "delegated": "0.0", "undelegated": "0.0", "totalPendingWithdrawal": "0.0", "nPendingWithdrawals": 0,
    },
    "userVaultEquities": [],
    "userTwapSliceFills": [],
    "userTwapSliceFillsByTime": [],
    "twapHistory": [],
    "subAccounts": None,
    "subAccounts2": None,
    "userToMultiSigSigners": None,
    "userNonFundingLedgerUpdates": [],
    "userDexAbstraction": False,
    "isVip": False,
    "approvedBuilders": [],
}  # fmt: skip
_OF_NOBODY: Final[Mapping[str, Any]] = {
    "perpDexs": [None],
    "perpsAtOpenInterestCap": [],
    "leadingVaults": [],
    "vaultSummaries": [],
    "liquidatable": [],
    "validatorSummaries": [],
    "validatorL1Votes": [],
    "gossipRootIps": [],
    "vaultDetails": None,
    "allBorrowLendReserveStates": [],
}


class Info:
    """Answers questions."""

    def __init__(
        self, engine: VenueEngine, markets: Sequence[Market], accounts: Accounts, orders: Orders, signers: Signers
    ) -> None:
        self._engine, self._markets, self._accounts = engine, markets, accounts
        self._orders, self._signers = orders, signers
        self.by_coin = {market.coin: market for market in markets}
        self._types: dict[str, Callable[[Params], Any]] = {
            "meta": self._meta,
            "allPerpMetas": lambda _: [self.meta()],
            "metaAndAssetCtxs": self._meta_and_contexts,
            "spotMeta": lambda _: self.spot_meta(),
            "spotMetaAndAssetCtxs": lambda _: [self.spot_meta(), []],
            "allMids": self._mids,
            "l2Book": self._book,
            "recentTrades": self._prints,
            "candleSnapshot": self._candles,
            "exchangeStatus": lambda _: {"specialStatuses": None, "time": self.now_ms()},
            "predictedFundings": self._predicted,
            "fundingHistory": self._funding_history,
            "marginTable": self._margin_table,
            "maxMarketOrderNtls": self._max_values,
            "clearinghouseState": lambda p: self._accounts.clearinghouse(self._of(p)),
            "spotClearinghouseState": lambda p: self.spot_state(self._of(p)),
            "openOrders": self._open_orders,
            "frontendOpenOrders": self._frontend_orders,
            "orderStatus": self._order_status,
            "historicalOrders": self._history,
            "userFills": self._fills,
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._fundings,
            "userFees": lambda p: self._accounts.fees(self._of(p)),
            "userRateLimit": lambda p: self._accounts.rate_limit(self._of(p)),
            "activeAssetData": self._asset_data,
            "maxBuilderFee": self._builder_fee,
            "userAbstraction": lambda p: (_user(p), "default")[1],
            "userRole": lambda p: self._signers.role(_user(p)),
            "extraAgents": lambda p: self._signers.extra_agents(_user(p)),
            "portfolio": self._portfolio,
            "referral": self._referral,
            "legalCheck": lambda p: (_user(p), {"ipAllowed": True, "acceptedTerms": True, "userAllowed": True})[1],
            "preTransferCheck": self._transfer_check,
            "webData2": self._web_data,
        }

    def answer(self, request: Mapping[str, Any]) -> Any:
        """The answer as plain values. Raises ``Unreadable``."""
        kind = request.get("type")
        if not isinstance(kind, str):
            raise Unreadable("type")
        if kind in _EMPTY:
            _user(request)
            return _EMPTY[kind]
        if kind in _OF_NOBODY:
            return _OF_NOBODY[kind]
        serve = self._types.get(kind)
        if serve is None:
            raise Unreadable(f"type {kind[:40]}")
        if request.get("dex"):
            raise Unreadable("dex")
        return serve(request)

    def now_ms(self) -> int:
        """The venue's time."""
        return ms(self._engine.now_ns)

    # -- who and what is asked about

    def _of(self, params: Params) -> Account | None:
        number = self._signers.accounts.get(_user(params))
        return None if number is None else self._accounts.all[number]

    def _market(self, params: Params) -> Market | None:
        coin = params.get("coin")
        if not isinstance(coin, str):
            raise Unreadable("coin")
        return self.by_coin.get(coin)

    # -- markets

    def meta(self) -> dict[str, Any]:
        """As ``meta``."""
        tables = (market.margin_table() for market in self._markets)
        return {
            "universe": [market.universe() for market in self._markets],
            "marginTables": [table for table in tables if table is not None],
            "collateralToken": 0,
        }

    def _meta(self, _params: Params) -> Any:
        return self.meta()

    def contexts(self) -> list[dict[str, Any]]:
        """The coins' contexts, in the order of the universe."""
        return [market.context() for market in self._markets]

    def _meta_and_contexts(self, _params: Params) -> Any:
        return [self.meta(), self.contexts()]

    @staticmethod
    def spot_meta() -> dict[str, Any]:
        """As ``spotMeta``: USDC, and no pairs."""
        return {"universe": [], "tokens": [USDC]}

    def mids(self) -> dict[str, str]:
        """As ``allMids``."""
        found = ((market.coin, market.mid()) for market in self._markets)
        return {coin: mid for coin, mid in found if mid is not None}

    def _mids(self, _params: Params) -> Any:
        return self.mids()

    def _book(self, params: Params) -> Any:
        market = self._market(params)
        digits, mantissa = book_terms(params)
        return None if market is None else market.book_data(digits, mantissa, LEVELS)

    def _prints(self, params: Params) -> Any:
        market = self._market(params)
        if market is None:
            return []
        return [market.print_data(trade) for trade in list(market.prints)[: -RECENT_PRINTS - 1 : -1]]

    def _candles(self, params: Params) -> Any:
        asked = params.get("req")
        interval = asked.get("interval") if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(interval, str) or interval not in INTERVALS:
            raise Unreadable("req")
        market = self._market(asked)
        from_ms, to_ms = _times(asked)
        if market is None:
            return []
        return [market.candle_data(candle, interval) for candle in market.candles(interval, from_ms, to_ms)]

    def _predicted(self, _params: Params) -> Any:
        found = []
        for market in self._markets:
            state = self._engine.market(market.index)
            own = {
                "fundingRate": rate(state.rate_e12),
                "nextFundingTime": ms(state.next_funding_ns),
                "fundingIntervalHours": 1,
            }
            found.append([market.coin, [["HlPerp", own]]])
        return found

    def _funding_history(self, params: Params) -> Any:
        market = self._market(params)
        from_ms, to_ms = _times(params)
        if market is None:
            return []
        rows = [
            {"coin": market.coin, "fundingRate": rate(rate_e12), "premium": rate(premium_e12), "time": time_ms}
            for time_ms, rate_e12, premium_e12 in market.rates
        ]
        return within(rows, from_ms, to_ms, ROWS_MOST)

    def _margin_table(self, params: Params) -> Any:
        number = params.get("id")
        if not isinstance(number, int):
            raise Unreadable("id")
        for table in filter(None, (market.margin_table() for market in self._markets)):
            if table[0] == number:
                return table[1]
        return {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": number}]}

    def _max_values(self, _params: Params) -> Any:
        most = self._engine.card.orders.max_market_value.value or ()
        return [[leverage, price_e8(value_e8)] for leverage, value_e8 in most]

    # -- accounts

    def spot_state(self, _account: Account | None) -> dict[str, Any]:
        """As ``spotClearinghouseState``: nobody has anything there."""
        return {"balances": []}

    def _open_orders(self, params: Params) -> Any:
        account = self._of(params)
        return [] if account is None else [self._orders.brief(order) for order in self._orders.open(account.number)]

    def frontend_orders(self, account: Account | None) -> list[dict[str, Any]]:
        """As ``frontendOpenOrders``."""
        return [] if account is None else [self._orders.full(order) for order in self._orders.open(account.number)]

    def _frontend_orders(self, params: Params) -> Any:
        return self.frontend_orders(self._of(params))

    def _order_status(self, params: Params) -> Any:
        account, key = self._of(params), params.get("oid")
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise Unreadable("oid")
        order = None if account is None else self._orders.find(account.number, key)
        if order is None or not order.status:
            return {"status": "unknownOid"}
        return {"status": "order", "order": self._orders.with_status(order)}

    def _history(self, params: Params) -> Any:
        account = self._of(params)
        found = [] if account is None else self._orders.history(account.number)
        return [self._orders.with_status(order) for order in found]

    def _fills(self, params: Params) -> Any:
        account = self._of(params)
        rows = [] if account is None else list(account.fills)[-FILLS_MOST:][::-1]
        return together(rows) if params.get("aggregateByTime") else rows

    def _fills_by_time(self, params: Params) -> Any:
        account = self._of(params)
        from_ms, to_ms = _times(params)
        rows = [] if account is None else within(account.fills, from_ms, to_ms, FILLS_MOST)
        return together(rows) if params.get("aggregateByTime") else rows

    def _fundings(self, params: Params) -> Any:
        account = self._of(params)
        from_ms, to_ms = _times(params, 0)  # ccxt leaves the start out
        rows = [] if account is None else within(account.fundings, from_ms, to_ms, ROWS_MOST)
        return [
            {
                "time": row["time"],
                "hash": row["hash"],
                "delta": {
                    "type": "funding", **{k: v for k, v in row.items() if k not in ("time", "hash")},
                },
            }
            for row in rows
        ]  # fmt: skip

    def _asset_data(self, params: Params) -> Any:
        market = self._market(params)
        if market is None:
            raise Unreadable("coin")
        return self._accounts.asset_data(self._of(params), _user(params), market)

    def _builder_fee(self, params: Params) -> Any:
        account, builder = self._of(params), params.get("builder")
        if not is_address(builder):
            raise Unreadable("builder")
        return 0 if account is None else self._signers.builder_fees.get((account.number, str(builder).lower()), 0)

    def _portfolio(self, params: Params) -> Any:
        account = self._of(params)
        value = self._accounts.clearinghouse(account)["marginSummary"]["accountValue"]
        now = self.now_ms()
        volume = self._accounts.rate_limit(account)["cumVlm"]
        part = {"accountValueHistory": [[now, value]], "pnlHistory": [[now, "0.0"]], "vlm": volume}
        names = ("day", "week", "month", "allTime", "perpDay", "perpWeek", "perpMonth", "perpAllTime")
        return [[name, part] for name in names]

    def _referral(self, params: Params) -> Any:
        return {
            "referredBy": None,
            "cumVlm": self._accounts.rate_limit(self._of(params))["cumVlm"],
            "unclaimedRewards": "0.0",
            "claimedRewards": "0.0",
            "builderRewards": "0.0",
            "referrerState": {"stage": "needToTrade", "data": {"required": "10000.0"}},
            "rewardHistory": [],
            "tokenToState": [],
        }

    def _transfer_check(self, params: Params) -> Any:
        exists = _user(params) in self._signers.accounts
        return {"fee": "1.0", "isSanctioned": False, "userExists": exists, "userHasSentTx": exists}

    def web_data(self, account: Account | None, address: str) -> dict[str, Any]:
        """As ``webData2``."""
        return {
            "clearinghouseState": self._accounts.clearinghouse(account),
            "leadingVaults": [],
            "totalVaultEquity": "0.0",
            "openOrders": self.frontend_orders(account),
            "agentAddress": None,
            "agentValidUntil": None,
            "cumLedger": "0.0",
            "meta": self.meta(),
            "assetCtxs": self.contexts(),
            "serverTime": self.now_ms(),
            "isVault": False,
            "user": address,
            "twapStates": [],
            "spotState": self.spot_state(account),
            "spotAssetCtxs": [],
            "perpsAtOpenInterestCap": [],
        }

    def _web_data(self, params: Params) -> Any:
        return self.web_data(self._of(params), _user(params))


def _user(params: Params) -> str:
    address = params.get("user")
    if not is_address(address):
        raise Unreadable("user")
    return str(address).lower()


def _times(params: Params, from_ms: int | None = None) -> tuple[int, int]:
    """(startTime, endTime) in ms, both included. Raises ``Unreadable``; without a default startTime is required."""
    from_ms, to_ms = params.get("startTime", from_ms), params.get("endTime")
    if not isinstance(from_ms, int) or isinstance(from_ms, bool):
        raise Unreadable("startTime")
    if to_ms is not None and (not isinstance(to_ms, int) or isinstance(to_ms, bool)):
        raise Unreadable("endTime")
    return from_ms, _FOREVER_MS if to_ms is None else to_ms


def book_terms(params: Params) -> tuple[int | None, int | None]:
    """nSigFigs and mantissa of a book. Raises ``Unreadable``."""
    digits, mantissa = params.get("nSigFigs"), params.get("mantissa")
    if digits not in (None, 2, 3, 4, 5) or isinstance(digits, bool):
        raise Unreadable("nSigFigs")
    if mantissa not in (None, 1, 2, 5) or isinstance(mantissa, bool) or (mantissa is not None and digits != 5):
        raise Unreadable("mantissa")
    return digits, mantissa


def together(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fills of one order at one time and price as one (``aggregateByTime``). The first one's ids stand."""
    found: list[dict[str, Any]] = []
    for row in rows:
        last = found[-1] if found else None
        if last is None or any(last[key] != row[key] for key in ("oid", "time", "px", "crossed", "dir")):
            found.append(dict(row))
            continue
        for key in ("sz", "fee", "closedPnl"):
            last[key] = added(last[key], row[key])
    return found


def added(one: str, other: str) -> str:
    """The sum of two of the venue's decimals."""
    return plain(signed_from_str(one, 8) + signed_from_str(other, 8), 8)
