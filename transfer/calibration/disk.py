"""Which released models lie on this disk, and whether they are what was published."""

from dataclasses import dataclass
from pathlib import Path

from crossmae.errors import UserError
from transfer.calibration.registry import Released
from transfer.harness.plan.lineage import digest_of_file


@dataclass(frozen=True)
class Candidate:
    """A released model and the file that was found for it."""

    model: Released
    file: Path | None
    digest: str = ""
    """Of the file by the published algorithm; empty if none was published."""

    @property
    def is_original(self) -> bool:
        """Whether the file is there and is not known to be another one than the published."""
        _, _, published = (self.model.digest or "").partition(":")
        return self.file is not None and self.digest.startswith(published)


def look_for(models: list[Released], folder: Path, cache: Path) -> list[Candidate]:
    """One candidate per model; digests are kept in the file ``cache``.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; give the one that the released files were downloaded to")
    return [_candidate(model, folder, cache) for model in models]


def _candidate(model: Released, folder: Path, cache: Path) -> Candidate:
    named = sorted(path for path in folder.rglob(Path(model.file).name) if path.match(model.file))
    if not named:
        return Candidate(model, None)
    algorithm, colon, _ = (model.digest or "").partition(":")
    return Candidate(model, named[0], digest_of_file(named[0], cache, algorithm) if colon else "")
