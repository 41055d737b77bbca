"""The figures of a run, per account and per instrument, from its run folder alone.

Money stays in integers at 1e-8 of the account's asset (``_e8``); shares, ratios and averages are floats; None
stands for "not defined here" (no fills, no negative return ...). The split of an account's PnL adds up to its
change of equity to the unit:

    equity at the end - deposit = price + fee + funding + liquidation + unexplained

    price        realised PnL of fills that were no liquidation, plus unrealised PnL at mark at the end
    fee          minus the fees of those fills (a rebate counts positive)
    funding      payments received minus payments made
    liquidation  realised PnL minus fees of liquidation and take-over fills, plus what the insurance fund covered
    unexplained  what the files do not account for: zero, or the run folder contradicts itself

``measure`` reads every file once, in batches, and keeps what the figures and the charts need: its memory depends on
the number of accounts and instruments, not on the length of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matching import codes
from sim.report import execution
from sim.report.execution import is_forced
from sim.report.load import AccountInfo, Columns, InstrumentInfo, RunData, names_of
from sim.report.mids import Mids
from sim.report.returns import Falls, GridReturns, return_interval_ns, typical_step_ns
from sim.report.streams import Line, Sample, split

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

POINTS, MARKS = 2_000, 3_000
ORDER_COLUMNS = (
    "lane instrument order_no seq event reason ts_event_ns ticks lots ts_sent_ns ts_deliver_ns side cause leaves"
)
FILL_COLUMNS = (
    "lane account instrument order_no ts_event_ns side ticks lots liquidity cause queue_front_lots fee_e8 realized_e8"
    " position_lots wallet_e8"
)
EQUITY_COLUMNS = "lane account asset ts_ns wallet_e8 equity_e8 maintenance_e8 margin_ratio"


class AccountMeasure:
    """One account in one asset. ``curve`` draws equity and drawdown, ``margin`` the margin ratio."""

    def __init__(self, run: RunData, account: AccountInfo, name: str, points: int) -> None:
        self.run, self.account, self.name = run, account, name
        self.curve = Line(run.first_ns, run.last_ns, points, columns=2, extremes=(0, 1))
        self.margin = Line(run.first_ns, run.last_ns, points)
        self.margin_max: float | None = None
        self.least = account.deposit_e8
        self.samples = 0
        self.forced_ns: list[int] = []  # times of forced fills, as many as a chart can mark
        self._falls = Falls(run.first_ns, account.deposit_e8)
        self._returns: GridReturns | None = None
        self._wallet = self._equity = self._chain = account.deposit_e8  # ``_chain``: wallet after the last fill
        self.funding = _of_account(run, account)
        self._funded = 0  # of ``_funding``, payments booked before the last fill
        self.fills = self.value = self.fees = self.realized = self.covered = 0
        self.forced_fills = self.forced_fees = self.forced_realized = 0
        self._times: I64 = np.empty(0, np.int64)
        self._course: dict[str, I64] = {}

    def add_equity(self, rows: Columns) -> None:
        """Rows of ``equity.parquet`` of this account and asset."""
        ts, equity = rows["ts_ns"], rows["equity_e8"]
        if self._returns is None:
            interval = return_interval_ns(self.run.first_ns, self.run.last_ns, typical_step_ns(ts))
            self._returns = GridReturns(self.run.first_ns, self.run.last_ns, interval, self.account.deposit_e8)
        self._returns.add(ts, equity)
        self.least = min(self.least, int(equity.min()))
        fall = self._falls.add(ts, equity)
        self.curve.add(ts, np.stack([equity, -fall], axis=1).astype(np.float64))
        due = rows["maintenance_e8"] > 0
        ratio = np.where(np.isfinite(rows["margin_ratio"]), rows["margin_ratio"], np.nan)
        self.margin.add(ts, ratio)
        if due.any() and not np.isnan(ratio[due]).all():
            self.margin_max = max(self.margin_max or 0.0, float(np.nanmax(ratio[due])))
        self._wallet, self._equity = int(rows["wallet_e8"][-1]), int(equity[-1])
        self.samples += len(ts)

    def end_equity(self) -> None:
        """After the last sample: fixes the times at which the split of the PnL is drawn."""
        if self._returns is not None:
            self._returns.finish()
        self._times = self.curve.rows()[0]
        self._course = {part: np.zeros(len(self._times) + 1, np.int64) for part in ("fee", "liquidation", "funding")}
        self._note("funding", self.funding["booked_ns"], self.funding["payment_e8"])

    def _note(self, part: str, times_ns: I64, amounts_e8: I64) -> None:
        np.add.at(self._course[part], np.searchsorted(self._times, times_ns, side="left"), amounts_e8)

    def add_fills(self, rows: Columns, values_e8: list[int]) -> None:
        """Rows of ``fills.parquet`` of this account in instruments settled in the asset, with the value of each."""
        forced = is_forced(rows["cause"])
        fees, realized, times = rows["fee_e8"], rows["realized_e8"], rows["ts_event_ns"]
        self.fills += len(fees)
        self.value += sum(values_e8)
        self.fees += int(fees[~forced].sum())
        self.realized += int(realized[~forced].sum())
        self.forced_fills += int(forced.sum())
        self.forced_fees += int(fees[forced].sum())
        self.forced_realized += int(realized[forced].sum())
        self.forced_ns += times[forced].tolist()[: max(0, 100 - len(self.forced_ns))]
        covered = self._covered(rows)
        self.covered += int(covered.sum())
        self._note("fee", times, np.where(forced, 0, -fees))
        self._note("liquidation", times, np.where(forced, realized - fees, 0) + covered)

    def _covered(self, rows: Columns) -> I64:
        """What the insurance fund paid at each fill: the difference between what a fill booked and what the wallet
        shows.

        A venue with an insurance fund lets a flat account's wallet end at zero, not below. Only fills that left the
        wallet at zero can be covered; any other difference is unexplained.
        """
        wallet, times = rows["wallet_e8"], rows["ts_event_ns"]
        paid = np.concatenate(([0], np.cumsum(self.funding["payment_e8"])))
        funded = paid[np.searchsorted(self.funding["booked_ns"], times, side="right")]
        before = np.concatenate(([self._chain], wallet[:-1]))
        due = before + rows["realized_e8"] - rows["fee_e8"] + np.diff(funded, prepend=self._funded)
        self._chain, self._funded = int(wallet[-1]), int(funded[-1])
        return np.where((wallet == 0) & (due < 0), -due, 0)

    def split_over_time(self) -> tuple[I64, dict[str, F64]]:
        """Times of the drawn equity samples, and the cumulated parts of the PnL at them in units of the asset."""
        net = self.curve.rows()[1][:, 0] - self.account.deposit_e8
        parts: dict[str, F64] = {part: np.cumsum(sums)[:-1].astype(np.float64) for part, sums in self._course.items()}
        price = net - sum(parts.values())
        return self._times, {name: values / 1e8 for name, values in {"price": price, **parts, "net": net}.items()}

    def pnl_split(self) -> dict[str, int]:
        """The split of the module's docstring at 1e-8, plus ``equity_change_e8``, ``price_realized_e8`` and
        ``price_unrealized_e8`` (which sum to ``price_e8``), ``insurance_e8`` (the fund's part of
        ``liquidation_e8``)."""
        unrealized = self._equity - self._wallet
        split_ = {
            "price_e8": self.realized + unrealized,
            "fee_e8": -self.fees,
            "funding_e8": int(self.funding["payment_e8"].sum()),
            "liquidation_e8": self.forced_realized - self.forced_fees + self.covered,
        }
        change = self._equity - self.account.deposit_e8
        return split_ | {
            "unexplained_e8": change - sum(split_.values()),
            "equity_change_e8": change,
            "insurance_e8": self.covered,
            "price_realized_e8": self.realized,
            "price_unrealized_e8": unrealized,
        }

    def figures(self) -> dict[str, Any]:
        """Figures of the account.

        ``equity_least_e8``: the lowest equity sampled, the deposit included. ``return_share`` = equity change /
        deposit. ``sharpe`` ``sortino`` on ``returns`` returns of ``return_interval_ns``. ``drawdown_*`` as in
        ``returns.Drawdown``. ``traded_value_e8``: sum of fill values; ``turnover`` = that / deposit. ``fees_e8``:
        fees paid, rebates negative. ``margin_ratio_max``: highest maintenance margin / margin balance sampled, None
        when no margin was ever due.
        """
        account, deposit, split_ = self.account, self.account.deposit_e8, self.pnl_split()
        fall, ratios = self._falls.result(), self._returns
        return {
            "lane": account.lane,
            "account": account.account,
            "name": self.name,
            "strategy": self.run.strategy_of(account.lane),
            "asset": account.asset,
            "deposit_e8": deposit,
            "wallet_e8": self._wallet,
            "equity_e8": self._equity,
            "equity_least_e8": self.least,
            "pnl": split_,
            "return_share": split_["equity_change_e8"] / deposit if deposit else None,
            "return_interval_ns": None if ratios is None else ratios.interval_ns,
            "returns": 0 if ratios is None else ratios.count,
            "sharpe": None if ratios is None else ratios.sharpe,
            "sortino": None if ratios is None else ratios.sortino,
            "drawdown_e8": fall.largest_e8,
            "drawdown_share": fall.largest_share if deposit else None,
            "drawdown_ns": fall.longest_ns,
            "drawdown_recovered": fall.recovered,
            "fills": self.fills,
            "traded_value_e8": self.value,
            "turnover": self.value / deposit if deposit else None,
            "fees_e8": self.fees + self.forced_fees,
            "funding_payments": len(self.funding["payment_e8"]),
            "liquidation_fills": self.forced_fills,
            "margin_ratio_max": self.margin_max,
        }


def _of_account(run: RunData, account: AccountInfo) -> Columns:
    """Funding payments of an account in its asset, by the time they were booked."""
    rows = run.funding
    settled = [i.index for i in run.instruments if i.settle == account.asset]
    mine = (rows["lane"] == account.lane) & (rows["account"] == account.account) & np.isin(rows["instrument"], settled)
    order = np.argsort(rows["booked_ns"][mine], kind="stable")
    return {name: values[mine][order] for name, values in rows.items()}


class InstrumentMeasure:
    """One lane on one instrument. ``value`` draws the position's value at mark, ``marks`` selects fills to draw."""

    def __init__(
        self, run: RunData, lane: int, instrument: InstrumentInfo, mids: Mids, points: int, marks: int
    ) -> None:
        self.run, self.lane, self.instrument, self.mids = run, lane, instrument, mids
        self.value = Line(run.first_ns, run.last_ns, points, steps=True)
        self.was_held = False
        self.inventory = execution.Inventory(run.first_ns, run.last_ns, points)
        self.marks = execution.new_marks(marks)
        self.flow = execution.OrderFlow(mids.gaps(instrument.index)[0])
        self.costs = execution.TakerCosts(mids, instrument.index)
        self.queue = execution.Queue()
        self.funding = {n: v[_mine(run.funding, lane, instrument.index)] for n, v in run.funding.items()}
        self.forced_ns: list[int] = []
        self._markouts = execution.Markouts(mids, instrument.index)
        self._holding = [execution.Holding() for _leg in range(2 if instrument.hedge else 1)]
        self._fills = self._maker_fills = self._lots = self._value = self._maker_value = self._realized = self._fees = 0

    def add_fills(self, rows: Columns, values_e8: list[int]) -> None:
        """Rows of ``fills.parquet`` of this lane and instrument, with the value of each."""
        maker = rows["liquidity"] == codes.LIQ_MAKER
        forced = is_forced(rows["cause"])
        self._fills += len(maker)
        self._maker_fills += int(maker.sum())
        self._lots += int(rows["lots"].sum())
        self._value += sum(values_e8)
        self._maker_value += sum(value for value, made in zip(values_e8, maker.tolist(), strict=True) if made)
        self._realized += int(rows["realized_e8"].sum())
        self._fees += int(rows["fee_e8"].sum())
        self.forced_ns += rows["ts_event_ns"][forced].tolist()[: max(0, 100 - len(self.forced_ns))]
        self.marks.add(execution.mark_rows(rows, self.run.first_ns), forced)
        legs = execution.legs_of(rows) if self.instrument.hedge else [rows]
        for holding, mine in zip(self._holding, legs, strict=True):
            holding.add(mine)
        if self.instrument.hedge:
            rows = {**rows, "position_lots": self.inventory.end_lots + np.cumsum(execution.signed_lots(rows))}
        for part in (self.inventory, self.queue, self._markouts):
            part.add(rows)

    def add_orders(self, rows: Columns) -> None:
        """Rows of ``orders.parquet`` of this lane and instrument."""
        self.flow.add(rows)
        self.costs.add(rows)

    def add_positions(self, rows: Columns) -> None:
        """Rows of ``positions.parquet`` of this lane and instrument: the value is signed, in the settlement asset,
        NaN before the first mark."""
        info = self.instrument
        mark = rows["mark_e8"] / 1e8
        size = rows["position_lots"].astype(np.float64) * float(info.lot_size) * float(info.contract_size)
        value = np.full(len(size), np.nan)
        np.divide(size, mark, out=value, where=mark > 0) if info.inverse else np.multiply(size, mark, out=value)
        self.value.add(rows["ts_ns"], value)
        self.was_held |= bool(size.any())

    def figures(self) -> dict[str, Any]:
        """Figures of the lane on the instrument: orders, fills, costs, markouts, queue, inventory, latencies.

        ``maker_share`` = value of maker fills / value of all fills. ``realized_e8`` ``fees_e8`` ``funding_e8`` are
        sums over fills and payments (unrealised PnL belongs to the account). Sizes in lots; see ``execution`` for
        the rest.
        """
        return {
            "lane": self.lane,
            "instrument": self.instrument.index,
            "name": self.instrument.name,
            "asset": self.instrument.settle,
            "orders": self.flow.result(),
            "orders_open_in_gaps": self.flow.orders_in_gaps(self.run.last_ns),
            "fills": self._fills,
            "maker_fills": self._maker_fills,
            "filled_lots": self._lots,
            "traded_value_e8": self._value,
            "maker_share": self._maker_value / self._value if self._value else None,
            "realized_e8": self._realized,
            "fees_e8": self._fees,
            "funding_e8": int(self.funding["payment_e8"].sum()),
            "funding_payments": len(self.funding["payment_e8"]),
            "holding": execution.holding_figures(self._holding),
            "inventory": self.inventory.result(),
            "mid_sample_ns": self.mids.step_ns(self.instrument.index),
            "markouts": self._markouts.result(),
            "slippage": self.costs.result(),
            "queue": self.queue.result(),
            "entry_latency": execution.latency_figures(self.flow.entry),
            "response_latency": execution.latency_figures(self.flow.response),
        }


