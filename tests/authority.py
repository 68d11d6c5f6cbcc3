"""An authority of the tests' own, and servers' certificates that it has signed, made by the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch"]


def make(folder: Path, *names: str) -> None:
    """Write ca.crt, server.crt and server.key; `names` are the server's, such as "DNS:models" or "IP:127.0.0.1"."""
    _openssl(folder, "ca", ["-subj", "/CN=authority of the tests", "-addext", "basicConstraints=critical,CA:TRUE"])
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl(folder, "server", [*signed, "-subj", "/CN=server", "-addext", f"subjectAltName={','.join(names)}"])


def _openssl(folder: Path, name: str, options: list[str]) -> None:
    command = ["openssl", "req", "-x509", *_KEY, "-days", "7", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    subprocess.run([*command, *options], cwd=folder, check=True, capture_output=True)
