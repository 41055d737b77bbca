"""What runs: the simulated venue, the strategy API, backtests, reports and the command line."""

from matching._build import install

install()
