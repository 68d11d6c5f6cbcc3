"""Where models come from: who mounts what, and which hosts may be asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api.dataplane import FetchedFile
from edgedetector.api.errors import InvalidSpecError
from edgedetector.plan import serving_config
from edgedetector.plan.sources import lookup

DIGEST = "0" * 64


def over_http(**more: Any) -> dict[str, Any]:
    spec = minimal(**more)
    http = {"url": "https://models.example/people.py?token=x", "sha256": DIGEST}
    spec["models"][0]["source"] = {"http": http}
    return spec


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = child(children(detector("yard", spec)), "Deployment", "yard-triton")["spec"]["template"]
    return found["spec"]  # type: ignore[no-any-return]


def mounted(container: dict[str, Any]) -> set[str]:
    return {mount["name"] for mount in container["volumeMounts"]}


def test_only_one_container_of_the_pod_fetches_and_it_has_nothing_of_triton() -> None:
    containers = pod(over_http())
    prepare, fetch = containers["initContainers"]
    assert "restartPolicy" not in prepare
    assert fetch["restartPolicy"] == "Always"
    assert fetch["command"] == ["python", "-m", "edgedetector.detector", "fetch", "--own"]
    assert mounted(fetch) == {"serving", "fetched", "fetch"}
    assert all(m["readOnly"] for m in fetch["volumeMounts"] if m["name"] == "serving")
    for container in (prepare, *containers["containers"]):
        assert all(m.get("readOnly") for m in container["volumeMounts"] if m["name"] in {"fetched", "fetch"})
    assert not {"fetched", "fetch"} & mounted(containers["containers"][0]), "Triton sees checked copies alone"


def test_without_a_model_over_https_a_pod_has_no_container_for_it() -> None:
    assert len(pod(minimal())["initContainers"]) == 1
    assert not {"fetched", "fetch"} & {volume["name"] for volume in pod(minimal())["volumes"]}


def test_another_file_changes_no_pod_template() -> None:
    """It is fetched by the pods that run, which go on with the old one meanwhile."""
    changed = over_http()
    changed["models"][0]["source"]["http"] = {"url": "https://other.example/x", "sha256": "1" * 64}
    assert pod(changed) == pod(over_http())


def test_a_claim_keeps_what_was_fetched_and_then_nothing_in_it_is_removed() -> None:
    found = pod(over_http(modelCache={"claimName": "models"}))
    volume = next(v for v in found["volumes"] if v["name"] == "fetched")
    assert volume["persistentVolumeClaim"] == {"claimName": "models"}
    assert "--own" not in found["initContainers"][1]["command"]


def test_a_missing_authority_holds_its_model_and_not_the_pod() -> None:
    spec = over_http()
    spec["models"][0]["source"]["http"]["caConfigMap"] = {"name": "site-ca", "key": "root.pem"}
    found = pod(spec)
    (volume,) = [v for v in found["volumes"] if v["name"].startswith("authority-")]
    assert volume["configMap"] == {
        "name": "site-ca",
        "items": [{"key": "root.pem", "path": "ca.crt"}],
        "optional": True,
    }
    mount = next(m for m in found["initContainers"][1]["volumeMounts"] if m["name"] == volume["name"])
    assert mount["mountPath"] == "/etc/edgedetector/authorities/people"


def test_one_claim_is_not_attached_in_two_ways() -> None:
    spec = over_http(modelCache={"claimName": "models"})
    claim = {"persistentVolumeClaim": {"claimName": "models"}}
    spec["models"].append({**spec["models"][0], "name": "cars", "source": claim})
    with pytest.raises(InvalidSpecError, match="attach claim models both read-only and for writing"):
        pod(spec)


def test_the_pod_is_told_what_to_fetch_and_how_much_the_accelerator_takes() -> None:
    wanted = detector("yard", over_http() | {"acceleratorProfile": "denglin-ks20"})
    (model,) = serving_config(wanted, scenarios.PROFILES["denglin-ks20"], ("models.example",)).models
    assert model.size_limit == 500_000_000
    assert model.files == {}
    assert model.fetched == (
        FetchedFile("1/people.engine", "https://models.example/people.py?token=x", DIGEST, "models.example", False),
    )
    assert "token" not in repr(model)


@pytest.mark.parametrize(
    ("host", "resolved"),
    [
        ("models", "models.site-a.svc"),
        ("Models", "models.site-a.svc"),
        ("models.site-a", "models.site-a.svc"),
        ("models.site-a.svc", "models.site-a.svc"),
        ("models.site-a.svc.cluster.local", "models.site-a.svc"),
        ("models.site-a.svc.cluster.local.", "models.site-a.svc"),
        ("models.site-b", ""),
        ("models.site-b.svc", ""),
        ("models.site-a.svc.evil.example", ""),
        ("a.models.site-a.svc", ""),
        ("files.example", "files.example"),
        ("evil.files.example", ""),
        ("a.mirror.example", "a.mirror.example"),
        ("a.b.mirror.example", "a.b.mirror.example"),
        ("mirror.example", ""),
        ("evilmirror.example", ""),
        ("10.0.0.7", "10.0.0.7"),
        ("10.0.0.8", ""),
        ("", ""),
    ],
)
def test_services_of_the_namespace_and_listed_hosts_may_be_asked(host: str, resolved: str) -> None:
    assert lookup(host, "site-a", ("files.example", "*.Mirror.example", "10.0.0.7")) == resolved


def test_in_a_namespace_called_like_a_domain_a_name_is_still_a_service() -> None:
    assert lookup("evil.com", "com", ()) == "evil.com.svc"


@given(st.from_regex(r"[a-z0-9.-]{0,40}", fullmatch=True), st.sampled_from(["site-a", "com", "svc", "local"]))
def test_with_an_empty_list_nothing_but_a_service_of_the_namespace_is_ever_resolved(host: str, namespace: str) -> None:
    found = lookup(host, namespace, ())
    assert found == "" or (found.endswith(f".{namespace}.svc") and found.count(".") == 2)
