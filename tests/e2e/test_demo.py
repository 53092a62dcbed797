"""The demo in a real browser: every room is entered, asked, and given something that it cannot read."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from challenges.avalanche.sample import write_sample as write_survey
from challenges.radix_energy.sample import as_csv, generate
from challenges.radix_smurfs.sample import write_sample as write_smurfs
from challenges.vinted.service import example_photo
from common.data.images import encode_jpeg

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ROOMS = ("vinted", "movies", "smurfs", "neurips", "energy", "avalanche")
START_S = 30  # it takes one on a machine with nothing else to do

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of `python -m challenges.demo serve`."""
    command = [sys.executable, "-m", "challenges.demo", "serve", "--port", "0", "--json"]
    patient = os.environ | {"SERVICE_DEADLINE_S": "120"}  # other tests run beside this one
    started = time.monotonic()
    with (tmp_path_factory.mktemp("demo") / "log.jsonl").open("w") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=patient, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["address"]
    assert httpx.get(address).status_code == 200
    assert time.monotonic() - started < START_S
    for name in ("energy", "avalanche"):  # these warm up while the others are looked at
        assert httpx.get(f"{address}/{name}/", timeout=60).status_code == 200
    yield address
    process.terminate()
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def enter(address: str) -> Iterator[Callable]:
    """A function that opens a room's page."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def complain(name: str, message) -> None:
            if message.type == "error" and "the server responded with a status of" not in message.text:  # it is told
                problems.append(f"{name}: {message.text}")

        def enter(name: str):
            page = browser.new_page(viewport={"width": 1000, "height": 900})
            page.set_default_timeout(120_000)
            page.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
            page.on("console", lambda message: complain(name, message))
            page.on("dialog", lambda dialog: problems.append(f"{name}: a script ran"))
            page.goto(f"{address}/{name}/" if name else address)
            return page

        yield enter
        browser.close()
    assert problems == []


def drop(page, name: str, data: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": data})


def told(page) -> str:
    page.locator("#notice:not([hidden])").wait_for()
    return page.locator("#notice").inner_text()


def test_the_front_page_leads_to_every_room_and_back(enter: Callable):
    page = enter("")
    assert [card.get_attribute("href") for card in page.locator("main a").all()] == [f"{name}/" for name in ROOMS]
    page.locator("img[src^=blob]").nth(2).wait_for()
    page.get_by_text("Vinted", exact=True).click()
    page.get_by_text("Drop photos here").wait_for()
    page.get_by_text("All challenges").click()
    page.get_by_text("Six challenges").wait_for()


def test_vinted(enter: Callable):
    page = enter("vinted")
    drop(page, "shirt.jpg", example_photo())
    page.locator("#results .bar").nth(1).wait_for()
    assert "✓ floral" in page.locator("#results").inner_text()
    drop(page, "bad.jpg", b"no photo")
    page.get_by_text("This photo could not be read.").wait_for()


def test_movies(enter: Callable):
    page = enter("movies")
    page.click("#example")
    page.locator("#genres .bar").nth(4).wait_for()
    assert page.locator("#genres .bar").first.inner_text().startswith("Horror")
    assert page.locator("#grid div").count() == 24
    page.click("button[type=reset]")
    drop(page, "bad.jpg", b"no poster")
    page.locator("#preview[src]").wait_for()
    page.click("#ask")
    assert "The poster cannot be used" in told(page)


def test_neurips(enter: Callable):
    page = enter("neurips")
    page.click("#example")
    page.locator("#results mark").first.wait_for()
    assert page.locator("#results li").count() == 10
    page.fill("#text", "?!")
    page.click("#find")
    assert told(page)


def test_smurfs(enter: Callable, tmp_path: Path):
    page = enter("smurfs")
    page.click("#example")
    page.locator("#results canvas").wait_for()
    assert page.locator("#results .chip").count() >= 1
    cyan = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v, i, all) =>"
        " i % 4 == 0 && v == 0 && all[i + 1] == 215 && all[i + 2] == 255)"
    )
    assert page.locator("canvas").evaluate(cyan)  # the outline of a plain Smurf
    clip = write_smurfs(tmp_path, n_images=1, n_frames=8) / "sample_video.mp4"
    drop(page, "clip.mp4", clip.read_bytes())
    page.locator("#results video").wait_for()
    page.locator("video[src^=blob]").evaluate("video => video.readyState || new Promise(r => video.onloadeddata = r)")
    assert page.locator("video").evaluate("video => video.videoWidth") > 0
    files = (("bad.mp4", b"no video"), ("snow.png", encode_jpeg(np.full((90, 90, 3), 255, np.uint8))))
    page.set_input_files(
        "#file", [{"name": n, "mimeType": "application/octet-stream", "buffer": data} for n, data in files]
    )
    page.get_by_text("Nobody was found.").wait_for()  # a file that is refused stops no other
    assert "not a video" in page.locator("#results li", has_text="bad.mp4").inner_text()
    assert page.get_by_role("img", name="snow.png, Smurfs outlined").is_visible()
    drop(page, "bad.jpg", encode_jpeg(np.zeros((9, 9, 3), np.uint8))[:60])
    page.get_by_text("This picture could not be read.").wait_for()


def test_energy(enter: Callable):
    page = enter("energy")
    drop(page, "readings.csv", as_csv(generate(30, 2)).encode())
    page.locator("#results .bar").first.wait_for()
    assert "types among 30 households" in page.locator("#results .card").inner_text()
    report = page.frame_locator("iframe")
    report.get_by_text("Nothing had to be repaired").wait_for()
    assert "Read from upload.csv" in report.locator("header").inner_text()
    drop(page, "bad.csv", b"name,colour\nanna,red\n")
    assert "neither times nor hours" in told(page)


def test_avalanche(enter: Callable, tmp_path: Path):
    page = enter("avalanche")
    drop(page, "answers.csv", write_survey(tmp_path, 30).read_bytes())
    page.locator("#results blockquote").first.wait_for()
    assert page.locator("#results article").count() == 2
    assert "usable answers" in page.locator("#results").inner_text()
    assert page.get_by_text("make avalanche-dashboard").count() == 1
    drop(page, "bad.csv", b"colour,size\nred,1\n")
    assert "no column of answers" in told(page)
