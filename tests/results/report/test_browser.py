"""The report as a browser sees it: no word on the console, no request, nothing wider than the screen."""

import json
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


HOSTILE = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "\" onmouseover=\"document.title='ran'",
    "</style><svg onload=\"document.title='ran'\">",
    "javascript:document.title='ran'",
    "{{ 7 * 7 }} {% raw %}",
    "$\\frac{1}{0}$ \\input{/etc/passwd}",
    "=cmd|' /C calc'!A0",
    "\x1b]0;title\x07\x1b[2J",
    "../../../etc/passwd",
    "\u202ereversed",
)


def test_names_errors_and_files_of_strangers_do_nothing(made: RunFolder, tmp_path: Path) -> None:
    for number, text in enumerate(HOSTILE):
        artifacts = {text: "../../../../../../etc/hostname", "picture": "picture.png"}
        folder = made.record("inat19", text, 0, {"top1": 50.0, text: 1.0}, deviations=[text], artifacts=artifacts)
        (folder / "picture.png").write_bytes(text.encode())
        (folder / "progress.jsonl").write_text(json.dumps({"step": 1, "total": 2, "time": 1, text: 1.0}) + "\n")
        made.failure("inat19", f"failed-{number}", 0, text)
    page = write_report(made.runs(), tmp_path / "report.html", ["demo", "table1"], title=HOSTILE[0])
    for width in (390, 1280):
        seen = visit(page, width, 900)
        assert seen.console == []
        assert seen.requests == [page.as_uri()]
        assert seen.title != "ran"
    content = page.read_text()
    assert Path("/etc/hostname").read_text().strip() not in content
    assert content.isprintable() or all(character.isprintable() or character.isspace() for character in content)


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
