"""8-bit forms of the RGBA model's ONNX graphs, with onnxruntime's own quantiser."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smalti.errors import OptionError
from smalti.extras import need
from smalti.files import BUNDLED_PICTURES
from smalti.image import load
from smalti.models.base import Model
from smalti.models.pictures import to_tensor
from smalti.models.rgba import RgbaAutoencoder

if TYPE_CHECKING:
    from onnx import ModelProto


def quantised(model: Model, halves: dict[str, "ModelProto"], how: str) -> dict[str, "ModelProto"]:
    """Both halves with 8-bit weights, a quarter of the bytes.

    Args:
        halves: of `onnx.to_onnx`, "encoder" and "decoder".
        how: "static": activations are 8-bit too, within the ranges that they have on the bundled
            pictures; "dynamic": their ranges are measured at each run, which costs more than it
            saves on a CPU.

    Raises:
        OptionError: another model than the RGBA one.
        MissingExtraError: onnxruntime is not installed.
    """
    check_int8(model)
    onnx = need("onnx", extra="onnx", what="int8")
    need("onnxruntime", extra="onnx", what="int8")
    from onnxruntime import InferenceSession, quantization

    class Pictures(quantization.CalibrationDataReader):
        def __init__(self, name: str, arrays: list[np.ndarray]) -> None:
            self.inputs = iter([{name: array} for array in arrays])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.inputs, None)

    encoder = InferenceSession(halves["encoder"].SerializeToString())
    pictures = calibration_pictures(model.factor)
    latents = [encoder.run(None, {"pictures": x})[0] for x in pictures]
    inputs = {"encoder": ("pictures", pictures), "decoder": ("latents", latents)}
    found = {}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        for half, graph in halves.items():
            source, target = Path(folder) / "float.onnx", Path(folder) / f"{half}.onnx"
            onnx.save(graph, source)
            if how == "static":
                quantization.quantize_static(
                    source, target, Pictures(*inputs[half]), per_channel=True
                )
            else:
                # unsigned: onnxruntime's ConvInteger is five times slower with signed weights
                quantization.quantize_dynamic(
                    source,
                    target,
                    weight_type=quantization.QuantType.QUInt8,
                    op_types_to_quantize=["Conv"],
                )
            found[half] = onnx.load(target)
            facts = {entry.key: entry.value for entry in graph.metadata_props}
            onnx.helper.set_model_props(found[half], facts | {"precision": f"int8 {how}"})
    return found


def check_int8(model: Model) -> None:
    """Refuse models whose 8-bit form nobody has measured."""
    if not isinstance(model, RgbaAutoencoder):
        raise OptionError(f"int8 is for RgbaAutoencoder, not {type(model).__name__}")


def calibration_pictures(factor: int) -> list[np.ndarray]:
    """The bundled pictures as `1 4 H W` in [-1, 1]: opaque, and with an alpha that goes from 0 to 1."""
    found = []
    for path in sorted(BUNDLED_PICTURES.glob("*.png")):
        x = to_tensor(load(path))[0, :3].numpy()
        height, width = (side // factor * factor for side in x.shape[1:])
        colour = x[:, :height, :width]
        for alpha in (np.ones(width), np.linspace(-1, 1, width)):
            plane = np.broadcast_to(alpha.astype(np.float32), (1, height, width))
            found.append(np.concatenate([colour, plane])[None])
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to optimise the graph first, which changes nothing here."""

    def keep(record: logging.LogRecord) -> bool:
        return "pre-processing" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
