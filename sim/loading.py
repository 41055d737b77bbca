"""User code by name: ``module:Class`` or ``file.py:Class``, for strategies and models."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from venues.errors import InputError

SEEN: dict[Path, ModuleType] = {}


def load_class(spec: str, base: Path, what: str) -> type[Any]:
    """The class that ``spec`` names; relative files start from ``base``. Raises ``InputError`` if there is none.

    An error inside the module itself (a syntax error, a failing import) comes out as it is, with its traceback.
    """
    module_name, colon, class_name = spec.rpartition(":")
    if not colon or not module_name or not class_name:
        raise InputError(f"{spec!r} must be written module:Class or file.py:Class", source=what)
    module = load_file(base / module_name, what) if module_name.endswith(".py") else _load_module(module_name, what)
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        others = sorted(
            n
            for n, v in vars(module).items()
            if isinstance(v, type) and f"{v.__module__}.".startswith(f"{module.__name__}.")
        )
        raise InputError(
            f"{module_name} has no class {class_name!r}; it has {', '.join(others) or 'none'}", source=what
        )
    return found


def _load_module(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise InputError(f"there is no module {name!r} on the import path", source=what) from None
        raise


def load_file(path: Path, what: str) -> ModuleType:
    """A Python file as a module, once a process; its compiled extension beside it goes first (see compiling.py)."""
    path = path.resolve()
    if path in SEEN:
        return SEEN[path]
    if not path.is_file():
        raise InputError(f"there is no file {path}", source=what)
    from sim.compiling import compiled_beside

    location = compiled_beside(path) or path
    spec = importlib.util.spec_from_file_location(path.stem, location)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be loaded as Python", source=what)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(path.stem)
    if known is None:
        sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is None:
            sys.modules.pop(path.stem, None)
        raise
    SEEN[path] = module
    return module


def make(kind: type[Any], params: dict[str, Any], what: str) -> Any:
    """An object of a user's class. A parameter that its constructor does not take is an ``InputError``."""
    import inspect

    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):
        return kind(**params)
    try:
        signature.bind(**params)
    except TypeError as error:
        taken = ", ".join(signature.parameters) or "none"
        raise InputError(f"{kind.__name__}: {error}; its parameters are: {taken}", source=what) from None
    return kind(**params)
