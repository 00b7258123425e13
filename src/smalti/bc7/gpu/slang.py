"""The engines `pca` and `nelder-mead` of smalti/bc7/mode6.py as a Slang kernel, through slangpy."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from smalti.bc7.layout import BLOCK_BYTES, block_grid
from smalti.bc7.mode6 import ENGINES
from smalti.errors import OptionError
from smalti.extras import need

if TYPE_CHECKING:
    import slangpy

__all__ = ["ENGINES", "Gpu", "open_gpu"]


@functools.cache
def open_gpu(name: str) -> "Gpu":
    """The first adapter whose name contains `name`, in any case of letters; "cpu": the processor.

    Raises OptionError where there is none, or none that Slang can use, MissingExtraError without
    slangpy.
    """
    slangpy = need("slangpy", extra="gpu", what="the effort pca or nelder-mead on a GPU")
    if name == "cpu":
        return Gpu(slangpy.DeviceType.cpu, None)
    adapters = slangpy.Device.enumerate_adapters()
    for adapter in adapters:
        if name.lower() in adapter.name.lower():
            return Gpu(slangpy.DeviceType.automatic, adapter)
    known = ", ".join(adapter.name for adapter in adapters)
    if known:
        raise OptionError(f"no GPU here is called {name!r}; there are: {known}")
    raise OptionError(
        "no GPU adapter is here: install a Vulkan driver (docs/GPU.md), or use device gpu:cpu"
    )


class Gpu:
    """A device and the kernel compiled for it."""

    def __init__(self, kind: "slangpy.DeviceType", adapter: "slangpy.AdapterInfo | None") -> None:
        import slangpy

        self.name = adapter.name if adapter else "cpu"
        try:
            with _silence():
                self._device = slangpy.Device(
                    type=kind,
                    adapter_luid=adapter.luid if adapter else None,
                    enable_hot_reload=False,
                )
                self._kernel = self._compile()
                self.encode(np.zeros((4, 4, 4), dtype=np.uint8), ENGINES[0])
        except RuntimeError as cause:
            missing = (
                "a Vulkan driver with VK_KHR_shader_non_semantic_info (Mesa 25 has it, 22 does not)"
                if adapter
                else "a C++ compiler, g++ or clang++, in PATH"
            )
            raise OptionError(
                f"Slang cannot use {self.name}: it needs {missing}; see docs/GPU.md, or use device cpu"
            ) from cause

    def encode(self, strip: np.ndarray, engine: str) -> bytes:
        """The blocks of a picture, uint8 (H, W, 4), contiguous."""
        from slangpy import BufferUsage

        height, width = strip.shape[:2]
        rows, columns = block_grid(height, width)
        count = rows * columns
        picture = self._device.create_buffer(
            element_count=height * width,
            struct_size=4,
            usage=BufferUsage.shader_resource,
            data=strip,
        )
        blocks = self._device.create_buffer(
            element_count=count, struct_size=BLOCK_BYTES, usage=BufferUsage.unordered_access
        )
        self._kernel.dispatch(
            [count, 1, 1],
            vars={"picture": picture, "blocks": blocks},
            width=width,
            height=height,
            columns=columns,
            count=count,
            search=engine == "nelder-mead",
        )
        return blocks.to_numpy().tobytes()

    def _compile(self) -> "slangpy.ComputeKernel":
        source = (resources.files("smalti.bc7.gpu") / "shaders" / "mode6.slang").read_text("utf-8")
        module = self._device.load_module_from_source("mode6", source)
        program = self._device.link_program([module], [module.entry_point("encode")])
        return self._device.create_compute_kernel(program)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps slangpy from writing to the terminal what becomes one sentence here."""
    import slangpy

    logger = slangpy.Logger.get()
    level = logger.level
    logger.level = slangpy.LogLevel.fatal
    try:
        yield
    finally:
        logger.level = level
