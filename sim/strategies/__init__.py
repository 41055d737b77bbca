"""Reference strategies: short enough to read, complete enough to run, a start for one's own.

``MarketMaker`` quotes both sides around Avellaneda and Stoikov's reservation price and values its place in the queue;
``FundingCarry`` takes the receiving side of a funding payment that exceeds its costs.
"""

from sim.strategies.funding_carry import FundingCarry
from sim.strategies.market_maker import MarketMaker

__all__ = ["FundingCarry", "MarketMaker"]
