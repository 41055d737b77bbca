"""How a venue's book feed hangs together: what whoever keeps a book of it must know beyond the records themselves.

The records (``venues/market_data.py``) are the same for all venues; what differs is whether ids may go back, whether
the book is crossed as sent, and whether prints are counted. Each entry says where it is from. Captures of a venue that
has no entry are kept by the strictest rules: ids rise, a crossed book is an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MarketFeed:
    """``ids_rise``: an id at or below the last one is a repeat; where ids may go back or stand still, only a message
    that was seen before is. ``crossed``: the book may be crossed as sent, and the receiver uncrosses it.
    ``trades_counted``: prints are numbered one by one, so an absent id is an absent print."""

    ids_rise: bool = True
    crossed: bool = False
    trades_counted: bool = False


# Binance: U, u, pu rise (developers.binance.com, "How to manage a local order book correctly"); trade ids count.
_BINANCE: Final = MarketFeed(trades_counted=True)

_FEEDS: Final[dict[str, MarketFeed]] = {
    "binance_usdm": _BINANCE,
    "binance_coinm": _BINANCE,
    # A snapshot with u = 1 restarts the count, and any snapshot replaces the book (bybit-exchange.github.io/docs,
    # v5 websocket public orderbook).
    "bybit_linear": MarketFeed(ids_rise=False),
    "bybit_inverse": MarketFeed(ids_rise=False),
    # seqId equals prevSeqId where nothing changed, and is below it after maintenance (www.okx.com/docs-v5, order book
    # channel: 10 -> 15 -> 15 -> 3 -> 5).
    "okx": MarketFeed(ids_rise=False),
    # l2Book is always the whole book; its block's time stands for an id (hyperliquid.gitbook.io, websocket
    # subscriptions).
    "hyperliquid": MarketFeed(),
    # Ids count the messages of a connection and start again with the next; the indexer merges what nodes believe, so
    # the book may be crossed (docs.dydx.xyz, indexer client, "uncrossing the orderbook").
    "dydx": MarketFeed(ids_rise=False, crossed=True),
    # change_id is compared for equality only (docs.deribit.com, book.{instrument_name}); trade_seq has no holes.
    "deribit": MarketFeed(ids_rise=False, trades_counted=True),
}
_STRICT: Final = MarketFeed()


def market_feed(venue: str) -> MarketFeed:
    """The facts of a venue's book feed."""
    return _FEEDS.get(venue, _STRICT)
