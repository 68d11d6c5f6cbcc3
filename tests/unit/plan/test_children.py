"""What has to hold of the children whatever the resource is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan import scenarios
from tests.unit.plan.scenarios import child, children, detector, minimal

from edgedetector.api import dataplane, names, wire
from edgedetector.api.errors import InvalidSpecError
from edgedetector.plan import Facts, detector_children, profile_children, serving_config

CAMERA = {"name": "gate", "url": "rtsp://gate.cams/main"}


def triton(spec: dict[str, Any], **how: Any) -> dict[str, Any]:
    return child(children(detector("yard", spec), **how), "Deployment", "yard-triton")["spec"]


def media(spec: dict[str, Any]) -> dict[str, Any]:
    return child(children(detector("yard", spec)), "Deployment", "yard-media")["spec"]


def test_every_child_is_owned_by_the_detector_and_has_only_our_labels() -> None:
    for obj in children(detector("yard", minimal(cameras=[CAMERA]))):
        metadata = obj["metadata"]
        assert metadata["namespace"] == "site-a"
        assert metadata["ownerReferences"] == [
            {
                "apiVersion": "edgedetector.dev/v1alpha1",
                "kind": "EdgeDetector",
                "name": "yard",
                "uid": "00000000-0000-4000-8000-000000000001",
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
        assert metadata["labels"][names.LABEL_DETECTOR] == "yard"
        assert metadata["labels"]["app.kubernetes.io/instance"] == "yard"
        assert "team" not in metadata["labels"]
        assert "annotations" not in metadata


def test_a_camera_changes_no_pod_template() -> None:
    one = detector("yard", minimal(cameras=[CAMERA]))
    two = detector("yard", minimal(cameras=[CAMERA, {"name": "dock", "url": "rtsp://dock.cams/main"}]))
    for name in ("yard-triton", "yard-media"):
        before, after = (child(children(d), "Deployment", name)["spec"] for d in (one, two))
        assert before == after


def test_serving_monitoring_and_scaling_change_no_pod_template() -> None:
    changed = minimal(
        serving={"instances": 3, "maxQueueDelay": "2ms"},
        monitoring={"scrapeInterval": "30s", "labels": {"release": "x"}},
        scaling={"minReplicas": 1, "maxReplicas": 3},
    )
    assert triton(changed)["template"] == triton(minimal())["template"]
    assert media(changed)["template"] == media(minimal())["template"]


def test_a_credential_is_a_volume_and_stands_in_no_configuration() -> None:
    spec = minimal(cameras=[CAMERA | {"credentialsSecretRef": {"name": "gate.secret"}}])
    pod = media(spec)["template"]["spec"]
    (volume,) = [v for v in pod["volumes"] if "secret" in v]
    assert volume["secret"]["secretName"] == "gate.secret"
    assert volume["secret"]["optional"] is True
    (sidecar,) = pod["initContainers"]
    mounts = {m["name"]: m["mountPath"] for m in sidecar["volumeMounts"]}
    assert mounts[volume["name"]] == "/secrets/gate.secret"
    assert volume["name"] not in {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}


@pytest.mark.parametrize(("scaling", "replicas"), [({}, 1), ({"minReplicas": 2, "maxReplicas": 2}, 2)])
def test_a_fixed_number_of_replicas_is_set_and_has_no_autoscaler(scaling: dict[str, int], replicas: int) -> None:
    spec = minimal(scaling=scaling)
    assert triton(spec)["replicas"] == replicas
    assert not [o for o in children(detector("yard", spec)) if o["kind"] == "HorizontalPodAutoscaler"]


def test_an_autoscaler_owns_the_number_of_replicas() -> None:
    spec = minimal(scaling={"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilization": 70})
    assert "replicas" not in triton(spec, facts=Facts(replicas=None))
    scaler = child(children(detector("yard", spec)), "HorizontalPodAutoscaler", "yard-triton")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 2)
    measured = {metric["containerResource"]["container"] for metric in scaler["metrics"]}
    containers = triton(spec)["template"]["spec"]["containers"]
    assert measured == {container["name"] for container in containers}
    for container in containers:
        assert container["resources"]["requests"]["cpu"], "without a request the autoscaler has nothing to compare with"


@pytest.mark.parametrize(
    ("live", "replicas"),
    [(0, 2), (1, 2), (2, 2), (3, 3), (9, 3)],
    ids=["new or resumed", "too few", "as it was fixed", "as it was fixed higher", "too many"],
)
def test_until_an_autoscaler_has_written_a_number_the_present_one_stays(live: int, replicas: int) -> None:
    """A number that is applied no more falls to 1 for a moment, and one of 0 is never raised by an autoscaler."""
    spec = minimal(scaling={"minReplicas": 2, "maxReplicas": 3})
    assert triton(spec, facts=Facts(replicas=live))["replicas"] == replicas


@pytest.mark.parametrize("live", [None, 0, 1, 5])
def test_whatever_runs_a_fixed_number_is_asked_for_and_none_while_suspended(live: int | None) -> None:
    scaling = {"minReplicas": 2, "maxReplicas": 2}
    assert triton(minimal(scaling=scaling), facts=Facts(replicas=live))["replicas"] == 2
    scaling = {"minReplicas": 2, "maxReplicas": 3}
    assert triton(minimal(scaling=scaling, suspend=True), facts=Facts(replicas=live))["replicas"] == 0


@pytest.mark.parametrize(
    ("before", "replicas"), [(0, 1), (2, 2), (9, 3)], ids=["not known", "as many as before", "fewer are allowed now"]
)
def test_after_a_suspension_as_many_come_back_as_the_autoscaler_had_wanted(before: int, replicas: int) -> None:
    spec = minimal(scaling={"minReplicas": 1, "maxReplicas": 3}, suspend=True)
    suspended = child(
        children(detector("yard", spec), facts=Facts(replicas=None, replicas_before_suspension=before)),
        "Deployment",
        "yard-triton",
    )
    noted = suspended["metadata"].get("annotations", {}).get(names.ANNOTATION_REPLICAS)
    assert suspended["spec"]["replicas"] == 0
    assert noted == (str(before) if before else None)
    resumed = child(
        children(
            detector("yard", {**spec, "suspend": False}), facts=Facts(replicas=0, replicas_before_suspension=before)
        ),
        "Deployment",
        "yard-triton",
    )
    assert resumed["spec"]["replicas"] == replicas
    assert "annotations" not in resumed["metadata"]


def test_suspended_means_no_pods_and_no_alerts_but_all_configuration() -> None:
    spec = minimal(suspend=True, cameras=[CAMERA], scaling={"minReplicas": 1, "maxReplicas": 2})
    assert triton(spec)["replicas"] == 0
    assert media(spec)["replicas"] == 0
    kinds = [o["kind"] for o in children(detector("yard", spec))]
    assert "PrometheusRule" not in kinds
    assert kinds.count("ConfigMap") == 3


def test_a_pending_replica_leaves_room_to_replace_one_that_runs() -> None:
    rolling = triton(minimal(), facts=Facts(unschedulable_replicas=2))["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 0, "maxUnavailable": 3}


def test_optional_kinds_are_left_out_where_the_server_lacks_them() -> None:
    kinds = {o["kind"] for o in children(detector("yard", minimal()), facts=Facts())}
    assert kinds == {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}
    off = detector("yard", minimal(monitoring={"enabled": False}))
    assert {o["kind"] for o in children(off)} == kinds


def test_images_are_replaced_exactly() -> None:
    settings = replace(
        scenarios.SETTINGS, image_replacements={"edgedetector/triton-cpu:0.1.0": "mirror/triton@sha256:1"}
    )
    objects = children(detector("yard", minimal()), settings)
    pod = child(objects, "Deployment", "yard-triton")["spec"]["template"]["spec"]
    assert [c["image"] for c in pod["containers"]] == ["mirror/triton@sha256:1", "edgedetector/detector:test"]
    pod = child(objects, "Deployment", "yard-media")["spec"]["template"]["spec"]
    assert [c["image"] for c in pod["containers"]] == ["edgedetector/go2rtc:0.1.0"]


@pytest.mark.parametrize("name", ["yard-triton", "yard-media"])
def test_pods_fit_pod_security_restricted(name: str) -> None:
    spec = minimal(acceleratorProfile="denglin-ks20", cameras=[CAMERA])
    pod = child(children(detector("yard", spec)), "Deployment", name)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["fsGroup"]) == (True, 10001, 10001)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert not any("hostPath" in volume for volume in pod["volumes"])


def test_the_accelerator_is_requested_by_triton_alone() -> None:
    pod = triton(minimal(acceleratorProfile="denglin-ks20"))["template"]["spec"]
    holders = {
        c["name"]: c["resources"].get("limits", {}).get("denglin.com/gpu")
        for c in [*pod["initContainers"], *pod["containers"]]
    }
    assert holders == {"model-repository": None, "triton": "1", "detector": None}
    assert pod["runtimeClassName"] == "denglin"
    assert pod["nodeSelector"] == {"feature.node.kubernetes.io/pci-0b40_1e27.present": "true"}
    assert [t["key"] for t in pod["tolerations"]] == ["denglin.com/gpu", "denglinai.com/gpu.upgrade"]


def test_the_control_api_of_triton_needs_the_pods_own_key() -> None:
    pod = triton(minimal())["template"]["spec"]
    (container,) = [c for c in pod["containers"] if c["name"] == "triton"]
    script = container["command"][2]
    assert "--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin=" in script
    assert 'admin="$$(cat /run/edgedetector/admin-key)"' in script
    assert "--allow-http=false" in script
    assert "--model-control-mode=explicit" in script


@pytest.mark.parametrize(("release", "told"), [("", False), ("23.07", False), ("24.10", True), ("26.04", True)])
def test_a_triton_that_takes_the_file_of_its_traces_at_its_start_alone_is_told_it(release: str, *, told: bool) -> None:
    wanted, profile = detector("yard", minimal()), scenarios.PROFILES["cpu"]
    of_release = replace(profile.spec, triton=replace(profile.spec.triton, version=release))
    objects = detector_children(
        wanted, replace(profile, spec=of_release), scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, profile)
    )
    pod = child(list(objects), "Deployment", "yard-triton")["spec"]["template"]["spec"]
    (container,) = [c for c in pod["containers"] if c["name"] == "triton"]
    assert any(one.startswith("--trace-config=") for one in container.get("args", [])) == told
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]


@pytest.mark.parametrize(
    "own",
    [("--trace-config=rate=2",), ("--trace-config", "triton,file=/dev/shm/mine"), ("--log-info=1", "--trace-config=x")],
)
def test_where_the_profile_configures_tracing_its_own_holds(own: tuple[str, ...]) -> None:
    wanted, profile = detector("yard", minimal()), scenarios.PROFILES["cpu"]
    told = replace(profile.spec, triton=replace(profile.spec.triton, version="24.10", arguments=own))
    objects = detector_children(
        wanted, replace(profile, spec=told), scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, profile)
    )
    pod = child(list(objects), "Deployment", "yard-triton")["spec"]["template"]["spec"]
    (container,) = [c for c in pod["containers"] if c["name"] == "triton"]
    assert container["args"] == list(own)


def test_the_profiles_arguments_come_last() -> None:
    wanted = detector("yard", minimal())
    profile = scenarios.PROFILES["cpu"]
    more = replace(profile.spec, triton=replace(profile.spec.triton, arguments=("--log-verbose=1",)))
    objects = detector_children(
        wanted, replace(profile, spec=more), scenarios.SETTINGS, scenarios.FACTS, serving_config(wanted, profile)
    )
    pod = child(list(objects), "Deployment", "yard-triton")["spec"]["template"]["spec"]
    (container,) = [c for c in pod["containers"] if c["name"] == "triton"]
    assert container["args"] == ["--trace-config=triton,file=/dev/shm/edgedetector-trace", "--log-verbose=1"]
    assert container["command"][2].endswith('"$@"')


def test_the_serving_id_is_a_hash_of_the_content() -> None:
    profile = scenarios.PROFILES["cpu"]
    first = serving_config(detector("yard", minimal()), profile)
    same = serving_config(detector("other", minimal(suspend=True)), profile)
    other = serving_config(detector("yard", minimal(serving={"instances": 2})), profile)
    assert first.id == same.id
    assert first.id != other.id


def test_the_configmaps_are_what_the_pods_parse() -> None:
    wanted = detector("yard", minimal(cameras=[CAMERA]))
    profile = scenarios.PROFILES["cpu"]
    accepted = serving_config(wanted, profile)
    trial = serving_config(detector("yard", minimal(serving={"instances": 2})), profile)
    probe = dataplane.Probe(id="p1", pod="yard-triton-x", ttl_seconds=30.0, renewal=0, serving=trial)
    objects = list(detector_children(wanted, profile, scenarios.SETTINGS, scenarios.FACTS, accepted, probe=probe))
    data = child(objects, "ConfigMap", "yard-serving")["data"]
    assert wire.from_json(dataplane.ServingConfig, data["accepted.json"]) == accepted
    assert wire.from_json(dataplane.Probe, data["probe.json"]) == probe
    assert "probe.json" not in child(children(wanted), "ConfigMap", "yard-serving")["data"]
    config = wire.from_json(
        dataplane.DetectorConfig, child(objects, "ConfigMap", "yard-detector")["data"]["detector.json"]
    )
    streams = wire.from_json(dataplane.MediaConfig, child(objects, "ConfigMap", "yard-media")["data"]["media.json"])
    assert [c.stream for c in config.cameras] == [c.stream for c in streams.cameras]
    assert config.generation == streams.generation == 7


def test_detection_reads_the_substream_where_there_is_one() -> None:
    wanted = detector("yard", minimal(cameras=[CAMERA | {"substreamUrl": "rtsp://gate.cams/sub"}]))
    objects = children(wanted)
    config = json.loads(child(objects, "ConfigMap", "yard-detector")["data"]["detector.json"])
    streams = json.loads(child(objects, "ConfigMap", "yard-media")["data"]["media.json"])["cameras"]
    (sub,) = [s["stream"] for s in streams if s["url"] == "rtsp://gate.cams/sub"]
    assert [c["stream"] for c in config["cameras"]] == [sub]
    assert len(streams) == 2


def test_detection_reads_the_main_stream_if_that_is_wanted_and_knows_of_the_smaller_one() -> None:
    camera = CAMERA | {"substreamUrl": "rtsp://gate.cams/sub", "detectionStream": "Main"}
    objects = children(detector("yard", minimal(cameras=[camera])))
    config = json.loads(child(objects, "ConfigMap", "yard-detector")["data"]["detector.json"])
    streams = json.loads(child(objects, "ConfigMap", "yard-media")["data"]["media.json"])["cameras"]
    by_role = {stream["role"]: stream["stream"] for stream in streams}
    assert [(c["stream"], c["substream"]) for c in config["cameras"]] == [(by_role["main"], by_role["sub"])]
    only = json.loads(
        child(children(detector("yard", minimal(cameras=[CAMERA | {"detectionStream": "Main"}]))), "ConfigMap",
              "yard-detector")["data"]["detector.json"]
    )  # fmt: skip
    assert "substream" not in only["cameras"][0]


def test_a_variant_is_loaded_and_told_of_and_no_cameras_usual_model() -> None:
    spec = minimal(cameras=[CAMERA, CAMERA | {"name": "dock", "models": ["people-small"]}])
    spec["models"] = [
        spec["models"][0] | {"smallerVariant": "people-small"},
        spec["models"][0] | {"name": "people-small"},
    ]
    objects = children(detector("yard", spec))
    config = json.loads(child(objects, "ConfigMap", "yard-detector")["data"]["detector.json"])
    assert [(m["name"], m.get("smallerVariant")) for m in config["models"]] == [
        ("people", "people-small"),
        ("people-small", None),
    ]
    assert [c["models"] for c in config["cameras"]] == [["people"], ["people-small"]]
    serving = json.loads(child(objects, "ConfigMap", "yard-serving")["data"]["accepted.json"])
    assert [m["name"] for m in serving["models"]] == ["people", "people-small"]


def test_replicas_look_for_each_other_only_if_there_can_be_several() -> None:
    def host(scaling: dict[str, int]) -> str:
        objects = children(detector("yard", minimal(scaling=scaling)))
        found: str = json.loads(child(objects, "ConfigMap", "yard-detector")["data"]["detector.json"])["replicasHost"]
        return found

    assert host({"maxReplicas": 1}) == ""
    assert host({"maxReplicas": 2}) == "yard-replicas.site-a.svc"


def test_items_that_lack_the_main_file_are_an_error() -> None:
    spec = minimal()
    spec["models"][0]["source"]["configMap"]["items"] = [{"key": "a", "path": "other.py"}]
    with pytest.raises(InvalidSpecError, match=r"bring no file model\.py"):
        serving_config(detector("yard", spec), scenarios.PROFILES["cpu"])


def test_the_exporter_belongs_to_the_profile_and_a_shipped_file_owns_nothing() -> None:
    profile = scenarios.PROFILES["denglin-ks20"]
    assert all("ownerReferences" not in o["metadata"] for o in profile_children(profile, scenarios.SETTINGS, Facts()))
    owned = profile_children(replace(profile, uid="u1"), scenarios.SETTINGS, Facts())
    assert [o["kind"] for o in owned] == ["NetworkPolicy", "ConfigMap", "Service", "DaemonSet"]
    for obj in owned:
        assert obj["metadata"]["namespace"] == "edgedetector-system"
        (owner,) = obj["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("AcceleratorProfile", "denglin-ks20", "u1")


def test_a_changed_file_of_the_exporter_makes_new_pods() -> None:
    """A file that is mounted by itself stays as it was when the pod started, whatever becomes of its ConfigMap."""

    def template(content: str) -> dict[str, Any]:
        profile = scenarios.PROFILES["denglin-ks20"]
        assert profile.spec.exporter is not None
        file = replace(profile.spec.exporter.files[0], content=content)
        changed = replace(profile, spec=replace(profile.spec, exporter=replace(profile.spec.exporter, files=(file,))))
        objects = profile_children(changed, scenarios.SETTINGS, Facts())
        found: dict[str, Any] = child(objects, "DaemonSet", "edgedetector-exporter-denglin-ks20")["spec"]["template"]
        return found

    assert template("one") == template("one")
    assert template("one") != template("two")


def test_no_exporter_without_an_image() -> None:
    assert profile_children(scenarios.PROFILES["cpu"], scenarios.SETTINGS, scenarios.FACTS) == ()


def test_device_alerts_use_the_profiles_metric_names_and_units() -> None:
    spec = minimal(acceleratorProfile="denglin-ks20")
    rule = child(children(detector("yard", spec)), "PrometheusRule", "yard")["spec"]
    expressions = {r["alert"]: r["expr"] for g in rule["groups"] for r in g["rules"]}
    assert 'DCGM_FI_DEV_GPU_UTIL{accelerator_profile="denglin-ks20"}) * 0.01' in expressions["EdgeDetectorDeviceBusy"]
    assert 'DCGM_FI_DEV_GPU_TEMP{accelerator_profile="denglin-ks20"}) * 1 ' in expressions["EdgeDetectorDeviceHot"]
    plain = child(children(detector("yard", minimal())), "PrometheusRule", "yard")["spec"]
    assert not [r for g in plain["groups"] for r in g["rules"] if "Device" in r["alert"]]
