"""Lakes made of messages written by hand, or at random, without any venue's wire form."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from matching.codes import BBO, BUY, DEPTH, FORCE, FUNDING, GAP, MARK, OFFBOOK, SELL, SNAPSHOT, TRADE
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


def random_recording(seed: int, count: int, start_ns: int = 0, *, latency_ns: int = 5_000) -> list[FeedMessage]:
    """Messages of all kinds with coinciding times, receipts out of order, empty sides, gaps and whole books (these two
    are received after all before them and before all after them)."""
    chosen = random.Random(seed)
    found: list[FeedMessage] = []
    now, update, least, latest = start_ns, 1, 0, 0
    for _ in range(count):
        now += chosen.choice((0, 0, 1, 700, 2_000))
        late = chosen.randrange(latency_ns)
        update += chosen.randrange(1, 3)
        what = chosen.random()
        late = max(late, least - now)
        if what < 0.06:
            late = max(late, latest - now)
            least = now + late
        latest = max(latest, now + late)
        if what < 0.02:
            found.append((now, GAP, [chosen.choice((1, 2, 4, 5)), 0, 0, chosen.choice((0, 3_000))], [], late))
        elif what < 0.06:
            rows = [(BUY, 100 - k, chosen.randint(1, 9)) for k in range(chosen.randrange(4))]
            rows += [(SELL, 101 + k, chosen.randint(1, 9)) for k in range(chosen.randrange(4))]
            found.append((now, SNAPSHOT, update, rows, late))
        elif what < 0.3:
            rows = [(BUY, chosen.randint(94, 100), chosen.randrange(4)), (SELL, chosen.randint(101, 107), 2)]
            found.append((now, DEPTH, update, rows[: chosen.randint(0, 2)], late))
        elif what < 0.4:
            quote = [(BUY, chosen.randint(97, 100), 3), (SELL, chosen.randint(101, 104), 4)]
            found.append((now, BBO, update + 1, quote[: chosen.randint(0, 2)], late))
        elif what < 0.45:
            payload = [chosen.randint(1, 10**12), 0, -chosen.randint(0, 10**9), 0]
            found.append((now, chosen.choice((MARK, FUNDING)), payload, [], late))
        elif what < 0.5:
            found.append((now, chosen.choice((FORCE, OFFBOOK)), update, [(BUY, 90, 1)], late))
        else:
            prints = [(chosen.choice((BUY, SELL)), chosen.randint(97, 104), chosen.randint(1, 9)) for _ in range(3)]
            found.append((now, TRADE, update, prints[: chosen.randint(1, 3)], late))
    return found
