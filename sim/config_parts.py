"""What the tables of a run file are made of: field types that are read exactly, and the two bases of their models.

Durations are written ``"100ms"``, instants as ISO 8601 (UTC), money and rates as decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from sim.units import duration_ns, duration_text, instant_ns, instant_text


def _duration(value: Any) -> int:
    return duration_ns(value)


def _instant(value: Any) -> int:
    return instant_ns(value)


def _decimal(value: Any) -> Any:
    """Rates may be written in basis points: ``"2 bps"``."""
    if isinstance(value, str) and value.strip().endswith("bps"):
        return Decimal(value.strip().removesuffix("bps").strip()) / 10_000
    return value


def _plain(value: Any) -> Any:
    """Parameters of user classes are ordinary floats, not the decimals that the file is read with."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


Params = Annotated[dict[str, Any], BeforeValidator(_plain)]
Duration = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["100ms", "1.5s"], "description": "a duration"}),
]
Instant = Annotated[
    int,
    BeforeValidator(_instant),
    PlainSerializer(instant_text),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["2023-04-05T00:00:00Z"], "description": "an instant"}),
]
_NUMBER_SCHEMA: Final = {"type": ["number", "string"]}
Money = Annotated[Decimal, PlainSerializer(str), WithJsonSchema(_NUMBER_SCHEMA)]
Rate = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    PlainSerializer(str),
    WithJsonSchema(_NUMBER_SCHEMA | {"examples": [0.0002, "2 bps"]}),
]


def _not_bare(value: Any) -> Any:
    """A bare number counts nanoseconds; where less than a millisecond makes no sense, it was meant to count others."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000:
        raise PydanticCustomError(
            "unit", f'{value} is {value} nanoseconds: write the unit, as in "{value}ms" or "{value}s"'
        )
    return value


def _positive(value: int) -> int:
    if value < 1:
        raise PydanticCustomError("positive", "must be longer than nothing")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
# of sessions, by the clock on the wall: without a unit at least a millisecond
Span = Annotated[Duration, BeforeValidator(_not_bare)]
PositiveSpan = Annotated[PositiveDuration, BeforeValidator(_not_bare)]


class Part(BaseModel):
    """A table of the run file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ShortForm(Part):
    """A table that may be written as one string, the value of its key ``SHORT``."""

    @classmethod
    def short_key(cls) -> str:
        raise NotImplementedError

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {cls.short_key(): value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        table = handler(core_schema)
        return {"anyOf": [{"type": "string"}, table]}
