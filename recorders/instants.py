"""Arguments that are instants or lists of them, as integer nanoseconds UTC: what is wrong is an ``InputError``."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np

from matching.feed import I64
from venues.errors import InputError
from venues.units import instant_ns as exact_instant_ns

Instant = int | str | datetime.datetime | datetime.date


def instant_ns(value: Any, field: str = "time") -> int:
    """ns UTC of ISO 8601 text (up to nine decimals; UTC unless it says otherwise), of a date or datetime (UTC when
    naive), of a numpy datetime, or of a whole number, which is ns already. Raises ``InputError`` naming ``field``."""
    if isinstance(value, np.datetime64) and not np.isnat(value):
        return int(value.astype("datetime64[ns]").astype(np.int64))
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, int | str | datetime.date):
        try:
            return exact_instant_ns(value)
        except ValueError:
            pass
    raise InputError(
        f'{value!r} is no instant: give ISO text such as "2023-04-05T00:00:01.25Z", a datetime or whole ns',
        source="arguments",
        field=field,
    )


def instants_ns(values: Any, field: str = "times") -> I64:
    """The same of many: a numpy array, a polars series of integers or datetimes, or any iterable of instants."""
    if hasattr(values, "to_numpy"):  # a polars (or pandas) series; a missing value would become a number below
        if int(values.is_null().sum() if hasattr(values, "is_null") else 0):
            raise InputError("has missing values", source="arguments", field=field)
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.ndim == 1:
        if values.dtype.kind in "iu":
            return np.ascontiguousarray(values, np.int64)
        if values.dtype.kind == "M" and not np.isnat(values).any():
            return np.ascontiguousarray(values.astype("datetime64[ns]").astype(np.int64))
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"must be a list of instants, not {values!r}", source="arguments", field=field)
    return np.array([instant_ns(value, field) for value in values], np.int64)
