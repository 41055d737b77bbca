"""From a rule card's words to the integers by which the kernel treats orders."""

from __future__ import annotations

from typing import Final

from matching import codes
from matching.forms import OrderForms
from sim.requests import STP_MODES
from venues.errors import InputError
from venues.rules import RuleCard

TIMES_IN_FORCE: Final = {
    "GTC": codes.GTC, "IOC": codes.IOC, "FOK": codes.FOK, "GTX": codes.GTX, "GTD": codes.GTD,
}  # fmt: skip
POST_ONLY: Final = {
    "reject": codes.POST_ONLY_REJECT,
    "expire": codes.POST_ONLY_EXPIRE,
    "cancel_after_ack": codes.POST_ONLY_CANCEL,
    "slide": codes.POST_ONLY_SLIDE,
}
REDUCE_ONLY: Final = {
    "shrink": codes.REDUCE_SHRINK,
    "reject": codes.REDUCE_REJECT,
    "resize": codes.REDUCE_RESIZE,
}
PRIORITY: Final = {
    "never": codes.AMEND_NEVER_KEEPS,
    "size_down": codes.AMEND_SIZE_DOWN_KEEPS,
    "always": codes.AMEND_ALWAYS_KEEPS,
}
WATCHES: Final = {
    "last": codes.WATCH_LAST, "mark": codes.WATCH_MARK, "index": codes.WATCH_INDEX, "oracle": codes.WATCH_INDEX,
}  # fmt: skip
EXPIRY: Final = {
    "none": codes.EXPIRY_NONE, "time": codes.EXPIRY_TIME, "block": codes.EXPIRY_BLOCK, "day": codes.EXPIRY_DAY,
}  # fmt: skip
KINDS: Final = {
    "stop": codes.TRIGGER_STOP,
    "take_profit": codes.TRIGGER_TAKE_PROFIT,
    "trailing": codes.TRIGGER_TRAILING,
}


def stp_mode(card: RuleCard, asked: str | None, where: str) -> int:
    """The mode of orders that name none: the account's own (run file), else the venue's default. ``InputError``."""
    actions = dict(zip(card.stp.modes.value, card.stp.actions.value, strict=True))
    word = asked if asked is not None else card.stp.default.value
    action = actions.get(word, word)
    if asked is not None and action not in card.stp.actions.value:
        known = [*card.stp.modes.value, *card.stp.actions.value]
        raise InputError(
            f"is {asked!r}, {card.title} has {', '.join(known) if known else 'no self-trade prevention'}",
            source=where, field="stp",
        )  # fmt: skip
    return STP_MODES.get(action, codes.STP_NONE)


def order_forms(
    card: RuleCard, ts_ns: int, stp: str | None = None, hedge: bool = False, where: str = "venue"
) -> OrderForms:
    """How a venue treats orders at ``ts_ns``. ``stp``, ``hedge``: the account's own settings, as the run file has them.

    Raises ``InputError`` for a mode that the venue does not have.
    """
    orders = card.orders
    if hedge and not orders.hedge_mode.value:
        raise InputError(f"{card.title} has no hedge mode", source=where, field="hedge")
    mode = stp_mode(card, stp, where)
    modes = [STP_MODES[action] for action in card.stp.actions.value]
    by_order = card.stp.decided_by.value == "taker"
    triggers = list(orders.triggers.value)
    default = orders.default_trigger.value
    triggers.sort(key=lambda word: word != default)
    return OrderForms(
        stp=mode,
        stp_modes=(*modes, *([codes.STP_NONE] if mode == codes.STP_NONE else [])) if by_order else (),
        stp_exempt=tuple(TIMES_IN_FORCE[word] for word in card.stp.not_for.value),
        stp_lost_by_amend=card.stp.reset_by_amend.value,
        post_only=POST_ONLY[orders.post_only.value],
        reduce_only=REDUCE_ONLY[orders.reduce_only.value],
        amend_priority=PRIORITY[orders.amend_keeps_priority.value],
        amend_to_filled_rejects=orders.amend_to_filled.value == "reject",
        amend_to_filled_fills=orders.amend_to_filled.value == "fill",
        amend_crossing_rejects=orders.amend_crossing_post_only.value == "reject",
        amend_must_rest=orders.amend_must_rest.value,
        amends_per_order=orders.amends_per_order.value or 0,
        watches=tuple(dict.fromkeys(WATCHES[word] for word in triggers)),
        trigger_kinds=tuple(
            number for word, number in KINDS.items() if any(kind.startswith(word) for kind in orders.types.value)
        ),
        trigger_at_once_rejects=orders.trigger_at_once.value == "reject",
        triggered_refusal_rejects=orders.trigger_refused.value == "reject",
        trigger_protect_e12=orders.trigger_protect_e12.value or 0,
        callback_min_e12=orders.trailing_min_e12.value or 0,
        callback_max_e12=orders.trailing_max_e12.at(ts_ns).value or 0,
        close_position=orders.close_position.value,
        hedge=hedge,
        amend_held=orders.amend_held.value,
        expiry=EXPIRY[orders.expiry.value],
        expiry_min_ns=orders.expiry_min_ns.value or 0,
        expiry_max_ns=orders.expiry_max_ns.value or 0,
        expiry_resolution_ns=max(1, orders.expiry_resolution_ns.value),
        block_ns=card.batching.block_interval_ns.value,
        expiry_blocks=orders.expiry_blocks.value,
        day_end_ns=orders.day_end_ns.value or 0,
    )
