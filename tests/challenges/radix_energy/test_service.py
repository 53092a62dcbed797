"""The service: a file of readings in, types and a report out; whatever is sent."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from challenges.radix_energy import service
from challenges.radix_energy.sample import as_csv, generate
from challenges.radix_energy.service import ROUTE, EnergySettings, create_energy_service
from common.errors import UserError
from common.service.settings import read_settings

HOSTILE = "<script>alert(1)</script>", "<img src=x onerror=alert(1)>"


def hostile_file() -> str:
    """Readings of 30 households; two of them have hostile names, and the second of these cannot be used."""
    table = [line.split(",") for line in as_csv(generate(30, 2)).splitlines()]
    for cells in table[1:]:
        cells[2] = "1.0"
    table[0][1:3] = HOSTILE
    return "\n".join(map(",".join, table))


def sparse_file() -> str:
    """Two readings a year apart of each of 6000 households, whose hours would fill 50 million cells."""
    return "household,time,kwh\n" + "".join(
        f"h{i},{year}-01-01 00:00,1\n" for i in range(6000) for year in (2023, 2024)
    )


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Of a service that has the hostile file for its example: analysing one file is enough for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "as_csv", lambda sample: hostile_file())
        app = create_energy_service(EnergySettings())
    with TestClient(app) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def test_what_a_file_calls_its_households_stands_in_the_report_as_text(client: TestClient):
    document = client.get("/openapi.json").json()["paths"][ROUTE]["post"]["responses"]["200"]["content"]
    answer = document["application/json"]["example"]["results"][0]["answer"]
    assert answer["n_households"] == 29
    assert sum(kind["n_households"] for kind in answer["types"]) + answer["n_atypical"] == 29
    assert list(answer["unused"]) == [HOSTILE[1]]
    report = answer["report"]
    assert "&lt;img src=x" in report
    for harm in ("<script", "<img src=x", "onerror=alert(1)>"):
        assert harm not in report
    assert "upload.csv" in report
    assert "/tmp" not in report


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name,colour\nanna,red\n", "neither times nor hours"),
        (as_csv(generate(3, 1)).encode()[:2000], "no household can be used"),
        (b"PAR1 and no more", "damaged"),
        (sparse_file().encode(), "6000 households over 366 days are too many at once"),
        (b"timestamp" + b",a" * 30_000 + b"\n", "20,000 columns"),
    ],
    ids=["no readings", "short", "no parquet", "sparse", "columns"],
)
def test_what_cannot_be_used_is_told_and_is_no_server_error(client: TestClient, data: bytes, words: str):
    error = client.post(ROUTE, content=data).json()["results"][0]["error"]
    assert error["kind"] == "unreadable"
    assert words in error["message"]
    assert "/tmp" not in error["message"]


def test_an_endless_deadline_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVICE_DEADLINE_S", "inf")
    with pytest.raises(UserError, match="SERVICE_DEADLINE_S"):
        read_settings(EnergySettings)
