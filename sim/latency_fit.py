"""Latency models made from recorded latencies: empirical, fitted, and dependent on load; and how well they fit.

Theory of operation. A dataset (``recorders.latency``, or any table with a column of latencies) becomes a *model file*:
JSON with one or more tables of integer quantiles, which a run file names (``entry = { table = "FILE" }``). Whatever
scipy computed is in those integers, so a run's hash does not depend on the scipy of the day.

Distributions are fitted by maximum likelihood to the latency above a floor, which is fitted too (between zero and just
below the least value): lognormal (closed form), gamma and Weibull (scipy), and mixtures of two and
three lognormals (expectation and maximisation from quantile-based starts). Their fits are compared by

    ks      Kolmogorov-Smirnov distance between fitted and recorded distribution (a distance: with parameters fitted to
            the same sample its usual p-values do not hold, so none is given)
    aic, bic  Akaike's and Schwarz's criteria; ``best`` is the least bic
    p50 .. p99.9  the fitted quantile's relative error

Large samples are thinned to ``FIT_VALUES`` order statistics for fitting (``PROFILE_VALUES`` for the floor); distances
are taken over all of them.

A model by load has a table for each of several classes of load (messages the feed made in the 100 ms step before). In a
run the load is that of the venue's first instrument, known before each instant.

Sources: N. Balakrishnan, N. L. Johnson, S. Kotz, Continuous Univariate Distributions (1994); A. Dempster, N. Laird,
D. Rubin, "Maximum likelihood from incomplete data via the EM algorithm" (1977); G. Schwarz, "Estimating the dimension
of a model" (1978).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from sim.latency import LATENCY_LIMIT_NS, MODEL_FORMAT, TABLE_STEPS, TAIL, LatencyFile, LoadTable, empirical_quantiles
from venues.errors import InputError

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
FIT_VALUES: Final = 50_000
PROFILE_VALUES: Final = 1_000  # for finding the floor
LEAST_VALUES: Final = 20  # fewer do not carry a fit
MIXTURE_ROUNDS: Final = 500
MIXTURE_TOLERANCE: Final = 1e-9
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
FAMILIES: Final = ("lognormal", "gamma", "weibull", "lognormal2", "lognormal3")
NAMES: Final = ("empirical", *FAMILIES)


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted distribution of latency in ns: ``weights``, and a scipy distribution's shape and scale a component, all
    shifted by ``floor_ns``. Times of parameters are ns."""

    family: str
    floor_ns: float
    weights: tuple[float, ...]
    shapes: tuple[float, ...]
    scales: tuple[float, ...]

    def _parts(self) -> list[tuple[float, Any]]:
        kinds = {"gamma": stats.gamma, "weibull": stats.weibull_min}
        kind = kinds.get(self.family, stats.lognorm)
        parts = zip(self.weights, self.shapes, self.scales, strict=True)
        return [(weight, kind(shape, loc=self.floor_ns, scale=scale)) for weight, shape, scale in parts]

    def cdf(self, values: F64) -> F64:
        """Probability of at most these latencies (ns)."""
        found: F64 = np.sum([weight * part.cdf(values) for weight, part in self._parts()], axis=0)
        return found

    def log_likelihood(self, values: F64) -> float:
        """Sum of log densities at these latencies (ns)."""
        density = np.sum([weight * part.pdf(values) for weight, part in self._parts()], axis=0)
        return float(np.log(np.maximum(density, 1e-300)).sum())

    @property
    def parameters(self) -> int:
        """Free parameters, the floor included."""
        return 3 * len(self.weights)

    def quantile(self, probabilities: F64) -> F64:
        """Latencies (ns) at these probabilities, by bisection where components are mixed."""
        parts = self._parts()
        if len(parts) == 1:
            found: F64 = parts[0][1].ppf(probabilities)
            return found
        ends = np.array([part.ppf(probabilities) for _, part in parts])
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(80):
            middle = (low + high) / 2
            below = self.cdf(middle) < probabilities
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        middle_of: F64 = (low + high) / 2
        return middle_of

    def table(self) -> list[int]:
        """Integer quantiles at equal steps of probability, as the kernel draws from them."""
        inner = np.arange(1, TABLE_STEPS) / TABLE_STEPS
        ends = float(TAIL)
        values = self.quantile(np.concatenate(([ends], inner, [1 - ends])))
        rounded = np.maximum.accumulate(np.clip(np.rint(values), 0, LATENCY_LIMIT_NS))
        return [int(value) for value in rounded]


