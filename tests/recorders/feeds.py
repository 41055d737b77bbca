"""Lakes made of messages written by hand, or at random, without any venue's wire form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recorders.access import Market
from recorders.blocks import AUX_WIDTH, MessageBlock, has_aux
from recorders.lake import Lake
from recorders.writer import FeedWriter
from venues import known_instrument
from venues.instruments import Instrument

T0 = 1_750_032_000_000_000_000  # a midnight
VENUE, SYMBOL = "neutral", "TEST"
# (venue time from T0 in ns, kind, ref or payload, rows of (side, ticks, lots)), with the latency in ns if not 1,000
FeedMessage = tuple[Any, ...]


class FeedLake(Lake):
    """A lake of one instrument."""

    def lake_market(self, *limits: Any) -> Market:
        return self.market(VENUE, SYMBOL, *limits)


def instrument() -> Instrument:
    return replace(known_instrument("binance_usdm", "BTCUSDT"), venue=VENUE, symbol=SYMBOL)


def block_of(messages: Sequence[FeedMessage]) -> MessageBlock:
    """Messages in venue order as a block."""
    rows = [row for message in messages for row in message[3]]
    kind = np.array([message[1] for message in messages], np.uint8)
    carries = has_aux(kind)
    payloads = [message[2] for message, carried in zip(messages, carries.tolist(), strict=True) if carried]
    places = np.cumsum(carries) - 1
    refs = [int(places[k]) if carries[k] else message[2] for k, message in enumerate(messages)]
    event = np.array([T0 + message[0] for message in messages], np.int64)
    recv = event + np.array([message[4] if len(message) > 4 else 1_000 for message in messages], np.int64)
    return MessageBlock(
        ts_event=event,
        ts_recv=recv,
        ts_recv_raw=recv - 7,
        kind=kind,
        ref=np.array(refs, np.int64),
        row_start=np.cumsum([0] + [len(message[3]) for message in messages]).astype(np.int64),
        side=np.array([row[0] for row in rows], np.uint8),
        px_ticks=np.array([row[1] for row in rows], np.int32),
        qty_lots=np.array([row[2] for row in rows], np.int32),
        aux=np.array(payloads, np.int64).reshape(-1, AUX_WIDTH),
    )


def feed_lake(folder: Path, *recordings: Sequence[FeedMessage]) -> FeedLake:
    """A lake of recordings, one after the other."""
    root = folder / "lake"
    writer = FeedWriter(root, instrument(), [])
    for number, messages in enumerate(recordings):
        block = block_of(messages)
        first, last = int(block.ts_event[0]), int(block.ts_event[-1])
        writer.begin(f"made/{number}", first, last)
        writer.append(block)
        writer.flush()
        report = {
            "recording": f"made/{number}", "first_ns": first, "last_ns": last, "gaps": 0, "snapshots": 0,
            "sources": [], "gap_list": [], "messages": len(block),
        }  # fmt: skip
        writer.end(report, None)
    writer.close()
    return FeedLake(root)
