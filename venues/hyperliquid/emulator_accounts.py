"""What Hyperliquid says of an account: fills, funding, positions, balances, fees, request budget.

Theory of operation. The engine has wallet and positions as they are now; what happened (fills, funding, liquidations)
is kept here as it was told, bounded as the venue's own answers are. ``startPosition`` of a fill is the position
before it, counted along and set right by each ``PositionChanged``.

Money has six decimals, cut. totalRawUsd is the account's value without its positions: value minus signed notional
(recorded accounts agree). Of isolated positions ``marginUsed`` is the collateral with its profit and loss and
``rawUsd`` the collateral minus the signed entry value. Source: MarcosACH/tickwright, docs/adr 0040 and 0046
(measured).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from matching import codes
from venues.emulation import PositionState, VenueEngine
from venues.hyperliquid.emulator_market import Market
from venues.hyperliquid.emulator_numbers import Writer, money, ms, plain, price_e8, rate, ratio_e10
from venues.hyperliquid.emulator_orders import Order
from venues.orders import AutoDeleveraged, Filled, FundingPaid, Liquidated

FILLS_KEPT: Final = 10_000
FUNDINGS_KEPT: Final = 10_000
_INITIAL_REQUESTS: Final = 10_000
_LIQUIDATOR: Final = "0xdfc24b077bc1425ad1dea75bcb6f8158e10df303"  # HLP's address


class Account:
    """One account's past."""

    __slots__ = (
        "address", "cum_volume_e8", "fills", "fundings", "leverage", "number", "paid_e8", "positions", "requests",
    )  # fmt: skip

    def __init__(self, number: int, address: str) -> None:
        self.number, self.address = number, address
        self.fills: deque[dict[str, Any]] = deque(maxlen=FILLS_KEPT)
        self.fundings: deque[dict[str, Any]] = deque(maxlen=FUNDINGS_KEPT)
        self.positions: dict[int, int] = {}
        self.paid_e8: dict[int, list[int]] = {}  # by instrument: all time, since open, since change
        self.requests = 0
        self.cum_volume_e8 = 0


