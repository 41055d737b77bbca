"""``backtest``: a run file and a strategy in, a run folder and a ``Result`` out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from matching import build_info
from matching.arith import below, draw
from matching.feed import FeedSource
from matching.kernel import Core
from sim.assembly import Plan, assemble, build_core, money_e8, money_rules
from sim.config import ComputeConfig, RunConfig, StrategyConfig, anchored, load_config, resolved
from sim.facts import banner_facts
from sim.feeds import WatchedSource
from sim.history import history
from sim.live.risk import Risk, RiskGuard
from sim.loading import load_class, make
from sim.loop import Loop
from sim.progress import Progress
from sim.report import BannerLine, banner_lines, build_report, statistics
from sim.runfolder import RunWriter, code_sha256, file_sha256, new_folder, write_json
from sim.signals import SignalStream
from sim.strategy import Context, Strategy
from sim.toml import toml_text
from sim.venue_face import VenueFace
from venues.errors import InputError
from venues.instruments import Instrument
from venues.ports import Clock, SystemClock
from venues.rules import RuleCard

if TYPE_CHECKING:
    import polars as pl

DELAY_LEG: Final = 1 << 20  # keeps the draws of compute delays apart from those of latencies
Strategies = type[Strategy] | Strategy | Sequence[type[Strategy] | Strategy]


@dataclass(frozen=True)
class Result:
    """A finished run. Frames are read from the run folder when they are asked for; columns: docs of the run folder.

    ``summary`` is what ``summary.json`` holds, ``hash`` that of the canonical order log, ``strategies`` the objects
    that ran, one a lane.
    """

    path: Path
    summary: dict[str, Any]
    banner: list[BannerLine]
    strategies: list[Strategy]

    @property
    def hash(self) -> str:
        return str(self.summary["hash"])

    @cached_property
    def orders(self) -> pl.DataFrame:
        return self._frame("orders")

    @cached_property
    def fills(self) -> pl.DataFrame:
        return self._frame("fills")

    @cached_property
    def funding(self) -> pl.DataFrame:
        return self._frame("funding")

    @cached_property
    def equity(self) -> pl.DataFrame:
        return self._frame("equity")

    @cached_property
    def positions(self) -> pl.DataFrame:
        return self._frame("positions")

    @cached_property
    def bbo(self) -> pl.DataFrame:
        return self._frame("bbo")

    @cached_property
    def gaps(self) -> pl.DataFrame:
        return self._frame("gaps")

    def _frame(self, name: str) -> pl.DataFrame:
        import polars as pl

        return pl.read_parquet(self.path / f"{name}.parquet")


def backtest(
    config: str | Path | Mapping[str, Any] | RunConfig,
    strategy: Strategies | None = None,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    feeds: Mapping[str | int, FeedSource] | None = None,
    html: bool | None = None,
    show_progress: bool = True,
    clock: Clock | None = None,
) -> Result:
    """Run a strategy over recorded feeds and write a run folder.

    ``config``: path of a run file, its content as a mapping, or a ``RunConfig``. ``strategy``: a class (made with the
    run file's params), an object, or a list of them, one a lane; without it the run file's. ``overrides`` are
    ``key=value`` as for ``--set``. ``feeds`` gives instruments feeds that are in no lake. ``html`` False leaves the
    report out. Raises ``InputError`` before the first event for anything missing or contradictory; an error of the
    strategy comes out as it is, with a note of where it happened.
    """
    wall = SystemClock() if clock is None else clock
    checked, base = load_config(config, overrides, seed=seed)
    plan = assemble(checked, base, feeds)
    strategies, names = strategies_of(checked, base, strategy)
    folder = folder_of(checked, base / checked.out if out is None else Path(out), wall)
    run = Run(plan, strategies, names, folder, show_progress, wall)
    run.execute()
    return run.finish(checked.report.html if html is None else html)


def folder_of(config: RunConfig, out: Path, clock: Clock) -> Path:
    """A new run folder in ``out``, named by the run and the time."""
    from sim.units import instant_text

    stamp = (
        instant_text(clock.wall_ns() // 10**9 * 10**9).replace("-", "").replace(":", "").replace("T", "-").rstrip("Z")
    )
    return new_folder(out, f"{config.name}-{stamp}")


def strategies_of(config: RunConfig, base: Path, given: Strategies | None) -> tuple[list[Strategy], list[str]]:
    """One object a lane, and their names."""
    if given is None:
        entries = config.lanes or ([config.strategy] if config.strategy is not None else [])
        if not entries:
            raise InputError("is not given, neither here nor in the run file", source="strategy")
        made = [_from_config(entry, base, f"strategy of lane {k}") for k, entry in enumerate(entries)]
    else:
        params = config.strategy.params if config.strategy is not None else {}
        listed = list(given) if isinstance(given, Sequence) else [given]
        made = [make(one, params, "strategy") if isinstance(one, type) else one for one in listed]
    for lane, one in enumerate(made):
        if not isinstance(one, Strategy):
            raise InputError(f"{type(one).__name__} is no perpsim.Strategy", source=f"strategy of lane {lane}")
        if any(one is other for other in made[:lane]):
            raise InputError("is the same object as another lane's: every lane needs its own", source=f"lane {lane}")
    return made, [type(one).__name__ for one in made]


def _from_config(entry: StrategyConfig, base: Path, what: str) -> Strategy:
    made: Strategy = make(load_class(entry.class_, base, what), entry.params, what)
    return made


def _compute_delay(config: ComputeConfig | None, seed: int) -> Any:
    """Nanoseconds that the n-th callback of a lane takes, as a function of n, or None."""
    if config is None:
        return None
    if config.delay is not None:
        constant = config.delay
        return None if constant == 0 else lambda number: constant
    assert config.min is not None and config.max is not None
    low, width = config.min, config.max - config.min + 1
    return lambda number: low + below(draw(seed, 0, number, DELAY_LEG), width)


class Services:
    """What contexts ask of a run beside acting: names, history, log."""

    def __init__(self, plan: Plan, writer: RunWriter) -> None:
        self._plan = plan
        self._writer = writer

    def index(self, name: str) -> int:
        """Raises KeyError with the names there are."""
        venue, colon, symbol = name.rpartition(":")
        found = [
            m
            for m, market in enumerate(self._plan.markets)
            if market.instrument.symbol == symbol
            and (not colon or self._plan.venues[market.venue].config.name == venue)
        ]
        if len(found) != 1:
            known = ", ".join(self._plan.name_of(m) for m in range(len(self._plan.markets)))
            raise KeyError(
                f"{'several instruments are' if found else 'no instrument is'} named {name!r}; there are {known}"
            )
        return found[0]

    def history(self, i: int, span_ns: int, now_ns: int, kind: str, bar: int | str | None) -> Any:
        """Raises LookupError where the feed is in no lake."""
        market = self._plan.markets[i]
        if not market.paths:
            raise LookupError(f"{market.name}: its feed comes from no lake, so there is no history")
        from recorders.source import WINDOW_MESSAGES, LakeSource

        def open_span(from_ns: int, to_ns: int) -> FeedSource:
            return LakeSource(market.paths, market.name, from_ns, to_ns, WINDOW_MESSAGES)

        return history(open_span, span_ns, now_ns, kind, bar)

    def log(self, lane: int, now_ns: int, message: str, values: Mapping[str, object]) -> None:
        self._writer.log(lane, now_ns, message, values)


class Run:
    """One run from its plan to its files. ``about``: what its manifest says beside; ``risk``: its limits, if any."""

    is_external = False  # whether the venues are real ones

    def __init__(
        self, plan: Plan, strategies: list[Strategy], names: list[str], folder: Path, show_progress: bool, clock: Clock
    ) -> None:
        self.plan, self.strategies, self.names, self.folder, self.clock = plan, strategies, names, folder, clock
        self.wall_ns = 0
        instruments = [market.instrument for market in plan.markets]
        face = self._face(
            [plan.venues[market.venue].card for market in plan.markets], instruments, [m.venue for m in plan.markets]
        )
        self.writer = RunWriter(folder, instruments, plan.assets, face)
        self.core: Core = self._core()
        self.sources = [
            WatchedSource(market.source, m, self.writer.tables, market.mark_table)
            for m, market in enumerate(plan.markets)
        ]
        start = plan.first_ns
        streams = [SignalStream(entry, plan.base, start) for entry in plan.config.data]
        self.about: dict[str, Any] = {"mode": "backtest"}
        self.notes: list[str] = []  # more lines of the banner
        self.contexts: list[Context] = []
        services = Services(plan, self.writer)
        self.loop = Loop(self.core, self._loop_sources(), start, streams, self.writer, services)
        if show_progress:
            self.writer.progress = Progress(start, plan.last_ns, lambda: int(self.core.counters()["rows"]), clock=clock)
        self._add_lanes()
        self.risk = self._guard()
        document = anchored(resolved(plan.config), plan.base)
        (folder / "run.toml").write_text(toml_text(document), encoding="utf-8")

    def _face(self, cards: list[RuleCard], instruments: list[Instrument], venues: list[int]) -> VenueFace:
        """What venues say of refusals."""
        return VenueFace(cards, instruments, venues)

    def _core(self) -> Core:
        return build_core(self.plan, len(self.strategies))

    def _loop_sources(self) -> Sequence[Any]:
        """What the loop reads; None: messages are given as they come."""
        return self.sources

    def _deposit_e8(self, venue: int, asset: str) -> int:
        """What every account of a venue begins with."""
        deposit = self.plan.venues[venue].config.deposit
        return money_e8(deposit[asset], asset) if asset in deposit else 0

    def _guard(self) -> Risk | None:
        """The limits of ``[risk]``, which the kernel asks before an order leaves."""
        if self.plan.config.risk is None:
            return None
        risk = Risk(self.plan.config.risk, [market.instrument for market in self.plan.markets])
        self.core.guard = RiskGuard(risk, self.core, self.contexts, self._refused)
        return risk

    def _refused(self, market: int, order_no: int, why: str) -> None:
        """A limit stood against an order: the strategy hears it as a rejection."""

    def _add_lanes(self) -> None:
        pairs = [(v, asset) for v in range(len(self.plan.venues)) for asset in self.plan.assets]
        deposits = [self._deposit_e8(v, asset) for v, asset in pairs]
        wallet_of = [pairs.index((market.venue, market.instrument.settle)) for market in self.plan.markets]
        instruments = [market.instrument for market in self.plan.markets]
        delay = _compute_delay(self.plan.config.compute, self.plan.config.seed)
        cards = [self.plan.venues[market.venue].card for market in self.plan.markets]
        prefixes = [(card.liquidation.order_id_prefix.value, card.loss.adl_id_prefix.value) for card in cards]
        for lane, strategy in enumerate(self.strategies):
            context = Context(self.core, lane, instruments, wallet_of, deposits, self.loop)
            context.face = self.writer.face
            context.forced_prefixes = prefixes
            self.contexts.append(context)
            self.loop.add_lane(strategy, context, delay)

    def execute(self) -> None:
        """Run. An error leaves a folder whose manifest says ``failed``."""
        start = self.clock.monotonic_ns()
        self.core.sample_accounts(self.plan.first_ns)
        try:
            self.loop.run()
        except BaseException as error:
            self.wall_ns = self.clock.monotonic_ns() - start
            self.fail(error)
            raise
        self.wall_ns = self.clock.monotonic_ns() - start
        self.close()

    def fail(self, error: BaseException) -> None:
        """Write down that the run failed. Raises in place of what a strategy or the kernel must not raise."""
        self.writer.drain(self.core, True)
        self.close()
        lane = self.loop.calling
        if lane >= 0:
            error.add_note(
                f"perpsim: raised by {self.names[lane]} (lane {lane}) at "
                f"{max(self.core.now, self.plan.first_ns)} ns, run folder {self.folder}"
            )
            error.perpsim_lane = lane  # type: ignore[attr-defined]  # tells the command line whose error it is
        write_json(self.folder / "manifest.json", self._manifest([], "", f"{type(error).__name__}: {error}"))
        if lane >= 0 and isinstance(error, SystemExit):
            ended = RuntimeError("the strategy called sys.exit: a run is ended by ctx.stop(why)")
            ended.perpsim_lane = lane  # type: ignore[attr-defined]
            raise ended from error
        if lane < 0 and isinstance(error, ValueError | OverflowError) and _raised_by_kernel(error):
            raise InputError(self._named(str(error)), source=f"run {self.folder}") from error

    def _named(self, message: str) -> str:
        """A kernel's message, which knows markets by number, with their names."""
        for m in range(len(self.plan.markets)):
            message = message.replace(f"market {m}:", f"{self.plan.name_of(m)}:")
        return message

    def close(self) -> None:
        """Finish every file."""
        for source in self.sources:
            source.close(self.core.now)
        self.writer.close()
        if self.writer.progress is not None:
            self.writer.progress.close()

    def finish(self, html: bool) -> Result:
        """Hash, manifest, statistics, summary and report."""
        log_hash = self.writer.canonical.finish()
        banner = banner_lines(
            banner_facts(self.plan, self.core, self.sources, self.folder, self.is_external, self.notes)
        )
        write_json(self.folder / "manifest.json", self._manifest(banner, log_hash, None))
        summary = {**self._summary(log_hash), "statistics": statistics(self.folder)}
        write_json(self.folder / "summary.json", summary)
        if html:
            build_report(self.folder)
        return Result(self.folder, summary, banner, self.strategies)

    # -- what is written down

    def _summary(self, log_hash: str) -> dict[str, Any]:
        counts = self.core.counters()
        seconds = self.wall_ns / 1e9
        accounts = self.accounts_now()
        single = accounts[0] if len(accounts) == 1 and len(self.plan.markets) == 1 else None
        money = ("wallet_e8", "equity_e8", "fees_e8", "realized_e8", "funding_e8")
        return {
            "run_id": self.folder.name,
            "strategy": self.names[0] if len(self.names) == 1 else self.names,
            "seed": self.plan.config.seed,
            "first_ns": self.plan.first_ns,
            "last_ns": self.core.now,
            "events": counts["rows"],
            "messages": counts["messages"],
            "wakes": self.loop.wakes,
            "wall_s": round(seconds, 6),
            "events_per_s": round(counts["rows"] / seconds) if seconds > 0 else None,
            "fills": counts["fills"],
            "orders": counts["orders"],
            "rejects": counts["rejects"],
            "refusals": self.writer.face.refusals([self.plan.name_of(m) for m in range(len(self.plan.markets))]),
            "position": single["positions"][0]["position_lots"] if single else None,
            **{name: single[name] if single else None for name in money},
            "hash": log_hash,
            "stopped": self.loop.stop_reason if self.loop.stopped else None,
            "accounts": accounts,
        }

    def accounts_now(self) -> list[dict[str, Any]]:
        ledger, found = self.core.ledger, []
        for lane in range(len(self.strategies)):
            for v, venue in enumerate(self.plan.venues):
                account = lane * len(self.plan.venues) + v
                mine = [m for m, market in enumerate(self.plan.markets) if market.venue == v]
                pooled = venue.config.collateral if venue.config.multi_assets else {}
                held = [*(self.plan.asset_of(m) for m in mine), *map(self.plan.assets.index, pooled)]
                for asset in dict.fromkeys(held):
                    wallet, equity = ledger.wallet(account, asset), ledger.equity_e8(account, asset)
                    found.append(
                        {
                            "lane": lane,
                            "account": account,
                            "venue": venue.config.name,
                            "asset": self.plan.assets[asset],
                            "wallet_e8": wallet,
                            "unrealized_e8": equity - wallet,
                            "equity_e8": equity,
                            "fees_e8": ledger.fees_e8(account, asset),
                            "liquidation_fees_e8": ledger.liquidation_fees_e8(account, asset),
                            "realized_e8": ledger.realized_e8(account, asset),
                            "funding_e8": ledger.funding_e8(account, asset),
                            "covered_e8": ledger.covered_e8(account, asset),
                            "positions": [
                                {"instrument": self.plan.name_of(m), **self._position(account, m)}
                                for m in mine
                                if self.plan.asset_of(m) == asset
                            ],
                        }
                    )
        return found

    def _position(self, account: int, m: int) -> dict[str, int]:
        """Lots held in a market; in hedge mode also those of each leg."""
        ledger = self.core.ledger
        long_lots = ledger.position(account, m)
        if not self.plan.venues[self.plan.markets[m].venue].config.hedge:
            return {"position_lots": long_lots}
        short_lots = ledger.position(account, m + len(self.plan.markets))
        return {"position_lots": long_lots + short_lots, "long_lots": long_lots, "short_lots": short_lots}

    def _manifest(self, banner: list[BannerLine], log_hash: str, failure: str | None) -> dict[str, Any]:
        resolved_text = (self.folder / "run.toml").read_bytes()
        build = build_info()
        return {
            "run_id": self.folder.name,
            **self.about,
            "status": "failed" if failure else "finished",
            "failure": failure,
            "strategy": self.names[0] if len(self.names) == 1 else self.names,
            "seed": self.plan.config.seed,
            "hash": log_hash,
            "version": version(),
            "created_ns": self.clock.wall_ns(),
            "wall_ns": self.wall_ns,
            "first_ns": self.plan.first_ns,
            "last_ns": self.core.now,
            "config_sha256": hashlib.sha256(resolved_text).hexdigest(),
            "code_sha256": code_sha256(Path(__file__).resolve().parent.parent),
            "strategy_sha256": self._strategy_hashes(),
            "compiled": build["compiled"],
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in ("numpy", "polars", "pyarrow", "pydantic")},
            "instruments": [self._instrument(m) for m in range(len(self.plan.markets))],
            "accounts": self._account_list(),
            "data": self._data_hashes(),
            "banner": [line.as_dict() for line in banner],
        }

    def _instrument(self, m: int) -> dict[str, Any]:
        one = self.plan.markets[m].instrument
        sizes = {name: f"{getattr(one, name):f}" for name in ("tick_size", "lot_size", "contract_size")}
        names = ("symbol", "base", "quote", "settle", "inverse", "value_num", "value_den", "lot_num", "lot_den")
        venue = self.plan.venues[self.plan.markets[m].venue]
        return {
            "name": self.plan.name_of(m), "venue": venue.config.name, **{n: getattr(one, n) for n in names}, **sizes,
            "hedge": venue.config.hedge, **money_rules(self.plan, m),
        }  # fmt: skip

    def _account_list(self) -> list[dict[str, Any]]:
        keys = ("lane", "account", "venue", "asset")
        found = []
        for entry in self.accounts_now():
            deposit = self.plan.venues[entry["account"] % len(self.plan.venues)].config.deposit.get(entry["asset"])
            deposit_e8 = money_e8(deposit, entry["asset"]) if deposit is not None else 0
            found.append({**{key: entry[key] for key in keys}, "deposit_e8": deposit_e8})
        return found

    def _strategy_hashes(self) -> dict[str, str]:
        import sys

        found = {}
        for strategy in self.strategies:
            path = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
            if path is not None and Path(path).is_file():
                found[type(strategy).__module__] = file_sha256(Path(path))
        return found

    def _data_hashes(self) -> list[dict[str, Any]]:
        """The digest that every lake file carries, and the hashes of all tables."""
        import pyarrow.parquet as pq

        found = []
        for path in dict.fromkeys(path for market in self.plan.markets for path in market.paths):
            digest = (pq.read_metadata(path).metadata or {}).get(b"perpsim.digest", b"").decode()
            found.append({"path": str(path), "digest": digest, "bytes": path.stat().st_size})
        tables = {path: sha256 for market in self.plan.markets for path, sha256 in market.files.items()}
        found += [{"path": path, "sha256": sha256} for path, sha256 in tables.items()]
        for venue in self.plan.config.venue:
            for leg in (venue.latency.entry, venue.latency.response) if venue.latency is not None else ():
                for name in (leg.file, leg.table):
                    if name is not None:
                        found.append({"path": str(self.plan.base / name), "sha256": file_sha256(self.plan.base / name)})
        for entry in self.plan.config.data:
            found.append({"path": str(self.plan.base / entry.path), "sha256": file_sha256(self.plan.base / entry.path)})
        return found


def _raised_by_kernel(error: BaseException) -> bool:
    """Whether an error was raised in ``matching`` itself, not in somebody's model that it asked."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).parent.name == "matching"


def version() -> str:
    """The installed version of perpsim; "source" where it runs from a source tree that is not installed."""
    try:
        return importlib.metadata.version("perpsim")
    except importlib.metadata.PackageNotFoundError:
        return "source"
