"""Who is answered, with what, and under which policy."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from crossmae.errors import UserError
from tests.support.runs import RunFolder
from tests.transfer.live.conftest import serving
from transfer.commands.serve import serve
from transfer.live.server import is_loopback, names_of


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of two folders, one with a report, the other with a link in its place."""
    runs = tmp_path_factory.mktemp("served")
    RunFolder(runs / "one").record("inat19", "mae", 0, {"top1": 50.0})
    RunFolder(runs / "two").record("inat19", "mae", 0, {"top1": 60.0})
    (runs / "one" / "report.html").write_text("<script>document.title='ran'</script>a report")
    (runs / "two" / "report.html").symlink_to("/etc/passwd")
    with serving(runs, "--port", "0") as (address, _):
        yield address


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method)) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_the_page_and_its_data_are_there(address: str) -> None:
    for path in ("", "page.js", "page.css", "runs.json"):
        assert ask(address + path)[0] == 200
    content = json.loads(ask(f"{address}runs.json")[2])
    assert content["summary"] == "2 runs: 0 waiting, 0 running, 2 done, 0 failed"
    detail = json.loads(ask(f"{address}run.json?key={content['runs'][0]['key']}")[2])
    assert ["top1", "50"] in detail["facts"]


def test_a_report_runs_nothing_and_a_link_is_none(address: str) -> None:
    reports = json.loads(ask(f"{address}runs.json")[2])["reports"]
    assert [report["name"] for report in reports] == ["one/report.html"]
    status, headers, content = ask(f"{address}report.html?key={reports[0]['key']}")
    assert (status, b"a report" in content) == (200, True)
    assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    "path", ["run.json?key=../../etc", "run.json", "report.html?key=/etc", "../../etc/passwd", "x"]
)
def test_no_path_of_a_request_is_a_file(address: str, path: str) -> None:
    assert ask(address + path)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "[", "a b"]
)
def test_another_name_for_the_server_is_refused(address: str, host: str) -> None:
    """A page of a stranger whose name is made to lead to 127.0.0.1 asks with that name."""
    assert ask(f"{address}runs.json", Host=host)[0] in (400, 403)
    assert ask(f"{address}runs.json", Host="localhost:1")[0] == 200  # A tunnel has a port of its own.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_is_answered(address: str, method: str) -> None:
    assert ask(f"{address}runs.json", method)[0] == 405


@pytest.mark.parametrize("path", ["", "runs.json", "nothing"])
def test_every_answer_has_a_strict_policy(address: str, path: str) -> None:
    headers = ask(address + path)[1]
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


def test_a_token_is_wanted_and_is_in_no_log(made: RunFolder) -> None:
    with serving(made.out, "--port", "0", "--token") as (url, process):
        address, _, token = url.partition("?token=")
        for wrong in ("", "?token=", "?token=x", "?token=%ff"):
            assert ask(f"{address}{wrong}")[0] == ask(f"{address}runs.json{wrong}")[0] == 403
        status, headers, _ = ask(url)
        assert status == 200
        assert "httponly; path=/; samesite=strict" in headers["Set-Cookie"].lower()
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert ask(f"{address}runs.json", Cookie=cookie)[0] == 200
        assert ask(f"{address}runs.json", Cookie=f"{cookie}x")[0] == 403
        process.kill()
        assert token not in process.communicate()[0]


def test_only_this_machine_itself_needs_no_token() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "node17", "10.0.0.1", "")))
    assert names_of("Node17") == {"node17"}
    assert "127.0.0.1" in names_of("0.0.0.0")


def test_what_is_missing_is_one_line(made: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        serve(tmp_path / "nothing", "127.0.0.1", 0, False)
    with pytest.raises(UserError, match=r"cannot listen at 192\.0\.2\.1"):
        serve(made.out, "192.0.2.1", 0, False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"needs uvicorn; pip install 'crossmae\[serve\]'"):
        serve(made.out, "127.0.0.1", 0, False)
