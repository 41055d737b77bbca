"""eth-account in a process of its own: a line of JSON in (key and typed data), a line out (r, s, v and the address).

Its packages and msgspec's error path do not get along in one process (msgspec crashes once they are imported), so the
tests talk to it through a pipe: ``Oracle`` below starts it once and asks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple


class Signed(NamedTuple):
    """What eth-account says."""

    r: int
    s: int
    v: int
    address: str


class Oracle:
    """The process, started at the first question."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def sign(self, key: str, full_message: dict[str, Any]) -> Signed:
        """The signature of typed data by a key (hex), and the key's address."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps({"key": key, "message": full_message}) + "\n")
        process.stdin.flush()
        return Signed(*json.loads(process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(timeout=30)


def main() -> None:
    """Answer until the input ends."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    for line in sys.stdin:
        asked = json.loads(line)
        key = bytes.fromhex(asked["key"])
        found = Account.sign_message(encode_typed_data(full_message=asked["message"]), key)
        print(json.dumps([found.r, found.s, found.v, Account.from_key(key).address]), flush=True)


if __name__ == "__main__":
    main()
