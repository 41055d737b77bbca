"""The run file: one TOML document that says everything a run depends on.

``load_config`` reads a TOML file, a mapping or a ``RunConfig``, applies ``--set`` overrides and checks everything
against the models below. Unknown keys are errors that name the nearest known one. The JSON schema of the file is
published in docs/run.schema.json (``perpsim schema`` prints it). Relative paths are relative to the run file.

Durations are written ``"100ms"``, instants as ISO 8601 (UTC), money and rates as decimals, which are read exactly.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from sim.config_live import ConnectConfig, LiveConfig, PaperConfig, RiskConfig, StateConfig
from sim.config_parts import Duration, Instant, Money, Params, Part, PositiveDuration, Rate, ShortForm, Span
from sim.config_record import RecordConfig
from sim.toml import read_toml
from venues.errors import InputError

BASE_KEY: Final = "base_dir"  # context key: the folder that relative paths start from


class LegConfig(ShortForm):
    """Latency of one leg. A duration alone is a constant; otherwise exactly one of the sources.

    ``file``: recorded latencies (CSV or Parquet) with columns ``time`` and ``value`` in ``unit``, interpolated in time,
    or with ``draw`` as a table of quantiles without times; a negative record is a request that the venue refused;
    ``feed``: the recording's own feed latency times ``scale`` plus ``offset``; ``quantiles``: a table of durations at
    equal steps of probability, drawn by seed; ``fit``: quantiles of a distribution through ``p50`` and ``p99`` (given,
    or those of ``file``); ``table``: a model file of ``perpsim latency fit``; ``model``: ``module:Class`` or
    ``file.py:Class`` with ``latency(ts_ns, draw_u64) -> ns``.
    """

    constant: Duration | None = None
    file: str | None = None
    time: str = "ts_ns"
    time_unit: Literal["ns", "us", "ms", "s"] = "ns"
    value: str = "latency_ns"
    unit: Literal["ns", "us", "ms", "s"] = "ns"
    draw: bool = False
    feed: bool = False
    scale: Decimal = Decimal(1)
    offset: Duration = 0
    quantiles: list[Duration] | None = None
    fit: Literal["lognormal", "exponential"] | None = None
    p50: Duration | None = None
    p99: Duration | None = None
    table: str | None = None
    model: str | None = None
    params: Params = Field({})

    @classmethod
    def short_key(cls) -> str:
        return "constant"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = ("constant", "file", "quantiles", "fit", "table", "model")
        given = [name for name in sources if getattr(self, name) is not None]
        given += ["feed"] if self.feed else []
        if len(given) != 1 and given != ["file", "fit"]:
            raise PydanticCustomError(
                "latency", "needs exactly one of constant, file, feed, quantiles, fit, table, model; given: {given}",
                {"given": ", ".join(given) or "none"},
            )  # fmt: skip
        if self.file is not None:
            return self
        if self.fit == "lognormal" and (self.p50 is None or self.p99 is None or not 0 < self.p50 <= self.p99):
            raise PydanticCustomError("latency", "fit = lognormal needs 0 < p50 <= p99")
        if self.fit == "exponential" and (self.p50 is None or self.p50 <= 0):
            raise PydanticCustomError("latency", "fit = exponential needs p50")
        return self


class LatencyConfig(Part):
    """Order entry (us to the venue) and response (venue to us). Feed latency is what the recording has."""

    entry: LegConfig
    response: LegConfig

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if value == "none":
            value = "0ms"
        return {"entry": value, "response": value} if isinstance(value, str | int) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "examples": ["10ms", "none"]}, handler(core_schema)]}


class FeesConfig(ShortForm):
    """Fees as rates of value (negative: rebate); the card's base tier where not given. ``model``: see sim/fees.py."""

    maker: Rate | None = None
    taker: Rate | None = None
    tier: str = ""
    model: str | None = None
    params: Params = Field({})

    @classmethod
    def short_key(cls) -> str:
        return "model"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.maker is None) != (self.taker is None) or (self.model is None) == (self.maker is None):
            raise PydanticCustomError("fees", "needs maker and taker, or a model")
        return self


class LiquidationConfig(Part):
    """What a run may say about liquidations at a venue; how they go is the rule card's."""

    stale_mark: PositiveDuration | None = Field(None, description="nobody is liquidated on a mark older than this")
    lanes_share: bool = Field(
        False, description="lanes are deleveraged into each other; otherwise only the unnamed rest of the market is"
    )


