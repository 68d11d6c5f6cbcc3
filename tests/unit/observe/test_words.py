"""Words of a real scheduler, kubelet (1.35) and Triton (24.10, 23.07), and what they mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedetector.api import conditions as c
from edgedetector.api.dataplane import LastWords
from edgedetector.api.wire import to_json
from edgedetector.observe import words
from edgedetector.observe.snapshot import Problem

NOBODY_HELPS = " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            '0/1 nodes are available: persistentvolumeclaim "models" not found. not found' + NOBODY_HELPS,
            Problem(c.REASON_VOLUME_CLAIM_MISSING, "PersistentVolumeClaim models does not exist"),
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found" + NOBODY_HELPS,
            Problem(c.REASON_VOLUME_CLAIM_UNBOUND, "a PersistentVolumeClaim is not bound to any volume"),
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind." + NOBODY_HELPS,
            Problem(c.REASON_VOLUME_CLAIM_UNBOUND, "a PersistentVolumeClaim is not bound to any volume"),
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient denglin.com/gpu." + NOBODY_HELPS,
            Problem(
                c.REASON_UNSCHEDULABLE,
                "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient denglin.com/gpu",
                ("denglin.com/gpu",),
            ),
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector." + NOBODY_HELPS,
            Problem(
                c.REASON_UNSCHEDULABLE,
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector",
            ),
        ),
        ("", Problem(c.REASON_UNSCHEDULABLE, "no node fits")),
    ],
    ids=["no claim", "unbound", "no volume", "no device", "no such node", "silence"],
)
def test_why_no_node_takes_a_pod(said: str, problem: Problem) -> None:
    assert words.of_scheduler(said) == problem


MOUNT = 'MountVolume.SetUp failed for volume "source-1" : '


@pytest.mark.parametrize(
    ("said", "reason", "message"),
    [
        ('secret "gate" not found', c.REASON_SECRET_MISSING, "Secret gate does not exist"),
        ("couldn't find key url in Secret site/gate", c.REASON_SECRET_MISSING, "Secret gate has no key url"),
        (MOUNT + "references non-existent secret key: url", c.REASON_SECRET_MISSING, "a Secret has no key url"),
        (MOUNT + 'configmap "people" not found', c.REASON_CONFIG_MISSING, "ConfigMap people does not exist"),
        ("couldn't find key a in ConfigMap site/people", c.REASON_CONFIG_MISSING, "ConfigMap people has no key a"),
        (
            MOUNT + "configmap references non-existent config key: b",
            c.REASON_CONFIG_MISSING,
            "a ConfigMap has no key b",
        ),
        (
            'failed to prepare subPath for volumeMount "claim-1" of container "model-repository"',
            c.REASON_MODEL_FILE_MISSING,
            "the volume has no directory of the model's path",
        ),
        ("something\nelse", c.REASON_VOLUME_MISSING, "something else"),
    ],
)
def test_what_the_kubelet_lacks(said: str, reason: str, message: str) -> None:
    assert words.of_objects(said, c.REASON_VOLUME_MISSING) == Problem(reason, message)


SHARED_MEMORY = (
    "load people: load failed for model 'people': version 1 is at UNAVAILABLE state: Internal: Unable to initialize"
    " shared memory key 'triton_python_backend_shm_region_8' to requested size (1048576 bytes). If you are running"
    " Triton inside docker, use '--shm-size' flag to control the shared memory region size. Each Python backend model"
    " instance requires at least 1 MB of shared memory. Error: No space left on device"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (SHARED_MEMORY, c.REASON_SHARED_MEMORY_TOO_SMALL),
        (
            "Unable to initialize shared memory key 'region' to requested size (1048576 bytes). Error: No space left",
            c.REASON_SHARED_MEMORY_TOO_SMALL,
        ),
        ("[Errno 28] No space left on device: '/dev/shm/edgedetector-gate'", c.REASON_SHARED_MEMORY_TOO_SMALL),
        ("PermissionError: [Errno 13] Permission denied: '/dev/denglin0'", c.REASON_DEVICE_NOT_ACCESSIBLE),
        ("open(/dev/dri/renderD128): Permission denied", c.REASON_DEVICE_NOT_ACCESSIBLE),
        ("failed to open /dev/denglin0 (EACCES)", c.REASON_DEVICE_NOT_ACCESSIBLE),
        ("PermissionError: [Errno 13] Permission denied: '/models/people'", c.REASON_MODEL_LOAD_FAILED),
        ("[Errno 13] Permission denied: '/dev/shm/x'", c.REASON_MODEL_LOAD_FAILED),
        ("[Errno 28] No space left on device: '/models/people/1'", c.REASON_MODEL_LOAD_FAILED),
        ("ModuleNotFoundError: No module named 'torch'", c.REASON_MODEL_LOAD_FAILED),
    ],
)
def test_what_a_program_complains_of(said: str, reason: str) -> None:
    assert words.of_program(said, c.REASON_MODEL_LOAD_FAILED) == Problem(reason, words.line(said))


@pytest.mark.parametrize("reason", sorted(c.MODEL_FILE_REASONS))
def test_last_words_say_what_is_wrong_with_a_models_files(reason: str) -> None:
    said = to_json(LastWords(reason, "model people:\n no file"))
    assert words.of_last_words(said) == Problem(reason, "model people: no file")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Killed",
        "{}",
        "[]",
        json.dumps({"reason": "Ready", "message": "all is well"}),
        '{"reason": 1, "message": 2}',
    ],
)
def test_other_last_words_are_nothing_of_ours(said: str) -> None:
    assert words.of_last_words(said) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("failed at 2026-11-22T15:01:00.123Z", "failed at 2026-11-22T15:02:00Z"),
        ("<Engine object at 0x7f33aa10be50> is broken", "<Engine object at 0x7f33aa10d110> is broken"),
        ("key 'triton_python_backend_shm_region_8f9a'", "key 'triton_python_backend_shm_region_11ee-2'"),
        ("session 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "session 6ba7b811-9dad-11d1-80b4-00c04fd430c8"),
    ],
)
def test_the_same_problem_is_the_same_words_at_every_try(first: str, second: str) -> None:
    assert words.line(first) == words.line(second)


@given(st.text(max_size=2000))
def test_whatever_is_said_becomes_one_short_line(text: str) -> None:
    for problem in (words.of_scheduler(text), words.of_objects(text, "R"), words.of_program(text, "R")):
        assert "\n" not in problem.message
        assert len(problem.message) <= words.MAX_WORDS + len("PersistentVolumeClaim  does not exist")
