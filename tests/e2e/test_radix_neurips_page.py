"""The papers' page in a real browser, served by the real command."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.models.text import SHIPPED

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NASTY = "<img src=x onerror=alert(1)>"
PAPERS = [
    (
        "a",
        2015,
        "Bandits with \U0001d4a6 arms",
        "Of \U0001d4a6-armed bandits the regret bound is tight.",
    ),
    ("b", 2018, f"Regret {NASTY}", f"Bandits {NASTY} have a regret bound. We add <script>alert(1)</script> to it."),
    ("c", 2021, "Point clouds", "Sparse convolutions segment point clouds of indoor scenes."),
    ("d", 2022, "Optimal transport", "Wasserstein distances are estimated by entropic regularisation."),
    ("e", 2023, "Optimal transport, again", "Wasserstein distances are estimated by entropic regularisation."),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of `python -m challenges.radix_neurips serve` on five papers."""
    folder = tmp_path_factory.mktemp("papers")
    with (folder / "papers.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("paper_id", "year", "title", "abstract"), *PAPERS])
    command = [sys.executable, "-m", "challenges.radix_neurips", "serve", "--data", str(folder / "papers.csv")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--model", str(SHIPPED), "--port", "0", "--json"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["address"], process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def open_page(service: tuple[str, subprocess.Popen]) -> Iterator[Callable]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def open_page(width: int = 1000, **options: object):
            page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
            page.set_default_timeout(60_000)
            page.problems = []
            page.on("pageerror", lambda error: page.problems.append(str(error)))
            page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
            page.on("dialog", lambda dialog: page.problems.append(f"a script ran: {dialog.message}"))
            page.goto(service[0])
            return page

        yield open_page
        browser.close()


def search(page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#find").click()
    page.locator("#results li").first.wait_for()


@pytest.mark.slow
def test_an_abstract_finds_papers_with_highlights_and_nothing_in_them_runs(open_page: Callable, tmp_path: Path):
    for scheme, width in (("light", 1000), ("dark", 1000), ("light", 390)):
        page = open_page(width, color_scheme=scheme)
        search(page, "A regret bound of bandits.")
        titles = page.locator("#results h2").all_inner_texts()
        assert len(titles) == 4  # d and e have one abstract, and take one place
        assert set(titles[:2]) == {"Bandits with \U0001d4a6 arms", f"Regret {NASTY}"}
        marked = page.locator("#results li", has_text="arms").locator("mark").all_inner_texts()
        assert marked == ["bandits", "regret bound"]
        assert NASTY in page.locator("#results").inner_text()
        assert page.locator("#results img, #results script").count() == 0
        folded = page.locator("#results li", has_text="Optimal transport").inner_text()
        assert "Nearly the same text: Optimal transport" in folded
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow == 0
        assert page.problems == []
        page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)


@pytest.mark.slow
def test_years_filter_and_several_papers_are_looked_around(open_page: Callable, tmp_path: Path):
    page = open_page()
    page.locator("#from").fill("2020")
    page.locator("#to").fill("2021")
    search(page, "A regret bound of bandits.")
    assert page.locator("#results h2").all_inner_texts() == ["Point clouds"]
    page.locator("#from").fill("")
    page.locator("#to").fill("")
    page.locator("#text").press("Control+Enter")
    page.locator("#results li").nth(3).wait_for()
    for paper_id in "ab":
        page.locator(f".like[value={paper_id}]").click()
    assert page.locator("#chosen li").count() == 2
    page.screenshot(path=tmp_path / "chosen.png", full_page=True)
    page.get_by_role("button", name="Find more").click()
    page.get_by_text("2 papers nearest to Bandits with").wait_for()
    assert set(page.locator("#results h2").all_inner_texts()) <= {
        "Point clouds",
        "Optimal transport",
        "Optimal transport, again",
    }
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#chosen").is_hidden()
    page.locator("#from").fill("2023")
    page.locator("#to").fill("2001")
    page.locator("#find").click()
    page.get_by_text("first_year is after last_year").wait_for()
    assert [problem for problem in page.problems if "422" not in problem] == []  # the browser logs the refusal


@pytest.mark.slow
def test_the_page_tells_when_nobody_answers(open_page: Callable, service: tuple[str, subprocess.Popen]):
    page = open_page()
    service[1].kill()
    service[1].wait()
    page.locator("#text").fill("bandits")
    page.locator("#find").click()
    page.get_by_text("The service cannot be reached").wait_for()
