from pathlib import Path

import pytest

from crossmae.errors import UserError
from crossmae.recipe import load_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(
        "source: the paper\n"
        "protocol: {epochs: 800, model: {mask_ratio: 0.75, depth: 12}}\n"
        "execution: {workers: 8}\n"
        "deviations: [other data]\n"
    )
    (tmp_path / "short.yaml").write_text("base: base\nprotocol: {epochs: 10}\ndeviations: [10 epochs]\n")
    return tmp_path


def test_a_recipe_is_a_few_lines_over_its_base(folder: Path) -> None:
    recipe = load_recipe(folder, "short")
    assert recipe.protocol == {"epochs": 10, "model": {"mask_ratio": 0.75, "depth": 12}}
    assert recipe.source == "the paper"
    assert recipe.deviations == ("other data", "10 epochs")


def test_identity_covers_the_protocol_and_nothing_else(folder: Path) -> None:
    recipe = load_recipe(folder, "short")
    assert load_recipe(folder, "short", ["workers=2"]).hash == recipe.hash
    assert load_recipe(folder, "short", ["model.depth=6"]).hash != recipe.hash
    assert load_recipe(folder, "base", ["epochs=10"]).hash == recipe.hash


def test_an_overridden_protocol_value_is_a_deviation(folder: Path) -> None:
    assert load_recipe(folder, "base", ["epochs=5"]).deviations == ("other data", "epochs=5 (recipe: 800)")
    assert load_recipe(folder, "base", ["epochs=800", "workers=1"]).deviations == ("other data",)


def test_what_counts_is_the_value_in_the_end(folder: Path) -> None:
    recipe = load_recipe(folder, "base")
    assert load_recipe(folder, "base", ["epochs=5", "epochs=800"]) == recipe
    assert load_recipe(folder, "base", ["epochs=800.0"]) == recipe
    assert load_recipe(folder, "base", ["epochs=5", "epochs=6"]).deviations[1:] == ("epochs=6 (recipe: 800)",)


def test_a_mapping_shows_the_value_that_it_replaces(folder: Path) -> None:
    recipe = load_recipe(folder, "base", ["model={depth: 6}"])
    assert recipe.protocol["model"] == {"depth": 6}
    assert recipe.deviations[1:] == ("model={'depth': 6} (recipe: {'mask_ratio': 0.75, 'depth': 12})",)


@pytest.mark.parametrize(
    ("name", "override", "part"),
    [
        ("nothing", "epochs=1", "known recipes: base, short"),
        ("base", "epoch=1", "no value 'epoch'; it has epochs, model, workers"),
        ("base", "model.width=1", "no value 'model.width'"),
        ("base", "epochs", "not of the form key=value"),
    ],
)
def test_mistakes_are_named_in_one_line(folder: Path, name: str, override: str, part: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(folder, name, [override])
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_section_is_refused(folder: Path) -> None:
    (folder / "typo.yaml").write_text("protocl: {}\n")
    with pytest.raises(UserError, match="unknown protocl"):
        load_recipe(folder, "typo")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("base: odd\n", "its bases lead back to itself"),
        ("- 1\n", "is no mapping"),
        ("protocol: null\n", "protocol is None"),
        ("protocol: [1]\n", "protocol is [1]"),
        ("protocol: &a {x: *a}\n", "Circular reference"),
        ("protocol: !!python/object/apply:os.mkdir [was-here]\n", "is not valid YAML"),
        ("protocol: " + "[" * 3000, "is not valid YAML"),
        ("\ufeff\0", "odd.yaml"),
    ],
)
def test_a_malformed_file_is_one_line(content: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        load_recipe(tmp_path, "odd")
    assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.yaml"]


def test_a_recipe_reads_no_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    (tmp_path / "leak.yaml").write_text("protocol: {note: '${oc.env:SECRET}'}\n")
    assert load_recipe(tmp_path, "leak").protocol == {"note": "${oc.env:SECRET}"}
