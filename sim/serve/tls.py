"""A throw-away certificate for the emulator, made by the ``openssl`` program; for clients that insist on TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

from venues.errors import LocalError

DAYS: Final = 30
NAMES: Final = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


def throw_away(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A context with a new certificate of this machine's own, and the file that clients have to trust.

    Raises ``LocalError`` where there is no ``openssl`` program or it fails."""
    program = shutil.which("openssl")
    if program is None:
        raise LocalError("--tls needs the program openssl to make a certificate; install it, or serve without --tls")
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
        str(key), "-out", str(certificate), "-days", str(DAYS), "-subj", "/CN=localhost", "-addext", NAMES,
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LocalError(f"openssl could not make a certificate: {made.stderr.strip().splitlines()[-1:]}")
    key.chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
