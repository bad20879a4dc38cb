"""Records a tour of the lab page in Debian's Chromium: docs/tour.mp4, a minute, and docs/tour.gif,
its beginning. What is clicked is real; the waits for jobs are cut short.

python docs/make_tour.py        # needs the extras lab and video, and Playwright
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image
from playwright.sync_api import sync_playwright

import unfog.lab.examples

ROOT = Path(__file__).parent
EXAMPLES = Path(unfog.lab.examples.__file__).parent
SIZE = {"width": 1100, "height": 720}
RATE, SECONDS = 12, 60.0  # frames a second; the longest tour
GIF_RATE, GIF_SECONDS, GIF_WIDTH, COLOURS = 4, 16.0, 550, 48
WAIT = 3.0  # seconds that are left of a wait for a job
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass
class Tour:
    """A page, its frames as (time, JPEG), and the times in which it waited."""

    page: Any
    home: str
    frames: list[tuple[float, bytes]] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)

    def begin(self) -> None:
        """Record from now on."""
        session = self.page.context.new_cdp_session(self.page)

        def drawn(event: Any) -> None:
            self.frames.append((time.monotonic(), base64.b64decode(event["data"])))
            session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

        session.on("Page.screencastFrame", drawn)
        session.send("Page.startScreencast", {"format": "jpeg", "quality": 88})

    def pause(self, seconds: float) -> None:
        """Let a viewer look."""
        self.page.wait_for_timeout(1000 * seconds)

    def done(self) -> None:
        """Wait for the job of this page."""
        begun = time.monotonic()
        self.page.wait_for_selector(".panel.done, .panel.failed", timeout=300_000)
        assert self.page.query_selector(".panel.done"), self.page.inner_text(".panel")
        self.waits.append((begun, time.monotonic()))

    def slide(self, selector: str, values: Iterator[float] | range) -> None:
        """Move a slider through values."""
        slider = self.page.locator(selector)
        slider.scroll_into_view_if_needed()
        for value in values:
            slider.fill(str(value))
            self.page.wait_for_timeout(90)

    def shown_at(self, moment: float) -> float:
        """When a moment comes in the tour, its waits cut short."""
        spent = moment - self.frames[0][0]
        for begun, ended in self.waits:
            inside = min(max(moment - begun, 0.0), ended - begun)
            spent -= inside * (1 - min(1.0, WAIT / (ended - begun)))
        return spent


def restoring(tour: Tour) -> None:
    """A noisy slice comes back with its uncertainty."""
    tour.pause(2)
    tour.page.get_by_role("button", name="A noisy T1 slice").click()
    tour.page.wait_for_url("**/restore?job=*")
    tour.done()
    tour.slide(".wipe input", range(50, 101, 4))
    tour.slide(".wipe input", range(100, 19, -4))
    tour.page.get_by_label("Show where it is unsure").check()
    tour.pause(1.5)


def noising(tour: Tour) -> None:
    """Through time: garments, then points in the plane with the score."""
    tour.page.goto(f"{tour.home}/noise")
    tour.page.wait_for_selector("[data-walk=fashion] .player[data-ready]")
    _through(tour, "fashion")
    tour.page.select_option("#walk", "vp-linear")
    tour.page.wait_for_selector("[data-walk=vp-linear] .player[data-ready]")
    _through(tour, "vp-linear")


def _through(tour: Tour, walk: str) -> None:
    """The slider of a walk, from noise to data."""
    slider = f"[data-walk={walk}] input"
    last = int(tour.page.get_attribute(slider, "max") or 0)
    tour.slide(slider, range(0, last + 1, max(1, last // 30)))
    tour.pause(0.7)


def painting(tour: Tour) -> None:
    """A hole is painted over a shirt, and filled in."""
    page = tour.page
    page.goto(f"{tour.home}/restore")
    page.set_input_files("#scan", EXAMPLES / "shirt.png")
    for field_, value in (("#task", "inpaint"), ("#run", "garments")):
        page.select_option(field_, value)
    canvas = page.locator(".paint canvas")
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    page.locator("[data-brush]").fill("4")
    box = canvas.bounding_box()
    for row in range(9, 20, 3):
        across = [9, 19] if row % 2 else [19, 9]
        places = [(c * box["width"] / 28, (row + 0.5) * box["height"] / 28) for c in across]
        page.mouse.move(box["x"] + places[0][0], box["y"] + places[0][1])
        page.mouse.down()
        page.mouse.move(box["x"] + places[1][0], box["y"] + places[1][1], steps=12)
        page.mouse.up()
    for name, value in (("noise", "2"), ("steps", "20"), ("samples", "4")):
        page.fill(f"#{name}", value)
    page.get_by_role("button", name="Restore").click()
    page.wait_for_url("**/restore?job=*")
    tour.done()
    tour.slide(".wipe input", range(50, -1, -4))
    tour.pause(1)


def scanning(tour: Tour) -> None:
    """Diffusion MRI, denoised and scrolled."""
    tour.page.goto(f"{tour.home}/dmri")
    tour.page.get_by_role("button", name="A synthetic scan").click()
    tour.page.wait_for_url("**/dmri?job=*")
    tour.done()
    tour.page.locator("[data-slice]").scroll_into_view_if_needed()
    tour.slide("[data-at]", [k / 20 for k in range(4, 17)])
    tour.page.get_by_role("button", name="Open in 3-D").click()
    tour.page.wait_for_selector("canvas[data-shown]", timeout=60_000)
    tour.pause(2.5)


def record(folder: Path) -> Tour:
    """The tour through a server of an empty folder."""
    with _server(folder) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        home = address.partition("/enter")[0]
        page.wait_for_url(f"{home}/")
        tour = Tour(page, home)
        tour.begin()
        for part in (restoring, noising, painting, scanning):
            part(tour)
        browser.close()
    return tour


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """The lab in a process of its own, and the address that it prints."""
    command = [sys.executable, "-m", "unfog", "lab", str(folder), "--port", "0"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        yield next(line.split()[1] for line in child.stderr if line.startswith("Open "))
    finally:
        child.terminate()
        child.wait(30)


def stills(tour: Tour, rate: int, seconds: float) -> Iterator[Image.Image]:
    """What is to be seen at each tick of the tour."""
    times = [tour.shown_at(moment) for moment, _ in tour.frames]
    number = 0
    for tick in range(int(min(times[-1] + 1, seconds) * rate)):
        while number + 1 < len(times) and times[number + 1] <= tick / rate:
            number += 1
        yield Image.open(io.BytesIO(tour.frames[number][1])).convert("RGB")


def write_mp4(tour: Tour, path: Path) -> None:
    """The whole tour in H.264."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        stream = file.add_stream("libx264", rate=RATE, options={"crf": "27", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = SIZE["width"], SIZE["height"], "yuv420p"
        for number, still in enumerate(stills(tour, RATE, SECONDS)):
            frame = av.VideoFrame.from_image(still.resize((SIZE["width"], SIZE["height"])))
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def write_gif(tour: Tour, path: Path) -> None:
    """The beginning, small, in few colours."""
    height = GIF_WIDTH * SIZE["height"] // SIZE["width"]
    small = [
        still.resize((GIF_WIDTH, height), Image.Resampling.LANCZOS)
        for still in stills(tour, GIF_RATE, GIF_SECONDS)
    ]
    palette = small[-1].quantize(COLOURS)
    flat = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in small]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=1000 // GIF_RATE, loop=0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        recorded = record(Path(made) / "runs")
    write_mp4(recorded, ROOT / "tour.mp4")
    write_gif(recorded, ROOT / "tour.gif")
