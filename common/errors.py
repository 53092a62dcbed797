"""The errors a user can cause, as against our bugs."""


class UserError(Exception):
    """A mistake the user can mend: the command line prints its one line and exits with 2.

    The message says what is wrong, where (file, column, row, member) and how to mend it.
    """


def first_line(error: BaseException) -> str:
    """What an error says of itself, without the lines that other libraries add; its type's name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
