"""Recorded answers of Hyperliquid about accounts decode; what is missing is named, what is unknown changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from venues.errors import PayloadError
from venues.hyperliquid.private import PrivateCodec
from venues.hyperliquid.private_rows import Fills, Outcome, Posted, Status
from venues.hyperliquid.rules import KNOWN
from venues.instruments import Instrument

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
CASSETTES = SHARED / "hyperliquid_python_sdk" / "tests" / "cassettes" / "info_test"
NAUTILUS = SHARED / "nautilus" / "crates" / "adapters" / "hyperliquid" / "test_data"
recorded = pytest.mark.skipif(not CASSETTES.is_dir(), reason="the recorded data are not here (../shared/data)")

Read = Callable[[PrivateCodec, bytes], Any]


def body(name: str) -> bytes:
    """The last response body of a cassette: a single-quoted YAML string."""
    text = (CASSETTES / f"test_{name}.yaml").read_text(encoding="utf-8")
    found = re.findall(r"string: '((?:[^']|'')*)'", text)[-1]
    return re.sub(r"\n\s*", " ", found.replace("''", "'")).encode()


def codec_for(rows: list[dict[str, Any]]) -> PrivateCodec:
    """A codec of every coin in these rows, on grids as fine as their numbers (old ones are not on today's)."""

    def finest(coin: str, names: tuple[str, ...]) -> Decimal:
        found = [str(row[name]) for row in rows if row["coin"] == coin for name in names if row.get(name)]
        return Decimal(1).scaleb(-max((len(one.partition(".")[2].rstrip("0")) for one in found), default=0))

    made = [
        Instrument(
            "hyperliquid", coin, coin, "USD", "USDC", False, finest(coin, ("px", "limitPx", "triggerPx")),
            finest(coin, ("sz", "origSz", "startPosition", "szi")),
        )
        for coin in sorted({row["coin"] for row in rows})
    ]  # fmt: skip
    return PrivateCodec(dict(enumerate(made)))


@recorded
def test_recorded_fills() -> None:
    for name in ("get_user_fills", "get_user_fills_by_time"):
        raw = body(name)
        rows = json.loads(raw)
        found, count = codec_for(rows).user_fills(raw)
        assert count == len(rows) == len(found) > 100
        given = sorted((str(row["oid"]), row["time"] * 1_000_000, row["crossed"]) for row in rows)
        assert given == sorted((row.oid, row.ts_event_ns, row.is_taker) for row in found)
        assert len({(row.oid, row.trade_id) for row in found}) == count  # although these rows have no tid
        assert sum(row.realized_e8 for row in found) == int(sum(Decimal(row["closedPnl"]) for row in rows) * 10**8)


@recorded
def test_recorded_state_and_orders() -> None:
    raw = body("get_user_state")
    state = json.loads(raw)
    positions = [one["position"] for one in state["assetPositions"]]
    codec = codec_for(positions)
    found = codec.account(raw)
    assert len(found.positions) == len(positions) and found.others == []
    grids = [grid.instrument for grid in codec._grids.values()]
    sizes = [grids[row.instrument].size_of(abs(row.lots)) * (1 if row.lots > 0 else -1) for row in found.positions]
    assert sizes == [Decimal(one["szi"]) for one in positions]
    wallet = Decimal(state["marginSummary"]["accountValue"]) - sum(Decimal(one["unrealizedPnl"]) for one in positions)
    assert found.wallet_e8 == int(wallet * 10**8)
    only = PrivateCodec({0: KNOWN[0]}).account(raw)
    assert [row.instrument for row in only.positions] == [0] and len(only.others) == len(positions) - 1
    for name in ("get_open_orders", "get_frontend_open_orders"):
        raw = body(name)
        orders = json.loads(raw)
        rows = codec_for(orders).open_orders(raw)
        assert sorted(row.oid for row in rows) == sorted(str(one["oid"]) for one in orders)
        assert [row.is_trigger for row in rows] == [
            one.get("isTrigger", False) for one in sorted(orders, key=lambda one: (one["timestamp"], one["oid"]))
        ]


@recorded
def test_recorded_order_statuses_and_limits() -> None:
    raw = body("historical_orders")
    rows = json.loads(raw)
    codec = codec_for([row["order"] for row in rows])
    for row in rows:
        found = codec.order_status(json.dumps({"status": "order", "order": row}).encode())
        assert found is not None and (found.status, found.oid) == (row["status"], str(row["order"]["oid"]))
    assert codec.requests(body("user_rate_limit")) == (36_589_831_368, 170_043_731_737)


@recorded
@pytest.mark.skipif(not NAUTILUS.is_dir(), reason="the recorded data are not here (../shared/data)")
def test_recorded_frames_and_spot() -> None:
    codec = PrivateCodec({0: KNOWN[0], 1: KNOWN[4]})
    [fills] = codec.decode((NAUTILUS / "ws_user_fill_liquidation.json").read_bytes())
    assert isinstance(fills, Fills)
    [row] = fills.rows
    assert (row.lots, row.position_lots, row.fee_e8, row.is_taker) == (100, -2230, 999_700, False)
    assert row.liquidated == "0x360878d351f05975e25f1807a27895e1e5e004fb"
    assert codec.spot_usdc_e8((NAUTILUS / "http_spot_clearinghouse_state.json").read_bytes()) == 1_462_548_500
    dust, count = codec.user_fills((NAUTILUS / "http_user_fills_dust_conversion.json").read_bytes())
    assert (len(dust), count) == (1, 5)  # the others are of coins that are not traded
    state = codec.account((NAUTILUS / "http_clearinghouse_state_negative_total_raw_usd.json").read_bytes())
    assert state.wallet_e8 == 173_603_087_500


CODEC = PrivateCodec({0: KNOWN[0]})
FILL = {"coin": "BTC", "px": "1.0", "sz": "1.0", "side": "B", "time": 1, "oid": 1, "tid": 1, "fee": "0.1"}
ORDER = {"coin": "BTC", "side": "B", "limitPx": "1.0", "sz": "1.0", "oid": 1, "timestamp": 1}


@pytest.mark.parametrize("field", ["coin", "px", "sz", "side", "time", "oid"])
def test_a_missing_field_of_a_fill_is_named(field: str) -> None:
    row = {key: value for key, value in FILL.items() if key != field} | {"unknown": {"x": [1]}}
    with pytest.raises(PayloadError) as caught:
        CODEC.decode(json.dumps({"channel": "userFills", "data": {"fills": [row]}}).encode())
    assert caught.value.field == f"data.fills[0].{field}"
    CODEC.decode(json.dumps({"channel": "userFills", "data": {"fills": [FILL | {"unknown": 1}], "x": 1}}).encode())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sz": "1e5"}, "sz"), ({"limitPx": "0.12345678"}, "limitPx"), ({"side": "X"}, "side"),
        ({"origSz": "-1"}, "origSz"), ({"limitPx": "nan"}, "limitPx"),
    ],
)  # fmt: skip
def test_numbers_off_the_grid_are_named(change: dict[str, Any], field: str) -> None:
    data = [{"order": ORDER | change, "status": "open", "statusTimestamp": 1}]
    with pytest.raises(PayloadError, match=field):
        CODEC.decode(json.dumps({"channel": "orderUpdates", "data": data}).encode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": "err", "response": "no"}, Outcome([], "no")),
        ({"status": "ok", "response": {"type": "default"}}, Outcome([])),
        (
            {"status": "ok", "response": {"type": "order", "data": {"statuses": [
                {"resting": {"oid": 5, "cloid": "0x1"}}, {"filled": {"totalSz": "0.1", "avgPx": "1.0", "oid": 6}},
                {"error": "no"}, "waitingForTrigger", "success",
            ]}}},
            Outcome([
                Status("resting", "5"), Status("filled", "6", "0.1"), Status("error", text="no"),
                Status("waitingForTrigger"), Status("success"),
            ]),
        ),
    ],
)  # fmt: skip
def test_answers_by_frame_and_by_rest(answer: dict[str, Any], expected: Outcome) -> None:
    assert CODEC.outcome(json.dumps(answer).encode()) == expected
    frame = {"channel": "post", "data": {"id": 3, "response": {"type": "action", "payload": answer}}}
    assert CODEC.decode(json.dumps(frame).encode()) == [Posted(3, expected)]


def test_an_error_of_the_post_itself() -> None:
    frame = {"channel": "post", "data": {"id": 3, "response": {"type": "error", "payload": "429 Too Many Requests"}}}
    assert CODEC.decode(json.dumps(frame).encode()) == [Posted(3, Outcome([], "429 Too Many Requests"))]
