"""What the building machine brings along: its registry settings, as build secrets, and the Debian base image.

Nothing of this enters a layer. Without any settings the public registries are used as they are.
"""

from __future__ import annotations

import configparser
import hashlib
import platform
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SUITE = "bookworm"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
PUBLIC_SOURCES = (
    f"deb {DEBIAN_MIRROR} {SUITE} main\n"
    f"deb {DEBIAN_MIRROR} {SUITE}-updates main\n"
    f"deb {DEBIAN_MIRROR}-security {SUITE}-security main\n"
)
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PASSED_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)
PIP_CONFIGS = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
"""What debian:bookworm-slim leaves out too; copyright files stay."""


class BaseError(Exception):
    """The base image could not be made."""


def secrets(environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return the build secrets by id; an id is absent when the machine has nothing of the kind."""
    pip = _pip_settings()
    found: dict[str, bytes] = {}
    bundles = [environment[name] for name in CA_VARIABLES if environment.get(name)] + [pip.get("cert", "")]
    for bundle in bundles:
        if bundle and Path(bundle).is_file():
            found["ca"] = Path(bundle).read_bytes()
            break
    settings = {name: environment[name] for name in PASSED_VARIABLES if environment.get(name)}
    index = settings.get("PIP_INDEX_URL", pip.get("index-url", ""))
    if index:
        settings.setdefault("PIP_INDEX_URL", index)
        settings.setdefault("UV_DEFAULT_INDEX", index)
    if settings:
        found["registry"] = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in settings.items()).encode()
    apt = apt_settings()
    if apt:
        found["apt"] = apt.encode()
    if sources(environment) != PUBLIC_SOURCES:
        found["sources"] = sources(environment).encode()
    return found


def sources(environment: Mapping[str, str]) -> str:
    """Return a sources.list: the public one, or of EDGEDETECTOR_DEBIAN_MIRROR (URL of a mirror of Debian's main)."""
    own = environment.get("EDGEDETECTOR_DEBIAN_MIRROR")
    return f"deb {own} {SUITE} main\n" if own else PUBLIC_SOURCES


def apt_settings() -> str:
    """Return the machine's settings of how apt fetches (proxies, certificates, date checks) as an apt.conf."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    return "".join(line + "\n" for line in dump.splitlines() if line.startswith(wanted) and not line.endswith(' "";'))


def architecture() -> str:
    """Return Debian's name of the machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def base_key() -> str:
    """Return the identity of the base image that `make_base` makes."""
    recipe = f"minbase {SUITE} {architecture()} {' '.join(SLIM)} usr-is-merged {PUBLIC_SOURCES}"
    return f"{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def make_base(archive: Path, environment: Mapping[str, str]) -> None:
    """Write a root filesystem like debian:bookworm-slim to the tar `archive`. Takes half a minute."""
    scratch = archive.with_suffix(".part")
    apt = archive.with_suffix(".apt")
    apt.write_text(apt_settings())
    public = archive.parent / "base-sources" / "sources.list"
    public.parent.mkdir(exist_ok=True)
    public.write_text(PUBLIC_SOURCES)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=tar", f"--aptopt={apt}"]
    command += [f"--hook-dir={MERGED_USR}", "--include=usr-is-merged"]  # else a converter comes along, 48 MB of Perl
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in SLIM]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    # The machine's apt settings served the bootstrap; the image has none of them, and the public mirror.
    command += ['--customize-hook=rm "$1/etc/apt/apt.conf.d/99mmdebstrap"']
    command += [f"--customize-hook=copy-in {public} /etc/apt"]
    command += [SUITE, str(scratch), "-"]
    try:
        done = subprocess.run(command, input=sources(environment), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BaseError(f"mmdebstrap: {done.stderr[-3000:]}")
        scratch.replace(archive)
    finally:
        apt.unlink(missing_ok=True)
        scratch.unlink(missing_ok=True)


def _pip_settings() -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([Path(path).expanduser() for path in PIP_CONFIGS])
    return dict(parser["global"]) if parser.has_section("global") else {}
