"""TOML files: read, checked against a model, and written (the standard library only reads them)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from venues.errors import InputError

M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """A file as plain data, numbers as decimals. Raises ``InputError`` naming it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise InputError(f"cannot be read: {why}", source=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML: {error}", source=str(path)) from None


def checked(model: type[M], raw: Mapping[str, Any], name: str) -> M:
    """Plain data as a model. Raises ``InputError`` with every mistake and its key, never with the value."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        rows = error.errors(include_url=False, include_input=False)
    found = []
    for row in rows:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in row["loc"]).lstrip(".")
        what = "unknown key" if row["type"] == "extra_forbidden" else row["msg"].removeprefix("Value error, ")
        found.append(f"{where}: {what}" if where else what)
    raise InputError("; ".join(dict.fromkeys(found)), source=name)


def toml_text(document: Mapping[str, Any]) -> str:
    """Plain data (tables, lists, strings, numbers, booleans) as TOML."""
    return "\n".join(_toml_table(document, "")).lstrip("\n") + "\n"


def _toml_table(table: Mapping[str, Any], path: str) -> Iterator[str]:
    nested = {key: value for key, value in table.items() if _is_table(value) or _is_tables(value)}
    for key, value in table.items():
        if key not in nested:
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in nested.items():
        name = f"{path}.{_toml_key(key)}".lstrip(".")
        for entry in value if isinstance(value, list) else [value]:
            yield f"\n[[{name}]]" if isinstance(value, list) else f"\n[{name}]"
            yield from _toml_table(entry, name)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _toml_key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else json.dumps(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(str(k))} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(entry) for entry in value) + "]"
    raise InputError(
        f"a value of type {type(value).__name__} cannot be written to a run file", source="run configuration"
    )
