"""The table of sources in docs/your_checkpoint.md: each is made again, and compared with the library that it is of."""

from pathlib import Path

import pytest

from tests.support.sources import HEAD, ORIGINALS, SOURCES, line, lines_of_page

ALL = [pytest.param(source, marks=pytest.mark.slow) if source in ORIGINALS else source for source in SOURCES]
"""Models of whole size are slow."""


@pytest.mark.parametrize("source", ALL)
def test_features_are_as_near_the_originals_as_the_page_says(source: str, tmp_path: Path) -> None:
    measured = SOURCES[source](tmp_path)
    (written,) = [line for line in lines_of_page() if line.startswith(f"| {source} |")]
    bound = written.split("|")[3].strip()
    assert measured.difference <= float(bound) <= 1e-4
    assert written == line(source, bound, measured.backbone.about)


def test_the_page_has_every_source_and_no_other() -> None:
    lines = lines_of_page()
    assert tuple(lines[:2]) == HEAD
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(SOURCES)
