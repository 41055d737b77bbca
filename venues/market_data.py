"""Market data as the venues' codecs hand it out: one set of typed records of exact integers for all of them.

Times are nanoseconds UTC, ``ts_event_ns`` from the engine and ``ts_push_ns`` from the gateway; 0 where the venue does
not say (who reads the record then takes its receive time). Prices and sizes are integer ticks and lots of the
instrument. Ids are the venue's own, or made of nothing but what it sends, and chain: a diff follows when its
``previous_id`` is the ``last_id`` of the one before it, whichever of the two is larger. What each venue sends and how
it is mapped: ``venues/<venue>/codec.py``.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class DepthDiff(msgspec.Struct, frozen=True, gc=False):
    """A change of the book: absolute quantities, 0 deletes. ``previous_id`` is the ``last_id`` of the one before it.
    ``intact`` says whether the venue's checksum agrees with our book after this change; None: it sent none."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    first_id: int
    last_id: int
    previous_id: int
    bid_ticks: list[int]
    bid_lots: list[int]
    ask_ticks: list[int]
    ask_lots: list[int]
    intact: bool | None = None


class DepthSnapshot(msgspec.Struct, frozen=True, gc=False):
    """The book as of ``last_id``, best first. Asked for apart from the stream (``in_stream`` False: it joins the first
    diff that reaches beyond ``last_id``), or sent in the stream, where it replaces the book at once and the next diff
    follows its ``last_id``. ``intact``: see ``DepthDiff``."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    last_id: int
    bid_ticks: list[int]
    bid_lots: list[int]
    ask_ticks: list[int]
    ask_lots: list[int]
    in_stream: bool = False
    intact: bool | None = None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One print. ``side`` is the aggressor's. ``on_book`` is False for prints that met no order of the book
    (``origin`` says which kind); the price of those may lie off the grid and is then rounded down to it."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    trade_id: int
    side: int
    ticks: int
    lots: int
    origin: str
    on_book: bool


class AggTrade(msgspec.Struct, frozen=True, gc=False):
    """One taker's prints at one price within 100 ms: trades ``first_trade_id`` to ``last_trade_id``, on the book."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    agg_id: int
    first_trade_id: int
    last_trade_id: int
    side: int
    ticks: int
    lots: int


class BookTicker(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask as of ``update_id``, which is comparable with the ids of the book; 0 where the venue has none.
    Lots 0 say that the side is empty."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    update_id: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    """Mark, index (0: not sent), funding rate (None: the contract has none, or it was not sent yet) and the boundary at
    which it is charged (0: not known, or none is next because funding accrues). There is one time, which is both."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    mark_e8: int
    index_e8: int
    rate_e12: int | None
    next_funding_ns: int


class ForceOrder(msgspec.Struct, frozen=True, gc=False):
    """Somebody's liquidation order. Of Binance a sample: the largest (until 2026-04-14: the latest) of each second.

    ``side`` is the order's. ``price_e8`` is its limit, a bankruptcy price that may lie off the grid; ``ticks`` is the
    nearest price on the grid that the limit allows. ``lots`` is the order's size, ``filled_lots`` its executed part."""

    symbol: str
    ts_event_ns: int
    ts_push_ns: int
    side: int
    price_e8: int
    ticks: int
    lots: int
    filled_lots: int


class Other(msgspec.Struct, frozen=True, gc=False):
    """A well-formed frame that is no input of a simulation; ``event`` names its kind, ``symbol`` may be empty."""

    event: str
    symbol: str


Single: TypeAlias = DepthDiff | DepthSnapshot | Trade | AggTrade | BookTicker | MarkPrice | ForceOrder | Other


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What an all-market stream delivers at once."""

    records: tuple[Single, ...]


Record: TypeAlias = Single | Batch
