"""A simulated venue that does what a test tells it: an engine for emulators, without matching.

Commands are noted in order in ``asked``; books, marks, positions and wallets are what the test puts into the
dictionaries; events are made by the test (``FakeEngine.accepted`` and so on fill in times) and handed to the emulator
by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matching import codes
from matching.brackets import Brackets
from venues.emulation import BookState, MarketState, PositionState, WalletState
from venues.instruments import Instrument
from venues.orders import (
    Accepted,
    AmendRequest,
    CancelAllRequest,
    CancelRequest,
    Filled,
    OrderRequest,
    SettingRequest,
)
from venues.rules import RuleCard

START_NS = 1_700_000_000_000_000_000
FLAT = PositionState(0, 0, 0, 0, 0, 20, False, 0, 0, 0, 0)
EMPTY = WalletState(0, 0, 0, 0, 0, 0, 0, 0)


class FakeEngine:
    """See the module."""

    def __init__(
        self,
        card: RuleCard,
        instruments: Sequence[Instrument],
        brackets: Sequence[Brackets | None] | None = None,
        accounts: int = 1,
    ) -> None:
        self.venue, self.card, self.instruments, self.accounts = card.venue, card, instruments, accounts
        self.now_ns = START_NS
        self.limited = True
        self.asked: list[Any] = []
        self.books = {index: BookState(False, 0, 0, [], []) for index in range(len(instruments))}
        self.markets = {index: MarketState(0, 0, 0, 0, 0, 0) for index in range(len(instruments))}
        self.positions: dict[tuple[int, int, int], PositionState] = {}
        self.wallets: dict[tuple[int, str], WalletState] = {}
        self.forced_orders: dict[tuple[int, int], OrderRequest] = {}
        self.fees_e12 = (150_000_000, 450_000_000)
        self.hedged: set[int] = set()
        self._brackets = list(brackets) if brackets is not None else [None] * len(instruments)

    def submit(self, requests: Sequence[OrderRequest]) -> None:
        self.asked += requests

    def amend(self, requests: Sequence[AmendRequest]) -> None:
        self.asked += requests

    def cancel(self, requests: Sequence[CancelRequest]) -> None:
        self.asked += requests

    def cancel_all(self, request: CancelAllRequest) -> None:
        self.asked.append(request)

    def change(self, request: SettingRequest) -> None:
        self.asked.append(request)

    def book(self, instrument: int, depth: int) -> BookState:
        state = self.books[instrument]
        return state._replace(bids=state.bids[:depth], asks=state.asks[:depth])

    def market(self, instrument: int) -> MarketState:
        return self.markets[instrument]

    def position(self, account: int, instrument: int, leg: int = 0) -> PositionState:
        return self.positions.get((account, instrument, leg), FLAT)

    def wallet(self, account: int, asset: str) -> WalletState:
        return self.wallets.get((account, asset), EMPTY)

    def assets(self) -> Sequence[str]:
        return sorted({instrument.settle for instrument in self.instruments})

    def brackets(self, instrument: int) -> Brackets | None:
        return self._brackets[instrument]

    def forced(self, account: int, order_no: int) -> OrderRequest | None:
        return self.forced_orders.get((account, order_no))

    def fee_rates_e12(self, account: int, instrument: int) -> tuple[int, int]:
        return self.fees_e12

    def is_hedged(self, account: int) -> bool:
        return account in self.hedged

    # -- what a test says of an order

    def event(self, kind: type[Any], order: OrderRequest | AmendRequest | CancelRequest, **fields: Any) -> Any:
        """An event of an order, now."""
        return kind(
            account=order.account,
            instrument=order.instrument,
            order_no=order.order_no,
            ts_event_ns=self.now_ns,
            ts_recv_ns=self.now_ns,
            **fields,
        )

    def accepted(self, order: OrderRequest) -> Accepted:
        """The venue has the order."""
        return self.event(Accepted, order)  # type: ignore[no-any-return]

    def filled(
        self, order: OrderRequest, lots: int, leaves_lots: int, ticks: int = 0, liquidity: int = codes.LIQ_TAKER
    ) -> Filled:
        """An execution, without a fee unless the order takes (then 1e-8 a lot)."""
        return self.event(  # type: ignore[no-any-return]
            Filled, order, ticks=ticks or order.ticks, lots=lots, leaves_lots=leaves_lots, liquidity=liquidity,
            fee_e8=lots if liquidity == codes.LIQ_TAKER else 0,
        )  # fmt: skip
