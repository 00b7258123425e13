"""Pictures that the tests make themselves, and the switch that writes golden files."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if find_spec("torch"):  # the core's tests run without
    import torch

    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other

if TYPE_CHECKING:
    from torch import Tensor

NEEDS_TORCH = pytest.mark.skipif(not find_spec("torch"), reason="needs torch, the extra models")
ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "v1"


def codecs() -> list:
    """Names of all codecs as test parameters; those that need torch are skipped without it."""
    import smalti

    return [
        pytest.param(codec.name, marks=[NEEDS_TORCH] if codec.extra else [])
        for codec in smalti.list_codecs()
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files that do not exist yet"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Two to four tests at once where pytest-xdist is there and nobody said how many."""
    is_worker = hasattr(config, "workerinput")
    if (
        config.pluginmanager.hasplugin("xdist")
        and not is_worker
        and config.option.numprocesses is None
    ):
        config.option.numprocesses = min(os.cpu_count() or 1, 4)
        config.option.dist = "worksteal"


# The tests of the rooms whose coverage is measured (pyproject.toml); no others are slowed by it.
MEASURED = (
    *("test_api", "test_bc7", "test_codec", "test_conformance", "test_container", "test_entropy"),
    *("test_fitted", "test_gpu", "test_hash_texture", "test_latent_texture"),
    *(
        "test_neural_texture",
        "test_patch_codec",
        "test_quality",
        "test_resampler",
        "test_strangers",
    ),
    *("test_fit_command", "test_told", "test_unpack_arrays"),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.pluginmanager.hasplugin("_cov"):
        for item in items:
            if not item.path.stem.startswith(MEASURED):
                item.add_marker("no_cover")


def make_picture(channels: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth gradient, a disc, stripes and a little noise: uint8 `H W C`, `H W` for grey.

    Alpha has a fully transparent part, a fully opaque part and a ramp between them.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x + 0.5) / width, (y + 0.5) / height
    random = np.random.default_rng(seed)
    colour = np.stack([u, v, 1 - u * v])
    colour[:, (u - 0.4) ** 2 + (v - 0.5) ** 2 < 0.06] = [[0.9], [0.2], [0.1]]
    colour += 0.15 * (np.floor(x / 3) % 2) * (u > 0.6)
    colour += random.normal(0, 0.01, colour.shape)
    alpha = np.clip(2 * u - 0.3, 0, 1)
    planes = {1: colour[:1], 2: [colour[0], alpha], 3: colour, 4: [*colour, alpha]}[channels]
    levels = np.round(np.clip(np.stack(list(planes), -1), 0, 1) * 255).astype(np.uint8)
    return levels[..., 0] if channels == 1 else levels


def make_tensor(channels: int, height: int, width: int, seed: int = 0) -> "Tensor":
    """The same picture as models take it: `C H W` float32 in [0, 1]."""
    import torch

    levels = make_picture(channels, height, width, seed).reshape(height, width, channels)
    return torch.from_numpy((levels.transpose(2, 0, 1) / 255).astype(np.float32))


@pytest.fixture
def picture():
    return make_picture


def run(monkeypatch, capsys, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of one command."""
    from smalti.cli import main

    monkeypatch.setattr(sys, "argv", ["smalti", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err
