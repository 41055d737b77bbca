"""The error tree, what errors carry, and code tables."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from venues import errors
from venues.binance.reasons import ERROR_CODES
from venues.errors import (
    CodeTable,
    Hint,
    InputError,
    LifecycleDefect,
    LocalError,
    PayloadError,
    PerpsimError,
    RuleCardError,
    VenueCode,
    VenueError,
)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    parents: list[str] = []
    found: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([│├└─ ]*)([A-Z]\w+(?:Error|Defect))\b", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            if depth:
                found[match[2]] = parents[depth - 1]
    defined = {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, PerpsimError) and kind is not PerpsimError
    }
    assert found == defined


def test_the_base_is_not_raised_itself() -> None:
    with pytest.raises(TypeError, match="use LocalError or VenueError"):
        PerpsimError("x")
    assert str(LocalError("x")) == "x"


EXAMPLES: list[PerpsimError] = [
    LifecycleDefect(7, "OPEN", "Rejected", "the table does not allow it"),
    InputError("not a number", source="funding.csv", place=12, field="rate"),
    InputError("empty", source="funding.csv"),
    VenueError("margin is insufficient", venue="binance", code=-2019, hint=Hint.HALT),
    PayloadError("expected int", venue="binance_usdm", field="b[0][1]"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_a_process_boundary(error: PerpsimError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_errors_say_where() -> None:
    texts = [str(error) for error in EXAMPLES]
    assert texts[0] == "order 7: Rejected in state OPEN: the table does not allow it"
    assert texts[1] == "funding.csv:12: field 'rate': not a number"
    assert texts[2] == "funding.csv: empty"
    assert texts[3] == "binance: -2019: margin is insufficient"
    assert texts[4] == "binance_usdm: malformed message: field b[0][1]: expected int"
    assert str(InputError("odd", source="run.toml", place="venue.fees")) == "run.toml: venue.fees: odd"


def test_a_code_listed_twice_is_refused() -> None:
    row = VenueCode(-1, "once", Hint.HALT)
    with pytest.raises(RuleCardError, match="v: error code -1 is listed twice"):
        CodeTable("v", "page", (row, VenueCode(-1, "again", Hint.RETRY)))


def test_codes_become_errors_with_hint_and_raw_code() -> None:
    unknown_outcome = ERROR_CODES.error(-1007)
    assert (unknown_outcome.code, unknown_outcome.hint) == (-1007, Hint.QUERY)
    assert ERROR_CODES.error(-2019, "Margin is insufficient.").text == "Margin is insufficient."
    undocumented = ERROR_CODES.error(-9999)
    assert (undocumented.code, undocumented.hint) == (-9999, Hint.HALT)
    assert ERROR_CODES.find(-9999) is None


def test_outcomes_that_the_venue_calls_unknown_are_never_retried() -> None:
    """Binance: do not treat -1006 and -1007 as a rejection."""
    for code in (-1000, -1006, -1007):
        row = ERROR_CODES.find(code)
        assert row is not None
        assert row.hint is Hint.QUERY
