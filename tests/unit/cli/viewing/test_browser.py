"""The page in a real Chromium, before a real go2rtc and the detector's own reader and server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.browser import BOXES, Tab, chromium
from tests.unit.cli.viewing.rig import ROOT, Rig
from tests.unit.media.conftest import go2rtc_binary

from edgedetector.cli.viewing.web import Server, serving

__all__ = ["go2rtc_binary"]  # a fixture

SHOTS = ROOT / "build"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, go2rtc_binary: str) -> Iterator[Rig]:
    """The site; one for all, since it takes seconds to start: whoever breaks something mends it."""
    site = Rig(tmp_path_factory.mktemp("site"), go2rtc_binary)
    try:
        site.start()
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def server(rig: Rig) -> Iterator[Server]:
    """The page's server, for as long as the site is there."""
    with serving(rig.relay()) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all: each test has a context of its own."""
    with chromium() as found:
        yield found


@pytest.fixture
def tab(browser: Browser, server: Server) -> Iterator[Tab]:
    """The page, wide; nothing may have been written to its console, or asked of anybody else."""
    yield from opened(browser, server)


def opened(browser: Browser, server: Server, **options: object) -> Iterator[Tab]:
    found = Tab(browser, **options)
    found.open(server.address)
    yield found
    found.page.context.close()
    assert (found.console, found.outside) == ([], [])


def shot(tab: Tab, name: str) -> Path:
    SHOTS.mkdir(exist_ok=True)
    tab.page.screenshot(path=SHOTS / f"view-{name}.png", full_page=True)
    return SHOTS / f"view-{name}.png"


def test_boxes_are_drawn_on_the_video_and_move_with_it(tab: Tab) -> None:
    first = tab.boxes("gate")
    assert 0 < first["area"] < first["width"] * first["height"] / 4
    shot(tab, "rig")

    away = f"""([name, left]) => {{
      const found = ({BOXES})(name);
      return found && Math.abs(found.left - left) > 20 && found;
    }}"""
    moved = tab.wait(away, ["gate", first["left"]])

    assert moved["time"] != first["time"]


def test_of_a_frame_that_is_shown_its_own_boxes_are_drawn(tab: Tab) -> None:
    labels = tab.page.evaluate("""async () => {
      const { Boxes } = await import("./boxes.js");
      const canvas = document.createElement("canvas");
      const boxes = new Boxes(canvas);
      const one = (model, at, ...labels) => boxes.add({ model, at, width: 100, height: 100,
        detections: labels.map(label => ({ label, score: 1, box: [1, 1, 9, 9] })) });
      one("people", 1.2, "late"); one("people", 1.0, "person", "person"); one("cars", 0.9, "car");
      return [0.5, 0.94, 0.97, 1.1, 1.19, 9].map(time => boxes.show(time, 0.1, 64, 48).sort().join());
    }""")

    assert labels == ["", "car", "car,person,person", "car,person,person", "car,late", ""]


def test_a_lost_camera_is_told_with_its_reason_and_comes_back_by_itself(rig: Rig, tab: Tab) -> None:
    tab.boxes("gate")
    rig.cameras_off()
    try:
        card = tab.camera("gate")
        card.and_(tab.page.locator('[data-state="Lost"]')).wait_for(timeout=90_000)
        notice = card.locator(".notice")
        assert notice.is_visible()
        assert notice.inner_text().startswith("Lost\n")
        assert "frame" in notice.inner_text() or "camera does not answer" in notice.inner_text()
        assert "Camera" in tab.page.locator("#news").inner_text()
        shot(tab, "rig-lost")
    finally:
        rig.cameras_on()

    card.and_(tab.page.locator('[data-state="Live"]')).wait_for(timeout=90_000)
    assert tab.boxes("gate", 90)["count"] == 1
    assert not notice.is_visible()


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("return real.call(this, new Uint8Array(64).fill(255))", id="rubbish"),
        pytest.param("setTimeout(() => this.dispatchEvent(new Event('updateend')))", id="nothing"),
    ],
)
def test_video_that_the_browser_gives_up_is_asked_for_anew(tab: Tab, harm: str) -> None:
    """As when a camera begins anew with what no decoder takes: until then all goes on but the picture."""
    tab.boxes("gate")
    source = tab.page.evaluate(
        """() => {
      const { appendBuffer: real } = SourceBuffer.prototype, { addSourceBuffer: add } = MediaSource.prototype;
      const sound = new WeakSet();
      MediaSource.prototype.addSourceBuffer = function (type) {
        const buffer = add.call(this, type);
        sound.add(buffer);
        return buffer;
      };
      SourceBuffer.prototype.appendBuffer = function (bytes) {
        if (sound.has(this)) return real.call(this, bytes);
        HARM;
      };
      return document.querySelector("article[data-camera=gate] video").src;
    }""".replace("HARM", harm)
    )

    another = "src => ![src, ''].includes(document.querySelector('article[data-camera=gate] video').src)"
    tab.wait(another, source)
    assert tab.boxes("gate")["count"] == 1


def test_a_media_pod_that_is_replaced_is_followed(rig: Rig, tab: Tab) -> None:
    tab.boxes("gate")
    before = rig.media
    rig.replace_media_pod()

    tab.wait("name => document.querySelector(`article[data-camera=${name}] video`).paused", "gate")
    assert tab.boxes("gate", 120)["count"] == 1
    assert {name for name, _ in rig.entered} >= {before, rig.media}


def test_everything_is_reached_with_keys(tab: Tab) -> None:
    tab.boxes("gate")
    page = tab.page
    focus = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "To the cameras"
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "Enlarge gate"

    page.keyboard.press("Enter")
    assert page.evaluate(focus) == "Make gate small again"
    assert tab.camera("gate").bounding_box()["width"] > 1.5 * tab.camera("dock").bounding_box()["width"]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focus) == "Make dock small again"
    page.keyboard.press("Escape")
    assert page.evaluate(focus) == "Enlarge dock"
    assert page.get_by_role("article", name="Camera dock").is_visible()
    assert page.get_by_role("region", name="Condition").is_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_narrow_screen_has_one_column(browser: Browser, server: Server, scheme: str) -> None:
    for tab in opened(browser, server, viewport={"width": 360, "height": 780}, color_scheme=scheme):
        tab.boxes("gate")
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
        gate, dock = (tab.camera(name).bounding_box() for name in ("gate", "dock"))
        assert gate["x"] == dock["x"]
        assert dock["y"] >= gate["y"] + gate["height"]
        shot(tab, f"rig-narrow-{scheme}")


def test_words_of_the_cluster_are_words_and_nothing_else(rig: Rig, tab: Tab) -> None:
    tab.boxes("gate")
    evil = '<img src="x" onerror="document.title=1"><script>document.title=2</script>'
    rig.world.condition("MonitoringReady", "False", "MonitoringNotInstalled", evil)
    log = rig.world.detector["status"]["tuning"]["log"]
    log.append({"time": "2026-11-23T11:30:00Z", "decision": evil, "message": evil})
    try:
        tab.page.locator("#problems", has_text="onerror").wait_for(timeout=30_000)
        assert evil in tab.page.locator("#problems").inner_text()
        assert evil in tab.page.locator("#story").inner_text()
        assert tab.page.locator("#problems img, #story img, main script").count() == 0
    finally:
        rig.world.condition("MonitoringReady", "True", "MonitoringConfigured")
        log.pop()