class AdlConfig(Part):
    """Somebody else's bankruptcy takes a part of our positions: auto-deleveraging at an instant, for stress tests."""

    at: Instant
    instrument: str = Field(min_length=1, description="symbol, or venue:symbol")
    side: Literal["long", "short"] | None = Field(None, description="only positions of this side")
    fraction: Decimal | None = Field(None, gt=0, le=1, description="of the position; sizes are rounded up")
    lots: int | None = Field(None, ge=1)
    price: str | Decimal = Field("mark", description='"mark", "prior_mark" (the mark before it), or a price')

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.fraction is None) == (self.lots is None):
            raise PydanticCustomError("adl", "needs fraction or lots, not both")
        return self


class CollateralConfig(Part):
    """What one of an asset counts in the pool of a multi-assets account, for the whole run."""

    index: Money = Field(gt=0)
    bid_buffer: Money = Field(Decimal(0), ge=0, lt=1, description="balances count at index * (1 - bid_buffer)")
    ask_buffer: Money = Field(Decimal(0), ge=0, description="debts and margins count at index * (1 + ask_buffer)")


class VenueConfig(Part):
    """One venue of the run; every lane has an account of its own there."""

    name: str = Field(min_length=1, description="the name used in this run; also the rule card's unless card is given")
    card: str | None = None
    latency: LatencyConfig | None = None
    fees: FeesConfig | None = None
    deposit: dict[str, Money] = Field({}, description="asset = amount that every lane's account starts with")
    insurance: dict[str, Money] = Field({}, description="asset = balance of the insurance fund; unlimited if not given")
    liquidation: LiquidationConfig = LiquidationConfig()
    stp: str | None = Field(None, description="self-trade prevention of orders that name none")
    hedge: bool = Field(False, description="a long and a short position beside each other; orders name their side")
    rate_limits: Literal["card", "none"] = Field(
        "card",
        description='"none": no limits of requests; in live only at [connect] addresses that are not the venue\'s',
    )
    traded: Money = Field(
        Decimal(0), ge=0, description="value the account traded before the run, where that earns requests"
    )
    multi_assets: bool = Field(False, description="all assets of the account carry its cross positions together")
    collateral: dict[str, CollateralConfig] = Field({}, description="asset = its rates in multi-assets mode")


class QueueConfig(ShortForm):
    """Queue model: how the queue ahead of a resting order moves. ``n`` is the exponent of the power family."""

    model: str = "power3"
    n: float = Field(3.0, gt=0)
    params: Params = Field({})

    @classmethod
    def short_key(cls) -> str:
        return "model"


def _ladder(value: int) -> int:
    if value & (value - 1) or not 64 <= value <= 1 << 24:  # what the kernel's ladder takes
        raise PydanticCustomError("ladder", "must be a power of two from 64 to 16777216")
    return value


