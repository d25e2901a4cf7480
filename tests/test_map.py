"""The map stays readable: small rooms, and few modules that exist for one importer only."""

import ast
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("crossmae", "results", "transfer", "detection", "segmentation")
FILES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]

MODULES_IN_A_ROOM = 10
SHARE_OF_SINGLE_IMPORTERS = 0.2  # 43 of 219 when the rooms were made, 87 of 245 before


def name_of(path: Path) -> str:
    """The dotted name of a module or, for an ``__init__.py``, of its package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Our modules that a file imports: at its top, inside functions, or for the type checker."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            full_names = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [full if full in NAMES else node.module for full in full_names]
        else:
            continue
        yield from (target for target in targets if target in NAMES)


def importers() -> dict[str, set[str]]:
    """Returns for each of our modules those of ours that import it."""
    importers_of: dict[str, set[str]] = defaultdict(set)
    for importer, path in NAMES.items():
        for imported in imports(path):
            if imported != importer:
                importers_of[imported].add(importer)
    return importers_of


def test_no_file_under_version_control_is_a_link() -> None:
    """A link to an environment of one machine would replace everybody's own when it is checked out."""
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if line.startswith("120000")] == []


def test_no_room_is_crowded() -> None:
    sizes = Counter(path.parent.relative_to(ROOT) for path in FILES if path.name != "__init__.py")
    rooms = {str(room): size for room, size in sizes.items()}
    assert {room: size for room, size in rooms.items() if size > MODULES_IN_A_ROOM} == {}


def test_few_modules_have_a_single_importer() -> None:
    importers_of = importers()
    modules = [name for name, path in NAMES.items() if path.name != "__init__.py"]
    single = [f"{name} <- {min(importers_of[name])}" for name in modules if len(importers_of[name]) == 1]
    assert len(single) <= SHARE_OF_SINGLE_IMPORTERS * len(modules), "\n".join([f"{len(single)}:", *sorted(single)])
