# %% [markdown]
# # Latency statistics
#
# How long market data take to arrive, what that depends on, how it can be modelled, and what a few milliseconds more cost
# a market maker. With `PERPSIM_DATA` naming a folder of recordings (hftbacktest's `examples` of Binance USD-M and
# COIN-M below `hftbacktest/`) the numbers are those of real captures; without it, of the synthetic market, whose
# latencies are made up.
#
# Feed latency is receive time minus the venue's engine time. Depth updates gather changes for tens of milliseconds before
# they are sent, so theirs has the gathering in it.

# %%
import tempfile
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from perpsim import backtest
from recorders.commands import import_
from recorders.lake import Lake
from recorders.latency import feed_latencies
from sim.latency_fit import compare, describe, fit, model_by_load, write_model
from sim.notebook import recordings, show
from sim.synth import BTCUSD_PERP, BTCUSDT, SyntheticSession, write_raw

MS = 1_000_000
folder = Path(tempfile.mkdtemp(prefix="perpsim-latency-"))
pl.Config.set_tbl_rows(40).set_tbl_cols(-1).set_tbl_width_chars(160);

# %% [markdown]
# ## The recordings
#
# Every recording is imported as any captured file would be. What the importer says of the clock matters here: where the
# recorder's clock ran behind the venue's, receive times are corrected so that the least latency is 1 ms, which is a
# convention and not a measurement.

# %%
usdm, coinm = "hftbacktest/examples/usdm", "hftbacktest/examples/cm"
found = recordings(
    {
        "USD-M 2023-04": [f"{usdm}/btcusdt_20230404.dat.gz", f"{usdm}/btcusdt_20230405.dat.gz"],
        "USD-M 2024-07": [f"{usdm}/btcusdt_20240718.gz", f"{usdm}/btcusdt_20240719.gz"],
        "COIN-M 2024-08": [f"{coinm}/btcusd_perp_20240808.gz", f"{coinm}/btcusd_perp_20240809.gz"],
    }
)
if not found:
    behind = SyntheticSession(clock_offset_ns=-1_300 * MS, gap_after_ns=None)
    found = {
        "USD-M synthetic": [write_raw(folder / "usdm.dat.gz", 7, BTCUSDT).path],
        "COIN-M synthetic": [write_raw(folder / "coinm.dat.gz", 8, BTCUSD_PERP, behind).path],
    }

lakes, about = {}, []
for name, files in found.items():
    lake = folder / name.replace(" ", "-")
    reports = import_("binance", files, lake)["recordings"]
    lakes[name] = (lake, reports[0]["venue"], reports[0]["instrument"])
    about += [
        {
            "recording": name,
            "minutes": round((report["last_ns"] - report["first_ns"]) / 6e10, 1),
            "messages": report["messages"],
            "clock offset ms": report["clock_offset_ns"] / MS,
            "corrected": report["clock_corrected"],
        }
        for report in reports
    ]
print(pl.DataFrame(about))

# %% [markdown]
# ## Percentiles by venue and stream

# %%
feeds = {name: pl.concat(list(feed_latencies(*place))) for name, place in lakes.items()}
rows = []
for name, feed in feeds.items():
    for (stream,), part in feed.group_by("stream"):
        numbers = describe(part["latency_ns"].to_numpy())
        shown = {key: round(value / MS, 2) for key, value in numbers.items() if key != "count"}
        rows.append({"recording": name, "stream": stream, "count": numbers["count"], **shown})
print(pl.DataFrame(rows).sort("recording", "stream"))

# %% [markdown]
# ## Tails
#
# The share of messages that took longer, on logarithmic scales: a straight line is a power law, a bend at the right end
# a bounded delay. Stalls of the link show as plateaus: many messages wait for the same thing.

# %%
figure = go.Figure()
for name, feed in feeds.items():
    for stream in ("trades", "quotes", "depth"):
        values = np.sort(feed.filter(pl.col("stream") == stream)["latency_ns"].to_numpy()) / MS
        if len(values):
            at = np.unique(np.geomspace(1, len(values), 400).astype(int)) - 1
            figure.add_scatter(x=values[::-1][at], y=(at + 1) / len(values), mode="lines", name=f"{name} {stream}")
figure.update_xaxes(type="log", title="feed latency, ms")
figure.update_yaxes(type="log", title="share that took longer")
show(figure, "Tails of feed latency")

# %% [markdown]
# ## Inter-arrival times and bursts
#
# The Fano factor is the variance of the number of messages in a window over its mean: 1 for messages that come
# independently (Poisson), more where they cluster; where it grows with the window, the clustering has memory.

