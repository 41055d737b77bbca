"""What a running session shows: one plain dictionary, for the view and for lines of JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from matching.codes import BUY, SELL

if TYPE_CHECKING:
    from sim.live.run import LiveRun
    from sim.live.runner import Session

ORDERS_SHOWN: Final = 200


def status_of(session: Session, recording: dict[str, Any]) -> dict[str, Any]:
    """The session's figures; ``recording`` is the recorder's status."""
    run = session.run
    found: dict[str, Any] = {
        "mode": session.setup.mode,
        "phase": session.phase,
        "name": session.setup.config.name,
        "wall_ns": recording["wall_ns"],
        "elapsed_s": recording["elapsed_s"],
        "run": str(run.folder) if run is not None else None,
        "recording": recording["recording"],
        "feed": {
            **{key: recording[key] for key in ("frames", "frames_per_s", "bytes_per_s", "gaps", "resyncs", "dropped")},
            "idle_s": recording["idle_s"],
            "lag_p50_ms": _middle(row["lag_p50_ms"] for row in recording["streams"]),
            "lag_p99_ms": max((row["lag_p99_ms"] for row in recording["streams"] if row["lag_p99_ms"]), default=None),
        },
        "connections": [
            {"name": f"{row['venue']} {row['connection']}", "open": row["open"], "why": row["last_close"]}
            for row in recording["connections"]
        ],
        "lag_ms": session.lags.figures_ms(),
        "interval_lag_ms": session.lags.take_latest_ms(),
        "messages": [{"level": level, "text": text} for level, text in session.messages],
        "why": session.why or None,
    }
    found["connections"] += [
        {"name": f"{account.connector.session.venue} {one.name}", "open": one.socket is not None, "why": one.last_close}
        for account in session.accounts.values()
        for one in account.connector.connections.values()
    ]
    if run is not None:
        found |= _run(run)
        found |= {key: run.about[key] for key in ("delay_ns", "offset_ns")}
    if session.gateway is not None:
        found["orders_path"] = _orders_path(session)
    if session.shadow is not None:
        found["shadow"] = session.shadow.status()
    return found


def _run(run: LiveRun) -> dict[str, Any]:
    core, plan = run.core, run.plan
    counts = core.counters()
    accounts = run.accounts_now()
    orders = [order for context in run.contexts for order in context.orders()][:ORDERS_SHOWN]
    return {
        "now_ns": core.now,
        "counts": {key: counts[key] for key in ("messages", "orders", "fills", "rejects")},
        "books": [_book(run, m) for m in range(len(plan.markets))],
        "accounts": accounts,
        "margin": [_margin(run, row) for row in accounts],
        "orders": [
            {
                "lane": order.lane,
                "number": order.number,
                "instrument": plan.name_of(order.instrument),
                "side": "buy" if order.side == BUY else "sell",
                "price": _price(run, order.instrument, order.ticks),
                "size": str(plan.markets[order.instrument].instrument.size_of(order.lots)),
                "filled": str(plan.markets[order.instrument].instrument.size_of(order.filled_lots)),
                "status": order.status_name,
                "age_s": round((core.now - order.sent_ns) / 1e9, 1),
            }
            for order in orders
        ],
        "risk": None if run.risk is None else {"halted": run.risk.halted or None, "refused": dict(run.risk.refused)},
    }


def _book(run: LiveRun, m: int) -> dict[str, Any]:
    core, instrument = run.core, run.plan.markets[m].instrument
    rate, boundary = core.funding_view(m)[1:]
    sides = {}
    for name, side in (("bid", BUY), ("ask", SELL)):
        levels = core.levels(m, side, 1)
        sides[name] = _price(run, m, levels[0][0]) if levels else None
        sides[f"{name}_size"] = str(instrument.size_of(levels[0][1])) if levels else None
    return {
        "instrument": run.plan.name_of(m),
        "valid": core.is_valid(m),
        **sides,
        "mark": core.mark_e8(m) / 1e8 or None,
        "funding_rate": rate / 1e12 if boundary else None,
        "next_funding_s": round((boundary - core.now) / 1e9) if boundary else None,
        "gaps": run.sources[m].gaps,
    }


def _margin(run: LiveRun, row: dict[str, Any]) -> dict[str, Any]:
    asset = run.plan.assets.index(row["asset"])
    maintenance = run.core.ledger.maintenance_e8(row["account"], asset)
    equity = row["equity_e8"]
    ratio = round(maintenance / equity, 6) if equity > 0 else None
    return {"account": row["account"], "asset": row["asset"], "maintenance_e8": maintenance, "margin_ratio": ratio}


def _price(run: LiveRun, m: int, ticks: int) -> str:
    return run.plan.markets[m].instrument.price_str(ticks) if ticks > 0 else "market"


def _orders_path(session: Session) -> dict[str, Any]:
    gateway = session.gateway
    assert gateway is not None
    trips, own = sorted(gateway.round_trips_ns), sorted(gateway.own_ns)
    counts = gateway.counts
    return {
        "ready": all(account.connector.session.is_ready for account in session.accounts.values()),
        "round_trip_p50_ms": _quantile(trips, 500, 1e6),
        "round_trip_p99_ms": _quantile(trips, 990, 1e6),
        "own_p50_us": _quantile(own, 500, 1e3),
        "own_p99_us": _quantile(own, 990, 1e3),
        "commands": counts.commands,
        "events": counts.events,
        "lost": counts.lost,
        "foreign": counts.foreign,
        "differences": dict(counts.differences),
        "unbooked_fees": gateway.unbooked(),
    }


def _quantile(values: list[int], per_mille: int, unit: float) -> float | None:
    return round(values[min(len(values) - 1, len(values) * per_mille // 1000)] / unit, 3) if values else None


def _middle(values: Iterable[float | None]) -> float | None:
    found = sorted(value for value in values if value is not None)
    return found[len(found) // 2] if found else None
