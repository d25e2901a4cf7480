"""A headless Chromium, driven by chromedriver's plain HTTP interface (W3C WebDriver).

As a program it takes a picture of a page's first screen: ``python -m tests.support.browser PAGE PICTURE``.
"""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMEDRIVER = shutil.which("chromedriver")


@dataclass(frozen=True)
class Visit:
    """What was seen of a page."""

    console: list[str]
    """Errors and warnings."""
    requests: list[str]
    """Addresses that were asked for, the page itself included; what is embedded is not asked for."""
    overflow: int
    """CSS pixels by which the page is wider than the screen."""
    broken_images: int
    title: str
    screenshot: bytes
    """PNG."""


@dataclass(frozen=True)
class Tab:
    """A page that is open."""

    session: str

    def script(self, text: str) -> Any:
        """What the body of a function in the page returns."""
        return _post(f"{self.session}/execute/sync", {"script": text, "args": []})

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        return [entry["message"] for entry in _log(self.session, "browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, without what is embedded."""
        events = [json.loads(entry["message"])["message"] for entry in _log(self.session, "performance")]
        asked = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith("data:")]

    def screenshot(self) -> bytes:
        """PNG."""
        return base64.b64decode(_get(f"{self.session}/screenshot"))


@contextmanager
def opened(page: Path | str, width: int, height: int) -> Iterator[Tab]:
    """Opens a file or an address on a screen of so many CSS pixels."""
    with _driver() as address, _session(address, width, height) as session:
        _post(f"{session}/url", {"url": page if isinstance(page, str) else page.as_uri()})
        yield Tab(session)


def visit(page: Path | str, width: int, height: int, whole: bool = False) -> Visit:
    """Opens a file or an address on a screen of so many CSS pixels.

    Args:
        whole: a screenshot of all of it, not of the first screen.
    """
    with opened(page, width, height) as tab:
        if whole:
            tall = tab.script("return document.documentElement.scrollHeight")
            _post(f"{tab.session}/goog/cdp/execute", _cdp("Emulation.setDeviceMetricsOverride", width, tall))
        return Visit(
            console=tab.console(),
            requests=tab.requests(),
            overflow=tab.script("return document.documentElement.scrollWidth - window.innerWidth"),
            broken_images=tab.script("return [...document.images].filter(one => !one.naturalWidth).length"),
            title=tab.script("return document.title"),
            screenshot=tab.screenshot(),
        )


@contextmanager
def _driver() -> Iterator[str]:
    assert CHROMEDRIVER is not None
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            _get(f"{address}/status")
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("chromedriver does not answer")


@contextmanager
def _session(address: str, width: int, height: int) -> Iterator[str]:
    options = {
        "args": ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"],
        "mobileEmulation": {"deviceMetrics": {**_metrics(width, height), "pixelRatio": 1}},
    }
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "WARNING", "performance": "ALL"}}
    made = _post(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
    session = f"{address}/session/{made['sessionId']}"
    try:
        yield session
    finally:
        _ask(urllib.request.Request(session, method="DELETE"))


def _cdp(command: str, width: int, height: int) -> dict[str, Any]:
    return {"cmd": command, "params": {**_metrics(width, height), "deviceScaleFactor": 1}}


def _metrics(width: int, height: int) -> dict[str, Any]:
    return {"width": width, "height": height, "mobile": width < 600}


def _log(session: str, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = _post(f"{session}/se/log", {"type": kind})
    return entries


def _get(address: str) -> Any:
    return _ask(urllib.request.Request(address))


def _post(address: str, content: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(address, json.dumps(content).encode(), headers))


def _ask(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(visit(Path(sys.argv[1]).resolve(), 1180, 860).screenshot)
