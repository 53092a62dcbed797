"""The review page in a real browser, from the command to the file that training reads."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from challenges.radix_smurfs.sample import write_sample

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return tmp_path / "reviewed.csv"


@pytest.fixture
def address(tmp_path: Path, labels: Path) -> Iterator[str]:
    data = write_sample(tmp_path / "sample", n_images=4, n_frames=0)
    command = [sys.executable, "-m", "challenges.radix_smurfs", "review", "--json", "--port", "0"]
    with subprocess.Popen(
        [*command, "--data", str(data), "--labels", str(labels)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()  # not SIGINT, which a shell's background jobs ignore


@pytest.fixture
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.slow
def test_a_person_reviews_with_keyboard_and_mouse(browser: Any, address: str, labels: Path) -> None:
    from playwright.sync_api import expect

    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(address)
    figures = page.locator(".figure")
    expect(page.get_by_role("status")).to_contain_text("0 of")
    figures.first.focus()
    page.keyboard.press("4")
    expect(figures.first).to_have_class("figure reviewed")
    expect(figures.first.get_by_role("button", name="Vanity Smurf")).to_have_attribute("aria-pressed", "true")
    for confirm in page.get_by_role("button", name="confirm the rest").all():
        confirm.click()
    n = figures.count()
    expect(page.get_by_role("status")).to_have_text(f"{n} of {n} reviewed.")
    assert page.evaluate("[...document.images].every((image) => image.alt)")
    assert problems == []
    page.reload()  # another day
    expect(page.get_by_role("status")).to_have_text(f"{n} of {n} reviewed.")
    rows = labels.read_text().splitlines()[1:]
    assert len(rows) == n
    assert sum(row.endswith("corrected") for row in rows) <= 1  # one was, unless it was a Vanity


@pytest.mark.slow
def test_two_pages_and_quick_clicks_keep_the_last_word(browser: Any, address: str, labels: Path) -> None:
    from playwright.sync_api import expect

    one, two = browser.new_page(viewport={"width": 390, "height": 844}), browser.new_page()
    for page in (one, two):
        page.goto(address)
        expect(page.get_by_role("status")).to_contain_text("0 of")
    held: list[Any] = []
    one.route("**/labels", lambda route: held.append(route) if not held else route.continue_())
    first = one.locator(".figure").first
    ident = str(first.get_attribute("aria-label")).split(",")[0].removeprefix("annotation ")
    first.get_by_role("button", name="Smurf", exact=True).click()  # is long on its way
    first.get_by_role("button", name="Smurfette").click()
    one.wait_for_timeout(200)
    held[0].continue_()
    expect(first).to_have_attribute("aria-label", f"annotation {ident}, reviewed: Smurfette")
    for confirm in two.get_by_role("button", name="confirm the rest").all():
        confirm.click()
    expect(two.get_by_role("status")).to_contain_text(f"{two.locator('.figure').count()} of")
    rows = dict(line.split(",")[:2] for line in labels.read_text().splitlines()[1:])
    assert rows[ident] == "2"  # Smurfette; two was opened before and showed another name
    one.locator(".figure").last.focus()
    for _ in range(one.locator(".figure").count()):
        assert one.evaluate(
            "document.activeElement.getBoundingClientRect().top"
            " >= document.querySelector('header').getBoundingClientRect().bottom"
        )  # the header covers nothing that has the focus
        one.keyboard.press("Shift+Tab")
