"""``perpsim bench``: how fast this machine replays and quotes, beside other engines on the same events.

``run_bench`` is the command's body; every figure is measured in a process of its own (``sim.bench.tasks``).
"""

from __future__ import annotations

from typing import Any


def run_bench(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """See ``sim.bench.runner.run_bench``; imported on call, so that the command line stays quick."""
    from sim.bench.runner import run_bench as run

    return run(*args, **kwargs)


def run_load(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """See ``sim.bench.load.run_load``; imported on call, too."""
    from sim.bench.load import run_load as run

    return run(*args, **kwargs)


def run_wire(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """See ``sim.bench.wire.run_wire``; imported on call, too."""
    from sim.bench.wire import run_wire as run

    return run(*args, **kwargs)


__all__ = ["run_bench", "run_load", "run_wire"]
