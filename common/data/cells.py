"""A cell of a table as text, the same whatever kind of file it comes from."""

import datetime


def cell_text(cell: object) -> str:
    """'7' for 7.0, ISO 8601 for a time, 'a|b' for a list, '' for nothing and NaN.

    Raises:
        UnicodeDecodeError: bytes that are no UTF-8.
    """
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, list):
        return "|".join(map(cell_text, cell))
    if isinstance(cell, bytes):  # what some writers make of texts
        return cell.decode()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell)
