"""The web server of the page: it answers GET, to those who may ask, and names no file of the machine.

Nothing that a request holds becomes a path: runs and reports are asked for by keys that a look at the folder has made.
"""

import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from pathlib import Path
from secrets import compare_digest
from urllib.parse import urlsplit

import psutil
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossmae.files import open_own
from transfer.live.detail import detail_of
from transfer.live.look import Watch

_OWN = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
_NO_OTHER = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE_POLICY = f"{_OWN}; {_NO_OTHER}; require-trusted-types-for 'script'; trusted-types 'none'"
_REPORT_POLICY = f"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; {_NO_OTHER}"
"""A report is a file like any other of the folder: it may show itself, and run nothing."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_MOST_BYTES = 2**27
"""Of a report; its pictures take 7 MB."""


@dataclass(frozen=True)
class Access:
    """Who may ask."""

    hosts: frozenset[str]
    """Names that a request may call this server by. A page whose own name is made to lead here calls it by another."""
    token: str | None
    """What a request must know; None if whoever reaches the server may ask."""
    cookie: str = "transfer"

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Why a request is not answered; None if it is."""
        if _name(connection.headers.getlist("host")) not in self.hosts:
            return "this server does not go by that name"
        given = (connection.query_params.get("token"), self._from_cookie(connection))
        if self.token is not None and not any(
            text and compare_digest(text.encode(), self.token.encode()) for text in given
        ):
            return "open the address that transfer serve has printed, with its token"
        return None

    def _from_cookie(self, connection: HTTPConnection) -> str | None:
        try:
            morsel = SimpleCookie(connection.headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return None
        return morsel.value if morsel else None


class _Guard:
    """Refuses who may not ask, and gives every answer, errors too, the headers that keep browsers from doing harm."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            return
        refusal = self._access.refusal(HTTPConnection(scope))
        app = PlainTextResponse(refusal, 403) if refusal else self._app
        await app(scope, receive, guarded)


def application(watch: Watch, access: Access) -> Starlette:
    """The page, its data, and the reports that lie in the folder."""

    def page(request: Request) -> Response:
        answer = _static("page.html", "text/html")
        if access.token is not None:
            answer.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
        return answer

    def runs(request: Request) -> Response:
        return JSONResponse(watch.picture().content())

    def run(request: Request) -> Response:
        folder = watch.picture().folders.get(request.query_params.get("key", ""))
        return _nothing("run") if folder is None else JSONResponse(detail_of(folder))

    def report(request: Request) -> Response:
        place = watch.picture().reports.get(request.query_params.get("key", ""))
        content = None if place is None else _read_own(watch.runs / place)
        if content is None:
            return _nothing("report")
        return Response(content, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})

    pages: dict[str, Callable[[Request], Response]] = {
        "/": page,
        "/page.js": lambda request: _static("page.js", "text/javascript"),
        "/page.css": lambda request: _static("page.css", "text/css"),
        "/runs.json": runs,
        "/run.json": run,
        "/report.html": report,
    }
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in pages.items()]
    return Starlette(routes=routes, middleware=[Middleware(_Guard, access=access), Middleware(GZipMiddleware)])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(host: str) -> frozenset[str]:
    """How browsers may call a server at ``host``; one for all addresses of this machine goes by any name of it."""
    if is_loopback(host):
        return frozenset({"localhost", "127.0.0.1", "::1", host})
    if host not in ("0.0.0.0", "::"):
        return frozenset({host.lower()})
    addresses = {address.address for listed in psutil.net_if_addrs().values() for address in listed}
    return frozenset({"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), *addresses})


def _name(headers: list[str]) -> str | None:
    """The name in the one ``Host`` header of a request, without its port."""
    try:
        return urlsplit(f"//{headers[0]}").hostname if len(headers) == 1 else None
    except ValueError:
        return None


def _static(name: str, kind: str) -> Response:
    return Response(files("transfer.live").joinpath("page", name).read_bytes(), media_type=kind)


def _read_own(path: Path) -> bytes | None:
    """A regular file that is no link; None if there is none, or if it is too large."""
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= _MOST_BYTES else None


def _nothing(what: str) -> Response:
    return PlainTextResponse(f"no such {what}", 404)
