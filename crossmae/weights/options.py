"""What a source says behind its question mark: ``mine.pth?key=teacher&heads=12``. Loads no torch."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le

from crossmae.errors import UserError
from crossmae.parsing import Count, Positive, Strict, parse

PAGE = "docs/your_checkpoint.md"

OTHERWISE = f"name the model of timm that it is (timm:NAME@FILE), or see {PAGE}"
"""What to do with weights of no plain vision transformer."""

WRAPPED = "crossmae.wrapped"
"""``format`` in the ``config.json`` of a backbone that is no plain vision transformer."""

Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
"""Of the MLPs: exact, by the tanh formula, or x * sigmoid(1.702 x)."""

Interpolation = Literal["bicubic", "bilinear"]
"""By which images are resized before a model sees them."""

RGB = tuple[float, float, float]

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)

_Mean = Annotated[float, Ge(0), Le(1)]
_Deviation = Annotated[float, Ge(1e-3), Le(1)]


@dataclass(frozen=True)
class SourceOptions(Strict):
    """What weights do not say about the model that they belong to; None: not given."""

    key: str | None = None
    """Where in a file the weights lie (``teacher``, ``model_ema``), with dots between nested keys."""
    prefix: str | None = None
    """What the names of the encoder's weights begin with (``base_encoder.``)."""
    heads: Count | None = None
    act: Activation | None = None
    eps: Positive | None = None
    """Epsilon of all norms."""
    mean: tuple[_Mean, _Mean, _Mean] | None = None
    """Of pixels between 0 and 1, red, green and blue."""
    std: tuple[_Deviation, _Deviation, _Deviation] | None = None
    image_size: Count | None = None
    """Side in pixels of the images that position embeddings are resized for."""

    def given(self) -> dict[str, Any]:
        """The options that are not None, by name."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def over(self, other: Self) -> Self:
        """These options and, where they are silent, ``other``'s."""
        return type(self)(**{**other.given(), **self.given()})


def split_source(source: str) -> tuple[str, SourceOptions]:
    """The source without its options, and the options behind its ``?``.

    Raises:
        UserError: an option that is unknown, given twice, not of the form ``name=value`` or of another type.
    """
    place, _, text = source.partition("?")
    values: dict[str, Any] = {}
    for assignment in text.split("&") if text else ():
        name, equals, value = assignment.partition("=")
        if not equals or name in values:
            raise UserError(f"{source}: {assignment!r} is given twice or is no name=value", _remedy())
        values[name] = _value(name, value)
    return place, parse(SourceOptions, values, f"{source}:")


def with_option(source: str, option: str) -> str:
    """``source`` with one more option behind it, as a user would write it."""
    return f"{source}{'&' if '?' in source else '?'}{option}"


def _value(name: str, text: str) -> Any:
    """The text as JSON knows it, so far as it can be read; the parser names what is of another type."""
    try:
        if name in ("heads", "image_size"):
            return int(text)
        if name == "eps":
            return float(text)
        if name in ("mean", "std"):
            return [float(part) for part in text.split(",")]
    except ValueError:
        return text
    return text


def _remedy() -> str:
    return f"the options are {', '.join(option.name for option in fields(SourceOptions))}"
