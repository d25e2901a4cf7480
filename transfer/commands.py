"""The subcommands of ``transfer``."""

import typer


def register(app: typer.Typer) -> None:
    """Adds them to ``app``."""

    @app.command()
    def tasks() -> None:
        """Lists the tasks."""
