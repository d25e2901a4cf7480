"""COCO data is known by its annotations and images, wherever it lies."""

import json
import shutil
from pathlib import Path

import pytest

from crossmae.data.images import DEMO_FILE, digest_of_bytes
from crossmae.errors import UserError
from detection.data.layout import annotation_file, fingerprint_of_coco


@pytest.mark.parametrize("generated", [True, False])
def test_a_copy_is_the_same_data_and_another_box_is_not(coco: Path, tmp_path: Path, generated: bool) -> None:
    for name in ("copy", "other"):
        shutil.copytree(coco, tmp_path / name)
        if not generated:
            (tmp_path / name / DEMO_FILE).unlink()
    path = annotation_file(tmp_path / "other", "val")
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] += 1
    path.write_text(json.dumps(content))
    copy, other = (fingerprint_of_coco(tmp_path / name, digest_of_bytes) for name in ("copy", "other"))
    assert copy != other
    assert not generated or copy == fingerprint_of_coco(coco, digest_of_bytes)


def test_data_without_annotations_is_one_line(coco: Path, tmp_path: Path) -> None:
    shutil.copytree(coco, tmp_path / "copy")
    annotation_file(tmp_path / "copy", "val").unlink()
    with pytest.raises(UserError, match=r"cannot be (listed|read)"):
        fingerprint_of_coco(tmp_path / "copy", digest_of_bytes)
