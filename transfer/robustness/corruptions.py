"""ImageNet-C's corruptions and its measure, the mean corruption error (Hendrycks & Dietterich, ICLR 2019)."""

from collections.abc import Mapping
from types import MappingProxyType

ALEXNET: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 88.6428,
        "shot_noise": 89.4468,
        "impulse_noise": 92.264,
        "defocus_blur": 81.988,
        "glass_blur": 82.6268,
        "motion_blur": 78.5948,
        "zoom_blur": 79.836,
        "snow": 86.6816,
        "frost": 82.6572,
        "fog": 81.9324,
        "brightness": 56.4592,
        "contrast": 85.3204,
        "elastic_transform": 64.6056,
        "pixelate": 71.784,
        "jpeg_compression": 60.65,
    }
)
"""AlexNet's error in percent, mean over the severities, of the corruptions that mCE is the mean of."""
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Published next to them, and no part of mCE."""
SEVERITIES = ("1", "2", "3", "4", "5")


def mean_corruption_error(errors: Mapping[str, float]) -> float:
    """mCE in percent: the mean over the fifteen corruptions of the error divided by AlexNet's.

    Args:
        errors: in percent, mean over the severities, by corruption; those of ``EXTRA`` do not count.
    """
    return 100 * sum(errors[name] / of_alexnet for name, of_alexnet in ALEXNET.items()) / len(ALEXNET)
