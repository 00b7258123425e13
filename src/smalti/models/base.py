"""What every trained model shares: a config that travels with the weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import save
from torch import nn

from smalti.errors import ImageError, OptionError, WeightsError
from smalti.files import write_atomically
from smalti.models import originals
from smalti.models.architectures import MODELS
from smalti.weights import CONFIG_FILE, MODEL_FILE, find, read

OUTSIDE = 1.5  # no picture in [-1, 1] comes near, resampling that overshoots included

# What a config or tensors of another model bring about.
MISFITS = (AttributeError, KeyError, TypeError, RuntimeError, ZeroDivisionError, OptionError)


class Model(nn.Module):
    """An ordinary `nn.Module` with a frozen dataclass as its config.

    A weights file is one safetensors file: the tensors (float16 when shipped) and one line of
    metadata, `smalti: {"model": class name, "config": {...}}` in JSON. One line, because several
    would stand in a random order and the file's hash would change from one writing to the next.
    """

    Config: ClassVar[type]
    factor: ClassVar[int]  # height and width of a picture must be multiples of this
    channels: ClassVar[int]  # of a picture: 3 RGB, 4 RGBA
    sized: ClassVar[bool] = False  # `decode` takes the size to draw at as well
    earlier_names: ClassVar[dict[str, str]] = {}  # of layers, in weights files of before: today's

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = self.Config() if config is None else config

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def halves(self) -> tuple[int, int]:
        """Parameters of the encoder and of the decoder."""
        return tuple(
            sum(p.numel() for p in half.parameters()) for half in (self.encoder, self.decoder)
        )

    def check_pictures(self, x: torch.Tensor) -> None:
        """Refuse pictures of another range, or whose borders the model would drop without a word.

        The range is not looked at in training, nor where the model is compiled.

        Raises:
            ImageError: not `B C H W`, sides that are no multiples of `factor`, or not in [-1, 1].
        """
        if x.ndim != 4 or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ImageError(
                f"{type(self).__name__} takes B C H W with H and W multiples of {self.factor}, not "
                f"{tuple(x.shape)}; smalti.models.layers.pad.to_multiple pads"
            )
        if not self.training:
            check_range(x)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load trained weights, in evaluation mode.

        Args:
            name: a bundled set ("fsq-1m"), a .safetensors or .pt file, a folder that
                `save_pretrained` or `PyTorchModelHubMixin` wrote, or a repository or file of the
                Hugging Face hub ("owner/name", "hf:owner/name/file"). The original checkpoint of
                an architecture is recognised from its keys (`models.originals`).
            dtype: of the weights; files hold float16 and are widened.

        Raises:
            WeightsError: no such weights, no safetensors file, or weights of another model.
        """
        path = find(name)
        metadata, tensors = read(path)
        kind, fields = metadata["model"], metadata["config"]
        if kind in MODELS and kind != cls.__name__:
            raise WeightsError(f"{path.name} holds weights of {kind}, not of {cls.__name__}")
        if kind not in MODELS:
            tensors = originals.unwrapped(tensors)
            if fields is None or not fields.keys() <= _names(cls.Config):  # no config of ours
                if not originals.is_original(cls, tensors):
                    raise WeightsError(undescribed(path, kind, tensors))
                tensors, fields = cls.from_original(tensors), {}
        try:
            model = cls(config_of(cls.Config, fields))
            model.load_state_dict({cls._key(k): value.to(dtype) for k, value in tensors.items()})
        except MISFITS as cause:
            reason = str(cause).partition("\n")[0]
            raise WeightsError(f"{path.name} does not fit {cls.__name__}: {reason}") from cause
        return model.to(device, dtype).eval()

    @classmethod
    def _key(cls, key: str) -> str:
        layer, dot, rest = key.partition(".")
        return cls.earlier_names.get(layer, layer) + dot + rest

    @classmethod
    def from_original(cls, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The original's state dict under our keys and in our shapes; most have the same."""
        return tensors

    def save_pretrained(self, path: str | Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write weights and config, the same bytes every time.

        Args:
            path: a .safetensors file, or a folder, which gets model.safetensors and config.json as
                `PyTorchModelHubMixin` lays them out.
            dtype: of the tensors in the file.
        """
        path, config = Path(path), dataclasses.asdict(self.config)
        tensors = {key: value.to(dtype).contiguous() for key, value in self.state_dict().items()}
        metadata = {"model": type(self).__name__, "config": config}
        data = save(tensors, {"smalti": json.dumps(metadata)})
        if path.suffix == ".safetensors":
            write_atomically(path, data)
            return
        path.mkdir(parents=True, exist_ok=True)
        described = json.dumps({"model": type(self).__name__, **config}, indent=2) + "\n"
        write_atomically(path / CONFIG_FILE, described.encode())
        write_atomically(path / MODEL_FILE, data)


def check_range(x: torch.Tensor) -> None:
    """Refuse what is no picture in [-1, 1], the one range of every model.

    Raises:
        ImageError: whole numbers, or values that no picture comes near.
    """
    if torch.compiler.is_compiling() or not x.numel():
        return
    largest = float(x.detach().abs().max())
    if not x.is_floating_point() or not largest <= OUTSIDE:
        raise ImageError(
            f"models take pictures in [-1, 1]; this one is {x.dtype} and reaches {largest:g}: 8-bit "
            "values are x / 127.5 - 1, those in [0, 1] are 2 * x - 1"
        )


def config_of(cls: type, fields: dict[str, Any]) -> Any:
    """A config dataclass of its JSON: lists become the tuples they were, objects configs."""
    kinds = {field.name: field.type for field in dataclasses.fields(cls)}
    return cls(**{key: _field(kinds.get(key), value) for key, value in fields.items()})


def _field(kind: Any, value: Any) -> Any:
    if isinstance(value, dict) and dataclasses.is_dataclass(kind):
        return config_of(kind, value)
    return tuple(value) if isinstance(value, list) else value


def undescribed(path: Path, kind: str | None, tensors: dict[str, torch.Tensor]) -> str:
    """The sentence for a file that holds no model known here."""
    whose = f"holds weights of {kind}" if kind else "does not say which model its weights are of"
    return (
        f"{path.name} {whose}, and its {len(tensors)} tensors are not named and shaped as in one "
        f"of the original checkpoints; known: {', '.join(MODELS)}"
    )


def _names(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}
