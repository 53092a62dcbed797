"""Options that the commands of several challenges share."""

from typing import Annotated

import typer

from common.inference.batch import Engine

JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary line as JSON.")]
EngineOption = Annotated[
    Engine,
    typer.Option("--engine", help="Threads of this process, or a Ray cluster: RAY_ADDRESS, else one started here."),
]
