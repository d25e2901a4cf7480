"""The wheel that is made out of the registry's copy of detectron2."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import detectron2_wheel


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A wheel built like the registry's."""
    path = tmp_path / "sal_detectron2-0.7.2-cp310-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("detectron2/__init__.py", '__version__ = "0.7.2"\n')
        wheel.writestr("detectron2/model_zoo/configs/base.yaml", "a: 1\n")
        wheel.writestr("detectron2/_C.cpython-310.so", b"binary")
        wheel.writestr("tools/__init__.py", "")
        wheel.writestr(f"{detectron2_wheel.SOURCE_INFO}/LICENSE", "Apache")
    return path


def test_another_file_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        detectron2_wheel.repack(source, tmp_path)


def test_pip_installs_the_python_package_alone(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectron2_wheel, "SOURCE_SHA256", hashlib.sha256(source.read_bytes()).hexdigest())
    wheel = detectron2_wheel.repack(source, tmp_path)
    site = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel], check=True)
    assert (site / "detectron2" / "__init__.py").read_text() == '__version__ = "0.6"\n'
    assert (site / "detectron2" / "model_zoo" / "configs" / "base.yaml").exists()
    assert sorted(path.name for path in site.iterdir()) == [
        "detectron2",
        f"detectron2-{detectron2_wheel.VERSION}.dist-info",
    ]
    assert not list(site.rglob("*.so"))
