"""The strategy API: names, units and meanings. The code is strategy.py; annotated strategies use strategy.pxd.

Times are int nanoseconds UTC, prices int ticks, sizes int lots, money int at 1e-8 of the asset (``_e8``), rates int at
1e-12 (``_e12``). Sides are 0 (BUY) and 1 (SELL). Instruments are addressed by their index in the run file.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import polars as pl

from matching.kernel import Core
from matching.triggers import Trigger
from sim.bars import Bar as Bar
from sim.venue_face import VenueFace
from venues.instruments import Instrument

INTENT: Final = 0
SENT: Final = 1
UNKNOWN: Final = 2
HELD: Final = 3
OPEN: Final = 4
CLOSED: Final = 5
PENDING_AMEND: Final = 1
PENDING_CANCEL: Final = 2
SIDE_NAMES: Final[tuple[str, str]]
MAX_TICKS: Final[int]
NEVER_NS: Final[int]

class Order:
    """One order of ours, kept up to date from delivered events; it stays valid after it has closed.

    ``lots`` is the total size, ``filled_lots`` the executed part. ``status`` is one of the lifecycle's integers,
    ``pending`` the requests under way (bits PENDING_AMEND, PENDING_CANCEL), ``reason`` the close or reject reason (R
    codes). ``is_open``: the venue has accepted it and it may execute. ``is_cancelable``: open with no request under
    way. ``sent_ns`` and ``acked_ns``, ``closed_ns`` are instants on our side, ``acked_venue_ns`` is the venue's; 0 if
    not yet. ``value_ticks_lots`` is the sum of ticks * lots executed. ``external``: made by the venue (a
    liquidation), not by us. ``tag`` is an int of the strategy's own. ``trigger``, ``expires_ns``, ``stp``,
    ``position_side`` and ``close_position`` are those given to ``submit``; ``lots`` of an order that closes a
    position is 0 until the venue has sized it; otherwise ``ticks`` and ``lots`` are what the venue confirmed last.
    """

    number: Final[int]
    lane: Final[int]
    instrument: Final[int]
    side: Final[int]
    ticks: Final[int]
    lots: Final[int]
    filled_lots: Final[int]
    tif: Final[int]
    type: Final[int]
    status: Final[int]
    pending: Final[int]
    reason: Final[int]
    sent_ns: Final[int]
    acked_ns: Final[int]
    acked_venue_ns: Final[int]
    closed_ns: Final[int]
    value_ticks_lots: Final[int]
    reduce_only: Final[bool]
    leg: Final[int]
    close_position: Final[bool]
    trigger: Final[Trigger | None]
    stp: Final[str | None]
    client_id: Final[str | None]
    expires_ns: Final[int]
    external: Final[bool]
    is_open: Final[bool]
    is_closed: Final[bool]
    is_cancelable: Final[bool]
    tag: int
    @property
    def position_side(self) -> str | None:
        """ "long" or "short" in hedge mode, else None."""
    @property
    def leaves_lots(self) -> int: ...
    @property
    def average_ticks(self) -> float | None: ...
    @property
    def status_name(self) -> str: ...

class OrderEvent:
    """What a venue said about an order: ``kind`` an EV code, ``reason`` an R code, ``ts_event_ns`` the venue's time,
    ``ts_ns`` ours; ``ticks``, ``lots``, ``leaves_lots`` as in the canonical order log. ``code`` and ``text`` are the
    venue's own for the reason (None and "" where it has none)."""

    instrument: Final[int]
    order_number: Final[int]
    kind: Final[int]
    reason: Final[int]
    side: Final[int]
    ts_event_ns: Final[int]
    ts_ns: Final[int]
    ticks: Final[int]
    lots: Final[int]
    leaves_lots: Final[int]
    @property
    def name(self) -> str: ...
    @property
    def code(self) -> int | None: ...
    @property
    def text(self) -> str: ...

