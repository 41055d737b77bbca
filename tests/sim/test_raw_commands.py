"""``perpsim data raw info|verify|cat``: exit codes, JSON, text for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recorders.raw import FRAME_OUT, REPLY, ClockOffset, Closed, Opened, RawWriter
from sim.cli import app
from tests.recorders.raw_scenes import START_NS, append_all, rows, writer


def perpsim(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "raw", *map(str, arguments)])


@pytest.fixture
def recording(tmp_path: Path) -> RawWriter:
    recorder = writer(tmp_path / "raw", block_bytes=1_000, rotate_bytes=1_500, sync_ns=10**18)
    opened = Opened(1, "binance_usdm", "wss://fstream.binance.com/ws", ("btcusdt@trade",))
    recorder.note(opened, START_NS, 1)
    recorder.append(FRAME_OUT, 1, START_NS, 1, b'{"method":"SUBSCRIBE"}')
    append_all(recorder, rows(100))
    recorder.append(REPLY, 0, START_NS, 1, b"\xff\x00")
    recorder.note(ClockOffset("binance_usdm", -1_500_000), START_NS, 2)
    recorder.note(Closed(1, "reset by peer", 1006), START_NS + 10**9, 10**9)
    recorder.close("the end")
    return recorder


def test_info(recording: RawWriter) -> None:
    found = json.loads(perpsim("info", recording.path.parent, "--json").stdout)
    (one,) = found["recordings"]
    assert (one["state"], one["whole"], one["records"], one["id"]) == ("closed", True, 106, recording.id)
    assert one["kinds"] == {"frame_in": 100, "frame_out": 1, "note": 4, "reply": 1}
    assert one["notes"] == {"opened": 1, "clock_offset": 1, "closed": 1, "stopped": 1}
    first = one["connections"][0]
    assert (first["venue"], first["streams"], first["closed"]) == ("binance_usdm", ["btcusdt@trade"], "reset by peer")
    assert sum(connection["records"] for connection in one["connections"]) == 101
    assert one["bytes"] == sum(segment["bytes"] for segment in one["segments"]) == recording.bytes_written
    assert one["clock_offsets"] == {"binance_usdm": -1_500_000} and one["damage"] == []
    text = perpsim("info", recording.path).stdout
    for part in ("closed", "106 records", "btcusdt@trade", "reset by peer", "sealed", "-1.500 ms"):
        assert part in text
    assert max(map(len, text.splitlines()[1:])) <= 106  # names of streams and URLs have lines of their own


def test_verify_is_a_finding_when_something_is_lost(recording: RawWriter) -> None:
    assert perpsim("verify", recording.path).exit_code == 0
    segment = recording.path / "00000002.seg"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(bytes(content))
    result = perpsim("verify", recording.path)
    assert result.exit_code == 1 and "are lost" in result.stdout and "segment 2" in result.stdout
    found = json.loads(perpsim("verify", recording.path, "--json").stdout)
    assert not found["ok"] and found["recordings"][0]["finding_count"] == 1
    assert "damaged" in perpsim("info", recording.path).stdout


def test_cat(recording: RawWriter) -> None:
    lines = [json.loads(line) for line in perpsim("cat", recording.path, "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 107))
    assert lines[2]["payload"] == rows(1)[0][4].decode() and lines[102]["payload_base64"] == "/wA="
    some = perpsim(
        "cat", recording.path, "--kind", "frame_in", "--connection", 2, "--from", "2026-09-21T14:13:20.01Z",
        "--until", "2026-09-21T14:13:20.02Z", "--json",
    ).stdout.splitlines()  # fmt: skip
    assert [json.loads(line)["seq"] for line in some] == [n + 2 for n in range(10, 20) if 1 + n % 3 == 2]
    text = perpsim("cat", recording.path, "--limit", 3).stdout.splitlines()
    assert len(text) == 3 and text[2].startswith("3 2026-09-21T14:13:20.001")
    (recording.path / "00000002.seg").unlink()
    text = perpsim("cat", recording.path).stdout
    assert "-- segment 2: segments before 3 are not there: records" in text
    assert any("damage" in json.loads(line) for line in perpsim("cat", recording.path, "--json").stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("info", "absent"), "cannot be read"),
        (("verify", "."), "holds no raw recording"),
        (("cat", "RAW", "--kind", "rumour"), "there is no kind 'rumour'"),
        (("cat", "RAW", "--from", "yesterday"), "is not an instant"),
        (("cat", "RAW", "--from", "2026-09-22", "--until", "2026-09-21"), "is not after the start"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    recording: RawWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = perpsim(*(recording.path if one == "RAW" else one for one in arguments))
    assert result.exit_code == 2 and why in result.stderr and len(result.stderr.splitlines()) == 1
