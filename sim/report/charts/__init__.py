"""The built-in charts of the report; importing this package registers them in the order in which they are shown.

Each says in words when there is nothing to draw. Times are drawn in UTC; money, sizes and prices become floats here
and nowhere before.
"""

from sim.report.charts import accounts, feeds, instruments

__all__ = ["accounts", "feeds", "instruments"]
