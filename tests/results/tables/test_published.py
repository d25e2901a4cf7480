"""Published numbers: transcribed rightly, never without a source, and nowhere else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import results
from crossmae.errors import UserError
from results.tables.published import all_numbers, find_number, load_published, published_names

ROOT = Path(results.__file__).parents[1]
ROOMS = ("crossmae", "results", "transfer", "detection", "segmentation")

# Transcribed from the paper a second time, row by row, independently of the YAML files.
TABLE_1 = {
    "Supervised (Steiner et al.)": (79.0, 82.3, 82.6, 83.1),
    "DINO": (None, 82.8, None, None),
    "MoCo v3": (81.4, 83.2, 84.1, None),
    "BEiT": (None, 83.2, 85.2, None),
    "MultiMAE": (None, 83.3, None, None),
    "MixedAE": (None, 83.5, None, None),
    "CIM": (81.6, 83.3, None, None),
    "MAE (800 ep)": (78.9, 83.3, 85.4, 85.8),
    "CrossMAE (25 %)": (79.2, 83.5, 85.4, 86.3),
    "CrossMAE (75 %)": (79.3, 83.7, 85.4, 86.4),
}
TABLE_2 = {
    "Supervised (Li et al.)": (47.6, 49.6, 42.4, 43.8),
    "MoCo v3": (47.9, 49.3, 42.7, 44.0),
    "BEiT": (49.8, 53.3, 44.4, 47.1),
    "MixedAE": (50.3, None, 43.5, None),
    "MAE (Li et al.)": (51.2, 54.6, 45.5, 48.6),
    "CrossMAE": (52.1, 54.9, 46.3, 48.8),
}
TABLE_16 = {"MAE": (79.8, 57.9), "CrossMAE (25 %)": (79.4, 57.9), "CrossMAE (75 %)": (80.1, 57.8)}
TABLE_17 = {"MAE": (47.7,), "CrossMAE (25 %)": (47.7,), "CrossMAE (75 %)": (48.1,)}


@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        ("crossmae_table1", ("ViT-S", "ViT-B", "ViT-L", "ViT-H"), TABLE_1),
        ("crossmae_table2", ("box AP ViT-B", "box AP ViT-L", "mask AP ViT-B", "mask AP ViT-L"), TABLE_2),
        ("crossmae_table16", ("iNaturalist 2019", "Places365"), TABLE_16),
        ("crossmae_table17", ("mIoU",), TABLE_17),
    ],
)
def test_the_main_tables_equal_the_paper(name: str, columns: tuple[str, ...], rows: dict[str, Any]) -> None:
    table = load_published(name)
    assert table.columns == columns
    assert table.rows == rows


@pytest.mark.parametrize("name", published_names())
def test_every_number_has_paper_table_source_and_protocol(name: str) -> None:
    numbers = list(all_numbers(name))
    assert numbers
    for number in numbers:
        assert number.paper
        assert number.table
        assert number.protocol
        assert number.source.startswith("https://")


@pytest.mark.parametrize(
    ("place", "caution"),
    [
        (("crossmae_table1", "CrossMAE (75 %)", "ViT-B"), "best validation epoch"),
        (("crossmae_table1", "MAE (800 ep)", "ViT-H"), "un-normalised"),
        (("crossmae_table2", "MAE (Li et al.)", "box AP ViT-B"), "without relative-position bias"),
        (("crossmae_table2", "BEiT", "mask AP ViT-L"), "another detector"),
        (("crossmae_table2", "CrossMAE", "box AP ViT-L"), "does not say whether relative-position bias"),
        (("crossmae_table6", "Sum", "to visible"), "sums over the 8 decoder blocks"),
        (("crossmae_table6", "1", "to masked"), "summed over the 16 heads"),
        (("crossmae_table12", "CrossMAE", "ViT-B"), "protocol was not published"),
        (("crossmae_table14", "Average", "top-1"), "divides the variance by n"),
        (("crossmae_table16", "MAE", "iNaturalist 2019"), "3,030 images"),
    ],
)
def test_known_cautions_stay_with_their_numbers(place: tuple[str, str, str], caution: str) -> None:
    number = find_number(*place)
    assert number is not None
    assert any(caution in text for text in number.cautions)


def test_table_6_is_in_the_unit_that_its_caution_says() -> None:
    for row, (to_visible, to_masked) in load_published("crossmae_table6").rows.items():
        assert to_visible is not None
        assert to_masked is not None
        blocks = 8 if row == "Sum" else 1
        # Each number is rounded to half a thousandth.
        assert 50 * to_visible + 147 * to_masked == pytest.approx(16 * blocks, abs=197 * 0.0005 * blocks)


def test_no_table_or_recipe_or_source_file_holds_a_published_number() -> None:
    published = {number.value for name in published_names() for number in all_numbers(name)}
    # Whole and small numbers have other uses: batch sizes, rates, drop path.
    telling = {value for value in published if value > 15 and value != int(value)}
    for room in ROOMS:
        for path in sorted([*(ROOT / room).rglob("*.yaml"), *(ROOT / room).rglob("*.py")]):
            if path.parent.name != "published":
                assert not telling & set(_numbers(path.read_text())), path


def test_a_file_without_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((ROOT / "results/data/published/crossmae_table17.yaml").read_text())
    for source, complaint in (("", "is not a link"), (None, "source")):
        (tmp_path / "t.yaml").write_text(yaml.safe_dump({**content, "source": source}))
        monkeypatch.setattr("results.tables.published.FOLDER", tmp_path)
        load_published.cache_clear()
        with pytest.raises(UserError, match=complaint):
            load_published("t")


def _numbers(text: str) -> Iterator[float]:
    """Decimal numbers, in comments too; of versions such as 1.0.31 none."""
    yield from map(float, re.findall(r"(?<![\d.])\d+\.\d+(?!\.?\d)", text))


@pytest.mark.parametrize(
    ("place", "caution"),
    [
        (("crossmae_readme", "CrossMAE", "ViT-B at 448"), "400 epochs"),
        (("crossmae_readme", "CrossMAE", "ViT-H"), "address of the fine-tuned model"),
        (("crossmae_table2", "CrossMAE", "box AP ViT-B"), "standard deviation of 0.10 over five seeds"),
        (("mae_linear_probe", "MAE, 800 epochs, pixels", "ViT-L"), "Table 1d"),
    ],
)
def test_corrections_of_an_audit_stay(place: tuple[str, str, str], caution: str) -> None:
    number = find_number(*place)
    assert number is not None
    assert any(caution in text for text in number.cautions)


def test_mmpretrain_has_its_vit_h_at_448() -> None:
    number = find_number("mmpretrain_mae", "1600 epochs", "fine-tuning ViT-H at 448")
    assert number is not None
    assert number.value == 87.30