def _mine(rows: Columns, lane: int, instrument: int) -> npt.NDArray[np.bool_]:
    return np.asarray((rows["lane"] == lane) & (rows["instrument"] == instrument))


class FeedMeasure:
    """The feed of one instrument. ``line`` draws its latency in ns."""

    def __init__(self, run: RunData, instrument: InstrumentInfo, points: int) -> None:
        self.run, self.instrument = run, instrument
        self.latency = Sample()
        self.line = Line(run.first_ns, run.last_ns, points)

    def add(self, rows: Columns) -> None:
        """Rows of ``feed_latency.parquet`` of this instrument."""
        self.latency.add(rows["latency_ns"])
        self.line.add(rows["ts_ns"], rows["latency_ns"].astype(np.float64))

    def figures(self) -> dict[str, Any]:
        """Feed latency quantiles and gaps; ``gap_share`` of the run's time."""
        gaps = self.run.gaps
        mine = gaps["instrument"] == self.instrument.index
        lost = int((gaps["end_ns"][mine] - gaps["start_ns"][mine]).sum())
        span = self.run.last_ns - self.run.first_ns
        return {
            "instrument": self.instrument.index,
            "name": self.instrument.name,
            "feed_latency": execution.latency_figures(self.latency),
            "gaps": int(mine.sum()),
            "gap_ns": lost,
            "gap_share": lost / span if span > 0 else None,
        }


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of a run: accounts in the manifest's order, instruments by lane then place, feeds by
    place."""

    run: RunData
    mids: Mids
    accounts: tuple[AccountMeasure, ...]
    instruments: tuple[InstrumentMeasure, ...]
    feeds: tuple[FeedMeasure, ...]

    def figures(self) -> dict[str, Any]:
        """All figures as a dict that ``json`` can write: ``period annualisation accounts instruments feeds``."""
        run = self.run
        return {
            "period": {"first_ns": run.first_ns, "last_ns": run.last_ns, "span_ns": run.last_ns - run.first_ns},
            "annualisation": "sqrt(365 d / return_interval_ns) of each account; risk-free rate 0",
            "accounts": [account.figures() for account in self.accounts],
            "instruments": [instrument.figures() for instrument in self.instruments],
            "feeds": [feed.figures() for feed in self.feeds],
        }


def measure(run: RunData, points: int = POINTS, marks: int = MARKS) -> Measures:
    """Read the run's files and measure everything. ``points`` and ``marks`` bound what is kept for each chart."""
    mids = Mids(run, points)
    names = names_of(run.accounts)
    accounts = [AccountMeasure(run, a, name, points) for a, name in zip(run.accounts, names, strict=True)]
    pairs = [(lane, i) for lane in run.lanes for i in run.instruments if run.account_of(lane, i) is not None]
    instruments = [InstrumentMeasure(run, lane, i, mids, points, marks) for lane, i in pairs]
    feeds = [FeedMeasure(run, instrument, points) for instrument in run.instruments]
    by_place: dict[tuple[int, ...], InstrumentMeasure] = {(m.lane, m.instrument.index): m for m in instruments}
    _read_equity(run, accounts)
    for rows in run.tables["positions"].batches("lane instrument ts_ns position_lots mark_e8"):
        for key, place in split([rows["lane"], rows["instrument"]]):
            by_place[key].add_positions(_taken(rows, place))
    _read_fills(run, accounts, by_place)
    for rows in run.tables["orders"].batches(ORDER_COLUMNS):
        for key, place in split([rows["lane"], rows["instrument"]]):
            by_place[key].add_orders(_taken(rows, place))
    for rows in run.tables["feed_latency"].batches("instrument ts_ns latency_ns"):
        for (index,), place in split([rows["instrument"]]):
            feeds[index].add(_taken(rows, place))
    return Measures(run, mids, tuple(accounts), tuple(instruments), tuple(feeds))


