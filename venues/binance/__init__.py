"""Binance USD-M and COIN-M futures: rule cards and wire codec."""
