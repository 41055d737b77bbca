"""Rehearsals: the way of an order, walked with nothing behind it, so that the next real order finds it at hand.

Theory of operation. Beside market data orders are rare. By the time one leaves, the caches hold other things,
and to read the code of its way from memory again takes longer than to run it. A ``Rehearsal`` has a gateway, a session,
a connector and a websocket of its own, which end in memory: its keys are none, its transport keeps what is written, its
journal is no file, its core forgets. Every ``[live] rehearse`` it sends an order, then a cancel or hears of a fill.
With the session that trades it shares the code, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import urlsplit

from matching import codes
from sim.live.gateway import CANCEL, SUBMIT, Gateway
from sim.live.journal import Journal
from venues.connector import Connector
from venues.instruments import Instrument
from venues.ports import Clock, Entropy, Files, UnkeptFile
from venues.trading import Event, Now
from venues.trading_sessions import Keys, TradingWanted, stage
from venues.websocket import WebSocket, accept_of, masked

REQUEST: Final = 1
PRICES: Final = 50  # what is rehearsed has so many
HEAD_BYTES: Final = 8  # of a masked frame of 126 to 65535 bytes
_NOWHERE: Final = "http://127.0.0.1:1"


class Unkept:
    """Files that nobody reads: the journal goes as far as the operating system."""

    def create(self, path: Path) -> UnkeptFile:
        return UnkeptFile()


class Line:
    """A transport that keeps what was written last."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, payload: bytes) -> None:
        self.sent = payload

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Empty:
    """A core that has one order, at another price each time, and counts what it is told."""

    now = 0

    def __init__(self) -> None:
        self.outbox: list[tuple[int, ...]] = []
        self.orders = self.told = 0

    def take_outbox(self) -> list[tuple[int, ...]]:
        found, self.outbox = self.outbox, []
        return found

    def terms(self, slot: int) -> dict[str, Any]:
        self.orders += 1
        return {
            "side": codes.BUY, "ticks": 10_000 + self.orders % PRICES, "lots": 10, "tif": codes.GTC,
            "type": codes.LIMIT, "flags": 0, "stp": -1, "trigger": None, "expires_ns": 0,
        }  # fmt: skip

    def bring(self, *arguments: Any, **more: Any) -> None:
        self.told += 1


class Rehearsal:
    """To be made in a running event loop, which must turn once before ``walk``."""

    def __init__(
        self, venue: str, instrument: Instrument, clock: Clock, entropy: Entropy, files: Files | None = None,
        folder: Path = Path(), core: Empty | None = None, line: Line | None = None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self.number = 0  # of the order
        keys = Keys("k" * 64, "s" * 64)
        wanted = TradingWanted(venue, 0, {0: instrument}, "rehearsal", keys, _NOWHERE, _NOWHERE)
        self.stage = stage(wanted, clock, entropy)
        self._reading: list[asyncio.Future[object]] = []
        self.core, self.line = core or Empty(), line or Line()
        connector = Connector(self.stage.session, cast(Any, None), clock, entropy, cast(Any, self))
        self._sockets = {
            name: self._connect(connector, name, url, entropy) for name, url in self.stage.connections.items()
        }
        self._journal = Journal(files or cast(Any, Unkept()), folder / "journal.bin")
        context = SimpleNamespace(order_in=lambda slot: None, words={})
        self._gateway = Gateway(
            cast(Any, self.core), cast(Any, context), [instrument], [0], {0: connector}, self._journal, clock,
            cast(Any, None), lambda level, text: None,
        )  # fmt: skip

    def _connect(self, connector: Connector, name: str, url: str, entropy: Entropy) -> WebSocket:
        connection, socket = connector.connect(name, url), WebSocket(urlsplit(url), entropy, 1 << 20)
        socket.connection_made(self.line)
        connection.restart(socket)
        self._reading.append(asyncio.ensure_future(socket.run(connection)))
        key = next(line for line in self.line.sent.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
        socket.data_received(upgrade + accept_of(key.partition(b": ")[2]) + b"\r\n\r\n")
        return socket

    def on_events(self, events: list[Event], now: Now) -> None:
        """Of the connector: as the session that trades takes them."""
        self._gateway.on_events(0, events)
        self._gateway.bring_in()
        self._gateway.put()

    def command(self, kind: int) -> None:
        """Send an order, or its cancel."""
        if kind == SUBMIT:
            self.number += 1
        self.core.outbox.append((kind, 0, 0, 0, self.number, 0, 0, REQUEST, 0))
        self._gateway.drain()

    def answers(self) -> list[tuple[str, bytes]]:
        """What a venue would answer, and on which connection."""
        sent = self.line.sent
        return self.stage.answers(masked(sent[HEAD_BYTES:], sent[HEAD_BYTES - 4 : HEAD_BYTES]))

    def hear(self, connection: str, payload: bytes) -> None:
        """A frame of the venue."""
        self._sockets[connection].data_received(b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload)

    async def repeat(self, every_ns: int, say: Callable[[str, str], None]) -> None:
        """Walk again and again. A rehearsal that fails is said, and the last: orders do not depend on it."""
        try:
            while True:
                await self._clock.sleep_ns(every_ns)
                self.walk()
        except Exception as error:
            say("warning", f"orders are not rehearsed any more: {type(error).__name__}: {error}"[:500])
        finally:
            self.close()

    def close(self) -> None:
        """No more of it."""
        for task in self._reading:
            task.cancel()
        self._journal.close()

    def walk(self) -> None:
        """An order there and back, and its end: a cancel, or an execution each other time, when the stream is quicker
        than the replies. ``RuntimeError`` where that is not what came of it."""
        told, is_other = self.core.told, self.number % 2 == 1
        self.command(SUBMIT)
        for connection, payload in self.answers()[:: -1 if is_other else 1]:
            self.hear(connection, payload)
        if is_other:
            self.hear(*self.stage.fill())
        else:
            self.command(CANCEL)
            for connection, payload in self.answers():
                self.hear(connection, payload)
        if self.core.told != told + 2 or self._gateway.orders:
            raise RuntimeError("a rehearsed order was not opened and ended")
