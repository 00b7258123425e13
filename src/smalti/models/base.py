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
from smalti.weights import CONFIG_FILE, MODEL_FILE, find, read


class Model(nn.Module):
    """An ordinary `nn.Module` with a frozen dataclass as its config.

    A weights file is one safetensors file: the tensors (float16 when shipped) and one line of
    metadata, `smalti: {"model": class name, "config": {...}}` in JSON. One line, because several
    would stand in a random order and the file's hash would change from one writing to the next.
    """

    Config: ClassVar[type]
    factor: ClassVar[int]  # height and width of a picture must be multiples of this
    channels: ClassVar[int]  # of a picture: 3 RGB, 4 RGBA

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
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load trained weights, in evaluation mode.

        Args:
            name: a bundled set ("fsq-1m"), a .safetensors file, a folder that `save_pretrained` or
                `PyTorchModelHubMixin` wrote, or a repository of the Hugging Face hub
                ("owner/name").
            dtype: of the weights; files hold float16 and are widened.

        Raises:
            WeightsError: no such weights, no safetensors file, or weights of another model.
        """
        path = find(name)
        metadata, tensors = read(path)
        if (metadata.get("model") or cls.__name__) != cls.__name__:
            raise WeightsError(
                f"{path.name} holds weights of {metadata['model']}, not of {cls.__name__}"
            )
        try:
            model = cls(_config(cls.Config, metadata["config"]))
            model.load_state_dict({key: value.to(dtype) for key, value in tensors.items()})
        except (KeyError, TypeError, RuntimeError, OptionError) as cause:  # of another model
            reason = str(cause).partition("\n")[0]
            raise WeightsError(f"{path.name} does not fit {cls.__name__}: {reason}") from cause
        return model.to(device, dtype).eval()

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


def _config(cls: type, fields: dict[str, Any]) -> Any:
    """A config dataclass of its JSON; lists become the tuples they were."""
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
