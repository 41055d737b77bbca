"""Keys come from the environment or a private file, never show themselves, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from venues.errors import InputError
from venues.ports import CountingEntropy
from venues.trading_sessions import Keys, TradingWanted, read_keys, trading_session

WHERE = "connect.binance"


def test_keys_of_the_environment(tmp_path: Path) -> None:
    found = read_keys(
        {"A": " key \n", "B": "secret"}, tmp_path, key_env="A", secret_env="B", keys="", where=WHERE
    )  # fmt: skip
    assert (found.key, found.secret) == ("key", "secret")
    wanted = TradingWanted("binance_usdm", 0, {}, "run", found)
    assert "secret" not in repr(found) + str(wanted) and "key" not in repr(found).lower().replace("keys", "")


def test_keys_of_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('key = "k"\nsecret = "s3cr3t"\n')
    path.chmod(0o600)
    assert read_keys({}, tmp_path, key_env="", secret_env="", keys="keys.toml", where=WHERE) == Keys("k", "s3cr3t")


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ('secret = "s3cr3t"', 0o644, "others can read"),
        ('secret = "s3cr3t"\nsercet = "s3cr3t"', 0o600, "unknown keys: sercet"),
        ('key = "s3cr3t"', 0o600, "needs secret"),
        ("secret = 's3cr3t", 0o600, "is not valid TOML"),
        (None, 0o600, "cannot be read: No such file"),
    ],
)
def test_a_bad_key_file_is_named_and_not_shown(content: str | None, mode: int, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "keys.toml").write_text(content)
        (tmp_path / "keys.toml").chmod(mode)
    with pytest.raises(InputError) as caught:
        read_keys({}, tmp_path, key_env="", secret_env="", keys="keys.toml", where=WHERE)
    assert message in str(caught.value) and WHERE in str(caught.value) and "s3cr3t" not in str(caught.value)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="variable B is not set"):
        read_keys({"A": "x"}, tmp_path, key_env="A", secret_env="B", keys="", where=WHERE)
    with pytest.raises(InputError, match="names no keys"):
        read_keys({}, tmp_path, key_env="", secret_env="", keys="", where=WHERE)


def test_a_venue_without_order_entry_is_refused() -> None:
    with pytest.raises(InputError, match="orders cannot be sent there"):
        trading_session(TradingWanted("okx", 0, {}, "run", Keys()), CountingEntropy())
