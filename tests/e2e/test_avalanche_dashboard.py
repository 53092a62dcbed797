"""The dashboard in real browsers: from an uploaded file to exports, two analysts at once, and texts that would run."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from pptx import Presentation

from challenges.avalanche.codebook import MACHINE, Codebook
from challenges.avalanche.sample import write_sample
from challenges.avalanche.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = [
    "<script>window.ran = 1; alert(1)</script> the price is too high",
    "<img src=x onerror='window.ran = 1'> too expensive for me",
    "![look](http://198.51.100.7/x.png) [click](javascript:window.ran=1) maps do not load",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1) crashes",
]


@dataclass
class Dashboard:
    address: str
    store: Store

    def project(self, name: str) -> tuple[int, int]:
        """Ids of the project and of its first question."""
        found = next(project for project in self.store.projects() if project.name == name)
        return found.id, found.questions[0][0]

    def book(self, name: str) -> Codebook:
        return self.store.codebook(self.project(name)[1])


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("dashboard")
    sample = write_sample(folder, n_respondents=40)
    url = f"sqlite:///{folder / 'store.sqlite'}"
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "challenges.avalanche", "dashboard", "--port", "0", "--json", "--data", str(sample)],
            cwd=REPOSITORY, env=os.environ | {"DATABASE_URL": url}, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, (folder / "log.txt").read_text()
        while "server started" not in (folder / "log.txt").read_text():
            assert process.poll() is None
        store = open_store(url)
        yield Dashboard(json.loads(said)["address"], store)
        store.engine.dispose()
        process.terminate()
        process.wait()
        assert process.stdout.read() == ""  # one line, and no more
        process.stdout.close()
    assert "Traceback" not in (folder / "log.txt").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Analyst:
    """A person at a browser of their own."""

    def __init__(self, browser: "Browser", dashboard: Dashboard, name: str) -> None:
        self.page: Page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        self.page.set_default_timeout(60_000)
        self.problems: list[str] = []
        self.name, self.address = name, dashboard.address
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self._must_stay(request.url))

    def _must_stay(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.problems.append(f"asked {url}")

    def open(self, page: str, project: int | None = None) -> None:
        self.page.goto(f"{self.address}/{page}?analyst={self.name}" + (f"&project={project}" if project else ""))
        self.settle()

    def go(self, page: str) -> None:
        self.page.get_by_role("link", name=page, exact=True).click()
        self.page.get_by_test_id("stHeading").first.wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run, and so has what it has set off."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        self.page.locator("[data-stale=true]").first.wait_for(state="detached")

    def choose(self, label: str, *options: str) -> None:
        box = self.page.get_by_role("combobox", name=label).first
        box.click()
        for option in options:
            box.fill(option)
            self.page.get_by_role("option", name=option, exact=True).first.click()
        self.page.keyboard.press("Escape")

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button).first.click()
        self.settle()

    def told(self, text: str) -> None:
        self.page.get_by_test_id("stToast").filter(has_text=text).first.wait_for()
        self.settle()

    def shot(self, folder: Path, name: str) -> None:
        assert len(self.page.screenshot(path=folder / f"{name}.png")) > 10_000


def write_survey(path: Path) -> Path:
    """The sample's texts without their themes, and some that would run."""
    source = write_sample(path.parent / "source", n_respondents=50, seed=3)
    with source.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "improve" in row["question"]]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "respondent_id", "response", "plan"])
        for i, text in enumerate([*EVIL, *(row["response"] for row in rows)]):
            writer.writerow(["What should <b>we</b> improve?", i, text, "=plan" if i % 2 else "<i>free</i>"])
    return path


