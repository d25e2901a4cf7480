"""The one error that a user is meant to read."""


class UserError(Exception):
    """One line that says what is wrong and what to do; command lines print it without a traceback."""
