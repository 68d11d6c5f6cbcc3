"""`kubectl edgedetector view` in a real Chromium, before the real cluster: boxes on the real video of the demo.

The documentation's screenshots are made here: build/view-*.png.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser
from tests.browser import BOXES, Tab, chromium

import cluster as driver
import demo as demo_driver
import sites
from edgedetector.api import names
from harness import Kubectl
from stages import ROOT

pytestmark = pytest.mark.e2e

NAMESPACE: Final = "view"
NAME: Final = "yard"
SECOND: Final = "second"
"""The camera that is lost: in a pod of its own, so that the other one goes on."""
SHOTS: Final = ROOT / "build"
MOMENT: Final = 120_000
"""Milliseconds after which a wait is in vain, however busy the machine is: no promise about speed."""


@pytest.fixture(scope="module")
def site(operator: Kubectl, images: dict[str, str]) -> Iterator[Kubectl]:
    """The demo once more, with a second camera; module, since it takes a minute until detections flow."""
    sites.namespace(NAMESPACE)
    kubectl = Kubectl(NAMESPACE)
    demo_driver.apply_demo(NAMESPACE)
    kubectl.apply(*sites.camera(images["camera"], SECOND))
    rate = {"frameRate": {"target": 2, "minimum": 1}, "models": ["people"]}
    cameras = [
        {"name": "gate", "url": "rtsp://camera:8554/vtest", **rate},
        {"name": "dock", "url": f"rtsp://{SECOND}:8554/mirrored", **rate},
    ]
    # The node has no second processor to promise beside the demo's.
    little = {"triton": {"requests": {"cpu": "100m"}}}
    calm = {"degradation": {"enabled": False}, "tuning": {"mode": "Off"}, "scaling": None}
    sites.change(NAMESPACE, NAME, cameras=cameras, resources=little, **calm)
    sites.wait_ready(NAMESPACE, NAME)
    yield kubectl
    driver.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def address(site: Kubectl) -> Iterator[str]:
    """Where the command, run as its users do, says that the page is."""
    path = f"{Path(driver.build('kubectl')).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "operator"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "edgedetector.cli", "--kubeconfig", str(driver.kubeconfig())]
    command += ["view", NAME, "--namespace", NAMESPACE, "--no-browser"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", line)
        assert found, line
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, "Ctrl-C is how it is meant to end"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all: each test has a context of its own."""
    with chromium() as found:
        yield found


@contextlib.contextmanager
def opened(browser: Browser, address: str, **options: object) -> Iterator[Tab]:
    """Open the page; nothing may be written to its console, or asked of anybody else."""
    tab = Tab(browser, **options)
    tab.open(address)
    yield tab
    tab.page.context.close()
    assert (tab.console, tab.outside) == ([], [])


def shot(tab: Tab, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    tab.page.screenshot(path=SHOTS / f"view-{name}.png")


def test_people_have_boxes_on_the_real_video_which_move_with_them(browser: Browser, address: str) -> None:
    with opened(browser, address, device_scale_factor=2) as tab:
        first = tab.boxes("gate", MOMENT / 1000)
        assert 0 < first["area"] < first["width"] * first["height"] / 2
        tab.boxes("dock", MOMENT / 1000)
        shot(tab, "light")

        moved = f"""([name, first]) => {{
          const found = ({BOXES})(name);
          return found && found.time !== first.time && (found.left !== first.left || found.top !== first.top);
        }}"""
        assert tab.wait(moved, ["gate", first], MOMENT / 1000)
        assert "person" in tab.camera("gate").locator(".seen").inner_text()
        assert tab.page.locator("#reason").inner_text()


def test_a_lost_camera_is_told_and_comes_back_while_the_other_goes_on(
    site: Kubectl, browser: Browser, address: str
) -> None:
    with opened(browser, address) as tab:
        dock = tab.camera("dock")
        tab.boxes("dock", MOMENT / 1000)
        site("scale", "deployment", SECOND, "--replicas=0")
        try:
            dock.and_(tab.page.locator('[data-state="Lost"]')).wait_for(timeout=MOMENT)
            notice = dock.locator(".notice")
            assert notice.is_visible()
            assert len(notice.inner_text().splitlines()) > 1, "the state, and why"
            assert tab.boxes("gate", MOMENT / 1000)["count"]
            shot(tab, "lost")
        finally:
            site("scale", "deployment", SECOND, "--replicas=1")

        dock.and_(tab.page.locator('[data-state="Live"]')).wait_for(timeout=MOMENT)
        tab.boxes("dock", MOMENT / 1000)
        assert not notice.is_visible()


def test_a_media_pod_that_is_replaced_is_followed(site: Kubectl, browser: Browser, address: str) -> None:
    with opened(browser, address) as tab:
        tab.boxes("gate", MOMENT / 1000)
        video = "name => document.querySelector(`article[data-camera=${name}] video`)"
        source = tab.page.evaluate(f"name => ({video})(name).src", "gate")
        site("delete", "pod", "--selector", sites.selector(NAME, names.COMPONENT_MEDIA), "--wait=false")

        another = f"([name, src]) => {{ const now = ({video})(name).src; return now && now !== src; }}"
        assert tab.wait(another, ["gate", source], MOMENT / 1000)
        tab.boxes("gate", MOMENT / 1000)


def test_everything_is_reached_with_keys(browser: Browser, address: str) -> None:
    with opened(browser, address) as tab:
        tab.boxes("gate", MOMENT / 1000)
        focus = "document.activeElement.getAttribute('aria-label')"
        tab.page.keyboard.press("Tab")
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate(focus) == "Enlarge gate"
        small = tab.camera("gate").bounding_box()
        tab.page.keyboard.press("Enter")
        large = tab.camera("gate").bounding_box()
        assert small is not None
        assert large is not None
        assert large["width"] > 1.5 * small["width"]
        tab.boxes("gate", MOMENT / 1000)
        shot(tab, "large")
        tab.page.keyboard.press("Escape")
        assert tab.page.evaluate(focus) == "Enlarge gate"


def test_a_narrow_screen_has_one_column_by_night_too(browser: Browser, address: str) -> None:
    phone = {"width": 360, "height": 780}
    with opened(browser, address, viewport=phone, color_scheme="dark", device_scale_factor=2) as tab:
        tab.boxes("gate", MOMENT / 1000)
        assert tab.page.evaluate("document.documentElement.scrollWidth") == phone["width"]
        gate, dock = (tab.camera(name).bounding_box() for name in ("gate", "dock"))
        assert gate is not None
        assert dock is not None
        assert dock["x"] == gate["x"]
        assert dock["y"] >= gate["y"] + gate["height"]
        shot(tab, "narrow")
