"""The neutral venue: no funding, margin, self-trade prevention or limits, to compare with engines that have none."""
