"""Encoders and decoders as ONNX files, which say themselves what goes in and comes out.

    model ─torch.onnx (torch.export)→ name-encoder.onnx, name-decoder.onnx ─→ onnxruntime

Batch, height and width are free; sides of pictures are multiples of the factor. A tokenizer's
encoder gives token ids, and its decoder takes them. `run_onnx.py`, written beside the files, needs
nothing but onnxruntime, numpy and Pillow.
"""

import contextlib
import json
import logging
import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

import smalti
from smalti import weights
from smalti.export.int8 import check_int8, quantised
from smalti.extras import need
from smalti.files import check_new, write_atomically
from smalti.models import check_autoencoder, load
from smalti.models.base import Model
from smalti.models.fsq import FsqAutoencoder
from smalti.models.layers import fsq
from smalti.models.patch.stages import StackedPatchAutoencoder
from smalti.models.rgba import RgbaAutoencoder

if TYPE_CHECKING:
    from onnx import ModelProto

HALVES = ("encoder", "decoder")
EXAMPLE = "run_onnx.py"
Int8 = Literal["static", "dynamic"]


def write_onnx(
    name: str | Path, folder: Path, *, int8: Int8 | None = None, force: bool = False
) -> list[Path]:
    """Write both halves of a model, and an example that runs them, to a folder.

    Args:
        name: whatever `smalti.load_model` takes.
        folder: made if it is not there.
        int8: weights of 8 bits, for RGBA models: "static" (activations too, their ranges from the
            bundled pictures: the faster one) or "dynamic" (ranges measured at each run).
        force: replace files that exist.
    Returns:
        the files: encoder, decoder, example.

    Raises:
        WeightsError: no such weights.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        OptionError: a file exists, or a model that int8 is not for.
    """
    path = weights.find(name)
    stem = PurePosixPath(str(name).replace("\\", "/")).name
    for suffix in weights.SUFFIXES:
        stem = stem.removesuffix(suffix)
    ending = "-int8.onnx" if int8 else ".onnx"
    targets = [*(folder / f"{stem}-{half}{ending}" for half in HALVES), folder / EXAMPLE]
    for target in targets[:2]:  # the example is the same for all
        check_new(target, force=force)
    model = load(name)
    if int8:
        check_int8(model)
    digest = weights.sha256(path).hex()
    halves = {half: to_onnx(model, half, name=stem, digest=digest) for half in HALVES}
    if int8:
        halves = quantised(model, halves, int8)
    folder.mkdir(parents=True, exist_ok=True)
    for target, content in zip(targets, halves.values(), strict=False):
        write_atomically(target, content.SerializeToString())
    write_atomically(targets[2], Path(__file__).with_name(EXAMPLE).read_bytes())
    return targets


def to_onnx(model: Model, half: str, *, name: str = "", digest: str = "") -> "ModelProto":
    """The encoder or the decoder of a model as an ONNX graph with its metadata.

    Inputs and outputs are "pictures", `B C H W` float32 in the model's own range, and "latents",
    `B Z h w` float32, or "tokens", `B h w` int64. A decoder does not check its tokens.

    Args:
        half: "encoder" or "decoder".
        name, digest: of the weights (SHA-256, hexadecimal), for the metadata.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        OptionError: a model without a graph here.
    """
    onnx = need("onnx", extra="onnx", what="export to ONNX")
    need("onnxscript", extra="onnx", what="export to ONNX")  # what torch.onnx writes graphs with
    check_autoencoder(model, "export to ONNX")
    code = "tokens" if isinstance(model, FsqAutoencoder) else "latents"
    names = ["pictures", code] if half == "encoder" else [code, "pictures"]
    example = _example(model, half)
    axes = {0: "batch", example.ndim - 2: "height", example.ndim - 1: "width"}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            Half(model, half).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=(axes,),
            input_names=names[:1],
            output_names=names[1:],
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    graph.producer_name, graph.producer_version = "smalti", smalti.__version__
    onnx.helper.set_model_props(graph, metadata(model, half, name=name, digest=digest))
    onnx.checker.check_model(graph)
    return graph


def metadata(model: Model, half: str, *, name: str, digest: str) -> dict[str, str]:
    """What a file says of itself; every value is text, as ONNX has it."""
    f, channels = model.factor, model.channels
    pictures = f"float32, B {channels} H W, sRGB-encoded, H and W multiples of {f}"
    facts = {
        "model": type(model).__name__,
        "config": json.dumps(asdict(model.config)),
        "half": half,
        "pictures": pictures + (", straight alpha" if channels == 4 else ""),
        "range": "-1 1",  # of the pictures: lowest and highest
        "channels": "RGBA" if channels == 4 else "RGB",
        "factor": str(f),  # texels along each side of a latent or token
        "precision": "float32",
        "weights": name,
        "weights_sha256": digest,
    }
    if isinstance(model, FsqAutoencoder):
        facts["tokens"] = f"int64, B H/{f} W/{f}, 0 .. {model.codebook_size - 1}"
    else:
        facts["latents"] = f"float32, B {_example(model, 'decoder').shape[1]} H/{f} W/{f}"
    return facts


class Half(nn.Module):
    """One half of a model as a function of one tensor, without checks of what a tensor holds."""

    def __init__(self, model: Model, half: str) -> None:
        super().__init__()
        self.model, self.which = model, half

    def forward(self, x: Tensor) -> Tensor:
        model = self.model
        if isinstance(model, FsqAutoencoder):
            return self._tokens(x) if self.which == "encoder" else self._from_tokens(x)
        if isinstance(model, StackedPatchAutoencoder):
            if self.which == "encoder":
                return model.second.encoder(model.gains * model.first.encoder(x))
            return model.first.decoder(model.second.decoder(x) / model.gains)
        if isinstance(model, RgbaAutoencoder):  # the network's own pictures are in [0, 1]
            return (
                model.encoder((x + 1) / 2) if self.which == "encoder" else 2 * model.decoder(x) - 1
            )
        return model.get_submodule(self.which)(x)

    def _tokens(self, x: Tensor) -> Tensor:
        levels = self.model.config.levels
        return fsq.to_index(fsq.to_digits(self.model.encoder(x), levels), levels)

    def _from_tokens(self, tokens: Tensor) -> Tensor:
        levels = self.model.config.levels
        radix = [math.prod(levels[:d]) for d in range(len(levels))]
        digits = [tokens // r % count for r, count in zip(radix, levels, strict=True)]
        return self.model.decoder(fsq.dequantize(torch.stack(digits, 1), levels))


def _example(model: Model, half: str) -> Tensor:
    """An input that no free size is 1 or equal to another one of."""
    if half == "encoder":
        return torch.zeros(2, model.channels, 3 * model.factor, 5 * model.factor)
    if isinstance(model, FsqAutoencoder):
        return torch.zeros(2, 3, 5, dtype=torch.int64)
    config = getattr(model.config, "second", model.config)
    return torch.zeros(2, config.latent_channels, 3, 5)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of itself: a deprecated call, absent torchvision."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*treespec, LeafSpec", FutureWarning)
            yield
    finally:
        registry.setLevel(level)