def fit(family: str, ordered: I64) -> Fit:
    """Fit one family to sorted latencies (ns). Raises ``InputError`` when they carry none."""
    if family not in FAMILIES:
        raise InputError(f"{family!r} is none of {', '.join(NAMES)}", source="latency fit", field="model")
    _check(ordered)
    least = float(ordered[0])
    few = _thinned(ordered, PROFILE_VALUES).astype(np.float64)

    def score(log_distance: float) -> float:
        return -_fit_above(family, few, least - float(np.exp(log_distance))).log_likelihood(few)

    near, far = _floor_distances(ordered)
    found = optimize.minimize_scalar(
        score, bounds=(np.log(near), np.log(far)), method="bounded", options={"xatol": 0.02}
    )
    return _fit_above(family, _thinned(ordered, FIT_VALUES).astype(np.float64), least - float(np.exp(found.x)))


def _fit_above(family: str, values: F64, floor: float) -> Fit:
    """Maximum likelihood with the floor given."""
    above = values - floor
    if family == "gamma":
        shape, _, scale = stats.gamma.fit(above, floc=0)
        return Fit(family, floor, (1.0,), (float(shape),), (float(scale),))
    if family == "weibull":
        shape, _, scale = stats.weibull_min.fit(above, floc=0)
        return Fit(family, floor, (1.0,), (float(shape),), (float(scale),))
    logs = np.log(above)
    if family == "lognormal":
        return Fit(family, floor, (1.0,), (_spread(logs),), (float(np.exp(logs.mean())),))
    weights, means, spreads = _mixture(logs, int(family[-1]))
    return Fit(family, floor, tuple(weights), tuple(spreads), tuple(np.exp(means).tolist()))


def _check(ordered: I64) -> None:
    if len(ordered) < LEAST_VALUES or ordered[0] == ordered[-1]:
        raise InputError(
            f"a fit needs at least {LEAST_VALUES} latencies that differ; there are {len(ordered)}", source="latency fit"
        )


def _thinned(ordered: I64, count: int) -> I64:
    if len(ordered) <= count:
        return ordered
    places = (np.arange(count) * (len(ordered) - 1)) // (count - 1)
    return ordered[places]


