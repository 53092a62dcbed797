"""The page in a real browser."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from challenges.vinted.service import example_photo

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def open_page(service) -> Iterator[Callable]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def open_page(address: str = service.address, **options: object):
            page = browser.new_context(viewport={"width": 1000, "height": 900}, **options).new_page()
            page.set_default_timeout(60_000)
            page.problems = []
            page.on("pageerror", lambda error: page.problems.append(str(error)))
            page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
            page.goto(address)
            return page

        yield open_page
        browser.close()


DROP = """([files, target]) => {
  const transfer = new DataTransfer();
  for (const [name, data] of files) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  const details = { dataTransfer: transfer, bubbles: true, cancelable: true };
  for (const type of ["dragenter", "dragover", "drop"])
    document.querySelector(target).dispatchEvent(new DragEvent(type, details));
}"""


def drop(page, *files: tuple[str, bytes]) -> None:
    page.evaluate(DROP, [[[name, base64.b64encode(data).decode()] for name, data in files], ".drop"])


@pytest.mark.slow
def test_a_dropped_photo_is_shown_with_its_answer(open_page: Callable, tmp_path: Path):
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        drop(page, ("shirt.jpg", example_photo()))
        card = page.locator("#results li")
        card.wait_for()
        text = card.inner_text()
        assert "shirt.jpg" in text
        assert "Shirts" in text
        assert "✓ floral" in text
        assert "Blue" in text
        assert page.locator(".bar").count() == 2
        assert page.evaluate("document.querySelector('.card img').naturalWidth") == 400
        assert page.problems == []
        page.wait_for_timeout(700)  # the bars have grown
        assert len(page.screenshot(path=tmp_path / f"{scheme}.png")) > 10_000


@pytest.mark.slow
def test_a_bad_file_shows_a_readable_error_beside_the_good_one(open_page: Callable, tmp_path: Path):
    page = open_page()
    drop(page, ("<img src=x onerror=alert(1)>.jpg", b"no photo"), ("good.jpg", example_photo()))
    page.locator("#results li").nth(1).wait_for()
    bad = page.locator("#results li", has=page.locator(".error"))
    assert bad.count() == 1
    assert "This photo could not be read." in bad.inner_text()
    assert "Not an image format that is read" in bad.inner_text()
    assert "<img src=x onerror=alert(1)>.jpg" in bad.inner_text()
    assert page.problems == []
    page.wait_for_timeout(700)
    page.screenshot(path=tmp_path / "error.png")


PADDED = """([data, sizes]) => {
  const photo = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  sizes.forEach((size, i) => transfer.items.add(new File([photo, new Uint8Array(size - photo.length)], `${i}.jpg`)));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
MIB = 2**20


@pytest.mark.slow
def test_many_large_photos_are_sent_in_parts_that_the_service_takes(open_page: Callable):
    page = open_page()
    sent: list[int] = []
    page.on("request", lambda request: sent.append(1) if request.method == "POST" else None)
    sizes = [4 * MIB] * 9 + [40 * MIB] + [MIB // 8] * 40  # nine in two parts, one alone, forty in two
    page.evaluate(PADDED, [base64.b64encode(example_photo()).decode(), sizes])
    page.locator("#results li").nth(len(sizes) - 1).wait_for()
    assert page.locator("#results li .bar").count() == 2 * (len(sizes) - 1)
    assert len(sent) == 5
    refused = page.locator("#results li", has=page.locator(".error"))
    assert refused.count() == 1
    assert "9.jpg" in refused.inner_text()
    assert "The body is larger than the limit" in refused.inner_text()
    assert page.locator("#notice:not([hidden])").count() == 0


@pytest.mark.slow
def test_the_page_works_with_the_keyboard(open_page: Callable):
    page = open_page()
    with page.expect_file_chooser() as chosen:  # the browser needs a moment to listen: subscribe before the first key
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        page.keyboard.press("Enter")
    chosen.value.set_files({"name": "chosen.jpg", "mimeType": "image/jpeg", "buffer": example_photo()})
    page.locator("#results li").wait_for()
    assert "chosen.jpg" in page.locator("#results li").inner_text()


@pytest.mark.slow
def test_the_page_asks_for_the_token_and_tells_when_nobody_answers(open_page: Callable, start_service: Callable):
    guarded = start_service(SERVICE_TOKEN="sesame")
    page = open_page(guarded.address)
    drop(page, ("shirt.jpg", example_photo()))
    page.locator("#secret").fill("sesame")
    page.locator("#secret").press("Enter")
    page.locator("#results li").wait_for()
    assert "Shirts" in page.locator("#results li").inner_text()
    guarded.end()
    drop(page, ("shirt.jpg", example_photo()))
    page.get_by_text("The service cannot be reached").wait_for()
