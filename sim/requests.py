"""The words in which a strategy asks for rarer kinds of orders, made into what the kernel takes.

``ctx.submit`` calls these only where one of its further arguments is given. All raise ``ValueError`` naming it.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from matching import codes
from matching.triggers import Trigger

E12: Final = 10**12
TRIGGERS: Final = {
    "stop": codes.TRIGGER_STOP,
    "take_profit": codes.TRIGGER_TAKE_PROFIT,
    "trailing": codes.TRIGGER_TRAILING,
}
WATCHES: Final = {"last": codes.WATCH_LAST, "mark": codes.WATCH_MARK, "index": codes.WATCH_INDEX}
STP_MODES: Final = {
    "none": codes.STP_NONE,
    "cancel_taker": codes.STP_CANCEL_TAKER,
    "cancel_maker": codes.STP_CANCEL_MAKER,
    "cancel_both": codes.STP_CANCEL_BOTH,
    "reject_taker": codes.STP_REJECT_TAKER,
}
MODES: Final = {"cross": codes.MODE_CROSS, "isolated": codes.MODE_ISOLATED}
LEGS: Final = {"long": codes.FLAG_LONG_LEG, "short": codes.FLAG_SHORT_LEG}


class Special(NamedTuple):
    """What few orders have; the arguments of ``submit`` that it was made of are strategy.pyi's."""

    trigger: Trigger | None = None
    expires_ns: int = 0
    stp: str | None = None
    leg: int = 0
    close_position: bool = False
    client_id: str | None = None


PLAIN: Final = Special()


def _one_of(what: str, word: Any, words: dict[str, int]) -> int:
    if word not in words:
        raise ValueError(f"{what} {word!r}: must be one of {', '.join(words)}")
    return words[word]


def stp_of(word: str) -> int:
    """The STP_* integer of a self-trade prevention mode."""
    return _one_of("stp", word, STP_MODES)


def mode_of(mode: int | str) -> int:
    """The MODE_* integer of a margin mode, given as that or by its name."""
    if mode in MODES.values():
        return int(mode)
    return _one_of("margin mode", mode, MODES)


def leg_of(word: str) -> int:
    """The FLAG_* bit of a hedge-mode leg."""
    return _one_of("position_side", word, LEGS)


def trigger_of(
    kind: str | Trigger, ticks: int, watch: str | None, callback: Any, callback_ticks: int, protect: bool
) -> Trigger:
    """The trigger of a conditional order. ``callback``: a rate such as 0.01 or "0.01", at most 12 decimals."""
    if isinstance(kind, Trigger):
        if ticks or watch is not None or callback is not None or callback_ticks or protect:
            raise ValueError("trigger: a Trigger says everything, give no trigger_ticks, watch or callback beside it")
        return kind
    found = _one_of("trigger", kind, TRIGGERS)
    watched = 0 if watch is None else _one_of("watch", watch, WATCHES)
    try:
        rate = Decimal(0) if callback is None else Decimal(str(callback)) * E12
    except InvalidOperation:
        raise ValueError(f"callback {callback!r}: must be a rate such as 0.01") from None
    if rate != int(rate):
        raise ValueError(f"callback {callback!r}: has more than 12 decimals")
    return Trigger(found, ticks, watched, int(rate), callback_ticks, protect)
