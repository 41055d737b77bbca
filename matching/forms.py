"""How one venue treats orders: the forms of its rules as integers of ``codes``, given to ``Core.configure_market``.

The defaults are a bare matching engine's, and cost nothing. What each form does is docs/fills.md, sections 4, 8 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass

from matching import codes

DAY_NS = 86_400_000_000_000
FIRST_STP, LAST_STP = codes.STP_NONE, codes.STP_REJECT_TAKER


@dataclass(frozen=True, slots=True)
class OrderForms:
    """Forms of one market. Words that the types cannot hold to their range raise ``ValueError``."""

    stp: int = codes.STP_NONE  # self-trade prevention of orders that name no mode of their own
    stp_modes: tuple[int, ...] = ()  # modes that an order may name; none: the account decides
    stp_exempt: tuple[int, ...] = ()  # times in force of taking orders that it does not concern
    stp_lost_by_amend: bool = False  # an amended order takes without it
    post_only: int = codes.POST_ONLY_EXPIRE
    reduce_only: int = codes.REDUCE_SHRINK
    amend_priority: int = codes.AMEND_NEVER_KEEPS
    amend_to_filled_rejects: bool = False  # an amend to no more than has executed: refused instead of a cancel
    amend_to_filled_fills: bool = False  # ... closes as filled: EV_CANCELED with R_FILLED
    amend_crossing_rejects: bool = False  # an amend of a post-only order that would take: refused instead of a close
    amend_must_rest: bool = False  # any amended order is post-only
    amends_per_order: int = 0  # 0: no limit
    watches: tuple[int, ...] = ()  # prices that triggers may watch, the default first; none: no conditional orders
    trigger_kinds: tuple[int, ...] = (codes.TRIGGER_STOP, codes.TRIGGER_TAKE_PROFIT, codes.TRIGGER_TRAILING)
    trigger_at_once_rejects: bool = False  # a trigger that is met on arrival: refused instead of fired
    triggered_refusal_rejects: bool = False  # refused when it fires: EV_REJECTED instead of EV_EXPIRED
    trigger_protect_e12: int = 0  # widest |last - mark| / mark of protected triggers; 0: no such option
    callback_min_e12: int = 0  # least and most callback rate of trailing stops; 0: no limit
    callback_max_e12: int = 0
    close_position: bool = True  # orders that are sized when they execute
    hedge: bool = False  # a long and a short position beside each other
    amend_held: bool = True  # an untriggered order can be amended
    expiry: int = codes.EXPIRY_NONE
    expiry_min_ns: int = 0  # a good-till instant lies further ahead than this ...
    expiry_max_ns: int = 0  # ... and no further than this; 0: no limit
    expiry_resolution_ns: int = 1  # good-till instants are cut to multiples of it
    block_ns: int = 0  # EXPIRY_BLOCK: block number = venue time // block_ns
    expiry_blocks: int = 0  # ... and the last block lies no further ahead than this
    day_end_ns: int = 0  # EXPIRY_DAY: time of day (UTC) at which day orders end

    def __post_init__(self) -> None:
        modes = (self.stp, *self.stp_modes)
        if not all(FIRST_STP <= mode <= LAST_STP for mode in modes):
            raise ValueError(f"order forms: no such self-trade prevention in {modes}")
        if not codes.POST_ONLY_REJECT <= self.post_only <= codes.POST_ONLY_SLIDE:
            raise ValueError(f"order forms: no such post-only form {self.post_only}")
        if not codes.REDUCE_SHRINK <= self.reduce_only <= codes.REDUCE_RESIZE:
            raise ValueError(f"order forms: no such reduce-only form {self.reduce_only}")
        if not codes.AMEND_NEVER_KEEPS <= self.amend_priority <= codes.AMEND_ALWAYS_KEEPS:
            raise ValueError(f"order forms: no such priority of amends {self.amend_priority}")
        if self.amends_per_order < 0:
            raise ValueError(f"order forms: amends_per_order must not be negative, got {self.amends_per_order}")

        if any(not codes.WATCH_LAST <= watch <= codes.WATCH_INDEX for watch in self.watches):
            raise ValueError(f"order forms: no such watched prices {self.watches}")
        if not codes.EXPIRY_NONE <= self.expiry <= codes.EXPIRY_DAY:
            raise ValueError(f"order forms: no such expiry {self.expiry}")
        if self.expiry == codes.EXPIRY_BLOCK and (self.block_ns < 1 or self.expiry_blocks < 1):
            raise ValueError("order forms: expiry by block needs block_ns and expiry_blocks")

    def end_of(self, now_ns: int, wanted_ns: int) -> int:
        """When an order that is wanted until ``wanted_ns`` (0: not said) ends; the negative R code if it cannot be."""
        if self.expiry == codes.EXPIRY_TIME:
            end = wanted_ns - wanted_ns % self.expiry_resolution_ns
            too_far = self.expiry_max_ns and end > now_ns + self.expiry_max_ns
            return -codes.R_EXPIRY if end <= now_ns + self.expiry_min_ns or too_far else end
        if self.expiry == codes.EXPIRY_BLOCK:
            height, last = now_ns // self.block_ns, wanted_ns // self.block_ns
            return (last + 1) * self.block_ns if height < last <= height + self.expiry_blocks else -codes.R_EXPIRY
        if self.expiry == codes.EXPIRY_DAY:
            end = (now_ns - self.day_end_ns) // DAY_NS * DAY_NS + DAY_NS + self.day_end_ns
            return end if wanted_ns in (0, end) else -codes.R_EXPIRY
        return -codes.R_UNSUPPORTED

    def last_block(self, now_ns: int) -> int:
        """The start of the last block that an order may be good till (EXPIRY_BLOCK)."""
        return (now_ns // self.block_ns + self.expiry_blocks) * self.block_ns

    @property
    def stp_on(self) -> bool:
        """Whether any order here can meet self-trade prevention."""
        return self.stp != codes.STP_NONE or any(mode != codes.STP_NONE for mode in self.stp_modes)


def bits(values: tuple[int, ...]) -> int:
    """Small integers as a bit mask."""
    return sum(1 << value for value in set(values))
