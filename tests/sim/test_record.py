"""``perpsim record``: what a run file may say, how it ends, what it prints; a small run of the throughput tool."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recorders.raw import FRAME_IN, RawRecord, RawRecording, open_recordings
from sim.record_view import screen
from sim.recording import plan
from tests.tools.replay_server import Answer, ReplayServer, Stay, Step
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
RUN_FILE = """
[[venue]]
name = "hyperliquid"
[[instrument]]
symbol = "BTC"
[record]
status = "100ms"
%s
[connect.hyperliquid]
ws = "ws://127.0.0.1:%d"
"""


def trade(number: int) -> bytes:
    padding = "0123456789abcdef" * 16
    content = {"channel": "trades", "data": [{"coin": "BTC", "time": number, "hash": f"{number * 7919:x}{padding}"}]}
    return json.dumps(content).encode()


@contextlib.contextmanager
def serving(scripts: Callable[[str, int], Iterable[Step] | Answer]) -> Iterator[int]:
    """A scripted venue in a thread of its own; its port."""
    loop = asyncio.new_event_loop()
    server = ReplayServer(scripts)
    port = loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))


def start(folder: Path, port: int, settings: str = "", *arguments: str, **options: Any) -> subprocess.Popen[str]:
    run = folder / "run.toml"
    run.write_text(RUN_FILE % (settings, port))
    return subprocess.Popen(
        [sys.executable, "-m", "sim.cli", "record", str(run), *arguments], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def recorded(folder: Path) -> tuple[RawRecording, list[bytes]]:
    (recording,) = open_recordings(folder / "raw")
    found = recording.records(kinds=(FRAME_IN,))
    return recording, [record.payload for record in found if isinstance(record, RawRecord)]


# -- the command


def hears_hangup() -> None:
    """In a new process: SIGHUP is as a terminal has it, whoever started the tests (``nohup`` ignores it)."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def hears_no_hangup() -> None:
    """In a new process: as under ``nohup``."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("how", [hears_hangup, hears_no_hangup])
def test_a_signal_ends_a_recording_cleanly(tmp_path: Path, how: Callable[[], None], number: signal.Signals) -> None:
    sent = [trade(n) for n in range(500)]
    with serving(lambda path, n: [*sent, Stay()]) as port:
        process = start(tmp_path, port, "", "--json", preexec_fn=how)
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["frames"] == len(sent):
                break
        process.send_signal(number)
        if how is hears_no_hangup and number == signal.SIGHUP:
            assert json.loads(process.stdout.readline())["frames"] == len(sent)  # it goes on
            process.send_signal(signal.SIGTERM)
            number = signal.SIGTERM
        rest, errors = process.communicate(timeout=60)
    last = json.loads(rest.splitlines()[-1])
    assert (process.returncode, errors, last["why"]) == (0, "", f"stopped by {number.name}")
    recording, found = recorded(tmp_path)
    assert found == sent and recording.state == "closed" and str(recording.path) == last["recording"]


def test_a_time_limit_ends_it_and_without_a_terminal_it_is_quiet(tmp_path: Path) -> None:
    with serving(lambda path, n: [trade(1), Stay()]) as port:
        process = start(tmp_path, port, 'limit = "2s"')
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert [line.split()[0] for line in output.splitlines()] == ["recorded", "recording"]
    assert "recorded 1 frames" in output and "the time limit has passed" in output


def test_several_venues_are_one_recording(tmp_path: Path) -> None:
    tickers = [json.dumps({"arg": {"channel": "bbo-tbt", "instId": "X"}, "data": [{"ts": str(n)}]}) for n in range(50)]
    sent = {"/ws": [trade(n) for n in range(50)], "/ws/v5/public": [text.encode() for text in tickers]}
    other = (
        '[connect.okx]\nws = "ws://127.0.0.1:%d"\n[[venue]]\nname = "okx"\n'
        '[[instrument]]\nvenue = "okx"\nsymbol = "BTC-USDT-SWAP"\n'
    )
    with serving(lambda path, n: [*sent[path], Stay()]) as port:
        run = tmp_path / "run.toml"
        text = RUN_FILE.replace('symbol = "BTC"', 'venue = "hyperliquid"\nsymbol = "BTC"') % ('limit = "3s"', port)
        run.write_text(text + other % port)
        command = [sys.executable, "-m", "sim.cli", "record", str(run)]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True).stderr == b""
    (recording,) = open_recordings(tmp_path / "raw")
    found: dict[int, list[bytes]] = {}
    for record in recording.records(kinds=(FRAME_IN,)):
        assert isinstance(record, RawRecord)
        found.setdefault(record.connection, []).append(record.payload)
    assert sorted(found.values()) == sorted(sent.values()) and recording.state == "closed"


def test_a_full_disk_ends_it_with_code_3_and_says_what_is_safe(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    sent = [trade(n) for n in range(30_000)]
    with serving(lambda path, n: [*sent, Stay()]) as port:
        process = start(tmp_path, port, "block_bytes = 65536", preexec_fn=limited)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (3, "")
    assert "the recording ends after record" in errors and errors.count("\n") == 1
    recording, found = recorded(tmp_path)
    assert recording.state in ("stopped", "unfinished") and found == sent[: len(found)] and len(found) > 0


def test_the_throughput_tool_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tests/tools/record_throughput.py"), "--messages", "20000"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert (found["lost"], found["identical"], found["whole"], found["gaps"], found["exit"]) == (0, True, True, 0, 0)


# -- the run file


def plan_of(folder: Path, text: str) -> Any:
    path = folder / "run.toml"
    path.write_text(text)
    return plan(path)


def test_a_run_file_for_recording_needs_venues_and_instruments_only(tmp_path: Path) -> None:
    made = plan_of(tmp_path, '[[venue]]\nname = "okx"\n[[instrument]]\nsymbol = "BTC-USDT-SWAP"\n')
    assert made.folder == tmp_path / "raw" and [session.venue for session in made.sessions] == ["okx"]
    assert made.about["instruments"][0]["symbol"] == "BTC-USDT-SWAP"


def test_the_example_is_one(tmp_path: Path) -> None:
    made = plan(ROOT / "docs/examples/record.toml")
    assert [(session.venue, len(session.links)) for session in made.sessions] == [("binance_usdm", 2), ("okx", 1)]


def test_instruments_that_are_not_known_are_described(tmp_path: Path) -> None:
    text = '[[venue]]\nname = "mine"\ncard = "dydx"\n[[instrument]]\nsymbol = "DOGE-USD"\n'
    with pytest.raises(InputError, match="DOGE-USD"):
        plan_of(tmp_path, text)
    made = plan_of(tmp_path, text + 'base = "DOGE"\nquote = "USD"\ntick_size = "0.0001"\nlot_size = 1\n')
    assert made.sessions[0].links[0].channels[0].topic == "v4_orderbook:DOGE-USD"


VENUE = '[[venue]]\nname = "okx"\n[[instrument]]\nsymbol = "BTC-USDT-SWAP"\n[record]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VENUE + 'polcy = "drop"', "record.polcy: unknown key; did you mean 'policy'"),
        (VENUE + 'policy = "drop"', "policy = drop needs the streams in drop"),
        (VENUE + 'drop = ["quotes"]', "policy = drop needs the streams in drop"),
        (VENUE + 'streams = ["book"]', "record.streams[0]"),
        (VENUE + "streams = []", "record.streams"),
        (VENUE + '[connect.okex]\nws = ""', "connect: no venue 'okex'; did you mean 'okx'"),
        (VENUE + '[connect.okx]\nwss = ""', "connect.okx.wss: unknown key; did you mean 'ws'"),
        (VENUE + '[connect.okx]\nws = "ws://okx.com"', "a connection without TLS may only go to this machine"),
        (VENUE + '[connect.okx]\nbook = "l2"', "okx has no book stream 'l2'; it has books, books5"),
        (VENUE + '[connect.okx]\nrest = "okx.com"', "is no address such as"),
        ('[[venue]]\nname = "neutral"\n[[instrument]]\nsymbol = "BTCUSDT"', "venue neutral: cannot be recorded"),
        (VENUE.replace("[record]", '[[venue]]\nname = "dydx"').replace('symbol', 'venue = "okx"\nsymbol'),
         "venue dydx: has no [[instrument]]"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, text)
    assert message in str(caught.value)


def test_a_venue_is_recorded_once(tmp_path: Path) -> None:
    text = "".join(
        f'[[venue]]\nname = "{name}"\ncard = "okx"\n[[instrument]]\nvenue = "{name}"\nsymbol = "BTC-USDT-SWAP"\n'
        for name in ("one", "two")
    )
    with pytest.raises(InputError, match="put its instruments under one"):
        plan_of(tmp_path, text)


# -- the view


def test_the_view_shows_what_matters_and_fits() -> None:
    stream = {
        "venue": "okx", "connection": "okx/public-1", "stream": "depth", "symbol": "X", "topic": "books:X",
        "frames": 1_000, "bytes": 5_000_000, "frames_per_s": 10.0, "bytes_per_s": 50_000, "lag_p50_ms": 3.2,
        "lag_p99_ms": 1_500.0, "synced": False, "gaps": 2, "resyncs": 1, "duplicates": 0, "dropped": 0,
    }  # fmt: skip
    status = {
        "elapsed_s": 3_723.4, "recording": "raw/x", "frames": 1_000, "frames_per_s": 10.0, "bytes": 5_000_000,
        "bytes_per_s": 50_000, "gaps": 2, "resyncs": 1, "dropped": 0,
        "connections": [{"connection": "okx/public-1", "open": False, "frames": 1_000, "bytes": 5_000_000, "closed": 3,
                         "last_close": "no data"}],
        "streams": [stream, *({**stream, "topic": f"trades:{n}", "synced": None, "frames": n} for n in range(50))],
        "clock_offset_ms": {"okx": -3.25, "dydx": None},
        "queue": {"bytes": 32_000_000, "limit_bytes": 64_000_000, "peak_bytes": 40_000_000},
        "disk": {"written_bytes": 1_000_000, "segment": 4, "synced_seq": 999, "free_bytes": 10**10},
    }  # fmt: skip
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(screen(status, 30))
    text = console.export_text()
    assert len(text.splitlines()) <= 30
    for found in ("01:02:03", "queue 50 %", "gaps 2", "(5.0x)", "okx -3.2 ms", "closed", "no data", "STALE",
                  "1,500.0 ms", "... and"):  # fmt: skip
        assert found in text, found
