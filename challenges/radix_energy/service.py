"""Household types over HTTP: a file of readings in; the types, and the report on them, out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from challenges.radix_energy.dataset import MIN_DAYS, load
from challenges.radix_energy.predict import tabulate
from challenges.radix_energy.report import write_report
from challenges.radix_energy.sample import as_csv, generate
from challenges.radix_energy.train import find_types, verdict
from common.service.app import create_service
from common.service.schema import ModelCard, ServedModel
from common.service.settings import Seconds, ServiceSettings
from common.service.uploads import uploaded_table

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).with_name("page.html")
ROUTE = "/v1/types"
MAX_CELLS: Final = 50_000_000
"""Households times hours of a file, 200 MB: whatever is sent, an answer takes no gigabytes."""

Share = Annotated[float, Field(ge=0, le=1)]


class EnergySettings(ServiceSettings):
    """The service's settings; each is read from the environment."""

    max_body_bytes: PositiveInt = 16 * 2**20
    """Ten thousand households of a month, packed; the command line takes more."""
    deadline_s: Seconds = 120
    """A thousand households take a quarter of it on two cores."""
    n_workers: PositiveInt = 1
    """The style of figures is the whole process's."""


class HouseholdType(BaseModel):
    """A type of households."""

    name: str
    n_households: NonNegativeInt = Field(description="Typical of it.")
    share: Share = Field(description="Of all households.")


class TypesAnswer(BaseModel):
    """What is said of one file."""

    n_households: PositiveInt
    n_atypical: NonNegativeInt = Field(description="Households that fit nowhere.")
    unused: dict[str, str] = Field(description="Why a household could not be used.")
    verdict: str = Field(description="How far the data supports the number of types.")
    types: list[HouseholdType] = Field(description="The largest first.")
    report: str = Field(description="A whole HTML page: profiles, map, what was repaired.")


def create_energy_service(settings: EnergySettings) -> FastAPI:
    """The application that finds the types of files."""
    served = ServedModel(
        card=_card(),
        answer=TypesAnswer,
        decode=bytes,
        predict=lambda files: [answer(data) for data in files],
        example=as_csv(generate(60, 4)).encode(),
        media_types=("text/csv", "application/zip", "application/octet-stream"),
        labels=_labels,
        path=ROUTE,
    )
    return create_service(served, settings, page=PAGE.read_text(encoding="utf-8"))


def answer(data: bytes) -> TypesAnswer:
    """Find the types of a CSV or parquet file, or a zip of one.

    Raises:
        ItemError: it cannot be read, or has too few or too many households.
    """
    with uploaded_table(data) as path:
        dataset = load(path, max_cells=MAX_CELLS)
        found = find_types(dataset.readings)
        report = path.with_name("report.html")
        write_report(report, dataset, found, tabulate(dataset, found.households, found.assignment, found))
        page = report.read_text(encoding="utf-8").replace(f"{path.parent}/", "")
    assignment = found.assignment
    sizes = np.bincount(assignment.types[assignment.typical], minlength=len(found.names)).tolist()
    types = [
        HouseholdType(name=name, n_households=size, share=size / len(assignment.types))
        for name, size in zip(found.names, sizes, strict=True)
    ]
    return TypesAnswer(
        n_households=len(assignment.types),
        n_atypical=int((~assignment.typical).sum()),
        unused=dataset.unused,
        verdict=verdict(found),
        types=types,
        report=page,
    )


def _labels(answer: TypesAnswer) -> Iterator[str]:
    yield f"types:{len(answer.types)}"


def _card() -> ModelCard:
    return ModelCard(
        name="Household types",
        version="1",
        created=datetime.now(UTC),
        description="Hourly readings of households -> the types of households behind them.",
        labels={},
        input={"readings": "energy of each hour", "days": f"{MIN_DAYS} or more", "layout": "long, rows or columns"},
        thresholds={},
        metrics={},
        limitations=[
            "Types are found anew in each file: their numbers mean nothing in another one.",
            "Says how households live by when and how much they use; who lives there it can only guess.",
        ],
        data_fingerprint="",
    )
