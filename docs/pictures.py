"""What the front page shows of each challenge: its room in the demo, asked with its example, as the browser draws it.

    python docs/pictures.py

Only generated samples are asked. Writes docs/pictures/<challenge>.png, each SIZE pixels and at most MAX_BYTES.
"""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from challenges.demo import make_rooms
from challenges.radix_neurips.sample import TABLE, write_sample
from common.cli import DATA
from common.data.tables import replace_atomically

PICTURES = Path(__file__).resolve().with_suffix("")
SIZE = (640, 440)
MAX_BYTES = 60_000
WIDTH = 560  # of a page, in its own pixels: little, so that words can be read in a small picture
REPORT_WIDTH = 860  # its figures stand side by side
MARGIN = 20  # of a page
ALONE = """
* { animation: none !important; }
body > :not(main), main > :not(#results) { display: none !important; }
#results { margin-top: 0 !important; }
"""
COLOURS = (256, 160, 96, 64)  # of a palette, until the file is small enough
ANSWERED = {
    "vinted": "#results .bar",
    "movies": "#genres .bar",
    "smurfs": "#results canvas",
    "neurips": "#results mark",
    "energy": "#results .bar",
    "avalanche": "#results blockquote",
}
"""What is on a room's page once it has answered. Energy is asked for its report, whose first type is shown."""


@contextmanager
def running_demo() -> Iterator[str]:
    """Yield the address of a demo of this checkout."""
    papers = DATA / "radix_neurips" / "sample"  # even where the official ones are
    write_sample(papers)
    options = ["--port", "0", "--json", "--papers", papers / f"{TABLE}.zip"]
    command = [sys.executable, "-m", "challenges.demo", "serve", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def take(page: Page, address: str, room: str) -> bytes:
    """Ask the example of a room; the upper part of its answer as a PNG."""
    in_report = room == "energy"
    width = REPORT_WIDTH if in_report else WIDTH
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}/{room}/")
    page.click("#example")
    page.locator(ANSWERED[room]).first.wait_for()
    page.add_style_tag(content=ALONE)
    if in_report:
        page.set_content(page.locator("iframe").get_attribute("srcdoc") or "")
    shown = page.locator("section.type" if in_report else "#results").first
    shown.evaluate("shown => Promise.all([...shown.querySelectorAll('img')].map((image) => image.decode()))")
    box = shown.bounding_box()
    assert box is not None
    clip = {"x": box["x"] - MARGIN, "y": box["y"] - MARGIN, "width": width, "height": width * SIZE[1] / SIZE[0]}
    return page.screenshot(full_page=True, clip=clip)


def small(png: bytes) -> bytes:
    """The same in SIZE, with as many colours as MAX_BYTES allow."""
    image = Image.open(io.BytesIO(png)).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    for n_colours in COLOURS:
        out = io.BytesIO()
        image.quantize(n_colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MAX_BYTES:
            return out.getvalue()
    raise SystemExit(f"a picture has {out.tell()} bytes in {n_colours} colours, more than {MAX_BYTES}")


def main() -> None:
    """Take a picture of every room."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no chromium on this machine; on Debian: apt install chromium")
    with running_demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=2)
        page.set_default_timeout(300_000)
        for room in make_rooms():
            with replace_atomically(PICTURES / f"{room}.png") as part:
                part.write_bytes(small(take(page, address, room)))
            print(PICTURES / f"{room}.png")
        browser.close()


if __name__ == "__main__":
    main()