class Fill:
    """One execution of ours: ``lots`` at ``ticks``; ``liquidity`` LIQ_MAKER or LIQ_TAKER, ``cause`` a CAUSE code,
    ``queue_front_lots`` what was ahead of us when it happened (float), ``fee_e8`` paid (negative: rebate),
    ``realized_e8`` profit realised against the average entry."""

    instrument: Final[int]
    order_number: Final[int]
    side: Final[int]
    ticks: Final[int]
    lots: Final[int]
    leaves_lots: Final[int]
    liquidity: Final[int]
    cause: Final[int]
    fee_e8: Final[int]
    realized_e8: Final[int]
    ts_event_ns: Final[int]
    ts_ns: Final[int]
    queue_front_lots: Final[float]
    @property
    def price(self) -> float: ...

class Trade:
    """One print of the feed; ``side`` is the aggressor's, ``is_off_book`` marks prints that are not of this book."""

    instrument: Final[int]
    side: Final[int]
    ticks: Final[int]
    lots: Final[int]
    id: Final[int]
    ts_event_ns: Final[int]
    ts_recv_ns: Final[int]
    is_off_book: Final[bool]
    @property
    def price(self) -> float: ...

class Funding:
    """A funding payment: ``payment_e8`` is positive when received; ``boundary_ns`` the venue's funding instant."""

    instrument: Final[int]
    boundary_ns: Final[int]
    ts_ns: Final[int]
    rate_e12: Final[int]
    mark_e8: Final[int]
    position_lots: Final[int]
    payment_e8: Final[int]

class Gap:
    """A hole in the feed: ``kind`` a GAP code, ids lost where the venue numbers messages, ``span_ns`` of silence."""

    instrument: Final[int]
    kind: Final[int]
    first_lost: Final[int]
    last_lost: Final[int]
    span_ns: Final[int]
    ts_event_ns: Final[int]
    ts_recv_ns: Final[int]

class Liquidation:
    """``kind`` EV_MARGIN_WARNING, EV_LIQUIDATED or EV_ADL; ``lots`` taken over at ``ticks`` on ``side``.

    ``cause``: CAUSE_LIQUIDATION (the insurance fund took them), CAUSE_TAKEOVER (a vault) or CAUSE_ADL (holders of the
    other side). ``price_kind``: PRICE_MARK, PRICE_BANKRUPTCY or PRICE_PRIOR_MARK. ``amount_e8`` = ``realized_e8`` -
    ``fee_e8``. A warning has the position's lots, and the mark as ``ticks``.
    """

    instrument: Final[int]
    kind: Final[int]
    side: Final[int]
    ticks: Final[int]
    lots: Final[int]
    amount_e8: Final[int]
    mark_e8: Final[int]
    cause: Final[int]
    price_kind: Final[int]
    fee_e8: Final[int]
    realized_e8: Final[int]
    ts_event_ns: Final[int]
    ts_ns: Final[int]

class Setting:
    """``kind`` SETTING_*, the ``value`` asked for, and why it was refused: ``reason`` R_NONE where ``is_accepted``."""

    instrument: Final[int]
    kind: Final[int]
    value: Final[int]
    is_accepted: Final[bool]
    reason: Final[int]
    ts_event_ns: Final[int]
    ts_ns: Final[int]

class Book:
    """The local order book of one instrument, as of ``ctx.now_ns``. An empty side's best price is NO_PRICE: a number,
    so true where a truth is asked for. Ask ``is_valid`` before, or take ``best_bid``, which is None then.

    In annotated strategies ``best_ticks(side)``, ``best_lots(side)``, ``lots_at`` and ``mid_in_ticks()`` are plain C
    calls; the properties are for Python.
    """

    instrument: Final[int]
    def best_ticks(self, side: int) -> int: ...
    def best_lots(self, side: int) -> int: ...
    def lots_at(self, side: int, ticks: int) -> int: ...
    def mid_in_ticks(self) -> float: ...
    def levels(self, side: int, depth: int = 10) -> list[tuple[int, int]]: ...
    @property
    def best_bid_ticks(self) -> int: ...
    @property
    def best_ask_ticks(self) -> int: ...
    @property
    def best_bid_lots(self) -> int: ...
    @property
    def best_ask_lots(self) -> int: ...
    @property
    def is_valid(self) -> bool: ...
    @property
    def mid_ticks(self) -> float: ...
    @property
    def spread_ticks(self) -> int: ...
    @property
    def best_bid(self) -> float | None: ...
    @property
    def best_ask(self) -> float | None: ...
    @property
    def mid(self) -> float | None: ...
    @property
    def mark_e8(self) -> int: ...
    @property
    def index_e8(self) -> int: ...
    @property
    def funding_rate_e12(self) -> int:
        """Predicted rate of the last mark message received (positive: longs pay); 0 before the first."""
    @property
    def next_funding_ns(self) -> int:
        """Funding boundary named by the last mark message received; 0 before the first."""

