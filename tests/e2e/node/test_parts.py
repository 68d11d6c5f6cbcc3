"""The parts of the node that need no node."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from node.localnode import gomodules, oci, paths, pki, sandbox, settings

HERE = Path(__file__).resolve().parent


def archive(folder: Path, content: bytes) -> Path:
    program = folder / "program"
    program.write_bytes(content)
    target = folder / "images" / "image.tar"
    oci.write(oci.Image("docker.io/edgedetector/program:1", {"/bin/program": program}, ("/bin/program",)), target)
    return target


def blobs(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {member.name: content.read() for member in tar if (content := tar.extractfile(member))}


def test_an_image_archive_is_complete_and_every_blob_has_the_name_of_its_content(tmp_path: Path) -> None:
    content = blobs(archive(tmp_path, b"elf"))

    for name, blob in content.items():
        if name.startswith("blobs/sha256/"):
            assert name.removeprefix("blobs/sha256/") == hashlib.sha256(blob).hexdigest()
    manifest = resolved(content, json.loads(content["index.json"])["manifests"][0])
    config = resolved(content, manifest["config"])
    assert config["config"]["Entrypoint"] == ["/bin/program"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def resolved(content: dict[str, bytes], descriptor: dict[str, Any]) -> Any:
    blob = content["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
    assert len(blob) == descriptor["size"]
    return json.loads(blob)


def test_the_same_program_gives_the_same_archive_and_another_gives_another(tmp_path: Path) -> None:
    first = archive(tmp_path, b"one").read_bytes()
    assert archive(tmp_path, b"one").read_bytes() == first
    assert archive(tmp_path, b"two").read_bytes() != first


@pytest.mark.parametrize("name", ["../escape", "Upper", "", "with space", "-dash", "a/b"])
def test_a_name_that_could_leave_its_directory_is_no_cluster(name: str) -> None:
    with pytest.raises(SystemExit):
        paths.Cluster(name)


def test_certificates_carry_the_users_and_groups_that_kubernetes_reads(tmp_path: Path) -> None:
    pki.make(tmp_path, "the-node", ["DNS:kubernetes", "IP:10.96.0.1"])

    for name, identity in pki.clients("the-node").items():
        show = [
            "openssl",
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "sep_multiline",
            "-in",
            str(tmp_path / f"{name}.crt"),
        ]
        lines = [line.strip() for line in subprocess.check_output(show, text=True).splitlines()[1:]]
        assert lines == [*([f"O={identity.group}"] if identity.group else []), f"CN={identity.user}"]
        verify = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", str(tmp_path / "ca.crt")]
        assert (
            subprocess.run([*verify, str(tmp_path / f"{name}.crt")], capture_output=True, check=False).returncode == 0
        )


def test_no_secret_key_of_the_cluster_can_be_read_by_others(tmp_path: Path) -> None:
    pki.make(tmp_path / "pki", "the-node", ["DNS:kubernetes"])
    assert (tmp_path / "pki").stat().st_mode & 0o077 == 0


def test_a_process_that_has_ended_is_not_taken_for_a_later_one(tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "60"])
    running = sandbox.Process.of(process.pid)
    assert running is not None
    running.record(tmp_path / "pid")
    assert sandbox.Process.recorded(tmp_path / "pid") == running

    process.kill()
    process.wait()
    assert sandbox.Process.recorded(tmp_path / "pid") is None

    sandbox.Process(running.pid, running.started + 1).record(tmp_path / "pid")
    assert sandbox.Process.recorded(tmp_path / "pid") is None


def test_a_dependency_that_is_not_required_is_not_downloaded() -> None:
    with pytest.raises(LookupError, match="is not required"):
        gomodules.source(HERE / "go" / "pause", "example.com/unknown")


def test_the_nodes_share_of_addresses_lies_within_the_pods_range_and_apart_from_services() -> None:
    pods, share = ipaddress.ip_network(settings.PODS), ipaddress.ip_network(settings.NODE_PODS)
    services = ipaddress.ip_network(settings.SERVICES)
    assert share.overlaps(pods)
    assert share.prefixlen > pods.prefixlen
    assert not services.overlaps(pods)
    assert ipaddress.ip_address(settings.DNS_SERVICE) in services
    for index in (0, 63):
        node = ipaddress.ip_address(sandbox.Link(index).node)
        assert node not in pods
        assert node not in services


@pytest.mark.parametrize("arguments", [["set-capacity", "gpu=1"], ["load", "docker-image", "x"], ["frobnicate"]])
def test_what_cannot_be_done_is_refused(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEDETECTOR_STATE", str(tmp_path))
    done = subprocess.run([HERE / "kind", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
