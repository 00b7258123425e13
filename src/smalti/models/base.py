"""What every trained model shares: a config that travels with the weights."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from safetensors.torch import save
from torch import nn

from smalti.errors import ImageError, WeightsError
from smalti.files import write_atomically
from smalti.models import originals
from smalti.models.architectures import MODELS
from smalti.weights import CONFIG_FILE, MODEL_FILE, find, read

OUTSIDE = 1.5  # no picture in [-1, 1] comes near, resampling that overshoots included

# What a config or tensors of another model bring about.
MISFITS = (
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    RecursionError,
    ZeroDivisionError,
    OverflowError,
)
LARGEST = 2**24  # of a whole number in a config


class Model(nn.Module):
    """An ordinary `nn.Module` with a frozen dataclass as its config.

    A weights file is one safetensors file: the tensors (float16 when shipped) and one line of
    metadata, `smalti: {"model": class name, "config": {...}}` in JSON. One line, because several
    would stand in a random order and the file's hash would change from one writing to the next.
    """

    Config: ClassVar[type]
    if TYPE_CHECKING:  # numbers of the class or of the model

        @property
        def factor(self) -> int:
            """Height and width of a picture must be multiples of this."""

        @property
        def channels(self) -> int:
            """Of a picture: 3 RGB, 4 RGBA."""

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
        halves = dict(self.named_children())
        encoder, decoder = (
            sum(p.numel() for p in halves[half].parameters()) for half in ("encoder", "decoder")
        )
        return encoder, decoder

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
            config = config_of(cls.Config, fields)
            held = {cls._key(key): value for key, value in tensors.items()}
            _check_tensors(cls, config, held)
            model = cls(config)
            model.load_state_dict({key: value.to(dtype) for key, value in held.items()})
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
    if isinstance(value, dict) and isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return config_of(kind, value)
    return tuple(value) if isinstance(value, list) else value


def _check_tensors(cls: type[Model], config: Any, held: dict[str, torch.Tensor]) -> None:
    """Refuse, before a model takes memory or time, what does not fit it or holds no numbers.

    Raises:
        ValueError: names or shapes of other tensors than the config's model has, NaN or infinity.
    """
    _check_config(config, len(held))
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in cls(config).state_dict().items()}
    found = {key: tuple(value.shape) for key, value in held.items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise ValueError(
                f"its config makes {key} {expected.get(key, 'absent')}, the file {found.get(key, 'absent')}"
            )
    for key, value in held.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{key} holds NaN or infinity")


def _check_config(config: Any, tensors: int) -> None:
    """A config's numbers are of the kind of the defaults, and none asks for more than there is.

    Raises:
        ValueError: one is not.
    """
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), type(field.default)
        if dataclasses.is_dataclass(value):
            _check_config(value, tensors)
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        if field.default is not dataclasses.MISSING and field.default is not None:
            is_kind = isinstance(value, kind) or (kind is float and isinstance(value, int))
            if not is_kind or (isinstance(value, bool) and kind is not bool):
                raise ValueError(f"{field.name} is {kind.__name__}, not {type(value).__name__}")
        # every block has tensors of its own
        most = tensors if field.name.endswith(("blocks", "layers", "depth")) else LARGEST
        if len(numbers) > LARGEST or any(
            isinstance(n, int | float) and not -LARGEST <= n <= most for n in numbers
        ):
            raise ValueError(f"{field.name} is beyond {most:,}")


def undescribed(path: Path, kind: str | None, tensors: dict[str, torch.Tensor]) -> str:
    """The sentence for a file that holds no model known here."""
    whose = f"holds weights of {kind}" if kind else "does not say which model its weights are of"
    return (
        f"{path.name} {whose}, and its {len(tensors)} tensors are not named and shaped as in one "
        f"of the original checkpoints; known: {', '.join(MODELS)}"
    )


def _names(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}
