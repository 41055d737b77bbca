"""Sessions of the realistic market as files, as a lake, or as a raw recording; and what ``perpsim synth`` prints.

All three hold the same messages. Nothing is kept of them in memory beyond a second of each market. Beside the files
stands what the market knows and no recorder could: ``truth.json`` with the value's jumps, cascades and outages.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from recorders.raw import FRAME_IN, REPLY, REQUEST, Closed, Gap, Opened, RawWriter, Resynced, Started
from recorders.raw.notes import DISCONNECT, SEQUENCE
from sim.synth.cascade import sizes
from sim.synth.draws import stream_key
from sim.synth.feed import MarketFeed, Message, SessionFeed
from sim.synth.link import MARKET, PUBLIC, REST
from sim.synth.listed import LISTED, Listed, find_listed
from sim.synth.presets import PRESETS, scenario
from sim.synth.scenario import SECOND_NS, Scenario
from venues.errors import InputError
from venues.ports import VirtualClock

TRUTH: Final = "truth.json"
ADDRESSES: Final = {
    "binance_usdm": ("wss://fstream.binance.com/stream", "https://fapi.binance.com/fapi/v1/depth"),
    "binance_coinm": ("wss://dstream.binance.com/stream", "https://dapi.binance.com/dapi/v1/depth"),
}
TOPICS: Final = (("depth@0ms", "bookTicker"), ("trade", "markPrice@1s", "forceOrder"))  # of each socket
STREAMS: Final = (("depth", "quotes"), ("trades", "marks", "liquidations"))  # the same by the names notes use
DEPTH: Final = "depth"
SOCKETS: Final = 3  # connections of one market
GZIP_LEVEL: Final = 4
SYNC_NS: Final = 60 * SECOND_NS
NOTICED_NS: Final = 100_000_000  # after which a receiver takes a silent link for lost


def list_presets() -> dict[str, Any]:
    """Presets and markets, ready for JSON."""
    return {
        "ok": True,
        "presets": [{"name": one.name, "about": one.about} for one in PRESETS.values()],
        "markets": [{"venue": one.market.venue, "symbol": one.market.symbol} for one in LISTED],
    }


def choose(symbols: Sequence[str], venues: Sequence[str]) -> list[Listed]:
    """The markets of these symbols at these venues. No symbol: all of the venues; no venue: any. Raises
    ``InputError`` for what there is not."""
    if not symbols and not venues:
        return [LISTED[0]]
    known = {one.market.venue for one in LISTED}
    for venue in venues:
        if venue not in known:
            raise InputError(
                f"there are no synthetic markets of {venue!r}; there are those of {', '.join(sorted(known))}",
                source="synth",
                field="venue",
            )
    if not symbols:
        return [one for one in LISTED if one.market.venue in venues]
    found = [find_listed(symbol) for symbol in symbols]
    for one in found:
        if venues and one.market.venue not in venues:
            raise InputError(
                f"{one.market.symbol} is a market of {one.market.venue}, which is not among {', '.join(venues)}",
                source="synth",
                field="venue",
            )
    if len({one.market.symbol for one in found}) != len(found):
        raise InputError(f"an instrument is named twice: {', '.join(symbols)}", source="synth", field="instrument")
    return found


def synth(
    preset: str = "calm",
    seed: int = 7,
    duration_ns: int = 600 * SECOND_NS,
    symbols: Sequence[str] = (),
    venues: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    lake: str | Path | None = None,
    raw: str | Path | None = None,
    start_ns: int | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Make a session: captured lines in ``out``, day files in ``lake``, a raw recording below ``raw`` (any of them).

    Returns counts, checksums and the truth, ready for JSON. Raises ``InputError``, OSError.
    """
    if out is None and lake is None and raw is None:
        raise InputError("give a folder for files (out), a lake or a folder for raw recordings", source="synth")
    listed, made = choose(symbols, venues), scenario(preset, duration_ns, start_ns)
    result: dict[str, Any] = {"ok": True, "preset": preset, "seed": seed, "seconds": duration_ns / SECOND_NS}
    if out is not None or lake is not None:
        with _folder(out) as folder:
            files = write_files(folder, listed, made, seed)
            if out is not None:
                result["files"] = files
            if lake is not None:
                result["lake"] = _import([Path(file["path"]) for file in files], lake, replace)
                result["ok"] = result["lake"]["ok"]
            result["truth"] = json.loads((folder / TRUTH).read_text())
    if raw is not None:
        result["raw"] = write_recording(raw, listed, made, seed, preset)
        result.setdefault("truth", result["raw"].pop("truth"))
    return result


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="perpsim-synth-") as name:
            yield Path(name)
    else:
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)


