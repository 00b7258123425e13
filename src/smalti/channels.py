"""Pictures of other channel counts than a codec's own, and windows of them.

Grey becomes equal red, green and blue, a codec that insists on alpha gets an opaque one, and alpha
that a codec cannot carry becomes a lossless 8-bit plane in one more section, the last.
"""

import numpy as np

from smalti import entropy
from smalti.codec import PART, Codec, EncodeOptions, Part, Samples, Size, Window
from smalti.errors import FormatError, OptionError
from smalti.image import to_depth, to_float, to_uint8
from smalti.image.resize import resized
from smalti.image.samples import top_value


def encode_any(codec: Codec, image: np.ndarray, options: EncodeOptions) -> list[bytes]:
    height, width, channels = image.shape
    size = Size(channels, height, width)
    alpha_apart = _alpha_apart(codec, size)
    inner = image[..., :-1] if alpha_apart else image
    missing = _inner_size(codec, size).channels - inner.shape[2]
    parts = [inner]
    if missing >= 2:
        parts = [inner[..., :1], inner[..., :1], inner]
    if missing in (1, 3):
        parts.append(np.full_like(inner[..., :1], top_value(inner)))
    whole = np.concatenate(parts, 2) if len(parts) > 1 else np.ascontiguousarray(inner)
    sections = codec.encode(whole, options)
    if alpha_apart:
        sections.append(entropy.encode_planes(to_uint8(image[..., -1])[None], [256]))
    return sections


def decode_any(
    codec: Codec,
    sections: tuple[bytes, ...],
    size: Size,
    drawn: tuple[int, int] | None,
    dtype: np.dtype | type,
    device: str,
) -> np.ndarray:
    """The picture `H W C`, drawn at another size if asked: part by part into one array.

    Args:
        dtype: uint8, uint16 or float32 in [0, 1].
    """
    height, width = drawn or size[1:]
    return _cut(codec, sections, size, drawn, Window(0, 0, height, width), dtype, device)


def decode_window(
    codec: Codec,
    sections: tuple[bytes, ...],
    size: Size,
    window: Window,
    dtype: np.dtype | type,
    device: str,
) -> np.ndarray:
    """The texels of `window`; of codecs with random access, and unless it is large, only these."""
    small = window.height * window.width <= PART**2
    if not isinstance(codec, Samples) or _alpha_apart(codec, size) or not small:
        return _cut(codec, sections, size, None, window, dtype, device)
    inner = codec.decode_window(sections, _inner_size(codec, size), window, device=device)
    return to_depth(_to_channels(inner, size.channels), dtype)


def _cut(
    codec: Codec,
    sections: tuple[bytes, ...],
    size: Size,
    drawn: tuple[int, int] | None,
    window: Window,
    dtype: np.dtype | type,
    device: str,
) -> np.ndarray:
    """Of the picture in parts what lies in `window`, as one array."""
    alpha = None
    if _alpha_apart(codec, size):
        sections, alpha = _split_alpha(sections, size)
        if drawn is not None:
            alpha = resized(to_float(alpha), *drawn, "bicubic")
    colours = size.channels - (alpha is not None)
    picture = np.empty((window.height, window.width, size.channels), dtype)
    for part in codec.parts(sections, _inner_size(codec, size), drawn or size[1:], device=device):
        place, texels = _within(part, window)
        if texels.size:
            picture[(*place, slice(colours))] = to_depth(_to_channels(texels, colours), dtype)
    if alpha is not None:
        top, left, height, width = window
        shown = alpha[top : top + height, left : left + width]
        picture[..., colours:] = to_depth(shown, dtype)
    return picture


def _within(part: Part, window: Window) -> tuple[tuple[slice, slice], np.ndarray]:
    """Where in `window` a part lies, and what of it."""
    place, inside = [], []
    rows, columns = part.texels.shape[:2]
    for start, count, edge, extent in (
        (part.top, rows, window.top, window.height),
        (part.left, columns, window.left, window.width),
    ):
        first = max(start, edge)
        last = max(first, min(start + count, edge + extent))
        place.append(slice(first - edge, last - edge))
        inside.append(slice(first - start, last - start))
    return (place[0], place[1]), part.texels[inside[0], inside[1]]


def arrays_of(codec: Codec, sections: tuple[bytes, ...], size: Size) -> dict[str, np.ndarray]:
    """What the sections of a file hold, by name: the codec's own, and a plane of alpha."""
    if not _alpha_apart(codec, size):
        return codec.arrays(sections, _inner_size(codec, size))
    sections, alpha = _split_alpha(sections, size)
    return {**codec.arrays(sections, _inner_size(codec, size)), "alpha": alpha[..., 0]}


def _alpha_apart(codec: Codec, size: Size) -> bool:
    return size.channels in (2, 4) and not {2, 4} & set(codec.channels)


def _inner_size(codec: Codec, size: Size) -> Size:
    """The size of the picture that the codec itself sees."""
    channels = size.channels - 1 if _alpha_apart(codec, size) else size.channels
    if channels not in codec.channels and channels < 3:
        channels += 2  # grey -> colour
    if channels not in codec.channels:
        channels += 1  # opaque alpha
    if channels not in codec.channels:
        raise OptionError(f"{codec.name} does not take pictures of {size.channels} channels")
    return size._replace(channels=channels)


def _split_alpha(sections: tuple[bytes, ...], size: Size) -> tuple[tuple[bytes, ...], np.ndarray]:
    """The codec's own sections, and the plane of alpha, uint8 `H W 1`."""
    if not sections:
        raise FormatError("the section with the alpha plane is missing")
    plane = entropy.decode_planes(sections[-1], (1, size.height, size.width), [256])
    return sections[:-1], plane.reshape(size.height, size.width, 1).astype(np.uint8)


def _to_channels(inner: np.ndarray, channels: int) -> np.ndarray:
    """Undo grey -> colour and the opaque alpha."""
    if inner.shape[2] == channels:
        return inner
    colour, alpha = inner[..., :3], inner[..., 3:]
    if channels <= 2 and inner.shape[2] >= 3:
        grey = to_float(colour).mean(2, keepdims=True, dtype=np.float32)
        colour = to_depth(grey, inner.dtype) if inner.dtype != np.float32 else grey
    if channels in (1, 3):
        return np.ascontiguousarray(colour)
    return np.concatenate([colour, alpha], 2)
