"""Deribit perpetuals."""
