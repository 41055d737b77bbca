"""What a session without a view says all the same."""

from __future__ import annotations

from typing import Any

from sim.live.notices import Notices


def status(phase: str, elapsed_s: float, *messages: tuple[str, str], why: str = "") -> dict[str, Any]:
    return {
        "phase": phase,
        "elapsed_s": elapsed_s,
        "messages": [{"level": level, "text": text} for level, text in messages],
        "connections": [{"name": "binance_usdm market", "open": not why, "why": why or None}],
    }


def test_problems_are_said_once_and_remarks_are_not() -> None:
    said: list[str] = []
    notices = Notices(said.append)
    notices.show(status("running", 1, ("info", "open"), ("warning", "order 1 was refused")))
    notices.show(status("running", 2, ("warning", "order 1 was refused"), ("error", "an order is open")))
    assert said == ["warning: order 1 was refused", "error: an order is open"]


def test_the_problems_of_a_long_session_are_said_to_its_end() -> None:
    said: list[str] = []
    notices = Notices(said.append)
    for number in range(1_500):
        notices.show(status("running", number, ("warning", f"order {number} was refused")))
    assert len(said) == 1_500


def test_a_venue_that_does_not_answer_is_named_after_five_seconds() -> None:
    said: list[str] = []
    notices = Notices(said.append)
    for second in range(9):
        notices.show(status("opening accounts", second, ("info", "no time: refused"), why="cannot connect"))
        assert bool(said) == (second >= 5)
    assert said == [
        "warning: binance_usdm market: cannot connect",
        "opening accounts: not done after 5 s; last heard: no time: refused",
    ]
