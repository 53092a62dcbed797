"""The report: every part is there, every text is escaped, and it needs nothing but itself."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from challenges.radix_energy import report
from challenges.radix_energy.dataset import Dataset, Readings
from challenges.radix_energy.describe import name_types, usual_household
from challenges.radix_energy.model import Candidate, HouseholdTypes, fit_mixture, fit_space, in_order
from challenges.radix_energy.predict import tabulate
from challenges.radix_energy.report import average_weeks, profile_bands, write_report
from challenges.radix_energy.sample import generate
from challenges.radix_energy.train import Found, look_at
from common.errors import UserError

HOSTILE = "<script>alert('$\\x')</script> & \"id\" 用户"
VOID = {"meta", "img", "br", "path", "polyline"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.text += " " * (tag in {"td", "th", "p", "li", "figcaption"})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def dataset_of(readings: Readings, unused: dict[str, str]) -> Dataset:
    found = {
        "file": "readings.csv",
        "layout": "long: household 'home', time 'when', value 'used'; 160 households, 672 hours from 2024-03-04",
        "ignored_columns": ["tariff"],
        "unit": "Wh, by their size",
        "times": ["no zone: taken as the clock on the wall"],
        "days": len(readings.dates),
        "first_day": str(readings.dates[0]),
        "last_day": str(readings.dates[-1]),
        "repairs": {"duplicates": {"readings": 1234, "households": 7, "rule": "The mean counts.", "examples": []}},
        "solar_households": [],
        "gaps": {"rule": "It stays missing.", "households": 3, "share_missing": 0.02, "hours_by_household": {}},
    }
    return Dataset(Path("readings.csv"), readings, unused, found)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    sample = generate(160, 4, n_days=28, seed=4, missing=0.02, outliers=0.04)
    ids = sample.household_ids.astype(object)
    ids[:] = [f"{HOSTILE} {i}" for i in range(len(ids))]
    unused = {f"<b>empty {i}": f"only {i} days with at least 12 readings; 7 are needed" for i in range(30)}
    return dataset_of(Readings(ids.astype(np.str_), sample.dates, sample.kwh), unused | {"zero": "every reading is 0"})


@pytest.fixture(scope="module")
def found(dataset: Dataset) -> Found:
    """Four types, without the search for their number."""
    households = look_at(dataset.readings)
    model = HouseholdTypes(4)
    model.space_ = fit_space(households.features)
    model.mixture_ = in_order(fit_mixture(model.space_.place(households.features), 4, False, seed=0, n_starts=1))
    candidates = [Candidate(n, round_, 0.99 - 0.03 * n, 100.0 - n) for round_ in (False, True) for n in (2, 3, 4)]
    model.candidates_, model.chosen_, model.supported_ = candidates, candidates[2], candidates[2]
    assignment = model.predict(households.features)
    names = name_types(households.descriptors, assignment.types, 4)
    return Found(model, names, usual_household(households.descriptors), households, assignment)


def written(folder: Path, dataset: Dataset, found: Found) -> tuple[str, Page]:
    table = tabulate(dataset, found.households, found.assignment, found)
    path = folder / "report.html"
    write_report(path, dataset, found, table)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def with_stability(found: Found, stability: float, n_types: int | None) -> Found:
    """The same types, as though found on the other halves with this stability."""
    model = HouseholdTypes(n_types)
    model.space_, model.mixture_ = found.model.space_, found.model.mixture_
    model.chosen_ = model.supported_ = Candidate(4, False, stability, 100.0)
    model.candidates_ = [model.chosen_, Candidate(5, True, 0.1, 90.0)]
    return replace(found, model=model)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take most of the time."""
    for drawing in ("week_figure", "profile_figure", "map_figure", "number_figure", "_image"):
        monkeypatch.setattr(report, drawing, lambda *_: "data:,")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset, found: Found) -> tuple[str, Page]:
    return written(tmp_path_factory.mktemp("report"), dataset, found)


def test_every_part_is_there(page: tuple[str, Page], dataset: Dataset, found: Found):
    words = page[1].words
    assert "4 types among 160 households" in words
    assert "31 households could not be used" in words
    n_nowhere = int((~found.assignment.typical).sum())
    assert n_nowhere > 0
    assert f"{n_nowhere} households fit none of them" in words
    for name in found.names:
        assert words.count(name) >= 2  # in the table, and over its pictures
    assert words.count("typical: type") == 12
    assert words.count("least certain: type") == 4
    for part in ("All households", "How many types", "Households that fit nowhere", "Households not used"):
        assert part in words
    assert "30 only … days with at least 12 readings; 7 are needed" in words
    assert "The first 20 of 31" in words
    for text in (dataset.report["layout"], "Wh, by their size", "taken as the clock on the wall", "tariff"):
        assert text in words
    assert "duplicates 1,234 7 The mean counts." in words


def test_types_count_each_household_once(page: tuple[str, Page]):
    counts = [int(n) for n in re.findall(r'</td>\s*<td class="n">(\d+)</td><td class="n">[^<]*%</td>', page[0])]
    assert len(counts) == 5  # fit nowhere too
    assert sum(counts) == 160


