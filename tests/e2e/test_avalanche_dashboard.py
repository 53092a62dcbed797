"""The dashboard in real browsers: from an uploaded file to exports, two analysts at once, and texts that would run."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from pptx import Presentation

from challenges.avalanche.codebook import MACHINE, Codebook
from challenges.avalanche.operations import code_answer
from challenges.avalanche.sample import write_sample
from challenges.avalanche.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).resolve().parents[2]
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder, for a person who wants to look at them
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = [
    "<script>window.ran = 1; alert(1)</script> the price is too high",
    "<img src=x onerror='window.ran = 1'> too expensive for me",
    "![look](http://198.51.100.7/x.png) [click](javascript:window.ran=1) maps do not load",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1) crashes",
]
# When the page last spoke to the server and the server to the page.
LISTEN = """(() => {
  window.spoke = {sent: 0, got: 0};
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', () => { spoke.got = performance.now(); });
    }
    send(data) { spoke.sent = performance.now(); super.send(data); }
  };
})()"""
# Kept when the server has answered what the page asks from now on. A short run's state may never be drawn, so what
# counts is that nothing has come for a moment and that the script is not seen to run.
RUN = """() => { window.answered = new Promise((resolve, reject) => {
  const start = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - start > 180000) reject(new Error('the script has not run'));
    if (spoke.sent < start || spoke.got < spoke.sent || now - spoke.got < 100) return;
    const state = document.querySelector('[data-testid=stApp]').getAttribute('data-test-script-state');
    if (state !== 'notRunning' || document.querySelector('[data-stale=true]')) return;
    clearInterval(timer);
    resolve();
  }, 10);
}); }"""


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
    process = subprocess.Popen(
        [sys.executable, "-m", "challenges.avalanche", "dashboard", "--port", "0", "--json", "--data", str(sample)],
        cwd=REPOSITORY, env=os.environ | {"DATABASE_URL": url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        log = list(takewhile(lambda line: "server started" not in line, process.stderr))
        rest = threading.Thread(target=log.extend, args=(process.stderr,))
        rest.start()
        said = process.stdout.readline()
        assert said, log
        store = open_store(url)
        yield Dashboard(json.loads(said)["address"], store)
        store.engine.dispose()
        process.terminate()
        rest.join()
        assert process.stdout.read() == ""  # one line, and no more
    assert "Traceback" not in "".join(log)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


class Analyst:
    """A person at a browser of their own."""

    def __init__(self, browser: "Browser", dashboard: Dashboard, name: str) -> None:
        self.page: Page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        self.page.set_default_timeout(180_000)
        self.page.add_init_script(LISTEN)
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
        with self.run():
            self.page.get_by_role("link", name=page, exact=True).click()

    @contextmanager
    def run(self) -> Iterator[None]:
        """Do something that the page's script answers, and wait until it has."""
        self.page.evaluate(RUN)
        yield
        self.page.evaluate("() => window.answered")

    def settle(self) -> None:
        """Wait until a page that was loaded is there."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        self.page.get_by_test_id("stHeading").first.wait_for()

    def choose(self, label: str, *options: str) -> None:
        box = self.page.get_by_role("combobox", name=label).first
        box.click()
        for option in options:
            box.fill(option)
            self.page.get_by_role("option", name=option, exact=True).first.click()
        self.page.keyboard.press("Escape")

    def press(self, button: str, told: str = "", exact: bool = False) -> None:
        with self.run():
            self.page.get_by_role("button", name=button, exact=exact).first.click()
            if told:
                self.told(told)

    def told(self, text: str) -> None:
        """Wait for a message; it goes after seconds, so nothing else may be waited for before."""
        self.page.get_by_test_id("stToast").filter(has_text=text).first.wait_for()

    def shot(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{self.name}-{name}.png", full_page=True)


def write_survey(path: Path) -> Path:
    """The sample's texts without their themes, and some that would run."""
    source = write_sample(path.parent / "source", n_respondents=40, seed=2)
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
    ana.press("Make project", "no column of answers")
    page.get_by_role("button", name="Remove").first.click()
    page.locator("input[type=file]").set_input_files(write_survey(tmp_path / "survey.csv"))
    page.get_by_text("survey.csv").first.wait_for()
    page.get_by_label("Name of the project").fill("My survey")
    ana.press("Make project", "Project made")
    number, question = dashboard.project("My survey")
    n_usable = dashboard.store.question(question).answers["usable"].sum()
    assert f"project={number}" in page.url
    ana.shot("projects")

    ana.go("Find themes")
    ana.press("Find themes")
    page.get_by_role("button", name="Use these").wait_for()
    ana.shot("find")
    ana.press("Use these", "Took over")
    book = dashboard.book("My survey")
    assert len(book.themes) >= 3
    assert book.coders() == [MACHINE]

    ana.go("Themes")
    first, second, third = (book.themes[theme].name for theme in book.ordered()[:3])
    page.get_by_label("Name", exact=True).first.fill("Renamed <b>theme</b>")
    ana.press("Save", "Renamed")
    page.get_by_role("tab", name="Merge").click()
    ana.choose("Merge these themes", second)
    ana.choose("into", third)
    ana.press("Merge", "Merged", exact=True)
    merged = dashboard.book("My survey")
    assert merged.find("Renamed <b>theme</b>") == book.find(first)
    assert merged.find(second) is None
    assert len(merged.themes) == len(book.themes) - 1

    ana.go("Queue")
    for n in range(1, 21):
        save = page.get_by_role("button", name="Save and next")
        save.wait_for()
        if not save.is_enabled():
            with ana.run():
                page.keyboard.press("1")
        if n == 1:
            ana.shot("queue")
        with ana.run():
            page.keyboard.press("s")
        page.get_by_text(f"{n} of {n_usable}").first.wait_for()
    decided = {row: by["Ana"] for row, by in dashboard.book("My survey").decisions.items() if "Ana" in by}
    assert len(decided) == 20
    page.reload()
    ana.settle()
    page.get_by_text(f"20 of {n_usable}").first.wait_for()
    assert page.get_by_label("Your name").input_value() == "Ana"

    for name in ("Map", "Answers", "Language", "Together", "Agreement", "Shares", "Segments", "Quotes", "History"):
        ana.go(name)
        assert page.get_by_test_id("stException").count() == 0
        ana.shot(name)
    ana.press("Undo my last step", "Undid")
    assert sum("Ana" in by for by in dashboard.book("My survey").decisions.values()) == 19

    ana.go("Summary")
    ana.shot("summary")
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
def test_two_analysts_at_once(dashboard: Dashboard, browser: "Browser") -> None:
    project, _ = dashboard.project("hiking_app")
    people = [Analyst(browser, dashboard, name) for name in ("Ana", "Ben")]
    for person in people:
        person.open("themes", project)
    before = dashboard.book("hiking_app")
    for person in people:  # both have seen the same name
        person.page.get_by_label("Name", exact=True).first.fill(f"As {person.name} says")
    ana, ben = people
    ana.press("Save", "Renamed")
    ben.press("Save", "was changed meanwhile")
    after = dashboard.book("hiking_app")
    assert after.themes[before.ordered()[0]].name == "As Ana says"
    ben.shot("conflict")

    for person in people:
        person.go("Answers")
        person.page.get_by_placeholder("all of these words").fill("price")
        with person.run():
            person.page.keyboard.press("Enter")
        # The header's box of the table, which is drawn on a canvas, ticks every row.
        with person.run():
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
    ana.shot("agreement")
    assert [ana.problems, ben.problems] == [[], []]
    for person in people:
        person.page.context.close()


