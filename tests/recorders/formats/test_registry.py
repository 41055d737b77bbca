"""Finding a format by looking at files, and the command's side of it."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from recorders.formats.reading import open_bytes, plain_number, text_lines
from recorders.formats.registry import FORMATS, format_named, recognised, sample_of
from sim.cli import app
from tests.recorders.captures import Market, write
from tests.recorders.formats.samples import put
from tests.recorders.formats.test_tardis import TRADES
from tests.recorders.test_columns import ROWS, plain, save
from venues.errors import InputError


def test_files_are_recognised(tmp_path: Path) -> None:
    captured = write(tmp_path / "day.gz", Market().run(5).lines)
    assert recognised([sample_of(captured)]).name == "binance"
    assert recognised([sample_of(save(tmp_path / "feed", plain(ROWS)))]).name == "columns"
    trades = put(tmp_path / "t.csv", "\ufeff" + TRADES)
    assert recognised([sample_of(trades)]).name == "tardis"
    with pytest.raises(InputError, match=r"no format known here: not one of binance, .*tardis.*perpsim data formats"):
        recognised([sample_of(trades), sample_of(put(tmp_path / "odd.txt", "hello"))])
    with pytest.raises(InputError, match="is empty: there is nothing"):
        recognised([sample_of(put(tmp_path / "empty.csv", ""))])
    with pytest.raises(InputError, match="several formats"):
        recognised([sample_of(trades), sample_of(captured)])
    with pytest.raises(InputError, match="cannot be read"):
        sample_of(tmp_path / "none")
    with pytest.raises(InputError, match="known are binance, "):
        format_named("csv")


def test_packed_files_are_read_as_they_are(tmp_path: Path) -> None:
    text = b"line\n\n another \n" * 5000
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(text)
    lz4 = sink.getvalue().to_pybytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", text)
    for name, content in (("x", text), ("x.gz", gzip.compress(text)), ("x.lz4", lz4), ("x2.lz4", lz4 + lz4),
                          ("x.zst", pa.compress(text, "zstd", asbytes=True))):  # fmt: skip
        path = put(tmp_path / name, content)
        with open_bytes(path) as stream:
            assert stream.read() in (text, text + text), name
        lines = list(text_lines(path))
        assert lines[:3] == [(1, b"line"), (3, b"another"), (4, b"line")] and len(lines) in (10_000, 20_000)
    with open_bytes(tmp_path / "x.zip") as stream:
        assert stream.read() == text
    for name in ("x.gz", "x.lz4", "x.zst", "x.zip"):
        whole = (tmp_path / name).read_bytes()
        cut = put(tmp_path / f"cut-{name}", whole[: len(whole) * 2 // 3])
        with pytest.raises(InputError, match=f"cut-{name}"):
            list(text_lines(cut))
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr("y.csv", text)
    with pytest.raises(InputError, match="holds 2 files"), open_bytes(tmp_path / "x.zip"):
        pass


def test_numbers_with_exponents() -> None:
    assert [plain_number(t) for t in ("1e-7", "6.405E-05", "12.5", "1e999999", "east")] == [
        "0.0000001", "0.00006405", "12.5", "1e999999", "east",
    ]  # fmt: skip


def test_the_command_finds_the_format_or_takes_its_name(tmp_path: Path) -> None:
    trades = put(tmp_path / "trades.csv", TRADES)
    lake = ["--lake", str(tmp_path / "lake")]
    run = CliRunner().invoke
    for arguments in ([str(trades)], ["tardis", str(trades)]):
        result = run(app, ["data", "import", *arguments, *lake])
        assert result.exit_code == 0 and "BTCUSDT" in result.output, result.output
        assert "not used: 1 prints whose side" in result.output
    wrong = run(app, ["data", "import", "binance", str(trades), *lake])
    assert wrong.exit_code != 0
    unknown = run(app, ["data", "import", "nosuch", str(trades), *lake])
    assert unknown.exit_code != 0 and "known are binance, captures, cryptofeed" in unknown.output.replace("\n", " ")
    listed = run(app, ["data", "formats"])
    assert all(one.name in listed.output for one in FORMATS)
