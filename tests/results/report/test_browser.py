"""The report as a browser sees it: no word on the console, no request, nothing wider than the screen."""

from pathlib import Path

import pytest

from results.report.write import write_report
from tests.support.browser import CHROMEDRIVER, visit
from tests.support.runs import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMEDRIVER is None, reason="no chromedriver; on Debian: apt-get install chromium-driver"),
]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_opens_without_a_word_and_loads_nothing(dressed: RunFolder, tmp_path: Path, width: int) -> None:
    page = write_report(dressed.runs(), tmp_path / "report.html", ["demo", "overview", "table1"])
    seen = visit(page, width, 900)
    assert seen.console == []
    assert seen.requests == [page.as_uri()]
    assert seen.broken_images == 0
    assert seen.overflow <= 0


def test_a_page_that_does_otherwise_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><img src='http://127.0.0.1:9/x.png'><script>console.error('oh')</script>"
        "<div style='width: 3000px'>wide</div>"
    )
    seen = visit(page, 390, 900)
    assert any("oh" in line for line in seen.console)
    assert "http://127.0.0.1:9/x.png" in seen.requests
    assert (seen.broken_images, seen.overflow > 0) == (1, True)
