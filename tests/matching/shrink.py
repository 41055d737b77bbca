"""Makes a failing case small: drops messages and commands, then turns off features, while the case still fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.matching.cases import Case, Command, Message, Row

T = TypeVar("T")
Fails = Callable[[Case], bool]


def _without(items: Sequence[T], keep: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """As few of ``items`` as still satisfy ``keep``, by dropping runs of halving length (delta debugging)."""
    kept = tuple(items)
    length = max(len(kept) // 2, 1)
    while True:
        at = 0
        while at < len(kept):
            shorter = kept[:at] + kept[at + length :]
            if keep(shorter):
                kept = shorter
            else:
                at += length
        if length == 1:
            return kept
        length = max(length // 2, 1)


def shrink(case: Case, fails: Fails) -> Case:
    """A case that still fails from which nothing more can be left out alone."""
    for _ in range(3):
        before = case
        case = _shrink_commands(case, fails)
        for m in range(len(case.feeds)):
            case = _shrink_feed(case, m, fails)
            for j in range(len(case.feeds[m])):
                case = _shrink_rows(case, m, j, fails)
        for simpler in (
            replace(case, reacts=False),
            replace(case, window_messages=0),
            replace(case, masks=tuple(tuple(0 for _ in masks) for masks in case.masks)),
            replace(case, tables=()),
        ):
            case = simpler if fails(simpler) else case
        if case == before:
            break
    return case


def _shrink_commands(case: Case, fails: Fails) -> Case:
    def with_commands(commands: tuple[Command, ...]) -> Case:
        return replace(case, commands=commands)

    return with_commands(_without(case.commands, lambda commands: fails(with_commands(commands))))


def _shrink_feed(case: Case, m: int, fails: Fails) -> Case:
    def with_feed(feed: tuple[Message, ...]) -> Case:
        return replace(case, feeds=(*case.feeds[:m], feed, *case.feeds[m + 1 :]))

    return with_feed(_without(case.feeds[m], lambda feed: bool(feed) and fails(with_feed(feed))))


def _shrink_rows(case: Case, m: int, j: int, fails: Fails) -> Case:
    def with_rows(rows: tuple[Row, ...]) -> Case:
        message = replace(case.feeds[m][j], rows=rows)
        feed = (*case.feeds[m][:j], message, *case.feeds[m][j + 1 :])
        return replace(case, feeds=(*case.feeds[:m], feed, *case.feeds[m + 1 :]))

    return with_rows(_without(case.feeds[m][j].rows, lambda rows: fails(with_rows(rows))))
