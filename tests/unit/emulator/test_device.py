"""The device's process in this process: real sockets, both of its languages."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from emulator import exporter
from emulator.device import CALIBRATION, Device, Server, main, select
from emulator.profile import load, override
from prometheus_client.parser import text_string_to_metric_families

EMULATOR = Path(CALIBRATION).parent
KS20 = override(load(CALIBRATION)["ks20"], {"memory.total": 2000.0})


@contextmanager
def serving(selection):
    server = Server(("127.0.0.1", 0), Device(KS20), selection, "node-1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def port():
    with serving(exporter.Selection()) as number:
        yield number


class Client:
    """A connection to the device."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.lines = self.socket.makefile("rb")

    def ask(self, **request):
        return self.say(json.dumps(request).encode())

    def say(self, line):
        self.socket.sendall(line + b"\n")
        return json.loads(self.lines.readline())

    def open(self, precision="fp16"):
        return self.ask(op="open", model="people", precision=precision, maxBatch=32)

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture
def connect(port):
    clients = []

    def new():
        clients.append(Client(port))
        return clients[-1]

    yield new
    for client in clients:
        client.close()


def metrics(port):
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    return {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}


def until(read, wanted):
    deadline = time.monotonic() + 5
    while (value := read()) != wanted:
        assert time.monotonic() < deadline, f"still {value}, expected {wanted}"
        time.sleep(0.005)


def test_an_execution_tells_how_long_it_takes(connect):
    client = connect()
    opened = client.open()
    answer = client.ask(op="execute", batch=1, bytes=2_457_600)

    assert opened["ok"]
    assert opened["maxBatch"] == 32
    assert answer["ok"]
    assert answer["waitMs"] == pytest.approx(1.44 + 3.18, abs=0.05)


def test_a_second_execution_on_another_connection_queues_behind_the_first(connect):
    first, second = connect(), connect()
    first.open()
    second.open()

    alone = first.ask(op="execute", batch=8, bytes=0)["waitMs"]
    behind = second.ask(op="execute", batch=8, bytes=0)["waitMs"]

    assert behind > alone + 8


def test_memory_is_taken_by_a_load_and_given_back_when_the_connection_ends(connect, port):
    client = connect()
    before = metrics(port)["DCGM_FI_DEV_FB_USED"].value
    taken = client.open()["memoryMb"]

    assert metrics(port)["DCGM_FI_DEV_FB_USED"].value == before + taken
    client.close()
    until(lambda: metrics(port)["DCGM_FI_DEV_FB_USED"].value, before)


def test_a_load_that_does_not_fit_is_refused_and_counted(connect, port):
    assert connect().open("fp32")["ok"]
    assert connect().open("fp32")["ok"]

    refused = connect().open("fp32")

    assert not refused["ok"]
    assert "out of memory" in refused["error"]
    assert metrics(port)["emulated_accelerator_refused_total"].value == 1


def test_a_device_can_be_replaced_by_another(connect):
    client = connect()

    assert client.ask(op="configure", device="seed:7", set={"link.lanes": 2})["device"] == "seed-7-memory"

    profile = client.ask(op="describe")["profile"]
    assert (profile["name"], profile["link"]["lanes"]) == ("seed-7-memory", 2)


@pytest.mark.parametrize(
    "line",
    [b"{", b"{}", b'{"op": 1}', b'{"op": "execute", "batch": 1}', b'{"op": "open"}', b'{"op": "configure", "set": 1}',
     b'{"op": "configure", "set": {"link.lanes": 0}}', b'{"op": "open", "model": "m", "precision": "fp8"}',
     b'{"op": "open", "model": "m", "precision": "fp16", "maxBatch": -5}',
     b'{"op": "open", "model": "m", "precision": "fp16", "maxBatch": Infinity}',
     b'{"op": "configure", "device": "h100"}'],
)  # fmt: skip
def test_a_senseless_request_gets_an_error_and_the_connection_lives_on(connect, line):
    client = connect()

    answer = client.say(line)

    assert not answer["ok"]
    assert answer["error"]
    assert client.open()["ok"]


def test_a_reseated_card_shows_its_lanes_and_is_faster(connect, port):
    client = connect()
    assert client.ask(op="configure", set={"link.lanes": 1})["ok"]
    client.open("fp32")
    slow = client.ask(op="execute", batch=1, bytes=0)["linkMs"]
    assert metrics(port)["DCGM_FI_DEV_PCIE_LINK_WIDTH"].value == 1

    client.ask(op="configure", set={"link.lanes": 4})

    assert client.ask(op="execute", batch=1, bytes=0)["linkMs"] == pytest.approx(slow / 4)
    assert metrics(port)["DCGM_FI_DEV_PCIE_LINK_WIDTH"].value == 4


def test_every_metric_says_that_it_is_emulated(port):
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    families = list(text_string_to_metric_families(text))

    assert len(families) >= 10
    for family in families:
        assert "EMULATED" in family.documentation
        for sample in family.samples:
            assert sample.labels["UUID"].startswith("EMULATED-")
            assert sample.labels["Hostname"] == "node-1"


VENDOR = {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED"}


@pytest.mark.parametrize(
    ("mode", "file", "vendor", "truth"),
    [
        ("vendor", "ks20-metrics.csv", VENDOR, False),
        ("vendor", "missing.csv", VENDOR, False),
        ("auto", "ks20-metrics.csv", VENDOR, True),
        ("auto", "missing.csv", VENDOR | {"DCGM_FI_DEV_FB_TOTAL", "DCGM_FI_DEV_GPU_TEMP"}, True),
        ("all", "ks20-metrics.csv", VENDOR | {"DCGM_FI_DEV_FB_TOTAL", "DCGM_FI_DEV_GPU_TEMP"}, True),
    ],
)
def test_the_vendor_s_file_decides_what_appears(mode, file, vendor, truth):
    with serving(select(mode, EMULATOR / file)) as port:
        shown = set(metrics(port))

    dcgm = {name for name in shown if name.startswith("DCGM")}
    assert dcgm == vendor if len(vendor) == 2 else dcgm > vendor
    assert ("emulated_accelerator_images_total" in shown) is truth


def drivers(port):
    """What each of the vendor's metrics says of the driver."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.labels.get(exporter.DRIVER) for sample in samples if sample.name.startswith("DCGM")}


def test_the_driver_is_a_label_where_it_is_asked_for_and_can_be_replaced(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(f"DCGM_FI_DEV_GPU_UTIL, gauge, Utilisation\n{exporter.DRIVER}, label, Driver\n")
    with serving(select("vendor", file)) as port:
        assert drivers(port) == {"EMULATED-1.0"}
        client = Client(port)
        assert client.ask(op="configure", set={"driver": "EMULATED-2.0"})["ok"]
        client.close()
        assert drivers(port) == {"EMULATED-2.0"}
    with serving(select("vendor", EMULATOR / "ks20-metrics.csv")) as port:
        assert drivers(port) == {None}, "the published file asks for none"


def test_other_paths_are_not_found(port):
    assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).text == "ok\n"
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404


def test_a_device_that_does_not_exist_ends_the_process():
    with pytest.raises(ValueError, match="no device"):
        main(["--device", "h100"])
