"""The page in a real browser."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from challenges.radix_movies.drawing import draw_poster
from common.data.images import encode_jpeg

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (tmp_path_factory.mktemp("service") / "log.jsonl").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "challenges.radix_movies", "serve", "--port", "0", "--json"],
            cwd=REPOSITORY, env=os.environ, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        while httpx.get(f"{address}/ready").status_code != 200:
            pass
        yield address
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_film_is_answered_and_explained(address: str, tmp_path: Path):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    poster = tmp_path / "poster.jpg"
    poster.write_bytes(encode_jpeg(draw_poster(np.random.default_rng(0), ["Horror"], "The Cellar")))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 1000})
        page.set_default_timeout(60_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.click("#ask")
        assert "Give a synopsis or a poster" in page.locator("#notice").inner_text()
        page.fill("#title", "The Cellar")
        page.fill("#synopsis", "A family moves into a haunted house where a demon kills them one by one.")
        page.set_input_files("#file", poster)
        page.locator("#preview").wait_for()
        page.click("#ask")
        page.locator("#results").wait_for()
        assert page.locator("#genres .bar").count() == 5
        assert page.locator("#genres .bar").first.inner_text().startswith("Horror")
        assert page.locator("#words span").count() == 17
        assert page.locator("#grid div").count() == 24
        assert page.locator("#used").inner_text() == "From synopsis and poster"
        assert len(page.screenshot(path=tmp_path / "page.png", full_page=True)) > 10_000
        page.click("button[type=reset]")
        page.fill(
            "#synopsis", "Une jeune femme rencontre un homme mystérieux qui change sa vie pendant un long voyage."
        )
        page.click("#ask")
        page.get_by_text("the synopsis is not English").wait_for()
        assert problems == []
        browser.close()
