# %% [markdown]
# # Synthetic against recorded
#
# How close the synthetic market (`perpsim synth`) comes to real ones: spread, depth, arrivals, sizes, signs of trades and
# price changes, side by side. With `PERPSIM_DATA` naming a folder of recordings (hftbacktest's `examples` of Binance
# USD-M and COIN-M below `hftbacktest/`) the recordings are read; without it, two synthetic sessions are compared with the
# figures that perpsim stores of those recordings.

# %%
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from recorders.commands import import_
from recorders.lake import Lake
from sim.notebook import recordings, show
from sim.synth.making import synth
from sim.synth.recorded import RECORDED, bands
from sim.synth.statistics import DEPTH_EDGES, Tape, curves, statistics

SECOND_NS = 1_000_000_000
folder = Path(tempfile.mkdtemp(prefix="perpsim-synthetic-"))
pl.Config.set_tbl_rows(80).set_tbl_cols(-1).set_tbl_width_chars(160);

# %% [markdown]
# ## Feeds
#
# Both kinds enter a lake through the ordinary importer, so whatever is compared has passed the same checks: chained
# diffs, a book that is never crossed, best quotes that agree with it.

# %%
usdm, coinm = "hftbacktest/examples/usdm", "hftbacktest/examples/cm"
found = recordings(
    {
        "BTCUSDT 2023-04": [f"{usdm}/btcusdt_20230404.dat.gz", f"{usdm}/btcusdt_20230405.dat.gz"],
        "BTCUSDT 2024-07": [f"{usdm}/btcusdt_20240718.gz", f"{usdm}/btcusdt_20240719.gz"],
        "BTCUSD_PERP 2024-08": [f"{coinm}/btcusd_perp_20240808.gz", f"{coinm}/btcusd_perp_20240809.gz"],
    }
)
lakes = {}
for name, files in found.items():
    lakes[name] = folder / name.replace(" ", "-")
    import_("binance", files, lakes[name])
made = {"BTCUSDT calm": ("calm", "BTCUSDT"), "BTCUSD_PERP calm": ("calm", "BTCUSD_PERP")}
if not found:
    made = {"BTCUSDT calm": ("calm", "BTCUSDT"), "BTCUSDT trending": ("trending", "BTCUSDT")}
for name, (preset, symbol) in made.items():
    lakes[name] = folder / name.replace(" ", "-")
    synth(preset, 7, 150 * SECOND_NS, (symbol,), lake=lakes[name])

tapes = {}
for name, lake in lakes.items():
    (feed,) = Lake(lake).ls()
    tapes[name] = Tape().read(Lake(lake).source(feed["venue"], feed["symbol"]))
list(tapes)

# %% [markdown]
# ## The table
#
# Every statistic of every feed. The last column is the band that the calm preset is tested to lie in; where there is none
# nothing is promised. A few minutes make autocorrelations uncertain by some 0.05.

# %%
table = {name: statistics(tape) for name, tape in tapes.items()}
if not found:
    table = {f"{name} (stored)": dict(row) for name, row in RECORDED.items()} | table
promised = bands("BTCUSDT")
rows = [
    {"statistic": name}
    | {feed: round(row[name], 4) for feed, row in table.items()}
    | {"band of BTCUSDT": "{:.4g} .. {:.4g}".format(*promised[name]) if name in promised else ""}
    for name in next(iter(table.values()))
]
print(pl.DataFrame(rows))

# %% [markdown]
# ## Side by side
#
# Recordings are drawn as full lines, synthetic sessions dashed.

# %%
drawn = {name: curves(tape) for name, tape in tapes.items()}
colours = ["#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#d62728"]


def figure(parts, log_x=(), log_y=()):
    page = make_subplots(1, len(parts), subplot_titles=[title for _, title, _ in parts])
    for column, (key, _, x_title) in enumerate(parts, 1):
        for colour, (name, curve) in zip(colours, drawn.items()):
            x, y = curve[key]
            step = max(1, len(x) // 400)  # a few hundred points a curve are enough to look at
            line = {"color": colour, "dash": "solid" if name in found else "dash"}
            page.add_scatter(x=x[::step], y=y[::step], name=name, line=line, showlegend=column == 1, row=1, col=column)
        page.update_xaxes(title=x_title, type="log" if key in log_x else "linear", row=1, col=column)
        page.update_yaxes(type="log" if key in log_y else "linear", row=1, col=column)
    return page


# %% [markdown]
# **Spread and depth.** The spread is one tick nearly all of the time. The best level is far larger than those behind it;
# further away depth grows again, to a hump some hundred ticks out.

# %%
show(
    figure(
        [("spread", "Spread at best-quote updates", "ticks"), ("depth", "Share of depth by distance", "ticks")],
        log_x=("depth",),
        log_y=("spread", "depth"),
    ),
    "Spread and depth",
)

# %% [markdown]
# **Arrivals.** Gaps between taker orders have a longer tail than an exponential law's, and the variance of counts over
# their mean (1 for a Poisson process) grows with the window: orders come in clusters of every length up to minutes.

# %%
show(
    figure(
        [("gap", "Gaps longer than ...", "ms"), ("fano", "Fano factor of taker orders", "window, s")],
        log_x=("gap", "fano"),
        log_y=("gap", "fano"),
    ),
    "Arrivals",
)

# %% [markdown]
# **Signs and sizes.** Buys follow buys for dozens of orders, because large orders are split. Sizes span five decades.

# %%
show(
    figure(
        [("sign", "Autocorrelation of signs", "orders"), ("size", "Taker orders larger than ...", "lots")],
        log_x=("sign", "size"),
        log_y=("size",),
    ),
    "Signs and sizes",
)

# %% [markdown]
# **Prices.** Variance ratios above 1: over seconds, moves go on for a while (1 is a random walk). Absolute returns
# remember each other weakly over these few minutes.

# %%
show(
    figure(
        [("variance", "Variance ratio to 100 ms", "s"), ("absolute", "Autocorrelation of absolute returns", "lag, s")],
        log_x=("variance",),
    ),
    "Prices",
)

# %% [markdown]
# ## How full levels are
#
# The share of prices at a distance from the best at which there is anything. BTCUSD_PERP, with the same tick and a tenth
# of the depth, has gaps between almost all of its levels.

# %%
bars = go.Figure()
labels = [f"{low}-{high - 1}" for low, high in zip(DEPTH_EDGES, DEPTH_EDGES[1:])]
for colour, (name, row) in zip(colours, table.items()):
    filled = [row["depth_filled_" + label.replace("-", "_")] for label in labels]
    bars.add_bar(x=labels, y=filled, name=name, marker_color=colour)
bars.update_layout(xaxis_title="ticks from the best price", yaxis_title="share filled")
show(bars, "Levels filled, by distance")
