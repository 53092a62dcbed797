"""The review page in a real browser, from the command to the file that training reads."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


@pytest.mark.slow
def test_a_person_reviews_with_keyboard_and_mouse(address: str, labels: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
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
        browser.close()
    rows = labels.read_text().splitlines()[1:]
    assert len(rows) == n
    assert sum(row.endswith("corrected") for row in rows) <= 1  # one was, unless it was a Vanity