@pytest.mark.slow
def test_what_is_coded_is_what_was_ticked_whatever_others_do(dashboard: Dashboard, browser: "Browser") -> None:
    project, question = dashboard.project("hiking_app")
    cleo = Analyst(browser, dashboard, "Cleo")
    cleo.open("answers", project)
    book = dashboard.book("hiking_app")
    theme = book.ordered()[-1]
    ticked = min(row for row in book.decisions if theme in book.present(row)[1].themes)  # type: ignore[index]
    with cleo.run():
        cleo.choose("Themes (any of)", book.themes[theme].name)
    with cleo.run():
        cleo.page.get_by_test_id("stDataFrame").click(position={"x": 18, "y": 52})  # the box of the first row
    cleo.page.get_by_text("1 answer chosen").wait_for()
    cleo.page.get_by_label("Add a new theme").fill("Cleo's theme")
    dashboard.store.apply(question, "Ben", "Ben codes", code_answer("Ben", ticked, []))  # it leaves the table
    cleo.press("Code them", "Coded")
    book = dashboard.book("hiking_app")
    assert [row for row, by in book.decisions.items() if "Cleo" in by] == [ticked]
    cleo.page.get_by_text("Nothing is ticked").wait_for()  # another answer is the first one now
    assert cleo.problems == []
    cleo.page.context.close()
