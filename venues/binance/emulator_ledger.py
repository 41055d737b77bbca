"""What the accounts of the emulated Binance have been told: positions, wallets, fills, income, and ACCOUNT_UPDATE.

The engine's own state may be ahead of what a client has heard (responses take time), so user events are made from the
fills delivered so far; what the engine then states of a position or a wallet corrects them. Changes of one moment
leave together, at the latest when the emulator's actions are taken. REST answers show the engine's state.

Sources: USDM, "Event Balance and Position Update", "Event Margin Call", "Get Income History", "Account Trade List".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from matching import codes
from venues.binance.emulator_market import Charge, Market
from venues.binance.emulator_orders import LEGS, Row
from venues.binance.emulator_site import Site
from venues.binance.emulator_wire import money, ms, plain
from venues.orders import BalanceChanged, Filled, FundingPaid, MarginWarning, PositionChanged

FILLS_MOST: Final = 50_000
INCOME_MOST: Final = 50_000


class Holding:
    """One position as delivered: signed lots, what they were worth at entry (1e-8), realised so far."""

    __slots__ = ("cost", "lots", "realized_e8", "updated_ms")

    def __init__(self) -> None:
        self.lots = 0
        self.cost = Fraction(0)
        self.realized_e8 = 0
        self.updated_ms = 0

    def take(self, market: Market, side: int, ticks: int, lots: int, realized_e8: int) -> None:
        signed = lots if side == codes.BUY else -lots
        closing = min(lots, abs(self.lots)) if self.lots * signed < 0 else 0
        if closing:
            self.cost -= self.cost * closing / abs(self.lots)
        self.lots += signed
        opening = lots - closing
        if opening:
            self.cost += market.instrument.value_e8(ticks, opening)
        self.realized_e8 += realized_e8

    def unrealized_e8(self, market: Market, mark_e8: int) -> Fraction:
        if not self.lots or not mark_e8:
            return Fraction(0)
        gain = market.instrument.value_at_mark_e8(abs(self.lots), mark_e8) - self.cost
        return gain if (self.lots > 0) != market.instrument.inverse else -gain


@dataclass
class Told:
    """One account."""

    wallets: dict[str, int]
    holdings: dict[tuple[int, int], Holding] = field(default_factory=dict)
    fills: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_MOST))
    income: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=INCOME_MOST))
    reason: str = ""  # of the changes that have not left yet
    changed_assets: dict[str, int] = field(default_factory=dict)  # and by how much, PnL and commission left out
    changed_positions: dict[tuple[int, int], None] = field(default_factory=dict)
    changed_ns: int = 0
    funded: str = ""  # the symbol, where the change is a funding payment

    def holding(self, instrument: int, leg: int) -> Holding:
        return self.holdings.setdefault((instrument, leg), Holding())


class Ledger:
    """See the module's text. ``tell`` sends an event to an account's user streams."""

    def __init__(self, site: Site, tell: Callable[[int, dict[str, Any]], None]) -> None:
        self._site = site
        self._tell = tell
        engine = site.engine
        self.told = [
            Told({asset: engine.wallet(account, asset).wallet_e8 for asset in engine.assets()})
            for account in range(engine.accounts)
        ]
        self._changes: dict[int, None] = {}  # accounts whose changes have not left yet
        self._next_trade_id = 1
        self._next_transfer_id = 1

    # -- what happens

    def take_fill(self, row: Row, event: Filled) -> dict[str, Any]:
        """Book a fill; the fields of its user event."""
        told, market = self.told[row.account], row.market
        time_ms = ms(event.ts_event_ns)
        trade_id = int(event.trade_id) if event.trade_id and event.trade_id.isdigit() else self._next_trade_id
        self._next_trade_id += 1
        settle = market.instrument.settle
        holding = told.holding(market.index, row.leg)
        holding.take(market, row.side, event.ticks, event.lots, event.realized_e8)
        holding.updated_ms = time_ms
        told.wallets[settle] = told.wallets.get(settle, 0) + event.realized_e8 - event.fee_e8
        is_maker = event.liquidity == codes.LIQ_MAKER
        self._note_fill(told, row, event, trade_id, is_maker)
        self.income(row.account, market, "COMMISSION", -event.fee_e8, time_ms, str(trade_id))
        if event.realized_e8:
            self.income(row.account, market, "REALIZED_PNL", event.realized_e8, time_ms, str(trade_id))
        self._changed(row.account, "ORDER", event.ts_event_ns, settle, 0, (market.index, row.leg))
        return {
            "l": market.printer.size(event.lots),
            "L": market.printer.price(event.ticks),
            "n": money(event.fee_e8),
            "N": settle,
            "t": trade_id,
            "m": is_maker,
            "rp": money(event.realized_e8),
        }

    def _note_fill(self, told: Told, row: Row, event: Filled, trade_id: int, is_maker: bool) -> None:
        market = row.market
        value = market.printer.quote(market.instrument.value_e8(event.ticks, event.lots))
        found: dict[str, Any] = {
            "symbol": market.symbol,
            "id": trade_id,
            "orderId": row.order_id,
            "side": "BUY" if row.side == codes.BUY else "SELL",
            "price": market.printer.price(event.ticks),
            "qty": market.printer.size(event.lots),
            "realizedPnl": money(event.realized_e8),
        }
        if market.instrument.inverse:
            found.update(pair=market.pair, marginAsset=market.instrument.settle, baseQty=value)
        else:
            found["quoteQty"] = value
        found.update(
            commission=money(event.fee_e8),
            commissionAsset=market.instrument.settle,
            time=ms(event.ts_event_ns),
            positionSide=LEGS[row.leg],
            buyer=row.side == codes.BUY,
            maker=is_maker,
        )
        told.fills.append(found)

    def take_over(self, account: int, market: Market, leg: int, side: int, ticks: int, lots: int, gain: tuple[int, int],
                  event_ns: int) -> None:  # fmt: skip
        """A position was taken from an account; ``gain`` = (realised, fee)."""
        told = self.told[account]
        settle = market.instrument.settle
        told.holding(market.index, leg).take(market, side, max(ticks, 1), lots, gain[0])
        told.wallets[settle] = told.wallets.get(settle, 0) + gain[0] - gain[1]
        self.income(account, market, "REALIZED_PNL", gain[0], ms(event_ns), "")
        if gain[1]:
            self.income(account, market, "INSURANCE_CLEAR", -gain[1], ms(event_ns), "")
        self._changed(account, "ORDER", event_ns, settle, 0, (market.index, leg))

    def take_funding(self, event: FundingPaid) -> None:
        market, told = self._site.markets[event.instrument], self.told[event.account]
        settle = market.instrument.settle
        market.charged(Charge(ms(event.boundary_ns), event.rate_e12, event.mark_e8))
        self.income(event.account, market, "FUNDING_FEE", event.payment_e8, ms(event.ts_event_ns), "")
        self.flush(event.account)
        told.wallets[settle] = told.wallets.get(settle, 0) + event.payment_e8
        hedged = self._site.engine.is_hedged(event.account)
        leg = 0
        if hedged:
            leg = codes.FLAG_LONG_LEG if event.position_lots > 0 else codes.FLAG_SHORT_LEG
        isolated = self._site.engine.position(event.account, event.instrument, leg).isolated
        position = (event.instrument, leg) if isolated else None
        self._changed(event.account, "FUNDING_FEE", event.ts_event_ns, settle, event.payment_e8, position)
        told.funded = market.symbol

    def take_position(self, event: PositionChanged) -> None:
        """The engine's word on a position; in hedge mode, where it is a sum of two, the fills' own stands."""
        if self._site.engine.is_hedged(event.account):
            return
        told = self.told[event.account]
        holding = told.holding(event.instrument, 0)
        if holding.lots != event.position_lots:
            state = self._site.engine.position(event.account, event.instrument)
            market = self._site.markets[event.instrument]
            holding.lots = event.position_lots
            if event.position_lots and state.entry_price_e8:
                holding.cost = market.instrument.value_at_mark_e8(abs(event.position_lots), state.entry_price_e8)
            else:
                holding.cost = Fraction(0)
            self._changed(event.account, told.reason or "ADJUSTMENT", event.ts_event_ns, "", 0, (event.instrument, 0))

    def take_balance(self, event: BalanceChanged) -> None:
        told = self.told[event.account]
        if told.wallets.get(event.asset) != event.wallet_e8:
            change = event.wallet_e8 - told.wallets.get(event.asset, 0)
            told.wallets[event.asset] = event.wallet_e8
            known = bool(told.reason)
            self._changed(
                event.account, told.reason or "ADJUSTMENT", event.ts_event_ns, event.asset, 0 if known else change, None
            )

    def take_transfer(self, account: int, market: Market, leg: int, reason: str) -> None:
        """Margin was moved into or out of an isolated position, or its mode changed."""
        self.flush(account)
        settle = market.instrument.settle
        self._changed(account, reason, self._site.engine.now_ns, settle, 0, (market.index, leg))

    def warn(self, event: MarginWarning) -> None:
        """MARGIN_CALL, with every position that is held."""
        engine, rows = self._site.engine, []
        for (instrument, leg), holding in self.told[event.account].holdings.items():
            if not holding.lots:
                continue
            market, state = self._site.markets[instrument], engine.position(event.account, instrument, leg)
            rows.append(
                {
                    "s": market.symbol,
                    "ps": LEGS[leg],
                    "pa": market.instrument.size_str(holding.lots),
                    "mt": "ISOLATED" if state.isolated else "CROSSED",
                    "iw": money(state.isolated_margin_e8) if state.isolated else "0",
                    "mp": money(state.mark_e8),
                    "up": money(state.unrealized_e8),
                    "mm": money(state.maintenance_e8),
                }
            )
        found = {"e": "MARGIN_CALL", "E": ms(engine.now_ns), "cw": money(event.margin_e8), "p": rows}
        self._tell(event.account, found)

    # -- telling

    def _changed(
        self, account: int, reason: str, event_ns: int, asset: str, amount_e8: int, position: tuple[int, int] | None
    ) -> None:
        told = self.told[account]
        self._changes[account] = None
        told.reason = reason
        told.changed_ns = event_ns
        if asset:
            told.changed_assets[asset] = told.changed_assets.get(asset, 0) + amount_e8
        if position is not None:
            told.changed_positions[position] = None

    def flush_all(self) -> None:
        for account in list(self._changes):
            self.flush(account)

    def flush(self, account: int) -> None:
        """Send ACCOUNT_UPDATE for what has changed."""
        told = self.told[account]
        if self._changes.pop(account, self) is self:
            return
        now_ms, time_ms = ms(self._site.engine.now_ns), ms(told.changed_ns)
        isolated_e8: dict[str, int] = {}
        for (instrument, leg), holding in told.holdings.items():
            state = self._site.engine.position(account, instrument, leg)
            if holding.lots and state.isolated:
                settle = self._site.markets[instrument].instrument.settle
                isolated_e8[settle] = isolated_e8.get(settle, 0) + state.isolated_margin_e8
        balances = [
            {
                "a": asset,
                "wb": money(told.wallets.get(asset, 0)),
                "cw": money(told.wallets.get(asset, 0) - isolated_e8.get(asset, 0)),
                "bc": money(amount_e8) if amount_e8 else "0",
            }
            for asset, amount_e8 in told.changed_assets.items()
        ]
        rows = [self._position(account, *where) for where in told.changed_positions]
        body = {"m": told.reason, "B": balances, "P": rows}
        if told.funded and not self._site.is_coin:
            body["S"] = told.funded
        told.reason = told.funded = ""
        told.changed_assets.clear()
        told.changed_positions.clear()
        self._tell(account, {"e": "ACCOUNT_UPDATE", "E": max(now_ms, time_ms), "T": time_ms, "a": body})

    def _position(self, account: int, instrument: int, leg: int) -> dict[str, Any]:
        market = self._site.markets[instrument]
        holding = self.told[account].holding(instrument, leg)
        state = self._site.engine.position(account, instrument, leg)
        entry = plain(round(market.printer.average_e8(holding.cost, abs(holding.lots))))
        return {
            "s": market.symbol,
            "pa": market.instrument.size_str(holding.lots),
            "ep": entry,
            "cr": money(holding.realized_e8),
            "up": money(round(holding.unrealized_e8(market, self._site.engine.market(instrument).mark_e8))),
            "mt": "isolated" if state.isolated else "cross",
            "iw": money(state.isolated_margin_e8) if state.isolated else "0",
            "ps": LEGS[leg],
            "ma": market.instrument.settle,
            "bep": entry,
        }

    def income(
        self, account: int, market: Market | None, kind: str, amount_e8: int, time_ms: int, trade_id: str
    ) -> None:
        told = self.told[account]
        number = self._next_transfer_id
        self._next_transfer_id += 1
        settle = market.instrument.settle if market is not None else ""
        found = {
            "symbol": market.symbol if market is not None else "",
            "incomeType": kind,
            "income": money(amount_e8),
            "asset": settle,
            "info": trade_id if kind in ("COMMISSION", "REALIZED_PNL") else kind,
            "time": time_ms,
            "tranId": str(number) if self._site.is_coin else number,
            "tradeId": trade_id,
        }
        told.income.append(found)
