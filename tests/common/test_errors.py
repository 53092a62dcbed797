"""What other libraries' errors say, in one line."""

import pytest

from common.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("\n no\nmore"), "no"), (EOFError(), "EOFError"), (OSError(2, "gone"), "[Errno 2] gone")],
)
def test_an_error_is_told_in_one_line(error: Exception, line: str):
    assert first_line(error) == line
