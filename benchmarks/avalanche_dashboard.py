"""The dashboard with 20,000 answers in a real browser.

    python benchmarks/avalanche_dashboard.py [--answers N] [--folder DIR] [--quick]

A project of 20,000 distinct answers in the dashboard and in chromium: the themes are found once by a click, taken over,
and some thousand answers coded. Then every view is opened and filtered; what is timed begins when the browser asks the
server and ends when it has painted the answer: `first` since the server started, `again`, `after_a_code` of a
colleague, so that whatever follows from the codebook is counted anew, and each filter, first and later. CPU seconds of
the server and the browser stand beside, for machines that are busy with other things.

`--folder` keeps the project, so that another run does not make it again. `--quick` takes 600 answers, and writes
nothing.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from avalanche import make_question

RESULT = Path(__file__).with_suffix(".json")
N_ANSWERS, N_QUICK = 20_000, 600
CODED = {"Ana": 0.15, "Ben": 0.02}  # share of the answers that each codes before the views are opened
PATIENCE_MS = 900_000


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=N_ANSWERS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    from common.data.tables import write_json
    from common.inference.batch import available_cores

    machine = {"cores": available_cores(), "load_average": os.getloadavg()[0]}
    found = machine | measure_dashboard(N_QUICK if options.quick else options.answers, options.folder)
    if not options.quick:
        write_json(found, RESULT)


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
# Resolves to the seconds from the first question to the server until its answer was painted: when it has been quiet,
# the script has ended, nothing waits for new content, and what is expected is there.
RUN = """([expected, patience]) => { window.answered = new Promise((resolve, reject) => {
  const start = performance.now();
  let asked = 0, painted = 0;
  const observer = new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(
    () => { painted = performance.now(); })));
  observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
  const timer = setInterval(() => {
    if (!asked && spoke.sent > start) asked = spoke.sent;
    if (performance.now() - start > patience) reject(new Error('no end of ' + expected));
    if (!asked || spoke.got < asked || performance.now() - Math.max(spoke.got, painted) < 150) return;
    const state = document.querySelector('[data-testid=stApp]').getAttribute('data-test-script-state');
    if (state !== 'notRunning' || document.querySelector('[data-stale=true], [data-testid=stSpinner]')) return;
    if (!document.querySelector(expected)) return;
    clearInterval(timer);
    observer.disconnect();
    resolve((Math.max(spoke.got, painted) - asked) / 1000);
  }, 20);
}); }"""
CHART, TABLE = "[data-testid=stPlotlyChart] .main-svg", "[data-testid=stDataFrame] canvas"


class Person:
    """Somebody at a browser, whose waiting is timed."""

    def __init__(self, page, server: int) -> None:
        self.page, self.server, self.expected = page, server, "body"

    def timed(self, do: Callable[[], Any], expected: str | None = None) -> dict[str, float]:
        """Seconds until the browser shows what this asks for, and CPU seconds of the server and the browser."""
        self.expected = expected or self.expected
        self.page.evaluate(RUN, [self.expected, PATIENCE_MS])
        server, everybody = cpu_seconds(self.server), cpu_seconds(os.getpid())
        do()
        seconds = self.page.evaluate("() => window.answered")
        used = cpu_seconds(self.server) - server
        rest = cpu_seconds(os.getpid()) - everybody - used
        return {"seconds": round(seconds, 3), "server_cpu": round(used, 2), "browser_cpu": round(rest, 2)}

    def go(self, view: str, expected: str) -> dict[str, float]:
        """Open a view."""
        link = self.page.get_by_role("link", name=view, exact=True)
        return self.timed(link.click, expected)

    def type(self, label: str, text: str) -> None:
        """Type into a field."""
        box = self.page.get_by_label(label, exact=True).first
        box.fill(text)
        box.press("Enter")

    def toggle(self) -> None:
        """Turn the first switch."""
        self.page.get_by_test_id("stCheckbox").first.locator("label").click()

    def choose(self, label: str, option: int) -> None:
        """Choose from a list by position."""
        self.page.get_by_role("combobox", name=label).first.click()
        self.page.get_by_role("option").nth(option).click()
        self.page.keyboard.press("Escape")

    def press(self, role: str, key: str) -> None:
        """Press a key on the first widget of a role."""
        self.page.get_by_role(role).first.press(key)

    def click(self, button: str) -> None:
        """Click on a button."""
        self.page.get_by_role("button", name=button).first.click()


# Of each view what it shows, and what filters it: how, with what, and with what back.
SEARCH, SEGMENT = ("type", ("Search", "price"), ("Search", "")), ("choose", ("Segment", 1), ("Segment", 0))
THEME, PERSONS = ("choose", ("Theme", 2), ("Theme", 0)), ("toggle", (), ())
VIEWS: dict[str, tuple[str, dict[str, tuple[str, tuple, tuple]]]] = {
    "Projects": (TABLE, {}),
    "Find themes": (TABLE, {"level": ("press", ("slider", "ArrowLeft"), ("slider", "ArrowRight"))}),
    "Map": (CHART, {"search": SEARCH, "segment": SEGMENT}),
    "Answers": (TABLE, {"search": SEARCH, "segment": SEGMENT}),
    "Queue": ("[data-testid=stButton]", {"skip": ("click", ("Skip",), ("Skip",))}),
    "Themes": (TABLE, {"theme": THEME}),
    "Language": (CHART, {"theme": THEME}),
    "Together": (CHART, {"persons only": PERSONS}),
    "Agreement": (TABLE, {}),
    "History": (TABLE, {}),
    "Summary": (CHART, {"persons only": PERSONS}),
    "Shares": (CHART, {"persons only": PERSONS}),
    "Segments": (CHART, {"column": ("choose", ("Compare by", 1), ("Compare by", 0))}),
    "Quotes": ("[data-testid=stText]", {"persons only": PERSONS}),
}


def measure_dashboard(n_answers: int, folder: Path | None) -> dict[str, Any]:
    """Open and filter every view of a project of so many answers."""
    from playwright.sync_api import sync_playwright

    from challenges.avalanche.store import open_store

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("this needs a browser; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = folder or Path(temporary)
        store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
        project, number = make_project(store, n_answers)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        found: dict[str, Any] = {"answers": n_answers}
        if not store.codebook(number).themes:
            with served(folder) as (address, server):
                found["discovery"] = find_themes(visit(browser, address, server, project))
            print("discovery:", found["discovery"])
            for who, share in CODED.items():
                code_some(store, number, who, round(share * n_answers))
        with served(folder) as (address, server):
            person = visit(browser, address, server, project)
            found["views"] = {}
            for name, (expected, filters) in VIEWS.items():
                timings = found["views"][name] = open_and_filter(person, name, expected, filters)
                code_some(store, number, "Ben", 1)
                timings["after_a_code"] = person.go(name, expected)
                print(row(name, timings), flush=True)
        store.engine.dispose()
    return found


def open_and_filter(person: Person, name: str, expected: str, filters: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Timings of one view: opened twice, and each of its filters set twice."""
    timings = {"first": person.go(name, expected)}
    for filtered, (how, there, back) in filters.items():
        for what in (f"{filtered}, first", filtered):
            timings[what] = person.timed(lambda how=how, there=there: getattr(person, how)(*there))
            person.timed(lambda how=how, back=back: getattr(person, how)(*back))
    elsewhere = "History" if name == "Projects" else "Projects"
    person.go(elsewhere, TABLE)
    timings["again"] = person.go(name, expected)
    person.go(elsewhere, TABLE)
    return timings


