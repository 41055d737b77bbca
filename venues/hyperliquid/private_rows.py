"""What Hyperliquid says of one account, decoded: prices in ticks, sizes in lots, money at 1e-8, times in ns.

Instruments are places in the run; ids are text. The decoder: ``venues/hyperliquid/private.py``.
"""

from __future__ import annotations

import msgspec


class OrderRow(msgspec.Struct, frozen=True, gc=False):
    """An order with a status: of orderUpdates, orderStatus or frontendOpenOrders (status "open").

    ``left_lots`` is what is left of ``lots``; times in ns, of the order and of the status."""

    instrument: int
    oid: str
    cloid: str
    side: int
    ticks: int
    lots: int
    left_lots: int
    status: str
    placed_ns: int
    ts_event_ns: int
    is_trigger: bool = False
    reduce_only: bool = False


class FillRow(msgspec.Struct, frozen=True, gc=False):
    """An execution; ``position_lots`` is the position after it, ``liquidated`` whose position it closed by force."""

    instrument: int
    oid: str
    cloid: str
    trade_id: str
    side: int
    ticks: int
    lots: int
    is_taker: bool
    fee_e8: int
    realized_e8: int
    position_lots: int
    ts_event_ns: int
    direction: str
    liquidated: str


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    instrument: int
    ts_event_ns: int
    payment_e8: int
    position_lots: int
    rate_e12: int


class Fills(msgspec.Struct, frozen=True, gc=False):
    rows: list[FillRow]
    is_snapshot: bool


class Fundings(msgspec.Struct, frozen=True, gc=False):
    rows: list[FundingRow]
    is_snapshot: bool


class Updates(msgspec.Struct, frozen=True, gc=False):
    rows: list[OrderRow]


class Gone(msgspec.Struct, frozen=True, gc=False):
    """Orders that the venue itself has canceled; orderUpdates says why."""

    oids: list[str]


class Best(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask in ticks; 0: none."""

    instrument: int
    bid_ticks: int
    ask_ticks: int


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    kind: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The channel ``error``."""

    text: str


class Status(msgspec.Struct, frozen=True, gc=False):
    """One status of an answer: ``word`` resting, filled, error, or the venue's bare word; ``lots`` of filled, as
    text: the order's instrument is not part of it."""

    word: str
    oid: str = ""
    size: str = ""
    text: str = ""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """An answer to an action. ``error`` is that of the whole action; ``statuses`` may be empty (type "default")."""

    statuses: list[Status]
    error: str = ""


class Posted(msgspec.Struct, frozen=True, gc=False):
    """The answer to the ``post`` of this number."""

    number: int
    outcome: Outcome


class PositionRow(msgspec.Struct, frozen=True, gc=False):
    instrument: int
    lots: int
    entry_price_e8: int
    leverage: int
    isolated: bool


class AccountRow(msgspec.Struct, frozen=True, gc=False):
    """clearinghouseState: ``wallet_e8`` is the account's value without unrealized profits; ``others`` are coins with a
    position that the session does not trade."""

    ts_event_ns: int
    wallet_e8: int
    positions: list[PositionRow]
    others: list[str]


Message = Fills | Fundings | Updates | Gone | Best | Subscribed | Refused | Posted
