"""The emulated backend and the demo's model in a real tritonserver, without a cluster.

The first run installs tritonserver (140 MB) in the cache.
"""

import importlib.util
import json
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from bench.calibration import tritonserver

pytestmark = pytest.mark.tritonserver
ROOT = Path(tritonserver.ROOT)


def module(path):
    specification = importlib.util.spec_from_file_location(path.parent.name, path)
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


backend = module(ROOT / "emulator" / "backend" / "model.py")
people = module(ROOT / "demo" / "people" / "model.py")


class Triton:
    """A tritonserver with its emulated device."""

    def __init__(self, address, device, repository):
        self.client, self.device, self.repository = triton.InferenceServerClient(address), device, repository

    def write(self, name, *, instances=1, max_batch=32, data_type="TYPE_FP16", engine=None):
        directory = self.repository / name
        (directory / "1").mkdir(parents=True, exist_ok=True)
        named = ""
        if engine is not None:
            (directory / "1" / "model.plan").write_text(json.dumps({"emulatedEngine": engine}))
            named = 'default_model_filename: "model.plan"'  # as the operator writes it
        (directory / "config.pbtxt").write_text(f"""
            name: "{name}" backend: "dlnne" max_batch_size: {max_batch} {named}
            input [ {{ name: "images" data_type: {data_type} dims: [ 3, 64, 64 ] }} ]
            output [ {{ name: "output0" data_type: TYPE_FP32 dims: [ 84, 200 ] }},
                     {{ name: "checksum" data_type: TYPE_UINT32 dims: [ 1 ] }} ]
            instance_group [ {{ count: {instances} kind: KIND_MODEL }} ]
            dynamic_batching {{ }}""")

    def infer(self, name, tensor, array):
        given = triton.InferInput(tensor, array.shape, triton.np_to_triton_dtype(array.dtype))
        given.set_data_from_numpy(array)
        return self.client.infer(name, [given])

    def metric(self, name):
        text = requests.get(f"http://{self.device}/metrics", timeout=5).text
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + "{"))

    def wait_for_instances(self, count):
        deadline = time.monotonic() + 20
        while (now := self.metric("emulated_accelerator_instances")) != count:
            assert time.monotonic() < deadline, f"{now} instances on the device, expected {count}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the module: a start takes a second, and each test loads models of its own."""
    directory = tmp_path_factory.mktemp("triton")
    repository = directory / "models"
    repository.mkdir()
    with (
        tritonserver.emulated_device(directory, "--set", "memory.total=2300.0") as device,
        tritonserver.running(
            tritonserver.prepare(),
            directory,
            repository,
            "--disable-auto-complete-config",  # spares a python process a load: the files are complete
            environment={"EMULATED_ACCELERATOR_ADDRESS": device},
        ) as running,
    ):
        yield Triton(running.grpc, device, repository)


def test_data_arrives_and_an_answer_does_not_depend_on_its_batch(server):
    server.write("whole")
    server.client.load_model("whole")
    images = np.random.default_rng(1).random((3, 3, 64, 64)).astype(np.float16)

    together = server.infer("whole", "images", images)
    alone = [server.infer("whole", "images", image[np.newaxis]) for image in images]

    for index, image in enumerate(images):
        checksum = backend.payload_checksum({"images": image})
        assert together.as_numpy("checksum")[index].tolist() == [checksum]
        expected = backend.output("output0", (84, 200), np.float32, checksum, (64, 64))
        np.testing.assert_array_equal(together.as_numpy("output0")[index], expected)
        np.testing.assert_array_equal(alone[index].as_numpy("output0")[0], expected)
    server.client.unload_model("whole")


def test_instances_change_on_the_device_when_the_config_does(server):
    server.write("scaled", instances=1)
    server.client.load_model("scaled")
    server.wait_for_instances(1)

    server.write("scaled", instances=3)
    server.client.load_model("scaled")
    server.wait_for_instances(3)

    server.client.unload_model("scaled")
    server.wait_for_instances(0)


def test_a_load_beyond_the_device_s_memory_fails_with_the_reason_and_takes_nothing(server):
    server.write("large", instances=3, data_type="TYPE_FP32")

    with pytest.raises(triton.InferenceServerException, match="out of memory: an instance of large"):
        server.client.load_model("large")

    server.wait_for_instances(0)


def test_the_engine_s_file_decides_its_precision(server):
    empty = server.metric("DCGM_FI_DEV_FB_USED")
    server.write("built", max_batch=8, data_type="TYPE_FP32", engine={"precision": "fp16", "maxBatch": 8})

    server.client.load_model("built")

    assert server.metric("DCGM_FI_DEV_FB_USED") - empty == 230 + 8 * 12, "FP16 engine and workspace, MB"
    server.client.unload_model("built")
    server.wait_for_instances(0)


def test_more_than_the_engine_was_compiled_for_fails_the_load(server):
    server.write("small", max_batch=32, engine={"precision": "fp16", "maxBatch": 8})

    with pytest.raises(triton.InferenceServerException, match="compiled for at most 8"):
        server.client.load_model("small")

    server.wait_for_instances(0)


def test_the_demo_s_model_answers_as_its_function_does(server):
    directory = server.repository / "people"
    (directory / "1").mkdir(parents=True)
    for name, target in (("model.py", "1/model.py"), ("config.pbtxt", "config.pbtxt")):
        (directory / target).write_bytes((ROOT / "demo" / "people" / name).read_bytes())
    server.client.load_model("people")
    pictures = np.random.default_rng(2).integers(0, 256, (2, 576, 768, 3), np.uint8)
    pictures[1, 100:400, 300:360] = 20

    answer = server.infer("people", "image", pictures)

    for index, picture in enumerate(pictures):
        for name, expected in people.pad(*people.detect(picture)).items():
            np.testing.assert_array_equal(answer.as_numpy(name)[index], expected)
    server.client.unload_model("people")