def _import(files: list[Path], lake: str | Path, replace: bool) -> dict[str, Any]:
    from recorders.commands import import_

    return {"path": str(lake), **import_("binance", files, lake, replace=replace)}


def stamped(message: Message, made: Scenario) -> str:
    """A message as a recorder writes it down: ``receive_time json``."""
    return f"{(message.receive_ns + made.clock_offset_ns) // made.receive_unit_ns} {message.text}"


def lines(listed: Listed, made: Scenario, seed: int) -> Iterator[str]:
    """One market's session as captured lines, in order of receipt, without line ends."""
    return (stamped(message, made) for _, message in SessionFeed([listed], made, seed))


# -- files


def write_files(folder: Path, listed: Sequence[Listed], made: Scenario, seed: int) -> list[dict[str, Any]]:
    """A compressed file a market, ``<venue>_<symbol>.dat.gz``, and the truth. sha256 is that of the plain text."""
    found, truth = [], {}
    for one in listed:
        path = folder / f"{one.market.venue}_{one.market.symbol.lower()}.dat.gz"
        feed = SessionFeed([one], made, seed)
        with path.open("wb") as file, gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
            count, size, digest = _write_lines(packed, feed, made)
        truth[one.market.symbol] = truth_of(feed.feeds[0])
        found.append({
            "path": str(path), "venue": one.market.venue, "symbol": one.market.symbol, "lines": count, "bytes": size,
            "sha256": digest,
        })  # fmt: skip
    (folder / TRUTH).write_text(json.dumps(truth, indent=1) + "\n")
    return found


def _write_lines(target: IO[bytes] | gzip.GzipFile, feed: SessionFeed, made: Scenario) -> tuple[int, int, str]:
    digest, count, size = hashlib.sha256(), 0, 0
    for part in feed.steps():
        data = "".join([f"{stamped(message, made)}\n" for _, message in part]).encode()
        count, size = count + len(part), size + len(data)
        digest.update(data)
        target.write(data)
    return count, size, digest.hexdigest()


def truth_of(feed: MarketFeed) -> dict[str, Any]:
    """What no recorder sees: jumps of the value (ns UTC, parts of one), cascades, outages."""
    start = feed.scenario.start_ns
    return {
        "jumps": [
            {"at_ns": start + jump.at_ns, "change_e12": jump.change_e12}
            for jump in feed.flow.value.jumps
            if jump.at_ns <= feed.scenario.duration_ns
        ],
        "cascades": sizes(feed.cascades.all()),
        "outages": [
            {"kind": o.kind, "from_ns": start + o.after_ns, "to_ns": start + o.until_ns} for o in feed.scenario.outages
        ],
    }


# -- a raw recording


class _SeededEntropy:
    """The recording's id follows from the seed, so that the same session gives the same bytes."""

    def __init__(self, seed: int, label: str) -> None:
        self._seed, self._label, self._count = seed, label, 0

    def token(self, length: int) -> bytes:
        self._count += 1
        return (
            stream_key(self._seed, f"{self._label}/{self._count}").to_bytes(8, "little")[:length].ljust(length, b"\0")
        )


