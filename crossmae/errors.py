"""The one error that a user is meant to read, and how it and the system's are told."""


class UserError(Exception):
    """One line that says what is wrong and what to do; command lines print it without a traceback."""


def told(error: UserError | OSError) -> str:
    """The line for it; of what the system refused, the file that it was about and why."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