def row(name: str, timings: dict[str, dict[str, float]]) -> str:
    """A view's line of the README's table: seconds of the first time, of the slowest later one with the CPU seconds of
    server and browser, and after a code.
    """
    later = max((t for what, t in timings.items() if "first" not in what and what != "after_a_code"), key=slowness)
    cells = [timings["first"]["seconds"], *later.values(), timings["after_a_code"]["seconds"]]
    return f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |"


def slowness(timing: dict[str, float]) -> float:
    """Seconds, by which timings are ordered."""
    return timing["seconds"]


def make_project(store, n_answers: int) -> tuple[int, int]:
    """Ids of the project of so many answers, and of its question; it is made unless it is there."""
    from challenges.avalanche.dataset import Survey

    name = f"{n_answers} answers"
    if name not in {project.name for project in store.projects()}:
        question = make_question(n_answers)
        question.answers["themes"] = [()] * n_answers
        store.add_project(Survey(name, (question,), {}), name, "benchmark")
    project = next(project for project in store.projects() if project.name == name)
    return project.id, project.questions[0][0]


def find_themes(person: Person) -> dict[str, float]:
    """Have the themes found, and take them over: the first computation."""
    person.go("Find themes", "[data-testid=stButton]")
    found = person.timed(
        lambda: (person.click("Find themes"), person.page.get_by_role("button", name="Use these").wait_for()), TABLE
    )
    person.timed(lambda: person.click("Use these"))
    return found


def code_some(store, number: int, who: str, n: int) -> None:
    """A person takes over the machine's themes of some answers that they have not coded, and errs in a tenth."""
    from challenges.avalanche.operations import code_many

    book = store.codebook(number)
    rng = np.random.default_rng(book.version)
    rows = [row for row, decided in sorted(book.decisions.items()) if who not in decided][:n]
    of_theme: dict[int, list[int]] = {}
    for row in rows:
        found = book.present(row)
        for theme in found[1].themes if found and rng.random() > 0.1 else rng.choice(list(book.themes), 1).tolist():
            of_theme.setdefault(theme, []).append(row)
    for theme, coded in of_theme.items():
        store.apply(number, who, f"coded {len(coded):,} answers", code_many(who, coded, add=[theme]))


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """The real command on the database of the folder: its address and the id of its process."""
    from challenges.avalanche.sample import write_sample

    command = [sys.executable, "-m", "challenges.avalanche", "dashboard", "--port", "0", "--json", "--data"]
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{folder / 'store.sqlite'}"}
    with (folder / "dashboard.log").open("w") as log:
        process = subprocess.Popen(
            [*command, str(write_sample(folder, 40))], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        while True:  # it says its address before it listens
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))):
                    break
            time.sleep(0.1)
        try:
            yield address, process.pid
        finally:
            process.terminate()
            process.communicate()


def visit(browser, address: str, server: int, project: int) -> Person:
    """Somebody opens the dashboard."""
    person = Person(browser.new_page(viewport={"width": 1400, "height": 1000}), server)
    person.page.set_default_timeout(PATIENCE_MS)
    person.page.add_init_script(LISTEN)
    person.page.goto(f"{address}/history?analyst=Ana&project={project}")
    person.page.get_by_role("link", name="Queue", exact=True).wait_for()
    person.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    return person


def cpu_seconds(process: int) -> float:
    """CPU seconds of a process and of all that it has started and that still run."""
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        number = int(stat.parent.name)
        parents[number] = int(fields[1])
        used[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descends(number: int) -> bool:
        return number == process or (number in parents and descends(parents[number]))

    return sum(seconds for number, seconds in used.items() if descends(number))


if __name__ == "__main__":
    main()
