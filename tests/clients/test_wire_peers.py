"""The clients that ``perpsim bench wire`` times run their course against the emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim.bench.wire import HERE, PEERS, client
from tests.clients.playing import serving, setting_of
from tests.tools.client_envs import CannotMakeError, python_of


def test_each_peer_measures_all_that_it_is_asked_for() -> None:
    found: dict[str, dict[str, Any]] = {}
    with serving("binance") as line:
        given = setting_of(line, "BTCUSDT") | {"orders": 2, "seconds": 1.0, "warm": 1, "busy": False}
        for name, script in PEERS.items():
            try:
                python = python_of(name)
            except CannotMakeError as error:
                pytest.skip(str(error))
            found[name] = client([str(python), str(HERE / "peers" / script), json.dumps(given)], name)
    for row in found.values():
        assert row["depth"]["count"] > 0 and row["top"]["count"] > 0
    for part in ("order_ws", "order_rest"):
        orders = found["ccxt"][part]
        assert orders["whole"]["count"] + orders["unclear"] == 2
