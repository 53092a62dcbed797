"""The errors a user can cause, as against our bugs."""


class UserError(Exception):
    """A mistake the user can mend: the command line prints its one line and exits with 2.

    The message says what is wrong, where (file, column, row, member) and how to mend it.
    """
