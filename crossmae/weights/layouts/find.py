"""The vision transformer in a file, wherever it lies: found by the names of its weights, never guessed."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from crossmae.errors import UserError
from crossmae.run.rank import is_main
from crossmae.weights.files import DEEPEST, Weights, part_of
from crossmae.weights.layouts.names import LAYOUTS, Layout, to_timm
from crossmae.weights.options import OTHERWISE, SourceOptions

log = logging.getLogger("crossmae")

_WRAPPERS = re.compile(r"(^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and activation checkpointing put into names."""


@dataclass(frozen=True)
class FoundViT:
    """A vision transformer in a file."""

    key: str
    """Where its weights lie, with dots between nested keys; empty for the top of the file."""
    prefix: str
    layout: Layout
    weights: Weights
    """All weights under ``key``, their names without what torch's wrappers put in."""


@dataclass(frozen=True)
class Encoder:
    """A vision transformer out of a file, under timm's names."""

    weights: Weights
    origin: dict[str, Any]
    """For the record: ``layout``, ``key``, ``prefix``, and what was ``left_out``."""


def find_vit(
    content: Mapping[str, Any], source: str, options: SourceOptions, layouts: Sequence[Layout] = LAYOUTS
) -> FoundViT:
    """The one vision transformer in ``content``, nested dictionaries of weights, that the options leave.

    Args:
        layouts: how its weights may be named.

    Raises:
        UserError: none, with what the file holds; or several, with what to write for each.
    """
    everything = list(_vits(content, layouts))
    exact = [vit for vit in everything if options.key is not None and vit.key == options.key]
    chosen = [vit for vit in exact or everything if _is_chosen(vit, options)]
    if len(chosen) == 1:
        return chosen[0]
    if not everything:
        keys = ", ".join(sorted({_shown(key) for key in content})[:8]) or "nothing"
        tried = ", ".join(layout.name for layout in layouts)
        raise UserError(
            f"{source} holds no vision transformer with names of {tried} under any key or prefix; at its top: {keys}",
            OTHERWISE,
        )
    writings = " or ".join(_writings(chosen or everything, source))
    if chosen:
        raise UserError(f"{source} holds {len(chosen)} vision transformers", f"write {writings}")
    raise UserError(f"{source} holds no vision transformer under this key and prefix", f"write {writings}")


def encoder_of(vit: FoundViT) -> Encoder:
    """The encoder's weights alone, under timm's names; what is left out is named, in the order of the alphabet.

    Raises:
        UserError: two of its weights have one name.
    """
    return taken_from(vit, *to_timm(part_of(vit.weights, vit.prefix), vit.layout))


def taken_from(vit: FoundViT, weights: Weights, not_needed: Iterable[str]) -> Encoder:
    """``weights`` as an encoder out of ``vit``, of whose other weights ``not_needed`` are no encoder's."""
    outside = [name for name in vit.weights if not name.startswith(vit.prefix)]
    left_out = {name.split(".")[0] for name in (*not_needed, *outside)}
    origin = {"layout": vit.layout.name, "key": vit.key, "prefix": vit.prefix, "left_out": sorted(left_out)}
    return Encoder(weights, {name: value for name, value in origin.items() if value})


def log_left_out(source: str, encoder: Encoder) -> None:
    """Says what of a file is not used."""
    if is_main() and encoder.origin.get("left_out"):
        log.info("%s: left out, as no encoder needs it: %s", source, ", ".join(encoder.origin["left_out"]))


def weight_sets(content: Mapping[str, Any], key: str | None = None) -> Iterator[tuple[str, Weights]]:
    """All sets of named weights in ``content`` with the key that each lies under; only those under ``key`` if given."""
    for path, weights in _weight_sets(content, (), DEEPEST):
        if key is None or path == key or path.startswith(f"{key}."):
            yield path, weights


def _vits(content: Mapping[str, Any], layouts: Sequence[Layout]) -> Iterator[FoundViT]:
    for key, weights in weight_sets(content):
        names = list(weights)
        for layout in layouts:
            for name in names:
                if name.endswith(layout.patches):
                    prefix = name.removesuffix(layout.patches)
                    first = re.compile(re.escape(prefix) + layout.block)
                    if (not prefix or prefix[-1] in "./") and any(first.match(other) for other in names):
                        yield FoundViT(key, prefix, layout, weights)


def _weight_sets(content: Mapping[str, Any], path: tuple[str, ...], levels: int) -> Iterator[tuple[str, Weights]]:
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield ".".join(path), _unwrapped(tensors)
    if levels:
        for key, value in content.items():
            if isinstance(value, Mapping):
                yield from _weight_sets(value, (*path, str(key)), levels - 1)


def _unwrapped(weights: Mapping[str, Tensor]) -> Weights:
    """Without the names of torch's wrappers; unchanged where two weights would get one name."""
    plain = {_WRAPPERS.sub("", name).removeprefix("module."): tensor for name, tensor in weights.items()}
    return plain if len(plain) == len(weights) else dict(weights)


def _is_chosen(vit: FoundViT, options: SourceOptions) -> bool:
    under = options.key is None or vit.key == options.key or vit.key.startswith(f"{options.key}.")
    begins = options.prefix is None or vit.prefix.rstrip(".") == options.prefix.rstrip(".")
    return under and begins


def _writings(vits: list[FoundViT], source: str) -> list[str]:
    """The source for each of ``vits``: with its key if that is enough, else with its prefix, else with both."""
    place, _, text = source.partition("?")
    rest = [part for part in text.split("&") if part and not part.startswith(("key=", "prefix="))]
    keys, prefixes = {vit.key for vit in vits}, {vit.prefix for vit in vits}
    needs_key, needs_prefix = len(keys) > 1 or len(prefixes) == 1, len(keys) < len(vits) and len(prefixes) > 1
    return [
        f"{place}?"
        + "&".join(
            ([f"key={vit.key}"] if needs_key else []) + ([f"prefix={vit.prefix}"] if needs_prefix else []) + rest
        )
        for vit in vits
    ]


def _shown(key: object) -> str:
    return repr(str(key)[:40])