class Context:
    """A strategy's view of the world and its way to act on it. Commands return at once, outcomes arrive as events."""

    now_ns: Final[int]
    lane: Final[int]
    count: Final[int]
    instruments: Final[tuple[Instrument, ...]]
    face: VenueFace | None
    def __init__(
        self,
        core: Core,
        lane: int,
        instruments: Sequence[Instrument],
        wallet_of: Sequence[int],
        deposits_e8: Sequence[int],
        runtime: Any,
    ) -> None: ...
    # looking
    def book(self, i: int) -> Book: ...
    def position(self, i: int, leg: str | None = None) -> int:
        """Position in lots (negative: short) as delivered fills say; ``leg`` "long" or "short" of it in hedge mode."""
    def balance_e8(self, i: int = 0) -> int:
        """Wallet balance of the asset that instrument i settles in, at 1e-8."""
    @property
    def balance(self) -> float:
        """Wallet balance of the first instrument's settlement asset."""
    def orders(self, i: int = -1) -> list[Order]:
        """Our orders that are not closed, oldest first: of one instrument, or (-1) of all."""
    def index(self, name: str) -> int:
        """Index of an instrument by symbol, or ``venue:symbol``. KeyError where unknown or ambiguous."""
    def ticks(self, i: int, price: float) -> int: ...
    def lots(self, i: int, size: float) -> int: ...
    def history(self, i: int, span: int | str, kind: str = "trades", bar: int | str | None = None) -> pl.DataFrame:
        """What the lake holds of instrument i in the ``span`` before now, by receive time (nothing later than now).

        ``kind="trades"``: ts_event_ns ts_recv_ns side ticks lots; ``kind="bars"`` with ``bar="1m"``: end_ns open_ticks
        high_ticks low_ticks close_ticks lots trades; ``kind="mark"``: ts_event_ns ts_recv_ns mark_e8 index_e8 rate_e12
        next_funding_ns. Raises LookupError where the instrument's feed does not come from a lake.
        """
    # acting
    def submit(
        self,
        i: int,
        side: int,
        ticks: int,
        lots: int,
        tif: int = 0,
        type: int = 0,
        reduce_only: bool = False,
        *,
        trigger: str | Trigger | None = None,
        trigger_ticks: int = 0,
        watch: str | None = None,
        callback: float | str | Decimal | None = None,
        callback_ticks: int = 0,
        protect: bool = False,
        expires_ns: int = 0,
        stp: str | None = None,
        position_side: str | None = None,
        close_position: bool = False,
        client_id: str | None = None,
    ) -> Order:
        """Send an order; returns at once. What the venue does not have it refuses (an event); ValueError for no order.

        ``trigger`` "stop", "take_profit" or "trailing" makes it conditional: the venue holds it until the price that
        it watches (``watch`` "last", "mark" or "index"; None: the venue's default) is at ``trigger_ticks``; a
        trailing stop then follows by ``callback`` (a rate such as 0.01) or ``callback_ticks``. ``protect``: only
        while last trade and mark are near each other. ``expires_ns``: until when it is good (tif GTD, or any).
        ``stp``: self-trade prevention of its own: "none", "cancel_taker", "cancel_maker", "cancel_both" or
        "reject_taker".
        ``position_side`` "long" or "short": the leg it belongs to, in hedge mode. ``close_position``: give 0 lots, the
        venue sizes it when it executes. ``client_id``: our own name for it, which the venue checks.
        """
    def submit_batch(self, orders: Sequence[Mapping[str, Any] | tuple[int, ...]]) -> list[Order]:
        """Send orders (arguments of ``submit`` by name, or as far as ``reduce_only`` by place) as one request.

        They arrive together, and the venue takes or refuses each on its own; ValueError for more than it takes at once.
        """
    def cancel_batch(self, orders: Sequence[Order]) -> int:
        """Ask for several cancels in one request. Returns how many were sent (not those that ``cancel`` would not)."""
    def buy(self, i: int, ticks: int, lots: int, tif: int = 0) -> Order: ...
    def sell(self, i: int, ticks: int, lots: int, tif: int = 0) -> Order: ...
    def market(self, i: int, side: int, lots: int, reduce_only: bool = False, **more: Any) -> Order: ...
    def cancel(self, order: Order) -> bool: ...
    def amend(self, order: Order, ticks: int, lots: int, trigger_ticks: int = 0) -> bool: ...
    def cancel_all(self, i: int = -1) -> int: ...
    def set_leverage(self, i: int, leverage: int) -> None:
        """Ask the venue for a leverage (whole times). Travels as an order does; ``on_setting`` brings the answer."""
    def set_margin_mode(self, i: int, mode: int | str) -> None:
        """Ask for MODE_CROSS or MODE_ISOLATED, or by their names ``"cross"``, ``"isolated"``."""
    def add_margin(self, i: int, amount_e8: int, short_leg: bool = False) -> None:
        """Ask to move money at 1e-8 from the cross wallet into the isolated position (negative: out of it)."""
    def dead_man(self, i: int, after: int | str) -> None:
        """Ask instrument i's venue to close our orders (there, or all of the account: as it does that) unless asked
        again within ``after``, such as "10s"; 0 disarms. ``on_setting`` brings the answer.
        """
    # time and records
    def every(self, interval: int | str, callback: Callable[[], object] | None = None) -> int:
        """Call back at whole multiples of ``interval`` since the epoch, from the next one on; default ``on_timer``."""
    def at(self, ts_ns: int, callback: Callable[[], object]) -> int: ...
    def bars(self, i: int, every: int | str) -> int:
        """Build bars for ``on_bar``: every ``"1m"`` (closed at whole multiples), ``"500 trades"`` or ``"250 lots"``.

        Returns the number of the series (``bar.series``). A volume bar closes with the print that reaches its size; the
        print is not split.
        """
    def cancel_timer(self, number: int) -> bool: ...
    forced_prefixes: list[tuple[str, str]]
    def client_id(self, forced: Order | Liquidation) -> str: ...
    def log(self, message: str, **values: object) -> None: ...
    def stop(self, why: str = "") -> None: ...
    # for the run
    words: dict[tuple[int, int], tuple[int | None, str]]
    keeps_closed: bool
    def order_in(self, slot: int) -> Order | None: ...
    def lose(self, slot: int, number: int, trigger: int) -> None: ...
    def begin_with(self, i: int, lots: int, leg: str | None = None) -> None: ...
    def defer(self, on: bool) -> None: ...
    def flush(self) -> None: ...
    def apply_private(self) -> Order | None: ...

class Strategy:
    """Base class of strategies. Only what a subclass overrides is listened to."""

    ctx: Context
    def save_state(self) -> dict[str, Any] | bytes | None: ...
    def restore_state(self, state: Any) -> None: ...
    def on_start(self) -> None: ...
    def on_stop(self) -> None: ...
    def on_book(self, i: int) -> None: ...
    def on_trade(self, i: int, trade: Trade) -> None: ...
    def on_bar(self, i: int, bar: Bar) -> None: ...
    def on_data(self, name: str, row: Any) -> None: ...
    def on_order(self, order: Order, event: OrderEvent) -> None: ...
    def on_fill(self, order: Order, fill: Fill) -> None: ...
    def on_funding(self, i: int, funding: Funding) -> None: ...
    def on_mark(self, i: int) -> None: ...
    def on_gap(self, i: int, gap: Gap) -> None: ...
    def on_liquidation(self, i: int, event: Liquidation) -> None: ...
    def on_setting(self, i: int, setting: Setting) -> None: ...
    def on_force_order(self, i: int, trade: Trade) -> None: ...
    def on_timer(self) -> None: ...
