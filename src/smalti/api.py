"""The public functions: pictures to bytes and back, through any codec of the registry."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from smalti import container, extras, geometry, registry, settings
from smalti.about import CodecInfo, FileInfo, info, list_codecs
from smalti.channels import arrays_of, decode_any, decode_window, encode_any
from smalti.codec import (
    Codec,
    EncodeOptions,
    Resizes,
    Size,
    TrainedCodec,
    Window,
    check_option,
    with_settings,
)
from smalti.errors import FormatError, ImageError, OptionError, SmaltiError, unknown
from smalti.files import MAX_PIXELS, SMT, content
from smalti.image import as_picture, load, save, to_depth, to_uint8
from smalti.image.output import check_output, given_as
from smalti.smt import check_pixels, open_file, write_file

if TYPE_CHECKING:
    from smalti.eval.metrics import Metrics
    from smalti.models.base import Model

__all__ = [
    "CodecInfo",
    "FileInfo",
    "arrays",
    "decode",
    "encode",
    "info",
    "list_codecs",
    "load",
    "load_model",
    "metrics",
    "resolve",
    "save",
]


def encode(
    picture: Any,
    codec: str | Codec = "bc7",
    *,
    effort: str | None = None,
    device: str | None = None,
    seed: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
    options: Mapping[str, Any] | None = None,
    quality: float | None = None,
    suffix: str = SMT,
) -> bytes:
    """Compress one picture into the bytes of a file.

    Args:
        picture: `H W C` or `H W` (grey), uint8, uint16 or float in [0, 1], sRGB-encoded, straight
            alpha; C = 2 (grey + alpha), 3 (RGB) or 4 (RGBA). Or a path, a Pillow image, a torch
            tensor `C H W`.
        codec: a name from `list_codecs()`, with settings if wanted
            ("rgba-ae:step=0.125"), or a codec object.
        effort: how long to search: "ultrafast", "fast", "medium" (the default), "high" or "best",
            and what the codec adds to these.
        device: "cpu", or a torch device ("cuda"); for "bc7" also "gpu" (docs/GPU.md).
        seed: of whatever the encoder draws at random. What is given here wins over what stands
            in `codec`.
        on_step: called with (steps done, steps in all) by encoders that take long.
        options: what this codec adds to these, such as {"rdo": 4.0} of "bc7".
        quality: 0 (few bytes) to 100 (like the picture), as each codec understands it; what is
            set otherwise wins.
        suffix: ".smt", or another format that the codec writes (".dds" for "bc7").

    Raises:
        OptionError: an unknown codec, effort or setting.
        ImageError: no picture in the above sense, or one larger than the codec can take.
        MissingExtraError: a package that the codec needs is not installed.

    Examples:
        >>> import numpy as np
        >>> import smalti
        >>> x = np.zeros((8, 12, 3), np.uint8)
        >>> data = smalti.encode(x)
        >>> len(data)  # 6 blocks of 16 bytes, and 18 around them
        114
        >>> smalti.encode(x, "bc7:effort=best,rdo=4") == smalti.encode(
        ...     x, effort="best", options={"rdo": 4.0}
        ... )
        True
        >>> smalti.encode(x, "bc6")
        Traceback (most recent call last):
        smalti.errors.OptionError: unknown codec 'bc6'; is bc7 meant? smalti list shows all
    """
    if isinstance(codec, str):
        codec, written = resolve(codec, quality)
    elif quality is None:
        written = {}
    else:
        written = dict(type(codec).of_quality(quality))
        fields = {f.name for f in dataclasses.fields(codec)} & written.keys()
        codec = dataclasses.replace(codec, **{name: written.pop(name) for name in fields})
    given = {"effort": effort, "device": device, "seed": seed, "on_step": on_step}
    given = {key: value for key, value in given.items() if value is not None}
    chosen = options_of(codec, {**written, **(options or {}), **given})
    if suffix not in (SMT, *codec.foreign):
        known = ", ".join((SMT, *codec.foreign))
        raise OptionError(f"{codec.name} writes {known} files, no {suffix}")
    _check_installed(codec)
    image = as_picture(picture)
    size = _checked_size(image)
    check_texels(codec, size)
    with _set_aside(codec, chosen.device):
        sections = encode_any(codec, image, chosen)
    if suffix == SMT:
        return write_file(codec, sections, size)
    return codec.write_foreign(suffix, sections, size)


@overload
def decode(
    data: Any,
    *,
    dtype: np.dtype | type = ...,
    window: str | tuple[int, int, int, int] | None = ...,
    size: str | tuple[int, int] | None = ...,
    device: str = ...,
    weights: str | Path | None = ...,
    max_pixels: int | Mapping[str, int] = ...,
    output: Literal["numpy"] = ...,
) -> np.ndarray: ...
@overload
def decode(
    data: Any,
    *,
    dtype: np.dtype | type = ...,
    window: str | tuple[int, int, int, int] | None = ...,
    size: str | tuple[int, int] | None = ...,
    device: str = ...,
    weights: str | Path | None = ...,
    max_pixels: int | Mapping[str, int] = ...,
    output: str,
) -> Any: ...
def decode(
    data: Any,
    *,
    dtype: np.dtype | type = np.uint8,
    window: str | tuple[int, int, int, int] | None = None,
    size: str | tuple[int, int] | None = None,
    device: str = "cpu",
    weights: str | Path | None = None,
    max_pixels: int | Mapping[str, int] = MAX_PIXELS,
    output: str = "numpy",
) -> Any:
    """The picture that a file holds: `H W C`, or `H W` for grey.

    sRGB-encoded, straight alpha.

    Args:
        data: the bytes of the file, its path or a binary file object.
        dtype: np.uint8; np.uint16 and np.float32 (in [0, 1]) keep more of what a codec of floats
            draws.
        window: only these texels: (top, left, height, width), or as the command has it,
            "64x64+128+0" for WIDTHxHEIGHT+LEFT+TOP. Codecs with random access decode no others.
        size: (height, width) to draw at, or "640x480", for codecs that have no fixed resolution.
        weights: the file of trained weights that `data` was made with, if it is neither bundled
            nor in a folder of SMALTI_WEIGHTS.
        max_pixels: refuse a file, or a size, of more texels than this before allocating anything;
            {"fsq": 2**20, "resampler": 2**20} limits these codecs and leaves others as they are.
        output: "numpy", or "pil" for a Pillow image of 8 bits, "torch" for a tensor `C H W`.

    Raises:
        FormatError: the bytes are no valid file.
        WeightsError: the weights it was made with are not here.
        MissingExtraError: a package that the codec needs is not installed.
        OptionError: a window outside the picture, or a size for a codec with a fixed one.

    Examples:
        >>> import numpy as np
        >>> import smalti
        >>> data = smalti.encode(np.full((8, 12, 3), 200, np.uint8))
        >>> smalti.decode(data)[0, 0]
        array([200, 200, 200], dtype=uint8)
        >>> smalti.decode(data, window=(4, 2, 1, 3), dtype=np.float32).shape
        (1, 3, 3)
        >>> smalti.decode(data[:-1])
        Traceback (most recent call last):
        smalti.errors.FormatError: truncated: 113 bytes, and the header says 114
    """
    check_device(device)
    check_output(output)
    to_depth(np.empty((1, 1), np.uint8), dtype)  # before the work
    codec, shape, sections, digest = open_file(content(data))
    box = None if window is None else _checked_window(geometry.window(window), shape)
    most = max_pixels if isinstance(max_pixels, int) else max_pixels.get(codec.name, MAX_PIXELS)
    drawn = None if size is None else _checked_drawn(geometry.size(size), codec, shape, most)
    if box is not None and drawn is not None:
        raise OptionError("either a window or a size, not both")
    check_pixels(shape, most, codec.name)
    check_texels(codec, shape, FormatError)
    codec = _with_weights(codec, digest, weights)
    _check_installed(codec)
    with _set_aside(codec, device):
        if box is not None:
            picture = decode_window(codec, sections, shape, box, dtype, device)
        else:
            picture = decode_any(codec, sections, shape, drawn, dtype, device)
    return given_as(picture[..., 0] if shape.channels == 1 else picture, output)


def arrays(
    data: Any, *, weights: str | Path | None = None, max_pixels: int = MAX_PIXELS
) -> dict[str, np.ndarray]:
    """What a file holds before a picture is drawn of it, by name: latents, tokens, tables, blocks.

    Args:
        data, weights, max_pixels: as `decode` has them.

    Raises:
        FormatError: no valid file.
        WeightsError: the weights it was made with are not here.
    """
    codec, shape, sections, digest = open_file(content(data))
    check_pixels(shape, max_pixels, codec.name)
    check_texels(codec, shape, FormatError)
    codec = _with_weights(codec, digest, weights)
    _check_installed(codec)
    return arrays_of(codec, sections, shape)


def prepare(codec: Codec | bytes, device: str = "cpu", weights: str | Path | None = None) -> None:
    """Import and load what is needed to encode with a codec, or to decode a file.

    Args:
        codec: the codec, or the bytes of the file; the next call is then the work alone.
        device, weights: as `decode` has them.

    Raises:
        MissingExtraError: a package that it needs is not installed.
        FormatError, WeightsError: as `decode`.
    """
    encoding = isinstance(codec, Codec)
    if not isinstance(codec, Codec):
        codec, _, _, digest = open_file(codec)
        codec = _with_weights(codec, digest, weights)
    _check_installed(codec)
    if device.partition(":")[0] not in codec.own_devices:
        check_device(device)
        codec.prepare(device, encoding=encoding)


def load_model(name: str) -> "Model":
    """A trained model as an `nn.Module`: float32, in evaluation mode, without gradients.

    Every model takes and gives pictures `B C H W` in [-1, 1], and refuses others.

    Args:
        name: a bundled set of weights ("fsq-1m", "patch-f8c16"), a path to a .safetensors or .pt
            file or a folder with model.safetensors, a repository "owner/name" of the Hugging Face
            hub, or a file of one, such as "hf:Muinez/StupidAE/smol_f8c16.pt". Of .pt files only
            tensors are read, and the hub's file has to stay as it was first.

    Raises:
        WeightsError: no such weights, weights of no model of ours, or a file that has changed.

    Examples:
        >>> import smalti, torch
        >>> model = smalti.load_model("fsq-1m")
        >>> with torch.inference_mode():
        ...     tokens = model.encode(torch.zeros(1, 3, 16, 24))
        >>> tokens.shape
        torch.Size([1, 8, 12])
    """
    extras.need("torch", extra="models", what="a trained model")
    from smalti.models import load

    return load(name)


def metrics(original: Any, picture: Any) -> "Metrics":
    """How far a picture is from its original: PSNR, also by channel, SSIM, MS-SSIM, alpha.

    Args:
        original, picture: whatever `encode` takes, and files of ours, their paths or bytes. 16 bits
            and floats are compared as 8 bits; grey with colour as colour, what has no alpha as
            opaque.

    Raises:
        ImageError: no pictures, or of two sizes.

    Examples:
        >>> import numpy as np
        >>> import smalti
        >>> x = np.full((32, 32, 3), 100, np.uint8)
        >>> round(smalti.metrics(x, x + 1).psnr, 2)
        48.13
        >>> smalti.metrics(x, smalti.encode(x)).psnr
        inf
    """
    from smalti.eval import metrics

    x, y = metrics.matched(shown(original), shown(picture))
    return metrics.metrics(x, y)


def shown(picture: Any) -> np.ndarray:
    """`H W C` uint8 of a picture, or of a file of ours."""
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        picture = path.read_bytes() if path.suffix.lower() in (SMT, *registry.FOREIGN) else path
    if isinstance(picture, bytes | bytearray | memoryview):
        picture = bytes(picture)
    if isinstance(picture, bytes) and (
        picture.startswith(container.MAGIC) or registry.is_foreign(picture)
    ):
        picture = decode(picture)
    return to_uint8(as_picture(picture))


def resolve(text: str, quality: float | None = None) -> tuple[Codec, dict[str, Any]]:
    """Codec and options of "name" or "name:field=value,field=value".

    Args:
        quality: what stands for it, where the text does not say otherwise; see `encode`.

    Raises:
        OptionError: an unknown codec or field, or a bad value.
    """
    name, given = settings.split(text)
    cls = registry.codec_class(name)
    return with_settings(cls, given, {} if quality is None else cls.of_quality(quality))


def options_of(codec: Codec, given: Mapping[str, Any]) -> EncodeOptions:
    """A codec's options, checked.

    Raises:
        OptionError: no option of this codec, an effort that it does not have, or a device that
            cannot be used.
    """
    for key in given.keys() - {"on_step"}:
        check_option(type(codec), key)
    options = codec.Options(**given)
    if options.device.partition(":")[0] not in codec.own_devices:
        check_device(options.device)
    if options.effort not in codec.efforts:
        raise OptionError(unknown(f"effort of {codec.name}", options.effort, codec.efforts))
    return options


def _checked_window(window: tuple[int, int, int, int], shape: Size) -> Window:
    box = Window(*window)
    if not (
        0 <= box.top < box.top + box.height <= shape.height
        and 0 <= box.left < box.left + box.width <= shape.width
    ):
        raise OptionError(
            f"window top {box.top}, left {box.left}, {box.height} x {box.width} does not lie "
            f"within the picture's {shape.height} rows and {shape.width} columns"
        )
    return box


def _checked_drawn(
    size: tuple[int, int], codec: Codec, shape: Size, max_pixels: int
) -> tuple[int, int]:
    height, width = size
    if not isinstance(codec, Resizes):
        raise OptionError(
            f"{codec.name} has one size, {shape.width} x {shape.height}; resize after decoding"
        )
    if height < 1 or width < 1 or height * width > max_pixels:
        raise OptionError(f"size {width} x {height}; it takes 1 .. {max_pixels:,} texels")
    return height, width


def check_texels(codec: Codec, size: Size, error: type[SmaltiError] = ImageError) -> None:
    """Refuse a picture, or with another `error` a file, that is too large for a codec's memory."""
    texels = size.height * size.width
    if codec.max_texels and texels > codec.max_texels:
        raise error(
            f"{size.width} x {size.height} = {texels:,} texels; {codec.name} holds the whole "
            f"picture in memory when it encodes and takes at most {codec.max_texels:,}: cut or shrink it"
        )


