"""How a venue closes positions that their margin no longer carries: one procedure an object, behind a narrow face.

The kernel asks the ledger at every mark whether an account is below its maintenance margin; only then does it call
``Procedure.liquidate`` of the venue. All of it is rare, so this is plain Python. Times are venue time in ns, sizes in
lots, prices in ticks, money at 1e-8 of the settlement asset.
"""

from __future__ import annotations

from typing import Any, Protocol

from matching.codes import BUY, CAUSE_LIQUIDATION, EV_FILLED, EV_LIQUIDATED, R_LIQUIDATION, SELL


class Host(Protocol):
    """What a procedure sees of the kernel (``Core``). ``m`` counts markets; a lane has one account a venue."""

    ledger: Any
    lane_accounts: list[list[int]]

    def markets_of(self, venue: int, /) -> list[int]: ...
    def cancel_resting(self, lane: int, m: int, reason: int, ts: int, /) -> None: ...
    def seen_levels(self, lane: int, m: int, side: int, limit_ticks: int, /) -> list[tuple[int, int]]: ...
    def take_level(self, lane: int, m: int, side: int, ticks: int, lots: int, /) -> None: ...
    def emit_forced(
        self, lane: int, m: int, event: int, ts: int, ticks: int, lots: int, fee_e8: int, realized_e8: int, side: int,
        cause: int, /,
    ) -> None: ...  # fmt: skip


class Procedure(Protocol):
    """What the kernel calls: a mark has found the lane's account at this procedure's venue below maintenance."""

    def liquidate(self, lane: int, ts: int, /) -> None: ...


class IocThenFund:
    """Binance: cancel all, one reducing order a position down to the bankruptcy price, the rest to the insurance fund.

    Margin is per asset: the others of the account go on. Source: Binance support 360033525271.
    """

    def __init__(self, host: Host, venue: int) -> None:
        self.host = host
        self.venue = venue

    def liquidate(self, lane: int, ts: int) -> None:
        host, ledger = self.host, self.host.ledger
        account = host.lane_accounts[lane][self.venue]
        for _ in range(ledger.n_assets):
            asset = ledger.liquidatable_asset(account)
            if asset < 0:
                return
            mine = [m for m in host.markets_of(self.venue) if ledger.arrays["market_asset"][m] == asset]
            for m in mine:
                host.cancel_resting(lane, m, R_LIQUIDATION, ts)
            for m in mine:
                if ledger.liquidatable_asset(account) == asset and ledger.position(account, m):
                    self._reduce(lane, account, m, ts)
            if ledger.liquidatable_asset(account) == asset:
                for m in mine:
                    self._take_over(lane, account, m, ts)

    def _reduce(self, lane: int, account: int, m: int, ts: int) -> None:
        """One order for the whole position, down to the bankruptcy price at worst."""
        host, ledger = self.host, self.host.ledger
        lots = ledger.position(account, m)
        side = SELL if lots > 0 else BUY
        limit, left = ledger.bankruptcy_ticks(account, m), abs(lots)
        for ticks, size in host.seen_levels(lane, m, 1 - side, limit):
            if left == 0 or (ticks < limit if side == SELL else ticks > limit):
                break
            size = min(left, size)
            host.take_level(lane, m, 1 - side, ticks, size)
            ledger.fill_with_fee(account, m, side, ticks, size, 0)
            realized = ledger.last_realized_e8
            fee = ledger.liquidation_fee(account, m, ticks, size)
            host.emit_forced(lane, m, EV_FILLED, ts, ticks, size, fee, realized, side, CAUSE_LIQUIDATION)
            left -= size
            if left > 0:  # the fee has taken of what the rest may lose
                limit = ledger.bankruptcy_ticks(account, m)

    def _take_over(self, lane: int, account: int, m: int, ts: int) -> None:
        host, ledger = self.host, self.host.ledger
        lots = ledger.takeover(account, m)
        if lots:
            side = SELL if lots > 0 else BUY
            host.emit_forced(
                lane, m, EV_LIQUIDATED, ts, ledger.last_ticks, abs(lots), 0, ledger.last_realized_e8, side,
                ledger.last_cause,
            )  # fmt: skip