def test_every_picture_is_whole_and_has_a_text_instead(page: tuple[str, Page]):
    pictures = page[1].every("img")
    assert len(pictures) == 2 * 4 + 2
    for picture in pictures:
        assert len(picture["alt"]) > 20
        content = base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).std() > 5
    drawings = page[1].every("svg")
    assert len(drawings) == 16
    assert all("Average weekday and weekend of household" in drawing["aria-label"] for drawing in drawings)
    for line in page[1].every("polyline"):
        heights = [float(point.split(",")[1]) for point in line["points"].split()]
        assert len(heights) == 24
        assert 0 <= min(heights) <= max(heights) <= 80


def test_hostile_names_are_text(page: tuple[str, Page], dataset: Dataset):
    text, parsed = page
    assert not parsed.every("script")
    assert "<script" not in text
    assert HOSTILE in parsed.text
    assert "<b>empty 0" in parsed.text
    assert parsed.open == []


def test_the_page_asks_for_nothing(page: tuple[str, Page]):
    text, parsed = page
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    for tag, attributes in parsed.elements:
        assert tag not in {"script", "link", "iframe", "object"}
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")


def test_links_lead_somewhere(page: tuple[str, Page]):
    ids = {attributes.get("id") for _, attributes in page[1].elements}
    links = [attributes["href"] for attributes in page[1].every("a")]
    assert len(links) == 5
    assert all(link.removeprefix("#") in ids for link in links)


@pytest.mark.usefixtures("undrawn")
def test_unclear_types_are_called_so(tmp_path: Path, dataset: Dataset, found: Found):
    unclear = written(tmp_path, dataset, with_stability(found, 0.55, None))[1].words
    assert "No clear types, households differ by degrees" in unclear
    assert "Read those below as regions of a continuum" in unclear
    assert "0.55" in unclear
    clear = written(tmp_path, dataset, with_stability(found, 0.93, None))[1].words
    assert "The types are clear" in clear
    assert "continuum" not in clear


@pytest.mark.usefixtures("undrawn")
def test_the_numbers_tried_are_those_that_could_be_taken(tmp_path: Path, dataset: Dataset, found: Found):
    for numbers, words in [
        ((2, 3, 4, 5), "the likeliest of the 2 numbers tried"),
        ((2, 3, 4), "Only 4 types were looked for: for more there are too few households."),
    ]:
        few = with_stability(found, 0.93, None)
        few.model.candidates_ = [Candidate(number, True, 0.9, 90.0) for number in numbers]
        assert words in written(tmp_path, dataset, few)[1].words


@pytest.mark.usefixtures("undrawn")
def test_fewer_types_than_asked_for_are_said_first(tmp_path: Path, dataset: Dataset, found: Found):
    fewer = with_stability(found, 0.85, 4)
    fewer.model.supported_ = Candidate(2, False, 0.97, 90.0)
    words = written(tmp_path, dataset, fewer)[1].words
    assert "The data supports fewer types than the 4 asked for" in words
    assert "The types are clear" not in words


@pytest.mark.usefixtures("undrawn")
def test_nothing_to_report_is_said(tmp_path: Path, dataset: Dataset, found: Found):
    assignment = replace(found.assignment, typical=np.ones_like(found.assignment.typical))
    clean = dataset_of(dataset.readings, {})
    clean.report.update(repairs={}, ignored_columns=[], times=[])
    words = written(tmp_path, clean, replace(found, assignment=assignment))[1].words
    assert "Every household fits one of them." in words
    assert "All households could be used." in words
    assert "None: every household of the file was used." in words
    assert "Nothing had to be repaired." in words


@pytest.mark.usefixtures("undrawn")
def test_a_type_nobody_is_typical_of_and_a_tiny_one_have_their_place(tmp_path: Path, dataset: Dataset, found: Found):
    types, typical = found.assignment.types, found.assignment.typical.copy()
    typical[types == 3] = False
    typical[np.flatnonzero(types == 2)[1:]] = False
    odd = replace(found, assignment=replace(found.assignment, typical=typical))
    words = written(tmp_path, dataset, odd)[1].words
    assert "No household of this file is typical of it." in words
    assert words.count("typical: type 2") == 1


def test_same_types_same_report(tmp_path: Path, page: tuple[str, Page], dataset: Dataset, found: Found):
    assert written(tmp_path, dataset, found)[0] == page[0]


@pytest.mark.usefixtures("undrawn")
def test_a_folder_in_the_way_is_the_users_error(tmp_path: Path, dataset: Dataset, found: Found):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        written(tmp_path, dataset, found)


def test_average_weeks_and_bands_are_those_of_numpy():
    rng = np.random.default_rng(0)
    kwh = rng.gamma(1.0, 1.0, (20, 28, 24)).astype(np.float32)
    kwh[rng.random(kwh.shape) < 0.2] = np.nan
    dates = np.datetime64("2024-03-05") + np.arange(28)  # from a Tuesday
    weeks = average_weeks(kwh, dates)
    np.testing.assert_allclose(weeks[:, 1], np.nanmean(kwh[:, ::7], axis=1), rtol=1e-5)
    np.testing.assert_allclose(weeks[:, 0], np.nanmean(kwh[:, 6::7], axis=1), rtol=1e-5)
    weekdays = np.nanmean(weeks[:, :5], axis=1)
    np.testing.assert_allclose(profile_bands(weeks)[:, 0], np.quantile(weekdays, [0.1, 0.5, 0.9], axis=0), rtol=1e-6)
