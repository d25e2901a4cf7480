"""``transfer serve``."""

import socket
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated

import typer

from crossmae.errors import UserError, one_line
from transfer.commands.results import RunsArgument


def serve(
    runs: RunsArgument = Path("runs"),
    host: Annotated[str, typer.Option(help="Address to listen at; another than this machine's own wants a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any that is free.")] = 8765,
    token: Annotated[bool, typer.Option("--token", help="Want a token even so: others use this machine.")] = False,
) -> None:
    """Shows a folder of runs in the browser while they go on: states, progress, learning curves, logs, time left.

    It only reads, also a folder that another machine writes; it may be ended and started again at any time.

    Example: transfer serve runs/demo
    """
    try:
        import uvicorn

        from transfer.live.look import Watch
        from transfer.live.server import Access, application, is_loopback, names_of
    except ModuleNotFoundError as error:
        raise UserError(f"transfer serve needs {error.name}", "pip install 'crossmae[serve]'") from error
    if not runs.is_dir():
        raise UserError(f"no folder {runs}", "give the folder of your runs, such as runs/demo")
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        secret = token_urlsafe(32) if token or not is_loopback(host) else None
        access = Access(names_of(host), secret, f"transfer-{port}")
        name = f"[{host}]" if ":" in host else host
        print(
            f"http://{name}:{port}/{f'?token={secret}' if secret else ''}  (Ctrl-C ends the page, not the runs)",
            flush=True,
        )
        config = uvicorn.Config(
            application(Watch(runs.absolute()), access),
            access_log=False,  # Its lines would hold the token.
            http="h11",
            lifespan="off",
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            ws="none",
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise UserError(f"cannot listen at {host}, port {port} ({one_line(error)})", "name another --port") from error
