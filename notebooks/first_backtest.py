# %% [markdown]
# # A first backtest
#
# A strategy of your own against the demo's synthetic session, from a script or a notebook (this file is in the
# percent format: editors and jupytext open it as a notebook). Run it from the repository: `python
# notebooks/first_backtest.py`. It writes into a temporary folder and needs no network.

# %%
import tempfile
from pathlib import Path

import polars as pl

from perpsim import BUY, GTX, SELL, Lake, Order, Strategy, backtest
from sim.demo import prepare_demo

# %% [markdown]
# The demo's recording, imported into a lake as any captured file would be, and the run file that goes with it.

# %%
folder = Path(tempfile.mkdtemp(prefix="perpsim-notebook-"))
demo = prepare_demo(folder)
demo.imported["totals"]


# %% [markdown]
# A strategy: join both sides of the book, stop adding on a side once the position reaches the limit.


# %%
class JoinTheTouch(Strategy):
    def __init__(self, lots: int = 50, max_lots: int = 200) -> None:
        self.lots, self.max_lots = lots, max_lots
        self.quotes: dict[int, Order] = {}

    def on_start(self) -> None:
        self.ctx.every("200ms")

    def on_timer(self) -> None:
        book, position = self.ctx.book(0), self.ctx.position(0)
        if not book.is_valid:
            return
        for side, room in ((BUY, self.max_lots - position), (SELL, self.max_lots + position)):
            quote, wanted = self.quotes.get(side), book.best_ticks(side)
            if quote is not None and not quote.is_closed:
                if quote.is_cancelable and (quote.ticks != wanted or room < self.lots):
                    self.ctx.cancel(quote)
            elif room >= self.lots:
                self.quotes[side] = self.ctx.submit(0, side, wanted, self.lots, GTX)


# %%
result = backtest(demo.run_file, JoinTheTouch(), out=folder / "runs", html=False, show_progress=False)
for line in result.banner:
    print(line)

# %% [markdown]
# Everything is a polars frame: here the fills by what caused them, with the queue that stood ahead, and the funding.

# %%
print(
    result.fills.group_by("cause").agg(
        pl.len().alias("fills"), pl.col("lots").sum(), pl.col("queue_front_lots").median().alias("median ahead")
    )
)
print(result.funding)

# %% [markdown]
# The recording itself is at hand too (docs/data.md): the market around each fill, and how it moved afterwards.

# %%
market = Lake(demo.lake).market("binance_usdm", "BTCUSDT")
around = market.around(result)
print(
    around.group_by("side").agg(
        pl.len().alias("fills"), (pl.col("markout_1s_half_ticks").mean() / 2).alias("markout after 1 s, ticks")
    )
)
print(market.bars("1m").select("end_ns", "close_ticks", "lots", "trades", "gap"))

# %% [markdown]
# Two parameter sets share one pass over the feed (lanes).

# %%
both = backtest(
    demo.run_file,
    [JoinTheTouch(lots=20), JoinTheTouch(lots=100)],
    out=folder / "runs",
    html=False,
    show_progress=False,
)
for account in both.summary["accounts"]:
    print(account["wallet_e8"] / 1e8, account["fees_e8"] / 1e8)
