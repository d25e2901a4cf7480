"""A wrong suite is refused in one line."""

from pathlib import Path

import pytest
import yaml

from crossmae.errors import UserError
from transfer.harness.plan.suite import BackboneEntry, load_suite


@pytest.mark.parametrize("name", ["../../../x", "/abs", ".hidden", "a b", "", "x" * 101])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has a name that cannot be a folder's"):
        BackboneEntry(name, source="random:vit_demo")
    suite = {"title": "x", "backbones": {name: {"source": "random:vit_demo"}}, "tasks": {"inat19": "demo"}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    with pytest.raises(UserError, match="has a name that cannot be a folder's"):
        load_suite(str(tmp_path / "suite.yaml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"backbnes": {}}, "has unknown backbnes"),
        ({"title": None}, "title is None"),
        ({"seeds": [True]}, "seeds.0 is True"),
        ({"seeds": [-1]}, "seeds.0 is -1"),
        ({"seeds": "0"}, "seeds is '0'"),
        ({"backbones": {"a": {"sorce": "x"}}}, "has unknown backbones.a.sorce"),
        ({"backbones": {"a": None}}, "backbones.a is None"),
        ({"backbones": {"a": {"source": ["x"]}}}, r"backbones.a.source is \['x'\]"),
        ({"tasks": ["inat19"]}, r"tasks is \['inat19'\]"),
        ({"tasks": {"inat19": 3}}, "tasks.inat19 is 3"),
        ({"tables": [1]}, "tables.0 is 1"),
        ({"data": "nope"}, "data is 'nope'"),
    ],
)
def test_a_wrong_suite_is_one_line(content: object, message: str, tmp_path: Path) -> None:
    good = {"title": "x", "backbones": {}, "tasks": {}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**good, **content}))  # type: ignore[dict-item]
    with pytest.raises(UserError, match=message) as error:
        load_suite(str(tmp_path / "suite.yaml"))
    assert "\n" not in str(error.value)