class _Recorder:
    """Writes one session down as the recorder of live markets would: three connections a market."""

    def __init__(self, writer: RawWriter, clock: VirtualClock, listed: Sequence[Listed], made: Scenario) -> None:
        self._writer, self._clock, self._listed, self._made = writer, clock, listed, made
        self._connections = [place * SOCKETS + socket + 1 for place in range(len(listed)) for socket in range(SOCKETS)]
        self._next = len(self._connections) + 1
        self._events = sorted(self._faults())
        self._broken_ns: dict[int, int] = {}  # since when a market's book waits for a snapshot
        self.records = 0

    def note(self, note: Any, at_ns: int, connection: int = 0) -> None:
        self._writer.note(note, at_ns + self._made.clock_offset_ns, self._clock.now_ns, connection)
        self.records += 1

    def open(self, at_ns: int) -> None:
        """Say which connections are up and what runs on them."""
        for place, one in enumerate(self._listed):
            market, (socket_url, rest_url) = one.market, ADDRESSES[one.market.venue]
            for socket in range(SOCKETS):
                connection = self._connections[place * SOCKETS + socket]
                streams = ("rest",) if socket == REST else tuple(f"{market.symbol.lower()}@{t}" for t in TOPICS[socket])
                url = rest_url if socket == REST else f"{socket_url}?streams={'/'.join(streams)}"
                self.note(Opened(connection, market.venue, url, streams), at_ns, connection)

    def _faults(self) -> Iterator[tuple[int, str]]:
        """When the recorder notices what: a lost link a moment later, lost depth at the first diff after it."""
        for outage in self._made.outages:
            begin, end = self._made.start_ns + outage.after_ns, self._made.start_ns + outage.until_ns
            if outage.kind == "loss":
                yield min(begin + NOTICED_NS, end), "closed"
                yield end, "opened"
            elif outage.kind == "stale":
                yield end, "sequence"

    def pass_time(self, now_ns: int) -> None:
        """What the recorder notices of the link by then."""
        while self._events and self._events[0][0] <= now_ns:
            at_ns, what = self._events.pop(0)
            if what == "closed":
                self._lose(at_ns)
            elif what == "opened":
                self._reopen(at_ns)
            else:
                for place, one in enumerate(self._listed):
                    self._broken_ns[place] = at_ns
                    self.note(Gap(one.market.venue, one.market.symbol, DEPTH, SEQUENCE), at_ns)

    def _lose(self, at_ns: int) -> None:
        for place, connection in enumerate(self._connections):
            if place % SOCKETS == REST:
                continue
            market = self._listed[place // SOCKETS].market
            self._broken_ns[place // SOCKETS] = at_ns
            self.note(Closed(connection, "the connection was lost", 1006), at_ns, connection)
            for stream in STREAMS[place % SOCKETS]:
                self.note(
                    Gap(market.venue, market.symbol, stream, DISCONNECT, connection=connection), at_ns, connection
                )

    def _reopen(self, at_ns: int) -> None:
        self._connections = [
            number if place % SOCKETS == REST else self._next + place for place, number in enumerate(self._connections)
        ]
        self._next += len(self._connections)
        for place, connection in enumerate(self._connections):
            if place % SOCKETS != REST:
                market = self._listed[place // SOCKETS].market
                streams = tuple(f"{market.symbol.lower()}@{t}" for t in TOPICS[place % SOCKETS])
                url = f"{ADDRESSES[market.venue][0]}?streams={'/'.join(streams)}"
                self.note(Opened(connection, market.venue, url, streams), at_ns, connection)

    def message(self, place: int, message: Message) -> None:
        """One message, in order of receipt."""
        at_ns = message.receive_ns
        self.pass_time(at_ns)
        self._clock.now_ns = max(self._clock.now_ns, at_ns)
        connection = self._connections[place * SOCKETS + message.socket]
        wall_ns, mono_ns = at_ns + self._made.clock_offset_ns, self._clock.now_ns
        payload = message.text.encode()
        if message.socket in (PUBLIC, MARKET):
            self._writer.append(FRAME_IN, connection, wall_ns, mono_ns, payload)
            self.records += 1
            return
        market = self._listed[place].market
        url = f"{ADDRESSES[market.venue][1]}?symbol={market.symbol}&limit={market.levels}"
        request = {"method": "GET", "url": url, "symbol": market.symbol, "stream": DEPTH}
        self._writer.append(REQUEST, connection, wall_ns, mono_ns, json.dumps(request).encode())
        self._writer.append(REPLY, connection, wall_ns, mono_ns, payload)
        self.records += 2
        if place in self._broken_ns:
            took_ns = at_ns - self._broken_ns.pop(place)
            self.note(Resynced(market.venue, market.symbol, DEPTH, "snapshot", took_ns=took_ns), at_ns, connection)


def write_recording(
    root: str | Path, listed: Sequence[Listed], made: Scenario, seed: int, name: str = ""
) -> dict[str, Any]:
    """Write the session as one raw recording below ``root``: frames, REST replies, and notes on what the link did.

    Raises ``InputError`` where that recording exists already, ``RecordingStopped`` where it cannot be written.
    """
    markets = [{"venue": one.market.venue, "symbol": one.market.symbol} for one in listed]
    config = {"synthetic": True, "preset": name, "seed": seed, "markets": markets, "duration_ns": made.duration_ns}
    clock = VirtualClock(made.start_ns)
    label = json.dumps([markets, repr(made)])
    writer = RawWriter(root, config, clock=clock, entropy=_SeededEntropy(seed, label), sync_ns=SYNC_NS)
    recorder = _Recorder(writer, clock, listed, made)
    feed = SessionFeed(listed, made, seed)
    recorder.note(Started(config), made.start_ns)
    recorder.open(made.start_ns)
    for part in feed.steps():
        for place, message in part:
            recorder.message(place, message)
    recorder.pass_time(made.end_ns)
    writer.close("the synthetic session is over")
    return {
        "path": str(writer.path), "records": recorder.records, "bytes": writer.bytes_written,
        "truth": {one.market.symbol: truth_of(feed.feeds[place]) for place, one in enumerate(listed)},
    }  # fmt: skip
