"""What reads strangers' bytes, each with small files of its kind and what makes damage reach it."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

import smalti
from fuzz.mutate import as_it_is, mended_png, mended_safetensors, mended_smt
from smalti import tables, textures
from smalti.image import idx

from conftest import make_picture

MAX_PIXELS = 2**12
WITHOUT_TORCH = ("bc7", "fitted", "hash-texture", "latent-texture", "neural-texture")
WITH_TORCH = ("fsq", "patch-ae", "resampler", "rgba-ae")
PICTURES = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")


@dataclass(frozen=True)
class Reader:
    name: str
    seeds: list[bytes]
    read: Callable[[bytes], object]
    mend: Callable[[bytes], bytes] = as_it_is
    share: int = 1  # of the files of a run: small for readers that take long


def readers() -> list[Reader]:
    """All that can run here."""
    found = [_of_codec(name) for name in WITHOUT_TORCH]
    if find_spec("torch"):
        found += [*map(_of_codec, WITH_TORCH), *_of_models()]
    found += [_of_pictures(kind) for kind in PICTURES]
    return [*found, *_of_textures(), *_of_tables(), _of_idx()]


def _of_codec(name: str) -> Reader:
    steps = ":steps=3" if name in WITHOUT_TORCH[1:] else ""
    shapes = [(1, 8, 8), (3, 9, 5), (4, 16, 24)]
    seeds = [
        smalti.encode(make_picture(*shape), name + steps, effort="ultrafast") for shape in shapes
    ]
    read = partial(smalti.decode, max_pixels=MAX_PIXELS)
    return Reader(f"smt {name}", seeds, read, mended_smt, 1 if name in WITH_TORCH else 6)


def _of_pictures(kind: str) -> Reader:
    seeds = []
    for channels in (1, 3, 4):
        if kind == "JPEG" and channels == 4:
            continue
        file = io.BytesIO()
        Image.fromarray(make_picture(channels, 12, 16)).save(file, kind)
        seeds.append(file.getvalue())
    mend = mended_png if kind == "PNG" else as_it_is
    return Reader(f"picture {kind}", seeds, partial(smalti.load, max_pixels=MAX_PIXELS), mend, 6)


def _of_textures() -> list[Reader]:
    made = [
        textures.encode_texture([make_picture(3, 8, 8)], format=format)
        for format in ("bc7", "bc1", "bc3", "bc5")
    ]

    def read(data: bytes) -> None:
        held = textures.read_texture(data)
        if held.height * held.width <= MAX_PIXELS:
            textures.decode_surface(held)

    return [
        Reader(suffix, [textures.write_texture(t, suffix) for t in made], read, share=8)
        for suffix in (".dds", ".ktx2")
    ]


def _file(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path = Path(tempfile.mkdtemp(prefix="smalti-fuzz-")) / f"a{suffix}"

    def of_bytes(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return of_bytes


def _of_tables() -> list[Reader]:
    text = "file,caption\na.png,some words\nb/c.png,\n"
    seeds = [text.encode(code) for code in ("utf-8", "utf-16")] + [text.replace(",", ";").encode()]
    read = _file(".csv", partial(tables.read, columns=("file", "caption")))
    return [Reader("captions .csv", seeds, read, share=2)]


def _of_idx() -> Reader:
    whole = bytes((0, 0, 8, 3)) + np.array([2, 5, 6], ">u4").tobytes() + bytes(60)
    return Reader("idx", [whole], _file("-idx3-ubyte", idx.read_pictures), share=2)


def _of_models() -> list[Reader]:
    from smalti.models.fsq import FsqAutoencoder, FsqConfig
    from smalti.models.rgba import RgbaAutoencoder, RgbaConfig
    from smalti.tokens import ImageVocabulary, files
    from smalti.train.sources import Pictures

    weights = []
    for model in (
        FsqAutoencoder(FsqConfig(levels=(3, 3), width=8, blocks=1)),
        RgbaAutoencoder(RgbaConfig(latent_channels=1, width=4)),
    ):
        folder = Path(tempfile.mkdtemp(prefix="smalti-fuzz-"))
        model.save_pretrained(folder / "a.safetensors")
        weights.append((folder / "a.safetensors").read_bytes())
    vocabulary = ImageVocabulary((3, 3), 4)
    ids = [0, vocabulary.start, 4, 5, vocabulary.newrow, 6, 7, vocabulary.end]
    kinds = {suffix: files.to_bytes(files.TokenFile(ids), suffix) for suffix in files.WRITTEN}

    def picture(data: bytes) -> None:
        vocabulary.picture(np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(int).tolist())

    array = io.BytesIO()
    np.savez(array, images=np.zeros((2, 4, 4, 3), np.uint8))
    return [
        Reader("weights", weights, _file(".safetensors", lambda p: smalti.load_model(str(p))),
               mended_safetensors),
        *(Reader(f"ids {suffix}", [data], _file(suffix, files.read), share=2)
          for suffix, data in kinds.items()),
        Reader("sequences", [np.array(ids, "<i2").tobytes()], picture),
        Reader("training .npz", [array.getvalue()], _file(".npz", lambda p: Pictures([p]))),
    ]  # fmt: skip