class InstrumentConfig(Part):
    """One instrument. Its grids come from the lake, then from what is documented; the keys below them override."""

    symbol: str = Field(min_length=1)
    venue: str | None = Field(None, description="a [[venue]] name; may be left out when there is only one")
    lake: str | None = None
    feed_venue: str | None = Field(None, description="the venue's name in the lake, if it differs from the rule card's")
    base: str | None = None
    quote: str | None = None
    settle: str | None = None
    inverse: bool | None = None
    tick_size: Money | None = None
    lot_size: Money | None = None
    contract_size: Money | None = None
    min_lots: int | None = Field(None, ge=1)
    max_lots: int | None = Field(None, ge=1)
    book: Literal["l3", "l2", "l1"] = Field("l2", description="l3: the feed names every order; queues are exact")
    queue: QueueConfig = QueueConfig()
    exchange: Literal["partial", "nopartial"] = "partial"
    mark: str | None = Field(None, description='"recorded", "computed", "mid", or a table file')
    index: str | None = Field(None, description="a table of index (oracle) prices, where none are recorded")
    funding: str | None = Field(None, description='"recorded", "computed", "none", or a table file')
    funding_interval: PositiveDuration | None = Field(None, description="the symbol's, where the card has none")
    funding_drift: Duration = Field(0, ge=0, description="how long after its boundary the venue charges")
    funding_holes: Literal["refuse", "skip"] = Field("refuse", description="boundaries that a history leaves out")
    margin: str | None = Field(None, description='"card", "none", or a bracket file')
    leverage: int | None = Field(None, ge=1)
    margin_mode: Literal["cross", "isolated"] | None = Field(None, description="of the account at the start")
    open_interest: Money | None = Field(
        None,
        ge=0,
        description="all accounts', in quote money: raises the initial rate where the venue's card says so",
    )
    window_ticks: Annotated[int, AfterValidator(_ladder)] = Field(
        1 << 18, description="ladder size in ticks, a power of two; it follows the price"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.book == "l3" and self.exchange != "partial":
            raise PydanticCustomError("exchange", 'book = "l3" knows partial fills only')
        return self


class FeedConfig(Part):
    """Where the market data come from, and which part of them runs. Of a paper session's recording: what it saw."""

    lake: str | None = None
    recording: str | None = Field(None, description="a raw recording (or a folder with one) in place of a lake")
    from_: Instant | None = Field(None, alias="from")
    to: Instant | None = None
    delay: Span | None = Field(
        None, description="the venue is simulated so far behind the feed, as in paper; a recording says its own"
    )

    @model_validator(mode="after")
    def _one_home(self) -> Self:
        if self.lake is not None and self.recording is not None:
            raise PydanticCustomError("feed", "comes from a lake or from a recording, not from both")
        return self


class StrategyConfig(ShortForm):
    """``class`` is ``module:Class`` or ``file.py:Class``; params go to its constructor by name."""

    class_: str = Field(alias="class")
    params: Params = Field({})

    @classmethod
    def short_key(cls) -> str:
        return "class"


class DataConfig(Part):
    """A table of signals: each row is handed to ``on_data(name, row)`` when its time has come."""

    name: str = Field(min_length=1)
    path: str
    time: str = "ts_ns"


class ComputeConfig(ShortForm):
    """How long the strategy takes for a callback: constant, or drawn by seed between ``min`` and ``max``."""

    delay: Duration | None = None
    min: Duration | None = None
    max: Duration | None = None

    @classmethod
    def short_key(cls) -> str:
        return "delay"

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        ranged = self.min is not None and self.max is not None and self.min <= self.max
        if (self.delay is None) != ranged or (self.delay is not None and (self.min, self.max) != (None, None)):
            raise PydanticCustomError("compute", "needs delay alone, or min and max with min <= max")
        return self


class SamplesConfig(Part):
    """How often (venue time) best quotes, and accounts and positions, are sampled into the run folder."""

    bbo: PositiveDuration = 100_000_000
    accounts: PositiveDuration = 1_000_000_000


class ReportConfig(Part):
    html: bool = True


class RunConfig(Part):
    """The whole run file."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="start of the run folder's name")
    seed: int = Field(0, ge=0, lt=1 << 63)
    out: str = Field("runs", description="folder in which run folders are made")
    strategy: StrategyConfig | None = None
    lanes: list[StrategyConfig] = Field([], description="several strategies over one pass, an account each")
    feed: FeedConfig = FeedConfig()
    venue: list[VenueConfig] = Field(min_length=1)
    instrument: list[InstrumentConfig] = Field(min_length=1)
    data: list[DataConfig] = Field([])
    adl: list[AdlConfig] = Field([], description="injected auto-deleveraging of our positions")
    compute: ComputeConfig | None = None
    samples: SamplesConfig = SamplesConfig()
    report: ReportConfig = ReportConfig()
    record: RecordConfig | None = None
    connect: dict[str, ConnectConfig] = Field({}, description="a [[venue]] name = its addresses and keys")
    paper: PaperConfig | None = None
    live: LiveConfig | None = None
    risk: RiskConfig | None = None
    state: StateConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [venue.name for venue in self.venue]
        if len(set(names)) < len(names):
            raise PydanticCustomError("venue", "two venues have the same name")
        for place, instrument in enumerate(self.instrument):
            if instrument.venue is None and len(names) > 1:
                raise PydanticCustomError(
                    "venue", "instrument {place} ({symbol}): say which venue it is on: {names}",
                    {"place": place, "symbol": instrument.symbol, "names": ", ".join(names)},
                )  # fmt: skip
            if instrument.venue is not None and instrument.venue not in names:
                raise PydanticCustomError(
                    "venue", "instrument {place} ({symbol}): no venue '{venue}'{hint}",
                    {"place": place, "symbol": instrument.symbol, "venue": instrument.venue,
                     "hint": _near(instrument.venue, names)},
                )  # fmt: skip
        if self.strategy is not None and self.lanes:
            raise PydanticCustomError("strategy", "give strategy, or lanes, not both")
        for name in self.connect:
            if name not in names:
                raise PydanticCustomError(
                    "venue", "connect: no venue '{venue}'{hint}", {"venue": name, "hint": _near(name, names)}
                )
        start, stop = self.feed.from_, self.feed.to
        if start is not None and stop is not None and start >= stop:
            raise PydanticCustomError("feed", "from must be before to")
        return self

    def venue_of(self, instrument: InstrumentConfig) -> int:
        """The place in ``venue`` of the venue that an instrument is on."""
        return next(i for i, venue in enumerate(self.venue) if instrument.venue in (None, venue.name))


# -- reading


def load_config(
    source: str | Path | Mapping[str, Any] | RunConfig,
    overrides: Sequence[str] = (),
    *,
    seed: int | None = None,
    out: str | None = None,
) -> tuple[RunConfig, Path]:
    """The checked configuration and the folder that its relative paths start from.

    ``overrides`` are ``key=value`` with the value in TOML (or plain text), applied in order. Raises ``InputError``.
    """
    raw, name, base = read_raw(source)
    for override in overrides:
        apply_override(raw, override)
    if seed is not None:
        raw["seed"] = seed
    if out is not None:
        raw["out"] = out
    return check_config(raw, name), base


def read_raw(source: str | Path | Mapping[str, Any] | RunConfig) -> tuple[dict[str, Any], str, Path]:
    """The document as plain data, its name for messages, and its folder."""
    if isinstance(source, RunConfig):
        return source.model_dump(mode="json", by_alias=True, exclude_unset=True), "run configuration", Path.cwd()
    if isinstance(source, Mapping):
        return _deep_copy(source), "run configuration", Path.cwd()
    path = Path(source)
    return read_toml(path), str(path), path.resolve().parent


def check_config(raw: Mapping[str, Any], name: str) -> RunConfig:
    """Plain data as a ``RunConfig``. Raises ``InputError`` with every mistake, each with its key."""
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        found = [_explain(detail) for detail in error.errors(include_url=False)]
    raise InputError("; ".join(dict.fromkeys(found)), source=name) from None


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Put one ``key=value`` into the document. Lists are addressed by number, or by an entry's name or symbol."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError("must be written key=value, such as strategy.params.size=2", source=f"--set {override}")
    node: Any = raw
    path = key.strip().split(".")
    for at, part in enumerate(path):
        last = at == len(path) - 1
        if isinstance(node, list):
            part_index = _entry(node, part, override)
            if last:
                node[part_index] = _value(text)
            else:
                node = node[part_index]
        elif last:
            node[part] = _value(text)
        else:
            node = _descend(node, part, path[at + 1], override)


def _descend(node: dict[str, Any], part: str, following: str, override: str) -> Any:
    inside = node.setdefault(part, {})
    if isinstance(inside, str | int) and part in SHORT_KEYS:
        inside = node[part] = dict.fromkeys(SHORT_KEYS[part], inside)
    if not isinstance(inside, dict | list):
        raise InputError(f"{part} is a value, it has no key {following!r}", source=f"--set {override}")
    return inside


# Tables that may be written as one value, and the keys that the value stands for.
SHORT_KEYS: Final = {
    "strategy": ("class",),
    "queue": ("model",),
    "fees": ("model",),
    "compute": ("delay",),
    "latency": ("entry", "response"),
    "entry": ("constant",),
    "response": ("constant",),
}


def _entry(entries: list[Any], part: str, override: str) -> int:
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    names = [entry.get("name") or entry.get("symbol") for entry in entries if isinstance(entry, dict)]
    if part in names:
        return names.index(part)
    known = ", ".join(str(name) for name in names if name)
    raise InputError(f"no entry {part!r}; there are {known} (or 0 to {len(entries) - 1})", source=f"--set {override}")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return text


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _deep_copy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_deep_copy(inner) for inner in value]
    return value


# -- messages


def _explain(detail: ErrorDetails) -> str:
    where = _where(detail["loc"])
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        return f"{where}: unknown key{_near(key, _known_keys(detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{where}: is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _where(loc: Sequence[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _known_keys(loc: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in loc:
        if isinstance(part, str):
            model = _model_at(model, part) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return next((found for found in _models_in(field.annotation)), None)
    return None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _near(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else f" (known: {', '.join(known)})"


# -- writing


def schema_text() -> str:
    """The JSON schema of the run file, as published."""
    schema = RunConfig.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "perpsim run file"}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


# Keys whose text may be a path from the run file's folder on (others stand for themselves: "recorded", "mid" ...).
PATH_KEYS = frozenset({"lake", "recording", "mark", "index", "funding", "margin", "file", "path", "out", "class"})


def resolved(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain data with every default in place, ready for ``toml_text``."""
    dumped: dict[str, Any] = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    for venue, model in zip(dumped["venue"], config.venue, strict=True):
        if model.latency is not None:
            venue["latency"] = model.latency.model_dump(mode="json", exclude_defaults=True)
    without_empty: dict[str, Any] = _without_empty(dumped)
    return without_empty


def anchored(document: Any, base: Path, key: str = "") -> Any:
    """A resolved document whose paths hold from anywhere: those relative to ``base`` that exist, made absolute."""
    if isinstance(document, dict):
        return {name: anchored(value, base, name) for name, value in document.items()}
    if isinstance(document, list):
        return [anchored(value, base, key) for value in document]
    if not isinstance(document, str) or key not in PATH_KEYS:
        return document
    path, colon, rest = document.partition(":") if key == "class" else (document, "", "")
    return f"{(base / path).resolve()}{colon}{rest}" if path and (base / path).exists() else document


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(inner) for key, inner in value.items() if inner not in ({}, [])}
    return [_without_empty(inner) for inner in value] if isinstance(value, list) else value
