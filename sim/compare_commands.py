"""``perpsim compare``: two runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import FINDING, Json, errors, show


def compare(
    run_a: Annotated[Path, typer.Argument(help="folder of a finished run, say a backtest", show_default=False)],
    run_b: Annotated[Path, typer.Argument(help="folder of another, say paper or live", show_default=False)],
    json_: Json = False,
    html: Annotated[Path | None, typer.Option(help="write the comparison as a page")] = None,
    lots: Annotated[int, typer.Option(min=0, help="executed lots of an order that may differ")] = 0,
    ticks: Annotated[float, typer.Option(min=0, help="average price in ticks that may differ")] = 0.0,
    money: Annotated[str, typer.Option(help="fees of an order that may differ, in the asset")] = "0",
    time: Annotated[str, typer.Option(help="venue times that may differ, such as 5ms")] = "0ms",
    latency: Annotated[str | None, typer.Option(help="judge latencies too: what they may differ by")] = None,
    queue: Annotated[
        float | None, typer.Option(help="judge queue positions too: what they may differ by, lots")
    ] = None,
) -> None:
    """Compare two runs order by order and in money; exit code 1 if anything differs beyond the tolerance."""
    with errors():
        from sim.compare import Tolerance
        from sim.compare import compare as compare_runs

        result = compare_runs(run_a, run_b, _tolerance(Tolerance, lots, ticks, money, time, latency, queue), html)
        if json_:
            show(result)
        else:
            for line in _lines(result):
                typer.echo(line)
        if not result["equal"]:
            raise typer.Exit(FINDING)


def _tolerance(
    kind: Any, lots: int, ticks: float, money: str, time: str, latency: str | None, queue: float | None
) -> Any:
    from decimal import Decimal, InvalidOperation

    from sim.units import duration_ns
    from venues.errors import InputError

    try:
        money_e8 = Decimal(money) * 10**8
        if money_e8 < 0 or money_e8 != int(money_e8):
            raise InvalidOperation
        times = [None if text is None else duration_ns(text) for text in (time, latency)]
    except InvalidOperation:
        raise InputError(f"{money!r} is no amount of money with at most 8 decimals", source="--money") from None
    except ValueError as error:
        raise InputError(str(error), source="--time or --latency") from None
    return kind(lots, ticks, int(money_e8), times[0], times[1], queue)


def _lines(result: dict[str, Any]) -> list[str]:
    from sim.report.formats import money_text

    orders = result["orders"]
    lines = [f"{side.upper()}  {one['mode']:<9} {one['path']}  {one['hash'][:16]}" for side, one in
             (("a", result["a"]), ("b", result["b"]))]  # fmt: skip
    lines.append(
        f"orders  {orders['a']:,} in A, {orders['b']:,} in B, {orders['in_both']:,} in both, "
        f"{orders['different']:,} different"
    )
    for kind, count in result["differences"].items():
        if count:
            lines.append(f"  {kind:<8} {count:>9,}" + ("" if kind in result["judged"] else "  (not judged)"))
    for one in result["attribution"]:
        lines.append(
            f"profit  account {one['account']}, {one['asset']}: {money_text(one['profit_a_e8'], 8)} in A, "
            f"{money_text(one['profit_b_e8'], 8)} in B, difference {money_text(one['difference_e8'], 8, signed=True)}"
        )
        lines += [
            f"  {name:<8} {money_text(value, 8, signed=True):>18}" for name, value in one["parts_e8"].items() if value
        ]
    for one in result["pairs"][:20]:
        order = one["a"] or one["b"]
        lines.append(
            f"  order {order['order_no']} of account {order['account']}, instrument {order['instrument']}: "
            + ", ".join(one["kinds"])
        )
    if len(result["pairs"]) > 20:
        lines.append(f"  and {len(result['pairs']) - 20:,} more (--json lists all)")
    verdict = "the same, byte for byte" if result["same_hash"] else "equal within the tolerance"
    lines.append(verdict if result["equal"] else "different")
    if "html" in result:
        lines.append(f"page    {result['html']}")
    return lines