# %%
figure = make_subplots(1, 2, subplot_titles=("time between messages", "Fano factor of counts"))
bursts = []
for name, feed in feeds.items():
    times = np.sort(feed["ts_recv_ns"].to_numpy())
    between = np.sort(np.diff(times)) / MS
    at = np.unique(np.linspace(0, len(between) - 1, 400).astype(int))
    figure.add_scatter(x=np.maximum(between[at], 1e-3), y=(at + 1) / len(between), mode="lines", name=name, row=1, col=1)
    windows = [10, 30, 100, 300, 1_000, 3_000, 10_000]
    fano = []
    for window in windows:
        made = np.bincount((times - times[0]) // (window * MS))[:-1]
        fano.append(made.var() / made.mean() if len(made) > 10 else np.nan)
    figure.add_scatter(x=windows, y=fano, mode="lines+markers", name=f"{name} Fano", row=1, col=2)
    most = np.bincount((times - times[0]) // (10 * MS)).max()
    bursts.append({"recording": name, "messages/s": len(times) / (times[-1] - times[0]) * 1e9, "most in 10 ms": int(most)})
figure.update_xaxes(type="log", title="ms", row=1, col=1)
figure.update_xaxes(type="log", title="window, ms", row=1, col=2)
figure.update_yaxes(type="log", row=1, col=2)
show(figure, "Inter-arrival times and burst structure")
print(pl.DataFrame(bursts))

# %% [markdown]
# ## Autocorrelation
#
# Of the mean latency in steps of 100 ms, and of the number of messages in them: how long a slow phase lasts. A model that
# draws every latency on its own has none of this.

# %%
LAGS = 50


def autocorrelation(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean()
    power = float((centred**2).sum()) or 1.0
    return np.array([float((centred[lag:] * centred[: len(centred) - lag]).sum()) / power for lag in range(1, LAGS + 1)])


figure = make_subplots(1, 2, subplot_titles=("latency", "messages"))
for name, feed in feeds.items():
    steps = (
        feed.filter(pl.col("stream").is_in(["trades", "quotes"]))
        .group_by((pl.col("ts_ns") // (100 * MS)).alias("step"))
        .agg(pl.col("latency_ns").mean().alias("latency"), pl.len().alias("messages"))
        .sort("step")
    )
    for column, place in (("latency", 1), ("messages", 2)):
        seen = autocorrelation(np.log(steps[column].to_numpy().astype(float)))
        figure.add_scatter(x=np.arange(1, LAGS + 1) / 10, y=seen, mode="lines", name=f"{name} {column}", row=1, col=place)
figure.update_xaxes(title="lag, s")
show(figure, "Autocorrelation of log latency and of log message counts, in steps of 100 ms")

# %% [markdown]
# ## Load
#
# Load is how many messages the feed made in the whole 100 ms before: known before the message that is delayed.

# %%
rows = []
for name, feed in feeds.items():
    quick = feed.filter(pl.col("stream").is_in(["trades", "quotes"]))
    edges = np.unique(np.quantile(quick["load"].to_numpy(), [0, 0.25, 0.5, 0.75, 0.9, 0.99], method="lower")).astype(int)
    for low, high in zip(edges, [*edges[1:], 1 << 40], strict=True):
        part = quick.filter(pl.col("load").is_between(low, high, closed="left"))["latency_ns"].to_numpy()
        if len(part) >= 20:
            at = np.quantile(part, [0.5, 0.99]) / MS
            rows.append({"recording": name, "load from": int(low), "count": len(part), "p50 ms": at[0], "p99 ms": at[1]})
by_load = pl.DataFrame(rows)
print(by_load)
figure = go.Figure()
for name in feeds:
    part = by_load.filter(pl.col("recording") == name)
    figure.add_scatter(x=part["load from"] + 1, y=part["p50 ms"], mode="lines+markers", name=f"{name} median")
    figure.add_scatter(x=part["load from"] + 1, y=part["p99 ms"], mode="lines+markers", name=f"{name} p99", line_dash="dot")
figure.update_xaxes(type="log", title="messages in the 100 ms before, plus 1")
figure.update_yaxes(type="log", title="feed latency, ms")
show(figure, "Latency of trades and quotes by load")

# %% [markdown]
# ## Clock offset and drift
#
# The least of receive minus made time in steps of ten seconds bounds the offset of the recorder's clock from above. The line
# is the correction in the lake: below every point and never steeper than 500 ppm, which is what NTP slews a clock by.

# %%
figure = go.Figure()
drifts = []
for name, (lake, venue, symbol) in lakes.items():
    for recording, series in Lake(lake).info(venue, symbol)[0]["clocks"].items():
        offsets = np.array(series["offsets_ns"]) / MS
        seconds = np.arange(len(offsets)) * series["step_ns"] / 1e9
        figure.add_scatter(x=seconds, y=offsets - offsets[0], mode="lines+markers", name=f"{name} ({offsets[0]:.1f} ms)")
        drift = (offsets[-1] - offsets[0]) / seconds[-1] * 1000 if seconds[-1] else 0.0
        drifts.append({"recording": name, "offset ms": offsets[0], "change ms": offsets[-1] - offsets[0], "drift ppm": drift})
figure.update_xaxes(title="s since the start")
figure.update_yaxes(title="change of the offset, ms")
show(figure, "Receive clocks against the venue's", 320)
print(pl.DataFrame(drifts) if drifts else "no clock ran behind")

# %% [markdown]
# ## Fits
#
# `ks` is the distance between fitted and recorded distribution, `bic` what it costs in bits of parameters; the percentages
# say how far the fitted percentile is off. `perpsim latency fit` prints the same and writes the model file for a run.

# %%
tables, best = [], {}
for name, feed in feeds.items():
    values = feed.filter(pl.col("stream") == "quotes")["latency_ns"].to_numpy()
    if not len(values):
        values = feed["latency_ns"].to_numpy()
    rows = compare(values)
    best[name] = (np.sort(values), str(rows[0]["model"]))
    tables += [{"recording": name, **{key: row[key] for key in ("model", "ks", "bic", "p50", "p90", "p99", "p99.9")}} for row in rows]
print(pl.DataFrame(tables))

# %%
figure = make_subplots(1, len(best), subplot_titles=[f"{name}: {family}" for name, (_, family) in best.items()])
at = np.concatenate((np.linspace(0.01, 0.98, 98), 1 - np.geomspace(0.02, 0.0005, 20)))
for place, (ordered, family) in enumerate(best.values(), 1):
    recorded = np.quantile(ordered, at) / MS
    for model, shown in ((family, "best"), ("lognormal", "lognormal")):
        figure.add_scatter(
            x=recorded, y=fit(model, ordered).quantile(at) / MS, mode="markers", marker_size=4, name=shown, row=1, col=place
        )
    ends = [recorded[0], recorded[-1]]
    figure.add_scatter(x=ends, y=ends, mode="lines", line_color="#999", showlegend=False, row=1, col=place)
figure.update_xaxes(type="log", title="recorded quantile, ms")
figure.update_yaxes(type="log", title="fitted quantile, ms")
show(figure, "QQ plots of feed latency (quotes)")

# %% [markdown]
# ## A model by load, in a run
#
# One command makes it: `perpsim latency feed --lake LAKE ... -o feed.parquet`, then `perpsim latency fit feed.parquet --by-load 4 -o
# load.json`. Here the same from Python, for the first recording.

# %%
name, (lake, venue, symbol) = next(iter(lakes.items()))
feed = feeds[name].filter(pl.col("stream").is_in(["trades", "quotes"]))
model = model_by_load(
    feed["latency_ns"].to_numpy(), feed["load"].to_numpy(), "empirical", 4, {"file": name, "streams": "trades, quotes"}
)
write_model(model, folder / "load.json")
print([(table.load_from, f"median {table.quantiles_ns[len(table.quantiles_ns) // 2] / MS:.1f} ms") for table in model.tables])

# %% [markdown]
# ## What 1, 10 and 50 ms more cost
#
# The reference market maker over the first recording: order latency each way as long as the feed took at that moment, plus so
# much; and with the model by load in place of it. Everything else is the same.

# %%
RUN = """
name = "latency"
seed = 1
[feed]
lake = "{lake}"
[strategy]
class = "sim.strategies:MarketMaker"
[strategy.params]
lots = 100
max_lots = 500
gamma = 0.004
k = 0.5
horizon_s = 5
variance = 100
interval = "100ms"
keep_ticks = 2
[[venue]]
name = "{venue}"
deposit = {{ {asset} = 100000 }}
fees = {{ maker = 0, taker = "1.7 bps" }}
latency = {{ entry = {leg}, response = {leg} }}
[[instrument]]
symbol = "{symbol}"
mark = "recorded"
funding = "recorded"
margin = "card"
leverage = 20
[instrument.queue]
model = "power3"
n = 3
"""
legs = {f"+{more} ms": f'{{ feed = true, offset = "{more}ms" }}' for more in (0, 1, 10, 50)}
legs["by load"] = '{ table = "load.json" }'
results = []
for number, (label, leg) in enumerate(legs.items()):
    run_file = folder / f"run{number}.toml"
    run_file.write_text(RUN.format(lake=lake, venue=venue, symbol=symbol, asset="USDT", leg=leg))
    result = backtest(run_file, out=folder / "runs", html=False, show_progress=False)
    equity, fills = result.equity, result.fills
    worth = equity["equity_e8"].to_list()
    ahead = fills.filter(pl.col("liquidity") == 1)["queue_front_lots"]
    results.append(
        {
            "order latency": label,
            "pnl USDT": (worth[-1] - worth[0]) / 1e8,
            "fills": len(fills),
            "lots": int(fills["lots"].sum()),
            "orders": result.orders["order_no"].n_unique(),
            "median ahead when filled": ahead.median() if len(ahead) else None,
        }
    )
table = pl.DataFrame(results)
print(table)

# %%
figure = make_subplots(1, 2, subplot_titles=("PnL, USDT", "fills"))
figure.add_bar(x=table["order latency"], y=table["pnl USDT"], row=1, col=1, showlegend=False)
figure.add_bar(x=table["order latency"], y=table["fills"], row=1, col=2, showlegend=False)
show(figure, "The market maker with more latency", 340)

# %% [markdown]
# A few minutes of one market say little about the size of these differences, and PnL over minutes is mostly chance; fills and
# the queue ahead of them are the steadier measure. Run it over the days you trade.
