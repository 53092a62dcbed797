"""Run notebooks from top to bottom and keep their outputs.

    python notebooks/execute.py [--check] notebooks/*.ipynb

Each runs in a fresh kernel of this interpreter, from the repository's root, and is replaced only when all of
its cells have run. `--check` runs them and writes nothing. Exit 1 names the notebook and the cell that failed.
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from common.data.tables import replace_atomically

REPOSITORY = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600  # of a whole notebook
# A notebook's metadata say which language it is in, and nothing of the machine that ran it.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


class NotebookFailedError(Exception):
    """A notebook did not run to its end; the text says where and why."""


def execute(notebook: NotebookNode, timeout_s: float = TIMEOUT_S) -> None:
    """Run all cells in a fresh kernel, filling in their outputs.

    Raises:
        NotebookFailedError: a cell raised an exception, the kernel died, or the time is over.
    """
    position = 0

    def note(cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG001 - as nbclient calls it
        nonlocal position
        position = cell_index

    # Without kernel folders only the kernel of this interpreter is found, whatever else is installed.
    specs = KernelSpecManager(kernel_dirs=[])
    resources = {"metadata": {"path": str(REPOSITORY)}}
    try:
        # The sockets lie beside the connection file: in a folder of their own, two runs side by side never meet.
        with TemporaryDirectory(prefix="kernel-") as sockets:
            kernel = AsyncKernelManager(
                kernel_name="python3", kernel_spec_manager=specs, transport="ipc",
                connection_file=str(Path(sockets) / "kernel.json"),
            )  # fmt: skip
            client = NotebookClient(
                notebook, km=kernel, timeout=None, resources=resources, on_cell_start=note, record_timing=False,
                coalesce_streams=True,
            )  # fmt: skip
            client.owns_km = True  # so that the kernel ends with the run
            asyncio.run(asyncio.wait_for(client.async_execute(), timeout_s))
    except TimeoutError:
        raise NotebookFailedError(f"{_describe(notebook, position)}: {timeout_s:g} s are over") from None
    except CellExecutionError as error:
        traceback = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)  # without colours
        what = f"{error.ename}: {error.evalue}"
        raise NotebookFailedError(f"{_describe(notebook, position)}: {what}\n{traceback}") from error
    except DeadKernelError as error:
        raise NotebookFailedError(f"{_describe(notebook, position)}: {error}") from error


def _describe(notebook: NotebookNode, position: int) -> str:
    """The cell as its reader finds it: place among all cells, and first line."""
    lines = notebook.cells[position].source.strip().splitlines() or [""]
    return f"cell {position + 1} of {len(notebook.cells)} ({lines[0]!r})"


def tidy(notebook: NotebookNode) -> None:
    """Leave out what differs from run to run or tells of the machine: metadata, and the path to the repository."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = _without_paths(output.text)
            if "data" in output:
                output.metadata = nbformat.from_dict({})
                texts = {kind: text for kind, text in output.data.items() if kind.startswith("text/")}
                output.data |= {kind: _without_paths(text) for kind, text in texts.items()}


def _without_paths(text: str) -> str:
    return text.replace(f"{REPOSITORY}/", "").replace(str(REPOSITORY), ".")


def main() -> int:
    """Run the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="run, and write nothing")
    options = parser.parse_args()
    for path in options.notebooks:
        try:
            notebook = nbformat.read(path, as_version=4)
            execute(notebook)
        except OSError as error:
            print(f"error: {path}: {error.strerror}", file=sys.stderr)
            return 1
        except nbformat.reader.NotJSONError:
            print(f"error: {path}: not a notebook", file=sys.stderr)
            return 1
        except NotebookFailedError as error:
            print(f"error: {path}, {error}", file=sys.stderr)
            return 1
        tidy(notebook)
        if not options.check:
            with replace_atomically(path) as temporary:
                nbformat.write(notebook, temporary)
        print(f"{path}: {len(notebook.cells)} cells {'run' if options.check else 'run and written'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
