"""Makes a pure-Python ``detectron2`` wheel out of the only copy of detectron2 in the package registry.

``sal-detectron2`` carries upstream's files of April 2024 (all but the version string are byte for byte upstream's)
in a wheel that is tagged for Python 3.10 only, asks for numpy below 2 and installs a top-level ``tools``. Left out
here: its compiled ``_C`` (deformable convolution and rotated boxes need it, ViTDet does not: NMS and RoIAlign are
torchvision's), ``tools``, and its metadata, which is written afresh under the package's own name.
"""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

SOURCE = "sal-detectron2==0.7.2"
SOURCE_SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
DOWNLOAD = ("--no-deps", "--only-binary=:all:", "--python-version", "3.10", "--implementation", "cp", SOURCE)
"""What ``pip download`` is asked for."""
SOURCE_INFO = "sal_detectron2-0.7.2.dist-info"

VERSION = "0.6+registry"
INFO = f"detectron2-{VERSION}.dist-info"
# Upstream's setup.py, and what it does not declare: shapely (cropping polygons), setuptools for pkg_resources.
REQUIRES = (
    "black",
    "cloudpickle",
    "fvcore<0.1.6,>=0.1.5",
    "hydra-core>=1.1",
    "iopath<0.1.10,>=0.1.7",
    "matplotlib",
    "numpy",
    "omegaconf<2.4,>=2.1",
    "packaging",
    "Pillow>=7.1",
    "pycocotools>=2.0.2",
    "setuptools<81",
    "shapely",
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "torch",
    "torchvision",
    "tqdm>4.29.0",
    "yacs>=0.1.8",
)


def repack(source: Path, folder: Path) -> Path:
    """Writes the pure wheel into ``folder`` and returns its path; ValueError if ``source`` is not the known file."""
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
        raise ValueError(f"{source.name} is not the file that was tested (its SHA-256 differs)")
    members = package(source) | metadata(source)
    members[f"{INFO}/RECORD"] = record(members).encode()
    target = folder / f"detectron2-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    return target


def package(source: Path) -> dict[str, bytes]:
    """The Python package itself, by its file names, under upstream's version."""
    with zipfile.ZipFile(source) as wheel:
        names = [name for name in wheel.namelist() if name.startswith("detectron2/") and not name.endswith(".so")]
        members = {name: wheel.read(name) for name in names}
    init = "detectron2/__init__.py"
    members[init] = members[init].replace(b'__version__ = "0.7.2"', b'__version__ = "0.6"')
    return members


def metadata(source: Path) -> dict[str, bytes]:
    """The wheel's own description of itself, without RECORD."""
    with zipfile.ZipFile(source) as wheel:
        licence = wheel.read(f"{SOURCE_INFO}/LICENSE")
    head = ["Metadata-Version: 2.1", "Name: detectron2", f"Version: {VERSION}", "License: Apache-2.0"]
    requires = [f"Requires-Dist: {name}" for name in REQUIRES]
    tag = ["Wheel-Version: 1.0", "Generator: crossmae", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    return {
        f"{INFO}/METADATA": "\n".join([*head, *requires, ""]).encode(),
        f"{INFO}/WHEEL": "\n".join([*tag, ""]).encode(),
        f"{INFO}/LICENSE": licence,
        f"{INFO}/top_level.txt": b"detectron2\n",
    }


def record(members: dict[str, bytes]) -> str:
    """The RECORD file: name, hash and size of every member."""
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in members.items()]
    return "\n".join([*lines, f"{INFO}/RECORD,,", ""])


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    print(repack(Path(sys.argv[1]), Path(sys.argv[2])))
