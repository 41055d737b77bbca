"""Balances, positions and settings of the emulated Binance's accounts, as the engine has them now.

The position mode (one-way or hedge) is the run's and cannot be changed; multi-assets mode is not served. Sources:
USDM and COINM, "Account" and "Trade" endpoints, versions 1 to 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from matching import codes
from venues.binance.emulator_ledger import Ledger
from venues.binance.emulator_market import Market
from venues.binance.emulator_orders import LEGS
from venues.binance.emulator_site import Call, Site
from venues.binance.emulator_trading import Trading
from venues.binance.emulator_wire import Refusal, fixed, money, ms, plain, rate, refused
from venues.emulation import PositionState, WalletState
from venues.orders import SettingChanged, SettingRejected, SettingRequest
from venues.wire import MS

LEVERAGE_MOST: Final = 125
MARGIN_CHANGES_MOST: Final = 1000
_ASKED: Final = {
    codes.SETTING_LEVERAGE: "leverage", codes.SETTING_MODE: "margin mode", codes.SETTING_MARGIN: "margin",
    codes.SETTING_SHORT_MARGIN: "margin", codes.SETTING_DEAD_MAN: "countdown",
}  # fmt: skip
_SUCCESS: Final = {"code": 200, "msg": "success"}


class _Asked(NamedTuple):
    """A setting on its way: who waits, and what the answer is."""

    call: Call
    market: Market
    leg: int
    result: dict[str, Any]


class Accounts:
    """See the module's text. ``tell`` sends an event to an account's user streams."""

    def __init__(
        self, site: Site, ledger: Ledger, trading: Trading, tell: Callable[[int, dict[str, Any]], None]
    ) -> None:
        self._site = site
        self._ledger = ledger
        self._trading = trading
        self._tell = tell
        self._settings: dict[tuple[int, int], _Asked] = {}
        self._numbers = [0] * site.engine.accounts
        self._margin_changes: list[list[dict[str, Any]]] = [[] for _ in range(site.engine.accounts)]

    def _legs(self, account: int) -> tuple[int, ...]:
        return (codes.FLAG_LONG_LEG, codes.FLAG_SHORT_LEG) if self._site.engine.is_hedged(account) else (0,)

    def _updated_ms(self, account: int, market: Market, leg: int) -> int:
        return self._ledger.told[account].holding(market.index, leg).updated_ms

    # -- balances

    def balance(self, call: Call) -> Any:
        name, rows = self._site.keys.name(call.account), []
        for asset in self._site.engine.assets():
            state, free = self._wallet(call.account, asset)
            row: dict[str, Any] = {"accountAlias": name[:16] or "perpsim", "asset": asset}
            row["balance"] = money(state.wallet_e8)
            if self._site.is_coin:
                row["withdrawAvailable"] = money(free)
            row.update(crossWalletBalance=money(self._cross_e8(call.account, asset, state)),
                       crossUnPnl=money(state.unrealized_e8), availableBalance=money(free))  # fmt: skip
            if not self._site.is_coin:
                row.update(maxWithdrawAmount=money(free), marginAvailable=True)
            row["updateTime"] = ms(self._site.engine.now_ns)
            rows.append(row)
        return rows

    def _wallet(self, account: int, asset: str) -> tuple[WalletState, int]:
        state = self._site.engine.wallet(account, asset)
        return state, max(0, state.available_e8)

    def _cross_e8(self, account: int, asset: str, state: WalletState) -> int:
        held = 0
        for market in self._site.markets:
            if market.instrument.settle == asset:
                for leg in self._legs(account):
                    one = self._site.engine.position(account, market.index, leg)
                    held += one.isolated_margin_e8 if one.isolated and one.lots else 0
        return state.wallet_e8 - held

    def _asset(self, account: int, asset: str) -> dict[str, Any]:
        state, free = self._wallet(account, asset)
        found: dict[str, Any] = {
            "asset": asset,
            "walletBalance": money(state.wallet_e8),
            "unrealizedProfit": money(state.unrealized_e8),
            "marginBalance": money(state.wallet_e8 + state.unrealized_e8),
            "maintMargin": money(state.maintenance_e8),
            "initialMargin": money(state.initial_e8),
            "positionInitialMargin": money(state.position_initial_e8),
            "openOrderInitialMargin": money(state.order_initial_e8),
            "crossWalletBalance": money(self._cross_e8(account, asset, state)),
            "crossUnPnl": money(state.unrealized_e8),
            "availableBalance": money(free),
            "maxWithdrawAmount": money(free),
        }
        if not self._site.is_coin:
            found["marginAvailable"] = True
        found["updateTime"] = ms(self._site.engine.now_ns)
        return found

    def account(self, call: Call, version: int) -> Any:
        engine, account = self._site.engine, call.account
        assets = [self._asset(account, asset) for asset in engine.assets()]
        found: dict[str, Any] = {}
        if version < 3:
            found = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
        if version < 3 and not self._site.is_coin:
            found.update(feeBurn=False, multiAssetsMargin=False, tradeGroupId=-1)
        if not self._site.is_coin:
            found.update(self._totals(assets))
        found["assets"] = assets
        rows = self._rows(account)
        if version >= 3:
            rows = [row for row in rows if self._concerns(account, row[0], row[2])]
        found["positions"] = [self._account_position(account, *row, version=version) for row in rows]
        return found

    def _totals(self, assets: list[dict[str, Any]]) -> dict[str, Any]:
        """Of the first asset: in single-asset mode the totals are those of one quote asset."""
        one = assets[0]
        names = ("initialMargin", "maintMargin", "walletBalance", "unrealizedProfit", "marginBalance",
                 "positionInitialMargin", "openOrderInitialMargin", "crossWalletBalance", "crossUnPnl")  # fmt: skip
        found = {f"total{name[0].upper()}{name[1:]}": one[name] for name in names}
        return {**found, "availableBalance": one["availableBalance"], "maxWithdrawAmount": one["maxWithdrawAmount"]}

    # -- positions

    def _rows(self, account: int, markets: list[Market] | None = None) -> list[tuple[Market, int, PositionState]]:
        engine = self._site.engine
        return [
            (market, leg, engine.position(account, market.index, leg))
            for market in (markets if markets is not None else self._site.markets)
            for leg in self._legs(account)
        ]

    def _concerns(self, account: int, market: Market, state: PositionState) -> bool:
        return state.lots != 0 or any(self._trading.tables[account].open(market))

    def _figures(self, market: Market, leg: int, state: PositionState) -> dict[str, Any]:
        """What all versions share."""
        return {
            "symbol": market.symbol,
            "positionSide": LEGS[leg],
            "positionAmt": market.instrument.size_str(state.lots),
            "entryPrice": plain(state.entry_price_e8),
        }

    def _account_position(
        self, account: int, market: Market, leg: int, state: PositionState, *, version: int
    ) -> dict[str, Any]:
        found = self._figures(market, leg, state)
        signed = state.notional_e8 if state.lots >= 0 else -abs(state.notional_e8)
        if version >= 3:
            del found["entryPrice"]
        found.update(
            unrealizedProfit=money(state.unrealized_e8),
            initialMargin=money(state.initial_e8),
            maintMargin=money(state.maintenance_e8),
        )
        if version >= 3:
            margin = state.isolated_margin_e8 if state.isolated else 0
            found.update(isolatedMargin=money(margin), notional=money(signed), isolatedWallet=money(margin))
        else:
            most = self._most(market, state.leverage)
            found.update(
                positionInitialMargin=money(state.initial_e8),
                openOrderInitialMargin="0",
                leverage=str(state.leverage),
                isolated=state.isolated,
                breakEvenPrice=found["entryPrice"],
            )
            if self._site.is_coin:
                found.update(maxQty=most, notionalValue=money(signed))
            else:
                found.update(maxNotional=most, bidNotional="0", askNotional="0", notional=money(signed))
        found["updateTime"] = self._updated_ms(account, market, leg)
        return found

    def position_risk(self, call: Call, version: int) -> Any:
        markets = self._site.chosen(call.params)
        if call.params.has("marginAsset"):
            asset = call.params.word("marginAsset")
            markets = [market for market in markets if market.instrument.settle == asset]
        rows = self._rows(call.account, markets)
        if version >= 3:
            rows = [row for row in rows if self._concerns(call.account, row[0], row[2])]
            return [self._risk_v3(call.account, *row) for row in rows]
        return [self._risk(call.account, *row) for row in rows]

    def _risk(self, account: int, market: Market, leg: int, state: PositionState) -> dict[str, Any]:
        margin = money(state.isolated_margin_e8 if state.isolated else 0)
        found = self._figures(market, leg, state)
        found.update(
            breakEvenPrice=found["entryPrice"],
            markPrice=money(state.mark_e8 or self._site.engine.market(market.index).mark_e8),
            unRealizedProfit=money(state.unrealized_e8),
            liquidationPrice=plain(state.liquidation_price_e8) if state.liquidation_price_e8 else "0",
            leverage=str(state.leverage),
            marginType="isolated" if state.isolated else "cross",
            isolatedMargin=margin,
            isAutoAddMargin="false",
            isolatedWallet=margin,
        )
        signed = money(state.notional_e8 if state.lots >= 0 else -abs(state.notional_e8))
        most = self._most(market, state.leverage)
        found.update({"maxQty": most, "notionalValue": signed} if self._site.is_coin else
                     {"maxNotionalValue": most, "notional": signed})  # fmt: skip
        found["updateTime"] = self._updated_ms(account, market, leg)
        return found

    def _risk_v3(self, account: int, market: Market, leg: int, state: PositionState) -> dict[str, Any]:
        margin = money(state.isolated_margin_e8 if state.isolated else 0)
        found = self._figures(market, leg, state)
        found.update(
            breakEvenPrice=found["entryPrice"],
            markPrice=money(state.mark_e8 or self._site.engine.market(market.index).mark_e8),
            unRealizedProfit=money(state.unrealized_e8),
            liquidationPrice=plain(state.liquidation_price_e8) if state.liquidation_price_e8 else "0",
            isolatedMargin=margin,
            notional=money(state.notional_e8 if state.lots >= 0 else -abs(state.notional_e8)),
            marginAsset=market.instrument.settle,
            isolatedWallet=margin,
            initialMargin=money(state.initial_e8),
            maintMargin=money(state.maintenance_e8),
            positionInitialMargin=money(state.initial_e8),
            openOrderInitialMargin="0",
            adl=0,
            bidNotional="0",
            askNotional="0",
            updateTime=self._updated_ms(account, market, leg),
        )
        return found

    def _most(self, market: Market, leverage: int) -> str:
        """The largest position at a leverage: notional, of COIN-M in base coin."""
        table = self._site.engine.brackets(market.index)
        if table is None:
            return "9223372036"
        caps = [cap for cap, most in zip(table.cap_e8, table.max_leverage, strict=True) if most >= leverage]
        return fixed(max(caps, default=table.cap_e8[0]), 8, 0)

    def adl(self, call: Call) -> Any:
        """Ranks are not kept: everybody is last."""
        rows = []
        for market in self._site.chosen(call.params):
            quantile = {LEGS[leg]: 0 for leg in self._legs(call.account)}
            rows.append({"symbol": market.symbol, "adlQuantile": quantile})
        return rows

    # -- what an account is set to

    def symbol_config(self, call: Call) -> Any:
        rows = []
        for market, leg, state in self._rows(call.account, self._site.chosen(call.params)):
            if leg != codes.FLAG_SHORT_LEG:
                rows.append(
                    {
                        "symbol": market.symbol,
                        "marginType": "ISOLATED" if state.isolated else "CROSSED",
                        "isAutoAddMargin": False,
                        "leverage": state.leverage,
                        "maxNotionalValue": self._most(market, state.leverage),
                    }
                )
        return rows

    def config(self, call: Call) -> Any:
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": self._site.engine.is_hedged(call.account),
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def commission(self, call: Call) -> Any:
        market = self._site.market(call.params)
        maker, taker = self._site.engine.fee_rates_e12(call.account, market.index)
        return {
            "symbol": market.symbol,
            "makerCommissionRate": rate(maker, 6),
            "takerCommissionRate": rate(taker, 6),
            "rpiCommissionRate": rate(maker, 6),
        }

    def brackets(self, call: Call, version: int) -> Any:
        rows = []
        coin = self._site.is_coin
        for market in self._site.chosen(call.params):
            table = self._site.engine.brackets(market.index)
            if table is None:
                continue
            names = ("qtyCap", "qtylFloor") if coin else ("notionalCap", "notionalFloor")
            found = [
                {
                    "bracket": row + 1,
                    "initialLeverage": table.max_leverage[row],
                    names[0]: table.cap_e8[row] // 10**8,
                    names[1]: table.floor_e8[row] // 10**8,
                    "maintMarginRatio": _number(table.rate_e12[row], 12),
                    "cum": _number(table.cum_e8[row], 8),
                }
                for row in range(len(table.cap_e8))
            ]
            name = {"pair": market.pair} if coin and version < 2 else {"symbol": market.symbol}
            rows.append({**name, "brackets": found})
        return rows[0] if call.params.has("symbol") and not coin and rows else rows

    def dual(self, call: Call) -> Any:
        return {"dualSidePosition": self._site.engine.is_hedged(call.account)}

    def set_dual(self, call: Call) -> None:
        """The run's file decides the position mode; asking for the one there is, is answered as the venue does."""
        call.params.text("dualSidePosition")
        if call.params.flag("dualSidePosition") == self._site.engine.is_hedged(call.account):
            raise Refusal(-4059)
        if any(self._trading.tables[call.account].open()):
            raise Refusal(-4067)
        if any(state.lots for _, _, state in self._rows(call.account)):
            raise Refusal(-4068)
        raise Refusal(-1020, "This operation is not supported: the run decides the position mode.")

    def multi_assets(self, call: Call) -> Any:
        return {"multiAssetsMargin": False}

    def set_multi_assets(self, call: Call) -> None:
        call.params.text("multiAssetsMargin")
        if not call.params.flag("multiAssetsMargin"):
            raise Refusal(-4171)
        raise Refusal(-1020, "This operation is not supported: accounts are in single-asset mode.")

    # -- settings, which the engine answers

    def _ask(self, call: Call, market: Market, leg: int, setting: int, value: int, result: dict[str, Any]) -> None:
        self._numbers[call.account] += 1
        number = self._numbers[call.account]
        self._settings[call.account, number] = _Asked(call, market, leg, result)
        self._site.wait(call)
        self._site.engine.change(
            SettingRequest(account=call.account, instrument=market.index, number=number, setting=setting, value=value)
        )

    def leverage(self, call: Call) -> None:
        market, value = self._site.market(call.params), call.params.integer("leverage")
        table = self._site.engine.brackets(market.index)
        most = table.max_leverage[0] if table is not None else LEVERAGE_MOST
        if not 1 <= value <= most:
            raise Refusal(-4028, f"Leverage {value} is not valid")
        limit = "maxQty" if self._site.is_coin else "maxNotionalValue"
        result = {"leverage": value, limit: self._most(market, value), "symbol": market.symbol}
        self._ask(call, market, 0, codes.SETTING_LEVERAGE, value, result)

    def margin_type(self, call: Call) -> None:
        market, word = self._site.market(call.params), call.params.word("marginType")
        if word not in ("ISOLATED", "CROSSED"):
            raise Refusal(-1130, "Data sent for parameter 'marginType' is not valid.")
        mode = codes.MODE_ISOLATED if word == "ISOLATED" else codes.MODE_CROSS
        self._ask(call, market, 0, codes.SETTING_MODE, mode, dict(_SUCCESS))

    def position_margin(self, call: Call) -> None:
        market, params = self._site.market(call.params), call.params
        amount_e8, kind = params.scaled("amount", 8), params.integer("type")
        if amount_e8 <= 0:
            raise Refusal(-4055)
        if kind not in (1, 2):
            raise Refusal(-1130, "Data sent for parameter 'type' is not valid.")
        word = params.word("positionSide", "BOTH")
        legs = {LEGS[leg]: leg for leg in self._legs(call.account)}
        if word not in legs:
            raise Refusal(-4061)
        leg = legs[word]
        state = self._site.engine.position(call.account, market.index, leg)
        if not state.isolated:
            raise Refusal(-4049)
        if not state.lots:
            raise Refusal(-4054)
        setting = codes.SETTING_SHORT_MARGIN if leg == codes.FLAG_SHORT_LEG else codes.SETTING_MARGIN
        result = {"amount": _number(amount_e8, 8), "code": 200, "msg": "Successfully modify position margin."}
        result["type"] = kind
        self._ask(call, market, leg, setting, amount_e8 if kind == 1 else -amount_e8, result)

    def margin_history(self, call: Call) -> Any:
        market = self._site.market(call.params)
        rows = [row for row in self._margin_changes[call.account] if row["symbol"] == market.symbol]
        if call.params.has("type"):
            rows = [row for row in rows if row["type"] == call.params.integer("type")]
        start, end = call.params.integer("startTime", 0), call.params.integer("endTime", 1 << 62)
        return [row for row in rows if start <= row["time"] <= end][-call.params.limit(500, 1000) :]

    def countdown(self, call: Call) -> None:
        market, after_ms = self._site.market(call.params), call.params.integer("countdownTime")
        if after_ms < 0:
            raise Refusal(-1130, "Data sent for parameter 'countdownTime' is not valid.")
        result = {"symbol": market.symbol, "countdownTime": str(after_ms)}
        self._ask(call, market, 0, codes.SETTING_DEAD_MAN, after_ms * MS, result)

    def on_changed(self, event: SettingChanged) -> None:
        asked = self._settings.pop((event.account, event.number), None)
        market = self._site.markets[event.instrument]
        now_ms, time_ms = ms(self._site.engine.now_ns), ms(event.ts_event_ns)
        if event.setting == codes.SETTING_LEVERAGE:
            found = {"e": "ACCOUNT_CONFIG_UPDATE", "E": max(now_ms, time_ms), "T": time_ms}
            self._tell(event.account, {**found, "ac": {"s": market.symbol, "l": event.value}})
        elif event.setting == codes.SETTING_MODE:
            self._ledger.take_transfer(event.account, market, 0, "MARGIN_TYPE_CHANGE")
        elif event.setting in (codes.SETTING_MARGIN, codes.SETTING_SHORT_MARGIN):
            leg = asked.leg if asked is not None else 0
            self._note_margin(event, market, leg, time_ms)
            self._ledger.take_transfer(event.account, market, leg, "MARGIN_TRANSFER")
        if asked is not None:
            self._ledger.flush(event.account)
            asked.call.finish(asked.result)

    def _note_margin(self, event: SettingChanged, market: Market, leg: int, time_ms: int) -> None:
        rows = self._margin_changes[event.account]
        if len(rows) >= MARGIN_CHANGES_MOST:
            del rows[0]
        rows.append(
            {
                "symbol": market.symbol,
                "type": 1 if event.value > 0 else 2,
                "deltaType": "USER_ADJUST",
                "amount": money(abs(event.value)),
                "asset": market.instrument.settle,
                "time": time_ms,
                "positionSide": LEGS[leg],
            }
        )

    def on_refused(self, event: SettingRejected) -> None:
        asked = self._settings.pop((event.account, event.number), None)
        if asked is not None:
            asked.call.refuse(refused(event.reason, event.code, event.text, _ASKED[event.setting]))


def _number(value: int, scale: int) -> int | float:
    """A JSON number, as this one reply has it (the value of a table, not of anybody's money)."""
    whole, rest = divmod(value, 10**scale)
    return whole if not rest else float(fixed(value, scale, scale))
