"""The run file: what it takes, what it refuses and in which words, and its published schema."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sim.config import RunConfig, load_config, resolved, schema_text
from sim.origins import origins
from sim.toml import toml_text
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
RUN_FILE = """
name = "maker"
seed = 3
strategy = "my_strategies:Maker"
[feed]
lake = "lake"
from = 2023-04-05T00:00:00Z
[[venue]]
name = "binance_usdm"
latency = "10ms"
deposit = { USDT = 10000.5 }
[[instrument]]
symbol = "BTCUSDT"
queue = "log2"
"""


def plain(**changes: Any) -> dict[str, Any]:
    return {**tomllib.loads(RUN_FILE, parse_float=Decimal), **changes}


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN_FILE)
    return path


def test_the_published_schema_is_the_present_one() -> None:
    assert (ROOT / "docs/run.schema.json").read_text() == schema_text(), "write it anew: perpsim schema"


def test_numbers_are_read_exactly(run_file: Path) -> None:
    config, base = load_config(run_file)
    assert base == run_file.parent
    assert config.venue[0].deposit["USDT"] == Decimal("10000.5")
    assert config.feed.from_ == 1_680_652_800_000_000_000
    assert config.venue[0].latency is not None and config.venue[0].latency.response.constant == 10_000_000
    assert config.strategy is not None and config.strategy.class_ == "my_strategies:Maker"


def test_the_resolved_file_says_the_same(run_file: Path) -> None:
    config, _ = load_config(run_file, ["strategy.params={half=1.5, names=['a','b'], deep={x=1}}"])
    text = toml_text(resolved(config))
    again, _ = load_config(tomllib.loads(text, parse_float=Decimal))
    assert again == config
    assert toml_text(resolved(again)) == text
    assert load_config(config)[0] == config, "a RunConfig is taken as it is"


def test_overrides_address_entries_by_number_and_name(run_file: Path) -> None:
    config, _ = load_config(
        run_file,
        [
            "seed=9",
            "venue.0.fees={maker='-0.5 bps', taker=0.0007}",
            "instrument.BTCUSDT.queue.model=power2",
            "strategy.params.size=7",
            "name=other",
        ],
    )
    assert (config.seed, config.name, config.instrument[0].queue.model) == (9, "other", "power2")
    assert config.venue[0].fees is not None
    assert (config.venue[0].fees.maker, config.venue[0].fees.taker) == (Decimal("-0.00005"), Decimal("0.0007"))
    assert config.strategy is not None and config.strategy.params == {"size": 7}
    assert load_config(run_file, ["seed=9"], seed=10)[0].seed == 10, "--seed goes last"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sed": 1}, "sed: unknown key; did you mean 'seed'"),
        ({"instrument": [{"symbl": "X"}]}, "instrument[0].symbl: unknown key; did you mean 'symbol'"),
        ({"instrument": [{}]}, "instrument[0].symbol: is missing"),
        ({"venue": []}, "venue"),
        ({"feed": {"from": "soon"}}, "feed.from: 'soon' is not an instant"),
        ({"feed": {"from": "2023-04-05", "to": "2023-04-04"}}, "from must be before to"),
        ({"instrument": [{"symbol": "X", "venue": "binance"}]}, "no venue 'binance'; did you mean 'binance_usdm'"),
        ({"venue": [{"name": "a"}, {"name": "b"}]}, "instrument 0 (BTCUSDT): say which venue it is on: a, b"),
        ({"venue": [{"name": "a"}, {"name": "a"}]}, "two venues have the same name"),
        ({"venue": [{"name": "a", "latency": "fast"}]}, "venue[0].latency.entry.constant: 'fast' is not a duration"),
        ({"venue": [{"name": "a", "latency": {"entry": {"fit": "lognormal"}, "response": 0}}]}, "0 < p50 <= p99"),
        ({"venue": [{"name": "a", "latency": {"entry": {"feed": True, "file": "x"}, "response": 0}}]}, "exactly one"),
        ({"venue": [{"name": "a", "fees": {"maker": 1}}]}, "venue[0].fees: needs maker and taker, or a model"),
        ({"compute": {"min": "1ms"}}, "compute: needs delay alone, or min and max"),
        ({"feed": {"lake": "lake", "delay": 250}}, "feed.delay: 250 is 250 nanoseconds"),
        ({"paper": {"delay": 5}}, 'paper.delay: 5 is 5 nanoseconds: write the unit, as in "5ms" or "5s"'),
        (
            {"live": {"stop_within": 10}},
            'live.stop_within: 10 is 10 nanoseconds: write the unit, as in "10ms" or "10s"',
        ),
        ({"record": {"limit": 60}}, 'record.limit: 60 is 60 nanoseconds: write the unit, as in "60ms" or "60s"'),
        ({"lanes": ["a:B"]}, "give strategy, or lanes, not both"),
        ({"seed": -1}, "seed"),
        ({"samples": {"bbo": 0}}, "samples.bbo: must be longer than nothing"),
        ({"name": "../up"}, "name"),
    ],
)
def test_mistakes_are_named_with_their_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(plain(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        load_config(plain(sed=1, nam="x"))
    assert "sed: unknown key" in str(caught.value) and "nam: unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "must be written key=value"),
        ("instrument.XRP.queue=log", "no entry 'XRP'; there are BTCUSDT"),
        ("seed.x=1", "seed is a value, it has no key 'x'"),
    ],
)
def test_wrong_overrides(run_file: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        load_config(run_file, [override])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = \n")
    with pytest.raises(InputError, match=r"broken\.toml: is not valid TOML.*line 1"):
        load_config(broken)


def test_a_python_float_is_as_good_as_a_decimal() -> None:
    config, _ = load_config(plain(venue=[{"name": "neutral", "fees": {"maker": 0.0002, "taker": 0.0005}}]))
    assert config.venue[0].fees is not None and config.venue[0].fees.maker == Decimal("0.0002")


def test_origins_tell_file_override_default_and_card(run_file: Path) -> None:
    found = {key: (value, origin) for key, value, origin in origins(run_file, ["seed=4"])}
    assert found["seed"] == (4, "--set")
    assert found["name"] == ("maker", str(run_file))
    assert found["samples.bbo"] == ("100ms", "default")
    assert found["venue[0].fees.taker"][1].startswith("rule card binance_usdm")
    assert found["instrument[0].margin"] == ("card", "rule card binance_usdm")


def test_the_schema_describes_every_table() -> None:
    schema = json.loads(schema_text())
    assert set(schema["properties"]) == {field.alias or name for name, field in RunConfig.model_fields.items()}
    assert schema["additionalProperties"] is False
    assert all(
        part.get("additionalProperties", False) is False for part in schema["$defs"].values() if "anyOf" not in part
    )