@pytest.mark.slow
def test_from_an_uploaded_file_to_exports(dashboard: Dashboard, browser: "Browser", tmp_path: Path) -> None:
    ana = Analyst(browser, dashboard, "Ana")
    ana.open("")
    page = ana.page
    bad = tmp_path / "bad.csv"
    bad.write_text("name,age\nx,3\n")
    page.locator("input[type=file]").set_input_files(bad)
    page.get_by_text("bad.csv").first.wait_for()
    ana.press("Make project")
    page.get_by_text("no column of answers").wait_for()
    page.get_by_role("button", name="Remove").first.click()
    page.locator("input[type=file]").set_input_files(write_survey(tmp_path / "survey.csv"))
    page.get_by_text("survey.csv").first.wait_for()
    page.get_by_label("Name of the project").fill("My survey")
    ana.press("Make project")
    page.get_by_text("How its file was read").wait_for()
    number, question = dashboard.project("My survey")
    n_usable = dashboard.store.question(question).answers["usable"].sum()
    assert f"project={number}" in page.url
    ana.shot(tmp_path, "projects")

    ana.go("Find themes")
    ana.press("Find themes")
    page.get_by_role("button", name="Use these").wait_for()
    ana.shot(tmp_path, "find")
    ana.press("Use these")
    ana.told("Took over")
    book = dashboard.book("My survey")
    assert len(book.themes) >= 3
    assert book.coders() == [MACHINE]

    ana.go("Themes")
    first, second, third = (book.themes[theme].name for theme in book.ordered()[:3])
    page.get_by_label("Name", exact=True).first.fill("Renamed <b>theme</b>")
    ana.press("Save")
    ana.told("Renamed")
    page.get_by_role("tab", name="Merge").click()
    ana.choose("Merge these themes", second)
    ana.choose("into", third)
    page.get_by_role("button", name="Merge", exact=True).click()
    ana.told("Merged")
    merged = dashboard.book("My survey")
    assert merged.find("Renamed <b>theme</b>") == book.find(first)
    assert merged.find(second) is None
    assert len(merged.themes) == len(book.themes) - 1

    ana.go("Queue")
    for n in range(1, 21):
        save = page.get_by_role("button", name="Save and next")
        save.wait_for()
        if not save.is_enabled():
            page.keyboard.press("1")
            page.get_by_role("button", name="Save and next", disabled=False).wait_for()
            ana.settle()
        if n == 1:
            ana.shot(tmp_path, "queue")
        page.keyboard.press("s")
        page.get_by_text(f"{n} of {n_usable}").first.wait_for()
        ana.settle()
    decided = {row: by["Ana"] for row, by in dashboard.book("My survey").decisions.items() if "Ana" in by}
    assert len(decided) == 20
    page.reload()
    ana.settle()
    page.get_by_text(f"20 of {n_usable}").first.wait_for()
    assert page.get_by_label("Your name").input_value() == "Ana"

    for name in ("Map", "Answers", "Language", "Together", "Agreement", "Shares", "Segments", "Quotes", "History"):
        ana.go(name)
        assert page.get_by_test_id("stException").count() == 0
        ana.shot(tmp_path, name)
    ana.press("Undo my last step")
    ana.told("Undid")
    assert sum("Ana" in by for by in dashboard.book("My survey").decisions.values()) == 19

    ana.go("Summary")
    ana.shot(tmp_path, "summary")
    files: dict[str, Any] = {}
    for kind in ("PowerPoint", "Excel", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).click()
        files[kind] = download.value.path().read_bytes()
    assert len(Presentation(io.BytesIO(files["PowerPoint"])).slides) >= 3
    workbook = openpyxl.load_workbook(io.BytesIO(files["Excel"]))
    assert all(cell.data_type != "f" for sheet in workbook for row in sheet.iter_rows() for cell in row)
    table = list(csv.DictReader(io.StringIO(files["CSV"].decode("utf-8-sig"))))
    assert any(row["response"] == "'" + EVIL[3] for row in table)
    assert any(row["response"] == EVIL[0] for row in table)
    assert len({row["respondent_id"] for row in table if row["coded_by"] == "Ana"}) == 19
    assert page.evaluate("window.ran") is None
    assert ana.problems == []
    page.context.close()


@pytest.mark.slow
def test_two_analysts_at_once(dashboard: Dashboard, browser: "Browser", tmp_path: Path) -> None:
    project, _ = dashboard.project("hiking_app")
    people = [Analyst(browser, dashboard, name) for name in ("Ana", "Ben")]
    for person in people:
        person.open("themes", project)
    before = dashboard.book("hiking_app")
    for person in people:  # both have seen the same name
        person.page.get_by_label("Name", exact=True).first.fill(f"As {person.name} says")
    ana, ben = people
    ana.press("Save")
    ana.told("Renamed")
    ben.press("Save")
    ben.page.get_by_text("was changed meanwhile").wait_for()
    after = dashboard.book("hiking_app")
    assert after.themes[before.ordered()[0]].name == "As Ana says"
    ben.shot(tmp_path, "conflict")

    for person in people:
        person.go("Answers")
        person.page.get_by_placeholder("all of these words").fill("price")
        person.page.keyboard.press("Enter")
        person.settle()
        # The header's box of the table, which is drawn on a canvas, ticks every row.
        person.page.get_by_test_id("stDataFrame").click(position={"x": 18, "y": 18})
        person.page.get_by_text("answers chosen").wait_for()
        person.page.get_by_label("Add a new theme").fill(f"{person.name}'s theme")
    for person in people:  # at the same moment, as far as one test can
        person.page.get_by_role("button", name="Code them").click(no_wait_after=True)
    for person in people:
        person.told("Coded")
    book = dashboard.book("hiking_app")
    theirs = {p.name: {row for row, by in book.decisions.items() if p.name in by} for p in people}
    assert theirs["Ana"]
    assert theirs["Ana"] == theirs["Ben"]
    for name in ("Ana", "Ben"):
        theme = book.find(f"{name}'s theme")
        assert all(theme in book.decisions[row][name].themes for row in theirs[name])
    ana.go("Agreement")
    ana.page.get_by_text("Krippendorff's alpha").first.wait_for()
    ana.shot(tmp_path, "agreement")
    assert [ana.problems, ben.problems] == [[], []]
    for person in people:
        person.page.context.close()
