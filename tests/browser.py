"""A real Chromium without a screen, from Debian's package, driven by Playwright. It talks to nobody but the page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import TimeoutError as Overdue

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/e2e/node"))
from localnode import debian

PACKAGES: Final = {"chromium": "chromium"}
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # A machine without a sound card and with a small /dev/shm plays video all the same.
    *("--mute-audio", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; its package is installed when it is missing."""
    debian.ensure(PACKAGES)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS), ignore_default_args=["--headless=old"]
        )
        yield browser
        browser.close()


class Tab:
    """A page, and everything that its console has said."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        usual = {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light", "reduced_motion": "reduce"}
        self.page: Page = browser.new_context(**(usual | options)).new_page()
        self.console: list[str] = []
        self.outside: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")

    def open(self, address: str) -> Page:
        """Go there, and note whatever is asked of anybody else."""
        home = address.split("/", 3)[2]
        self.page.on(
            "request",
            lambda one: None if one.url.startswith(("blob:", f"http://{home}/")) else self.outside.append(one.url),
        )
        self.page.goto(address)
        return self.page

    def camera(self, name: str) -> Any:
        return self.page.locator(f'article[data-camera="{name}"]')

    def wait(self, expression: str, argument: Any = None, seconds: float = 60.0) -> Any:
        """Poll until a function of the page gives something true, and return that."""
        return self.page.wait_for_function(expression, arg=argument, timeout=seconds * 1000, polling=100).json_value()

    def boxes(self, name: str, seconds: float = 60.0) -> dict[str, float]:
        """Wait until boxes are drawn on a camera's video; return where, in CSS pixels of its canvas, and how many."""
        try:
            return dict(self.wait(BOXES, name, seconds))
        except Overdue as error:
            raise AssertionError(f"no boxes on {name}: {self.page.evaluate(PLIGHT, name)}") from error


BOXES: Final = """name => {
  const card = document.querySelector(`article[data-camera="${name}"]`);
  const video = card?.querySelector("video"), canvas = card?.querySelector("canvas");
  if (!video?.videoWidth || video.paused || !Number(canvas.dataset.boxes)) return null;
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height })
    .getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { width, height } = canvas, { data } = copy.getImageData(0, 0, width, height);
  let [left, top, right, bottom, area] = [width, height, 0, 0, 0];
  for (let at = 3, place = 0; at < data.length; at += 4, place++) {
    if (!data[at]) continue;
    const x = place % width, y = (place - x) / width;
    area++;
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  return area && { left, top, right, bottom, area, width, height, time: video.currentTime,
                   count: Number(canvas.dataset.boxes) };
}"""
"""Where the overlay's pixels are: null while there are none, or while no video plays."""

PLIGHT: Final = """name => {
  const card = document.querySelector(`article[data-camera="${name}"]`), video = card?.querySelector("video");
  if (!video) return "it has no card";
  const { currentTime, paused, readyState, videoWidth, buffered, error } = video;
  const ranges = Array.from({ length: buffered.length }, (_, at) => [buffered.start(at), buffered.end(at)]);
  return { text: card.innerText, currentTime, paused, readyState, videoWidth, ranges, error: error?.message,
           pictures: !card.querySelector("img").hidden, boxes: card.querySelector("canvas").dataset.boxes };
}"""
"""What a card looks like on which something is missing."""