class Accounts:
    """All accounts, and what is said of them."""

    def __init__(self, engine: VenueEngine, markets: Sequence[Market], addresses: dict[int, str]) -> None:
        self._engine, self._markets = engine, markets
        self.all = {number: Account(number, address) for number, address in addresses.items()}
        self._events = 0

    # -- what happened

    def _next(self) -> int:
        self._events += 1
        return self._events

    def _moved(self, account: Account, instrument: int, change: int) -> tuple[int, int]:
        """(position before, after)."""
        before = account.positions.get(instrument, 0)
        account.positions[instrument] = after = before + change
        paid = account.paid_e8.setdefault(instrument, [0, 0, 0])
        paid[2] = 0
        if not after or (before < 0) != (after < 0):
            paid[1] = 0
        return before, after

    def fill(self, order: Order, event: Filled) -> dict[str, Any]:
        """Note an execution; its row of ``userFills``."""
        account, writer = self.all[order.account], self._markets[event.instrument].writer
        change = event.lots if order.terms.side == codes.BUY else -event.lots
        before, after = self._moved(account, event.instrument, change)
        account.cum_volume_e8 += writer.value_e8(event.ticks, event.lots)
        trade = event.trade_id or ""
        row = self._row(writer, order.terms.side, event.ticks, event.lots, before, after)
        row |= {
            "time": ms(event.ts_event_ns),
            "closedPnl": money(event.realized_e8),
            "oid": order.oid,
            "crossed": event.liquidity == codes.LIQ_TAKER,
            "fee": money(event.fee_e8),
        }
        if trade.isdigit() and int(trade) < 1 << 63:
            row["tid"] = int(trade)
        if order.terms.cloid is not None:
            row["cloid"] = order.terms.cloid
        if order.no < 0:
            row["liquidation"] = self._liquidation(account, event.instrument, "market")
        account.fills.append(row)
        return row

    def _row(self, writer: Writer, side: int, ticks: int, lots: int, before: int, after: int) -> dict[str, Any]:
        number = self._next()
        return {
            "coin": writer.instrument.symbol,
            "px": writer.price(ticks),
            "sz": writer.size(lots),
            "side": "B" if side == codes.BUY else "A",
            "time": 0,
            "startPosition": writer.size(before),
            "dir": direction(before, after),
            "closedPnl": "0.0",
            "hash": f"0x{number:064x}",
            "oid": 0,
            "crossed": True,
            "fee": "0.0",
            "tid": number,
            "feeToken": "USDC",
            "twapId": None,
        }

    def _liquidation(self, account: Account, instrument: int, method: str) -> dict[str, Any]:
        mark = self._engine.market(instrument).mark_e8
        return {"liquidatedUser": account.address, "markPx": price_e8(mark), "method": method}

    def taken(self, event: Liquidated | AutoDeleveraged, oid: int) -> dict[str, Any]:
        """Note a position that was taken over or deleveraged; its row of ``userFills``."""
        account, writer = self.all[event.account], self._markets[event.instrument].writer
        change = event.lots if event.side == codes.BUY else -event.lots
        before, after = self._moved(account, event.instrument, change)
        row = self._row(writer, event.side, event.ticks, event.lots, before, after)
        row |= {"time": ms(event.ts_event_ns), "closedPnl": money(event.realized_e8), "oid": oid}
        if isinstance(event, Liquidated):
            row["fee"] = money(event.fee_e8)
            row["liquidation"] = self._liquidation(account, event.instrument, "backstop")
        else:
            row["dir"] = "Auto-Deleveraging"
        account.fills.append(row)
        return row

    def liquidated(self, event: Liquidated) -> dict[str, Any]:
        """The event ``liquidation`` of the user's stream."""
        account = self.all[event.account]
        value = self._markets[event.instrument].writer.value_e8(event.ticks, event.lots)
        equity = self._engine.wallet(event.account, self.asset).equity_e8
        return {
            "lid": self._next(),
            "liquidator": _LIQUIDATOR,
            "liquidated_user": account.address,
            "liquidated_ntl_pos": money(value),
            "liquidated_account_value": money(equity),
        }

    def funding(self, event: FundingPaid) -> dict[str, Any]:
        """Note a funding payment; as the user's streams have it."""
        account, writer = self.all[event.account], self._markets[event.instrument].writer
        paid = account.paid_e8.setdefault(event.instrument, [0, 0, 0])
        for place in range(3):
            paid[place] -= event.payment_e8
        row = {
            "time": ms(event.boundary_ns),
            "coin": writer.instrument.symbol,
            "usdc": money(event.payment_e8),
            "szi": writer.size(event.position_lots),
            "fundingRate": rate(event.rate_e12),
            "nSamples": None,
        }
        account.fundings.append(row | {"hash": f"0x{self._next():064x}"})
        return row

    # -- what is

    @property
    def asset(self) -> str:
        """What accounts are kept in."""
        return self._markets[0].writer.instrument.settle

    def clearinghouse(self, account: Account | None) -> dict[str, Any]:
        """As ``clearinghouseState``; of an address that nobody has: an empty one."""
        positions = [] if account is None else self._positions(account)
        equity = initial = available = 0
        if account is not None:
            wallet = self._engine.wallet(account.number, self.asset)
            equity, available = wallet.equity_e8, max(0, wallet.available_e8)
            initial = sum(_used_e8(state) for _, state in positions)
        notional = sum(state.notional_e8 for _, state in positions)
        signed = sum(_signed(state) for _, state in positions)
        cross = [state for _, state in positions if not state.isolated]
        own_e8 = sum(state.isolated_margin_e8 + state.unrealized_e8 for _, state in positions if state.isolated)
        return {
            "marginSummary": _summary(equity, notional, equity - signed, initial),
            "crossMarginSummary": _summary(
                equity - own_e8,
                sum(state.notional_e8 for state in cross),
                equity - own_e8 - sum(_signed(state) for state in cross),
                sum(_used_e8(state) for state in cross),
            ),
            "crossMaintenanceMarginUsed": money(sum(state.maintenance_e8 for state in cross)),
            "withdrawable": money(available),
            "assetPositions": [
                {"type": "oneWay", "position": self._position(account, market, state)} for market, state in positions
            ],
            "time": ms(self._engine.now_ns),
        }  # fmt: skip

    def _positions(self, account: Account) -> list[tuple[Market, PositionState]]:
        found = ((market, self._engine.position(account.number, market.index)) for market in self._markets)
        return [(market, state) for market, state in found if state.lots]

    def _position(self, account: Account | None, market: Market, state: PositionState) -> dict[str, Any]:
        writer = market.writer
        paid = [0, 0, 0] if account is None else account.paid_e8.get(market.index, [0, 0, 0])
        entry_e8 = abs(int(writer.instrument.value_at_mark_e8(state.lots, state.entry_price_e8)))
        leverage = max(1, state.leverage)
        return {
            "coin": market.coin,
            "szi": writer.size(state.lots),
            "leverage": self._leverage(market, state),
            "entryPx": plain(
                _to_decimals(state.entry_price_e8, writer.instrument.price_decimals + 1),
                writer.instrument.price_decimals + 1,
            ),
            "positionValue": money(state.notional_e8),
            "unrealizedPnl": money(state.unrealized_e8),
            "returnOnEquity": ratio_e10(state.unrealized_e8 * leverage, entry_e8),
            "liquidationPx": price_e8(state.liquidation_price_e8) if state.liquidation_price_e8 else None,
            "marginUsed": money(_used_e8(state)),
            "maxLeverage": market.universe()["maxLeverage"],
            "cumFunding": {"allTime": money(paid[0]), "sinceOpen": money(paid[1]), "sinceChange": money(paid[2])},
        }

    def _leverage(self, market: Market, state: PositionState) -> dict[str, Any]:
        if not state.isolated:
            return {"type": "cross", "value": state.leverage}
        entry = int(market.writer.instrument.value_at_mark_e8(state.lots, state.entry_price_e8))
        return {"type": "isolated", "value": state.leverage, "rawUsd": money(state.isolated_margin_e8 - entry)}

    def asset_data(self, account: Account | None, address: str, market: Market) -> dict[str, Any]:
        """As ``activeAssetData``: what could be traded in each direction at the leverage that is set."""
        mark_e8 = self._engine.market(market.index).mark_e8
        if account is None:
            leverage: dict[str, Any] = {"type": "cross", "value": 20}
            free = [0, 0]
        else:
            state = self._engine.position(account.number, market.index)
            available = max(0, self._engine.wallet(account.number, self.asset).available_e8)
            leverage = self._leverage(market, state)
            back = 2 * state.initial_e8  # closing frees the margin, and as much can be opened again
            free = [available + (back if state.lots < 0 else 0), available + (back if state.lots > 0 else 0)]
        lot_e8 = int(market.writer.instrument.value_at_mark_e8(1, mark_e8)) if mark_e8 else 0
        sizes = [part * leverage["value"] // lot_e8 if lot_e8 else 0 for part in free]
        return {
            "user": address,
            "coin": market.coin,
            "leverage": leverage,
            "maxTradeSzs": [market.writer.size(lots) for lots in sizes],
            "availableToTrade": [money(part) for part in free],
            "markPx": price_e8(mark_e8),
        }

    def rate_limit(self, account: Account | None) -> dict[str, Any]:
        """As ``userRateLimit``."""
        volume_e8 = 0 if account is None else account.cum_volume_e8
        return {
            "cumVlm": money(volume_e8),
            "nRequestsUsed": 0 if account is None else account.requests,
            "nRequestsCap": _INITIAL_REQUESTS + volume_e8 // codes.E8,
            "nRequestsSurplus": 0,
        }

    def over_budget(self, account: int) -> str:
        """What an address is told that has used its requests up."""
        one = self.all[account]
        cap = _INITIAL_REQUESTS + one.cum_volume_e8 // codes.E8
        return (
            f"Too many cumulative requests sent ({max(one.requests, cap + 1)} > {cap}) for cumulative volume traded "
            f"${plain(one.cum_volume_e8 // 10**6, 2)}. Place taker orders to free up 1 request per USDC traded."
        )

    def fees(self, account: Account | None) -> dict[str, Any]:
        """As ``userFees``."""
        rules = self._engine.card.fees
        maker_e12, taker_e12 = rules.maker_rate_e12.latest.value, rules.taker_rate_e12.latest.value
        own = (maker_e12, taker_e12)
        if account is not None:
            own = self._engine.fee_rates_e12(account.number, 0)
        steps = rules.tiers.latest.value
        base = {"cross": rate(taker_e12), "add": rate(maker_e12)}
        spot = {"spotCross": "0.0007", "spotAdd": "0.0004"}
        return {
            "dailyUserVlm": [],
            "feeSchedule": {
                **base,
                **spot,
                "tiers": {
                    "vip": [
                        {
                            "ntlCutoff": plain(step.volume_e8, 8),
                            "cross": rate(step.taker_e12),
                            "add": rate(step.maker_e12),
                            **spot,
                        }
                        for step in steps[1:]
                    ],
                    "mm": [],
                },
                "referralDiscount": "0.04",
                "stakingDiscountTiers": [{"bpsOfMaxSupply": "0.0", "discount": "0.0"}],
            },
            "userCrossRate": rate(own[1]),
            "userAddRate": rate(own[0]),
            "userSpotCrossRate": spot["spotCross"],
            "userSpotAddRate": spot["spotAdd"],
            "activeReferralDiscount": "0.0",
            "trial": None,
            "feeTrialEscrow": "0.0",
            "nextTrialAvailableTimestamp": None,
            "stakingLink": None,
            "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
        }


def _used_e8(state: PositionState) -> int:
    return state.isolated_margin_e8 + state.unrealized_e8 if state.isolated else state.initial_e8


def _signed(state: PositionState) -> int:
    return state.notional_e8 if state.lots > 0 else -state.notional_e8


def _summary(value: int, notional: int, raw: int, used: int) -> dict[str, str]:
    return {
        "accountValue": money(value),
        "totalNtlPos": money(notional),
        "totalRawUsd": money(raw),
        "totalMarginUsed": money(used),
    }


def _to_decimals(value_e8: int, decimals: int) -> int:
    """An integer at 1e-8 at fewer (or more) decimals, rounded half up."""
    if decimals >= 8:
        return value_e8 * int(10 ** (decimals - 8))
    unit = int(10 ** (8 - decimals))
    return (2 * value_e8 + unit) // (2 * unit)


def direction(before: int, after: int) -> str:
    """What a fill did, as the venue's pages show it."""
    if before and after and (before < 0) != (after < 0):
        return "Long > Short" if before > 0 else "Short > Long"
    side = "Long" if (before or after) > 0 else "Short"
    return f"{'Open' if abs(after) > abs(before) else 'Close'} {side}"


def within(rows: Iterable[dict[str, Any]], from_ms: int, to_ms: int, most: int) -> list[dict[str, Any]]:
    """The first rows of a time range, oldest first."""
    found = [row for row in rows if from_ms <= row["time"] <= to_ms]
    return found[:most]
