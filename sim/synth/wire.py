"""Binance's futures streams as text: one function a message, field for field as the venue sends it.

Forms and field order follow recordings of the USD-M and COIN-M streams of 2023 and 2024 and the venue's documentation
(developers.binance.com, "Websocket Market Streams" of both products): ``depthUpdate`` with ``U u pu``, ``trade`` with
its order type ``X``, ``bookTicker``, ``markPriceUpdate`` with rate ``r`` and next funding time ``T``, ``forceOrder``,
and the REST depth snapshot as it is found inline in such recordings. COIN-M messages also carry the pair ``ps`` (in the
snapshot ``symbol`` and ``pair``). All times are milliseconds here and integers throughout; prices come in ticks, sizes
in lots, marks at 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from matching.codes import E8, SELL
from sim.synth.market import SyntheticMarket

TEXTS_KEPT: Final = 50_000


def decimal_text(units: int, decimals: int) -> str:
    """``units`` of the last of ``decimals`` decimals as the venue prints it: 2815010, 2 -> ``28150.10``."""
    if not decimals:
        return str(units)
    sign, units = ("-", -units) if units < 0 else ("", units)
    scale = 10**decimals
    return f"{sign}{units // scale}.{units % scale:0{decimals}d}"


class Texts(dict[int, str]):
    """Numbers as text, each made once; it forgets them all when they have become too many."""

    def __init__(self, make: Callable[[int], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, number: int) -> str:
        if len(self) >= TEXTS_KEPT:
            self.clear()
        text = self[number] = self._make(number)
        return text


class Wire:
    """The messages of one market."""

    def __init__(self, market: SyntheticMarket) -> None:
        self._market = market
        self._prices = Texts(lambda ticks: decimal_text(ticks * market.tick_units, market.price_decimals))
        self._sizes = Texts(lambda lots: decimal_text(lots * market.lot_units, market.size_decimals))
        self._stream = market.symbol.lower()
        self._coin = bool(market.pair)
        self._pair = f',"ps":"{market.pair}"' if self._coin else ""
        self._symbol = f'"s":"{market.symbol}"'

    def price(self, ticks: int) -> str:
        return self._prices[ticks]

    def size(self, lots: int) -> str:
        return self._sizes[lots]

    def _levels(self, levels: Iterable[tuple[int, int]]) -> str:
        prices, sizes = self._prices, self._sizes
        return ",".join([f'["{prices[tick]}","{sizes[lots]}"]' for tick, lots in levels])

    def _wrap(self, stream: str, data: str) -> str:
        return f'{{"stream":"{self._stream}@{stream}","data":{{{data}}}}}'

    def depth(
        self,
        push_ms: int,
        engine_ms: int,
        ids: tuple[int, int, int],
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
    ) -> str:
        """A diff; ``ids`` are (first, last, last of the previous diff)."""
        first, last, previous = ids
        return self._wrap(
            "depth@0ms",
            f'"e":"depthUpdate","E":{push_ms},"T":{engine_ms},{self._symbol}{self._pair},"U":{first},"u":{last},'
            f'"pu":{previous},"b":[{self._levels(bids)}],"a":[{self._levels(asks)}]',
        )

    def snapshot(
        self,
        push_ms: int,
        engine_ms: int,
        update_id: int,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
    ) -> str:
        """The body of ``GET /fapi/v1/depth`` or ``/dapi/v1/depth``."""
        market = self._market
        names = f'"symbol":"{market.symbol}","pair":"{market.pair}",' if self._coin else ""
        return (
            f'{{"lastUpdateId":{update_id},"E":{push_ms},"T":{engine_ms},{names}'
            f'"bids":[{self._levels(bids)}],"asks":[{self._levels(asks)}]}}'
        )

    def trade(
        self, push_ms: int, engine_ms: int, trade_id: int, aggressor: int, ticks: int, lots: int, kind: str = "MARKET"
    ) -> str:
        """One print; ``kind`` is the wire's ``X`` (``INSURANCE_FUND`` prints are not of the book)."""
        maker = "true" if aggressor == SELL else "false"
        return self._wrap(
            "trade",
            f'"e":"trade","E":{push_ms},"T":{engine_ms},{self._symbol},"t":{trade_id},"p":"{self.price(ticks)}",'
            f'"q":"{self.size(lots)}","X":"{kind}","m":{maker}',
        )

    def book_ticker(
        self, push_ms: int, engine_ms: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]
    ) -> str:
        head = f'"u":{update_id},"e":"bookTicker"' if self._coin else f'"e":"bookTicker","u":{update_id}'
        return self._wrap(
            "bookTicker",
            f'{head},{self._symbol}{self._pair},"b":"{self.price(bid[0])}","B":"{self.size(bid[1])}",'
            f'"a":"{self.price(ask[0])}","A":"{self.size(ask[1])}","T":{engine_ms},"E":{push_ms}',
        )

    def mark(self, push_ms: int, mark_e8: int, index_e8: int, rate_e8: int, next_funding_ms: int) -> str:
        """``P``, the estimated settlement price, is of use in a settlement's last hour only; it repeats the index."""
        index = decimal_text(index_e8, 8)
        return self._wrap(
            "markPrice@1s",
            f'"e":"markPriceUpdate","E":{push_ms},{self._symbol},"p":"{decimal_text(mark_e8, 8)}","P":"{index}",'
            f'"i":"{index}","r":"{decimal_text(rate_e8, 8)}","T":{next_funding_ms}',
        )

    def force_order(
        self, push_ms: int, engine_ms: int, side: int, ticks: int, average: tuple[int, int], lots: int, last_lots: int
    ) -> str:
        """Somebody's liquidation order; ``average`` is (sum of ticks * lots, lots) of its executions."""
        market = self._market
        units = average[0] * market.tick_units * (E8 // 10**market.price_decimals)
        mean = decimal_text(units // average[1], 8).rstrip("0").rstrip(".")
        side_name = "SELL" if side == SELL else "BUY"
        return self._wrap(
            "forceOrder",
            f'"e":"forceOrder","E":{push_ms},"o":{{{self._symbol}{self._pair},"S":"{side_name}",'
            f'"o":"LIMIT","f":"IOC","q":"{self.size(lots)}","p":"{self.price(ticks)}","ap":"{mean}",'
            f'"X":"FILLED","l":"{self.size(last_lots)}","z":"{self.size(average[1])}","T":{engine_ms}}}',
        )
