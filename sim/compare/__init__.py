"""``compare``: two runs of the same strategy side by side, order by order and in money."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sim.compare.money import Run, attribution
from sim.compare.orders import JUDGED, KINDS, Tolerance, pair, read_orders
from sim.report.load import RunFolderError, load_run

__all__ = ["Tolerance", "compare"]


def compare(
    run_a: str | Path, run_b: str | Path, tolerance: Tolerance | None = None, html: str | Path | None = None
) -> dict[str, Any]:
    """Compare two run folders; ``html`` writes the page there too.

    Returns hashes, counts of orders and of differences by kind, the orders that differ, and the attribution of the
    difference in profit. ``equal`` is False when anything judged differs by more than the tolerance. Raises
    ``RunFolderError`` naming the folder, file or column that cannot be read, or what does not belong together.
    """
    allowed = tolerance or Tolerance()
    folders = Path(run_a), Path(run_b)
    for folder in folders:
        load_run(folder)  # checks every file and column
    a, b = Run(folders[0]), Run(folders[1])
    names = [[one.name for one in run.contracts] for run in (a, b)]
    if names[0] != names[1]:
        raise RunFolderError(
            f"{folders[1]}: has the instruments {', '.join(names[1])}, and {folders[0]} has {', '.join(names[0])}: "
            "only runs of the same instruments, in the same order, can be compared"
        )
    pairs = pair(read_orders(folders[0]), read_orders(folders[1]), allowed)
    counted = Counter(kind for one in pairs for kind in one.kinds)
    judged = ["only a", "only b", *JUDGED]
    judged += ["latency"] if allowed.latency_ns is not None else []
    judged += ["queue"] if allowed.queue_lots is not None else []
    different = [one for one in pairs if any(kind in judged for kind in one.kinds)]
    result = {
        "a": _about(a, folders[0]),
        "b": _about(b, folders[1]),
        "tolerance": allowed.as_dict(),
        "orders": {
            "a": sum(one.a is not None for one in pairs),
            "b": sum(one.b is not None for one in pairs),
            "in_both": sum(one.a is not None and one.b is not None for one in pairs),
            "different": len(different),
        },
        "differences": {kind: counted.get(kind, 0) for kind in KINDS},
        "judged": judged,
        "attribution": attribution(a, b, pairs),
        "equal": not different,
        "same_hash": a.summary["hash"] == b.summary["hash"],
    }
    if html is not None:
        from sim.compare.page import write_page

        result["html"] = str(write_page(result, pairs, folders, [one.name for one in a.contracts], Path(html)))
    return {**result, "pairs": [one.as_dict() for one in different]}


def _about(run: Run, folder: Path) -> dict[str, Any]:
    return {
        "path": str(folder),
        "run_id": run.summary["run_id"],
        "mode": run.manifest.get("mode", "backtest"),
        "strategy": run.manifest["strategy"],
        "hash": run.summary["hash"],
        "fills": run.summary["fills"],
    }
