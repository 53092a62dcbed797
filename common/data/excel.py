"""Excel workbooks (.xlsx) as text, with the care that an archive from outside needs."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any, Final

from common.data.archives import ArchiveLimits, ZipStore
from common.data.cells import cell_text
from common.errors import UserError, first_line

_LIMITS: Final = ArchiveLimits(max_members=10_000, max_member_bytes=1_000_000_000, max_total_bytes=2_000_000_000)
MAX_CELLS: Final = 20_000_000
"""A small file may name a last row and column far out, between which every empty cell is made."""


def read_workbook(content: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    """The header and the rows below it of a workbook's only filled sheet; formulas have the value saved with them.

    Whole numbers lose their '.0', dates are ISO 8601, empty cells are '', and rows without any cell are left out.

    Args:
        content: of the .xlsx file.
        name: of the file, for messages.

    Raises:
        UserError: not a workbook, one that no honest program wrote, or one with no filled sheet or several.
    """
    from openpyxl import load_workbook  # reads XML by defusedxml, which refuses entity bombs, where it is installed
    from openpyxl.utils.exceptions import InvalidFileException

    file = io.BytesIO(content)
    # openpyxl expands no member further than the size it claims, so that claims within limits are enough.
    ZipStore(name, io.BytesIO(content), lambda size, offset: content[offset : offset + size], _LIMITS).close()
    try:
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        filled = _filled_sheets(book, name)
    except UserError:
        raise
    # openpyxl lets through whatever its parsers raise on a part that is missing or broken.
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        SyntaxError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{name}: not a readable Excel workbook ({first_line(error)}); save it again, or as CSV in UTF-8"
        ) from error
    if len(filled) != 1:
        found = ", ".join(map(repr, list(filled)[:5])) or "none"
        raise UserError(
            f"{name}: one filled sheet is read, it has {len(filled)} ({found}); keep the one with the table"
        )
    header, *rows = next(iter(filled.values()))
    while header and not header[-1]:
        header.pop()
    width = len(header)
    if width * len(rows) > MAX_CELLS:
        raise UserError(f"{name}: more than {MAX_CELLS} cells below the header; save the table alone, as CSV")
    return [cell.strip() for cell in header], [
        row[:width] if not any(row[width:]) else row for row in (row + [""] * (width - len(row)) for row in rows)
    ]


def _filled_sheets(book: Any, name: str) -> dict[str, list[list[str]]]:
    """The filled rows of the first filled sheet; of the others only that they are filled."""
    filled: dict[str, list[list[str]]] = {}
    n_cells = 0
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # they may be wrong, and rows then be lost
        is_first = not filled
        for cells in sheet.iter_rows(values_only=True):
            n_cells += 1 + len(cells)
            if n_cells > MAX_CELLS:
                raise UserError(
                    f"{name}: more than {MAX_CELLS} cells up to sheet {sheet.title!r}; save the table alone, as CSV"
                )
            if any(cell is not None and cell != "" for cell in cells):
                rows = filled.setdefault(sheet.title, [])
                if not is_first:
                    break
                rows.append([cell_text(cell) for cell in cells])
    return filled
