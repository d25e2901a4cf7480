"""The page in a browser: it renews itself, asks nobody else, and shows what strangers say as text."""

import time
from collections.abc import Callable

import pytest

from crossmae.errors import printable
from tests.support.browser import CHROMEDRIVER, Tab, opened
from tests.support.runs import RunFolder
from tests.transfer.live.conftest import HOSTILE, report, serving
from transfer.live.look import Watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMEDRIVER is None, reason="no chromedriver; on Debian: apt-get install chromium-driver"),
]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def text_of(tab: Tab) -> str:
    return str(tab.script("return document.body.innerText"))


def test_the_page_follows_the_runs_and_shows_words_of_strangers_as_text(made: RunFolder) -> None:
    folder = made.folder("inat19", HOSTILE[1], 0)
    with serving(made.out, "--port", "0", "--token") as (address, _), opened(address, 1280, 900) as tab:
        wait_for(lambda: "25%" in text_of(tab) and "begins" in text_of(tab))
        tab.script("window.mark = 'same page'")
        report(folder, 30)
        wait_for(lambda: "75%" in text_of(tab) and "loss: now 70" in text_of(tab))
        assert tab.script("return window.mark") == "same page"
        shown = text_of(tab)
        for words in HOSTILE:
            assert printable(words) in shown
        assert tab.script("return document.title") == "Runs"
        assert tab.script("return location.search") == ""  # The token is in no history.
        assert tab.script("return document.querySelectorAll('img, body script').length") == 0
        assert tab.script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert tab.console() == []
        assert {url.split("/")[2] for url in tab.requests()} == {address.split("/")[2]}


def test_a_server_that_is_killed_and_started_again_is_found_again(made: RunFolder) -> None:
    folder = made.folder("inat19", HOSTILE[1], 0)
    with serving(made.out, "--port", "0") as (address, process), opened(address, 390, 900) as tab:
        wait_for(lambda: "25%" in text_of(tab))
        process.kill()
        wait_for(lambda: "no answer" in text_of(tab))
        assert "25%" in text_of(tab)
        report(folder, 30)
        with serving(made.out, "--port", address.rstrip("/").rpartition(":")[2]):
            wait_for(lambda: "75%" in text_of(tab) and "no answer" not in text_of(tab))
        assert tab.script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert next(run.share for run in Watch(made.out).picture().runs if run.backbone == HOSTILE[1]) == 0.75
