"""``perpsim record``: a run file's venues and instruments as sessions, a recorder and a raw recording.

``plan`` turns the run file into everything that is needed, or says what is wrong with it before anything is opened;
``record`` runs it until it is stopped, its limit has passed or the disk fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recorders.live.recorder import Recorder, Settings
from recorders.raw import RawWriter
from recorders.writer import instrument_fields
from sim.assembly import instrument_of
from sim.config import RunConfig, load_config
from sim.config_live import ConnectConfig
from sim.config_record import RecordConfig
from sim.session_process import ending_signals, prompt
from venues import card
from venues.errors import InputError
from venues.instruments import Instrument
from venues.ports import SystemClock, SystemEntropy
from venues.session_parts import Wanted
from venues.sessions import MarketSession, market_session
from venues.transport import AiohttpWire

Show = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """Everything that a recording needs."""

    config: RecordConfig
    folder: Path
    sessions: list[MarketSession]
    about: dict[str, Any]


def plan(run: str | Path | Mapping[str, Any] | RunConfig, overrides: Sequence[str] = ()) -> Plan:
    """The run file as a plan. Raises ``InputError``."""
    config, base = load_config(run, overrides)
    record = config.record or RecordConfig()
    sessions, instruments = [], []
    for place, venue in enumerate(config.venue):
        rule_card = card(venue.card or venue.name)
        chosen = [
            instrument_of(one, rule_card, None) for one in config.instrument if config.venue_of(one) == place
        ]  # fmt: skip
        if not chosen:
            raise InputError("has no [[instrument]]", source=f"venue {venue.name}")
        special = config.connect.get(venue.name, ConnectConfig())
        wanted = Wanted(
            rule_card.venue, tuple(chosen), frozenset(record.streams), special.ws, special.rest, special.book
        )
        sessions.append(market_session(wanted, SystemEntropy()))
        instruments += chosen
    _unique(sessions)
    return Plan(record, base / record.folder, sessions, _about(config, record, instruments))


def _unique(sessions: Sequence[MarketSession]) -> None:
    venues = [session.venue for session in sessions]
    for venue in venues:
        if venues.count(venue) > 1:
            raise InputError("is recorded once: put its instruments under one [[venue]]", source=f"venue {venue}")


def _about(config: RunConfig, record: RecordConfig, instruments: Sequence[Instrument]) -> dict[str, Any]:
    return {
        "name": config.name,
        "instruments": [instrument_fields(instrument) for instrument in instruments],
        "record": record.model_dump(mode="json", exclude_none=True),
    }


def record(made: Plan, show: Show = lambda status: None, began: Callable[[Path], None] = lambda path: None) -> Any:
    """Run a plan. Returns the last status; ``why`` in it says what ended it. Raises ``RecordingStopped`` when the disk
    fails. SIGINT, SIGTERM and SIGHUP (the terminal is gone; not under nohup) end it cleanly."""
    with prompt():
        return asyncio.run(_record(made, show, began))


async def _record(made: Plan, show: Show, began: Callable[[Path], None]) -> dict[str, Any]:
    config = made.config
    writer = RawWriter(
        made.folder,
        made.about,
        rotate_bytes=config.rotate_bytes,
        rotate_ns=config.rotate,
        block_bytes=config.block_bytes,
        sync_ns=config.sync,
    )
    settings = Settings(
        queue_bytes=config.queue_bytes,
        drop=frozenset(config.drop),
        status_ns=config.status,
        limit_ns=config.limit or 0,
        config=made.about,
    )
    wire = AiohttpWire(config.frame_bytes)
    recorder = Recorder(made.sessions, writer, wire, SystemClock(), SystemEntropy(), settings, show)
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, recorder.stop, f"stopped by {number.name}")
    began(writer.path)
    return {**await recorder.run(), "why": recorder.why}
