"""How one venue treats orders: the forms of its rules as integers of ``codes``, given to ``Core.configure_market``.

The defaults are a bare matching engine's, and cost nothing. What each form does is docs/fills.md, sections 4, 8 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass

from matching import codes

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
    amend_crossing_rejects: bool = False  # an amend of a post-only order that would take: refused instead of a close
    amend_must_rest: bool = False  # any amended order is post-only
    amends_per_order: int = 0  # 0: no limit

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

    @property
    def stp_on(self) -> bool:
        """Whether any order here can meet self-trade prevention."""
        return self.stp != codes.STP_NONE or any(mode != codes.STP_NONE for mode in self.stp_modes)


def bits(values: tuple[int, ...]) -> int:
    """Small integers as a bit mask."""
    return sum(1 << value for value in set(values))
