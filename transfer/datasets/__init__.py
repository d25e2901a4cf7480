"""Readers of classification data sets, as people have them on disk."""

from transfer.datasets.imagefolder import ImageFolder
from transfer.datasets.inat import INaturalist2019
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.places import Places365
from transfer.datasets.reader import Reader

READERS: dict[str, type[Reader]] = {"imagenet": ImageFolder, "inat19": INaturalist2019, "places365": Places365}
"""By the name that a task's ``options: {reader: ...}`` gives."""

__all__ = ["READERS", "LabelledImages", "Reader"]