def check_device(name: str) -> None:
    """Refuse a device that cannot be used here; only "cpu" needs no torch to tell.

    Raises:
        OptionError: no such device, torch built without it, or one that holds no numbers ("meta").
        MissingExtraError: torch is not installed.
    """
    if name == "cpu":
        return
    torch = extras.need("torch", extra="models", what=f"device {name!r}")
    try:
        torch.empty(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as cause:
        reason = str(cause).partition("\n")[0]
        raise OptionError(f"device {name!r} cannot be used here, use cpu: {reason}") from cause


def _with_weights(codec: Codec, digest: bytes, weights: str | Path | None) -> Codec:
    """The codec of a file, with the file of its weights."""
    if not isinstance(codec, TrainedCodec):
        return codec
    from smalti.weights import find_by_hash

    return dataclasses.replace(codec, weights=str(find_by_hash(digest, weights)))


@contextmanager
def _set_aside(codec: Codec, device: str) -> Iterator[None]:
    """NumPy's and torch's own state, whatever the caller made of it."""
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="warn", under="ignore"))
        if isinstance(codec, TrainedCodec):
            from smalti.models.state import set_aside

            stack.enter_context(set_aside(device))
        yield


def _check_installed(codec: Codec) -> None:
    if isinstance(codec, TrainedCodec):
        extras.need("torch", extra="models", what=f"the codec {codec.name}")


def _checked_size(image: np.ndarray) -> Size:
    height, width, channels = image.shape
    if max(height, width) > container.MAX_SIDE:
        raise ImageError(
            f"{width} x {height} texels; a file's sides are at most {container.MAX_SIDE}"
        )
    return Size(channels, height, width)
