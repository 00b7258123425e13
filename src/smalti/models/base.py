"""What every trained model shares: a config that travels with the weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import save
from torch import nn

from smalti.errors import ImageError, WeightsError
from smalti.files import write_atomically
from smalti.weights import find, read


class Model(nn.Module):
    """An ordinary `nn.Module` with a frozen dataclass as its config.

    A weights file is one safetensors file: the tensors (float16 when shipped) and one line of
    metadata, `smalti: {"model": class name, "config": {...}}` in JSON. One line, because several
    would stand in a random order and the file's hash would change from one writing to the next.
    """

    Config: ClassVar[type]
    factor: ClassVar[int]  # height and width of a picture must be multiples of this

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = self.Config() if config is None else config

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def check_size(self, x: torch.Tensor) -> None:
        """Refuse pictures whose borders the model would drop without a word.

        Raises:
            ImageError: not `B C H W`, or sides that are no multiples of `factor`.
        """
        if x.ndim != 4 or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ImageError(
                f"{type(self).__name__} takes B C H W with H and W multiples of {self.factor}, not "
                f"{tuple(x.shape)}; smalti.ops.pad.to_multiple pads"
            )

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load a bundled set of weights by name ("fsq-1m"), or a .safetensors file by path.

        Returns the model in float32, in evaluation mode.

        Raises:
            WeightsError: no such weights, no safetensors file, or weights of another model.
        """
        path = find(name)
        metadata, tensors = read(path)
        if metadata.get("model") != cls.__name__:
            raise WeightsError(
                f"{path.name} holds weights of {metadata.get('model', 'an unnamed model')}, "
                f"not of {cls.__name__}"
            )
        try:
            model = cls(_config(cls.Config, metadata["config"]))
            model.load_state_dict({key: value.float() for key, value in tensors.items()})
        except (KeyError, TypeError, RuntimeError) as cause:  # config or tensors of another model
            reason = str(cause).partition("\n")[0]
            raise WeightsError(f"{path.name} does not fit {cls.__name__}: {reason}") from cause
        return model.eval()

    def save_pretrained(self, path: str | Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write weights and config as one safetensors file, the same bytes every time."""
        tensors = {key: value.to(dtype).contiguous() for key, value in self.state_dict().items()}
        metadata = {"model": type(self).__name__, "config": dataclasses.asdict(self.config)}
        write_atomically(path, save(tensors, {"smalti": json.dumps(metadata)}))


def _config(cls: type, fields: dict[str, Any]) -> Any:
    """A config dataclass of its JSON; lists become the tuples they were."""
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