def _taken(rows: Columns, place: npt.NDArray[np.intp]) -> Columns:
    return {name: values[place] for name, values in rows.items()}


def _read_equity(run: RunData, accounts: list[AccountMeasure]) -> None:
    assets = sorted({a.account.asset for a in accounts})
    by_key = {(a.account.lane, a.account.account, assets.index(a.account.asset)): a for a in accounts}
    for rows in run.tables["equity"].batches(EQUITY_COLUMNS):
        asset = np.full(len(rows["asset"]), -1, np.int64)
        for number, name in enumerate(assets):
            asset[rows["asset"] == name] = number
        for key, place in split([rows["lane"], rows["account"], asset]):
            if key in by_key:
                by_key[key].add_equity(_taken(rows, place))
    for account in accounts:
        account.end_equity()


def _read_fills(
    run: RunData, accounts: list[AccountMeasure], by_place: dict[tuple[int, ...], InstrumentMeasure]
) -> None:
    assets = sorted({i.settle for i in run.instruments})
    asset_of = np.array([assets.index(i.settle) for i in run.instruments], np.int64)
    by_key = {(a.account.lane, a.account.account, a.account.asset): a for a in accounts}
    for rows in run.tables["fills"].batches(FILL_COLUMNS):
        values = np.zeros(len(rows["lane"]), dtype=object)
        for (lane, index), place in split([rows["lane"], rows["instrument"]]):
            pairs = zip(rows["ticks"][place].tolist(), rows["lots"][place].tolist(), strict=True)
            values[place] = run.instruments[index].values_e8(pairs)
            by_place[lane, index].add_fills(_taken(rows, place), values[place].tolist())
        for (lane, number, asset), place in split([rows["lane"], rows["account"], asset_of[rows["instrument"]]]):
            by_key[lane, number, assets[asset]].add_fills(_taken(rows, place), values[place].tolist())


def run_statistics(run: RunData) -> dict[str, Any]:
    """Everything of this module for one run, without keeping what only charts need."""
    return measure(run, points=64, marks=16).figures()