def _floor_distances(ordered: I64) -> tuple[float, float]:
    """How far below the least value the floor may lie: from the mean distance between values below the median (nearer,
    the likelihood has no bound) to zero latency."""
    half = max(1, len(ordered) // 2)
    near = max(1.0, (float(ordered[half]) - float(ordered[0])) / half)
    return near, max(2 * near, float(ordered[0]))


def _spread(logs: F64) -> float:
    return max(float(logs.std()), 1e-6)


def _mixture(logs: F64, parts: int) -> tuple[list[float], F64, list[float]]:
    """Weights, means and standard deviations of a mixture of normals, by expectation and maximisation."""
    edges = np.quantile(logs, np.linspace(0, 1, parts + 1))
    means = np.quantile(logs, (np.arange(parts) + 0.5) / parts)
    least = max(_spread(logs) * 1e-2, 1e-6)
    spreads = np.maximum(np.diff(edges) / 2, least)
    weights = np.full(parts, 1 / parts)
    before = -np.inf
    for _ in range(MIXTURE_ROUNDS):
        scores = np.log(weights)[:, None] + stats.norm.logpdf(logs[None, :], means[:, None], spreads[:, None])
        top = scores.max(axis=0)
        total = top + np.log(np.exp(scores - top).sum(axis=0))
        shares = np.exp(scores - total)
        mass = np.maximum(shares.sum(axis=1), 1e-9)
        weights = mass / mass.sum()
        means = (shares * logs).sum(axis=1) / mass
        spreads = np.maximum(np.sqrt((shares * (logs - means[:, None]) ** 2).sum(axis=1) / mass), least)
        now = float(total.mean())
        if now - before < MIXTURE_TOLERANCE:
            break
        before = now
    return weights.tolist(), means, spreads.tolist()


# -- how well


def goodness(fitted: Fit, ordered: I64) -> dict[str, float]:
    """Distances between a fit and the sorted latencies: see the module's text."""
    values = ordered.astype(np.float64)
    model = fitted.cdf(values)
    n = len(values)
    ks = max(float((np.arange(1, n + 1) / n - model).max()), float((model - np.arange(n) / n).max()))
    thin = _thinned(ordered, FIT_VALUES).astype(np.float64)
    score = fitted.log_likelihood(thin)
    found = {
        "ks": ks,
        "aic": 2 * fitted.parameters - 2 * score,
        "bic": fitted.parameters * float(np.log(len(thin))) - 2 * score,
    }
    at = np.array(list(QUANTILES.values()))
    recorded = np.quantile(ordered, at, method="inverted_cdf").astype(np.float64)
    errors = fitted.quantile(at) / np.maximum(recorded, 1.0) - 1
    return found | {name: float(error) for name, error in zip(QUANTILES, errors, strict=True)}


def compare(values: I64, families: Sequence[str] = FAMILIES) -> list[dict[str, Any]]:
    """Every family's fit and goodness, the best (least bic) first."""
    ordered = np.sort(values)
    rows = []
    for family in families:
        fitted = fit(family, ordered)
        rows.append({"model": family, **goodness(fitted, ordered), "parameters": asdict(fitted)})
    return sorted(rows, key=lambda row: row["bic"])


def describe(values: I64) -> dict[str, int]:
    """Count, least, percentiles and greatest of latencies in ns."""
    ordered = np.sort(values)
    at = [0.5, 0.9, 0.99, 0.999, 0.9999]
    found = np.quantile(ordered, at, method="inverted_cdf")
    names = ("p50", "p90", "p99", "p99.9", "p99.99")
    return {
        "count": len(ordered),
        "min": int(ordered[0]),
        **{name: int(value) for name, value in zip(names, found, strict=True)},
        "max": int(ordered[-1]),
    }


# -- model files


def model_file(values: I64, family: str, source: dict[str, Any]) -> LatencyFile:
    """A model of one distribution; ``family`` is one of NAMES, or best."""
    ordered = _usable(values, source)
    name, table, parameters = _table(ordered, family)
    return LatencyFile(MODEL_FORMAT, name, source, [parameters], [LoadTable(0, table)])


def model_by_load(values: I64, loads: I64, family: str, classes: int, source: dict[str, Any]) -> LatencyFile:
    """A model by load, in ``classes`` classes of about equally many latencies (fewer where loads do not differ)."""
    if len(loads) != len(values):
        raise InputError("every latency needs its load", source="latency fit")
    _usable(values, source)
    ordered_loads = np.sort(loads)
    starts = [int(ordered_loads[len(loads) * k // classes]) for k in range(classes)]
    edges = sorted({0, *starts[1:]})
    tables: list[LoadTable] = []
    parameters: list[dict[str, Any]] = []
    name = family
    for k, low in enumerate(edges):
        high = edges[k + 1] if k + 1 < len(edges) else None
        chosen = (loads >= low) & (loads < high if high is not None else True)
        if int(chosen.sum()) < LEAST_VALUES:
            continue
        name, table, found = _table(np.sort(values[chosen]), family)
        tables.append(LoadTable(0 if not tables else low, table))
        parameters.append(found)
    if not tables:
        raise InputError("has too few latencies for a model by load", source=str(source.get("file", "latency fit")))
    return LatencyFile(MODEL_FORMAT, family if family == "best" else name, source, parameters, tables)


def _usable(values: I64, source: dict[str, Any]) -> I64:
    """Sorted; raises ``InputError`` for none, negative or absurd latencies."""
    ordered = np.sort(values)
    where = str(source.get("file", "latency fit"))
    if not len(ordered):
        raise InputError("holds no latencies", source=where)
    if ordered[0] < 0:
        raise InputError(
            f"{int((ordered < 0).sum())} of {len(ordered)} latencies are negative: a clock that ran behind (use the "
            "corrected column latency_ns), or refused requests (filter them out)", source=where,
        )  # fmt: skip
    if ordered[-1] > LATENCY_LIMIT_NS:
        raise InputError(f"a latency of {int(ordered[-1])} ns is over an hour: is the unit right?", source=where)
    return ordered


def _table(ordered: I64, family: str) -> tuple[str, list[int], dict[str, Any]]:
    if family == "best":
        family = str(compare(ordered)[0]["model"])
    if family == "empirical":
        return family, empirical_quantiles(ordered).tolist(), {"family": family, "count": len(ordered)}
    fitted = fit(family, ordered)
    return family, fitted.table(), {**asdict(fitted), "count": len(ordered), **goodness(fitted, ordered)}


def write_model(model: LatencyFile, path: Path) -> None:
    """Write a model file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n")


def source_of(path: Path, column: str, values: I64) -> dict[str, Any]:
    """What a model file says of where its numbers are from."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.name, "sha256": digest, "column": column, "latencies": len(values)}
