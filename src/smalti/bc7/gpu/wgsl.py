"""The effort ladder on any GPU that wgpu reaches: Vulkan, Metal or Direct3D 12.

    start ──▶ modes 5, 4 where there is alpha ──▶ mode 6 ──▶ rank ──▶ modes 1, 3, 7 ──▶ ...

What `smalti.bc7.encode` does for a block in one go is here a row of small kernels, a mode each, over
all blocks: a kernel reads a block's texels, its least error so far and the trials that are listed
for it, and overwrites the block where it finds a better one. (A single shader of all modes takes a
driver minutes to compile.) The numbers of an effort are those of `smalti.bc7.search.EFFORTS`.
"""

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from smalti.bc7.layout import MODES, block_grid
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.bc7.search import (
    CLOSER,
    EFFORTS,
    EXPECT,
    MARGINS,
    SECOND_SHARE,
    SMOOTH,
    SMOOTH_ROUNDING,
    solid_codes,
)
from smalti.errors import OptionError
from smalti.extras import need

if TYPE_CHECKING:
    import wgpu

GROUP = 64  # threads, as in the shaders
PARTS = {"lines": ("fit", "pack")}  # files that a kernel consists of besides block.wgsl
MAX_TRIALS = 8  # an array in rank.wgsl
TEXEL_LOOP = "for (var t = 0u; t < 16u; t++) {"

# What runs first where several adapters match.
KINDS = ("DiscreteGPU", "IntegratedGPU", "VirtualGPU", "Unknown", "CPU")
APIS = ("Vulkan", "Metal", "D3D12")

# Those with one start of a trial. Codes are moved for every trial that is near the best, where the
# CPU moves those of the best in the end.
NAMES = tuple(n for n, effort in EFFORTS.items() if effort.starts == 1)


class Kernel(NamedTuple):
    """A pipeline: a file of shaders/, and its override constants."""

    shader: str
    constants: tuple[tuple[str, float], ...]


@functools.cache
def ladder(name: str, opaque: bool) -> tuple[Kernel, ...]:
    """The kernels of an effort, in the order in which they run; opaque: over opaque blocks only."""
    effort = EFFORTS[name]
    kinds = 3 if effort.trials else 1
    common = {
        "SLOTS": max(effort.trials, effort.apart, kinds),
        "ENOUGH": effort.enough,
        "HOPE": effort.hope,
    }
    assert effort.trials <= MAX_TRIALS

    def kernel(shader: str, **constants: float) -> Kernel:
        return Kernel(shader, tuple({**common, **constants}.items()))

    def mode(number: int, kind: int, selection: int = 0) -> Kernel:
        constants = _mode_constants(number, selection)
        constants |= {"FITS": effort.fits, "QUANTISERS": MARGINS.shape[1]}
        constants |= {"PASSES": effort.passes, "TOGETHER": effort.together}
        return kernel("lines", KIND_WANTED=kind, **constants)

    apart = [mode(5, 0), mode(4, 1, 0), mode(4, 2, 1)]
    kernels = [kernel("start", KINDS=kinds)]
    if not opaque:
        kernels += apart[:kinds]
    kernels += [mode(6, 0)]
    if not effort.trials:
        return tuple(kernels)
    kernels += [
        kernel("black"),
        mode(5, 0),
        kernel("rank", SUBSETS=2, TRIALS=effort.trials, **_expect(1, 3, 7)),
        mode(1, 0),
        mode(3, 1),
    ]
    if not opaque:
        kernels += [mode(7, 2)]
    if effort.three:
        kernels += [
            kernel("rank", SUBSETS=3, TRIALS=effort.three, COUNT_0=16, **_expect(0, 2)),
            mode(0, 0),
            mode(2, 1),
        ]
    if not effort.apart:
        return tuple(kernels)
    shares = {"STEPS_4": float(SECOND_SHARE[0]), "STEPS_8": float(SECOND_SHARE[1])}
    shares |= _named(4, 4) | _named(5, 5)
    smooth = {"SMOOTH": float(SMOOTH)}
    smooth |= {f"SMOOTH_{mode}": float(rounding) for mode, rounding in SMOOTH_ROUNDING.items()}
    enough = float(CLOSER * effort.enough)
    rotations = kernel("rotations", APART=effort.apart, ENOUGH=enough, **shares, **smooth)
    return (*kernels, rotations, *apart)


def _mode_constants(number: int, selection: int) -> dict[str, int]:
    """What lines.wgsl has to know of a mode."""
    mode = MODES[number]
    pbit = mode.endpoint_pbit or mode.subset_pbit
    constants = {
        "MODE": number,
        "SUBSETS": mode.subsets,
        "PARTITION_BITS": mode.partition,
        "CHANNELS": 4 if mode.alpha and not mode.second_index else 3,
        "BITS": mode.colour + pbit,
        "PBITS": 2 * mode.endpoint_pbit + mode.subset_pbit,
        "INDEX_BITS": mode.index,
    }
    if mode.second_index:
        sets = (mode.index, mode.second_index)
        constants |= {
            "INDEX_BITS": sets[selection],
            "LONE_INDEX_BITS": sets[1 - selection],
            "LONE_BITS": mode.alpha,
            "SELECTION": selection,
        }
    return constants


def _expect(*modes: int) -> dict[str, float]:
    """What rank.wgsl has to know of the modes of its kinds 0, 1, 2."""
    return {k: v for kind, mode in enumerate(modes) for k, v in _named(mode, kind).items()}


def _named(mode: int, suffix: int) -> dict[str, float]:
    """A row of EXPECT, as shaders call it."""
    names = (f"OFF_{suffix}", f"ALONG_{suffix}", f"BASE_{suffix}")
    return dict(zip(names, map(float, EXPECT[mode]), strict=True))


@functools.cache
def open_gpu(name: str) -> "Gpu":
    """The best adapter whose name contains `name`, in any case of letters.

    Raises OptionError where there is none, MissingExtraError without wgpu.
    """
    wgpu = need("wgpu", extra="gpu", what="device gpu")
    adapters = [a for a in wgpu.gpu.enumerate_adapters_sync() if a.info["backend_type"] in APIS]
    adapters.sort(key=lambda adapter: KINDS.index(adapter.info["adapter_type"]))
    for adapter in adapters:
        if name.lower() in adapter.info["device"].lower():
            return Gpu(adapter)
    known = ", ".join(adapter.info["device"] for adapter in adapters)
    if known:
        raise OptionError(f"no GPU here is called {name!r}; there are: {known}")
    raise OptionError(
        "no GPU adapter is here: install a Vulkan driver (docs/GPU.md), or use device cpu"
    )


class Gpu:
    """An adapter's device, and the pipelines made for it so far."""

    def __init__(self, adapter: "wgpu.GPUAdapter") -> None:
        self.name = adapter.info["device"]
        self._device = adapter.request_device_sync()
        self._pipelines: dict[Kernel, wgpu.GPUComputePipeline] = {}
        self._tables = self._device.create_buffer_with_data(data=_tables(), usage="STORAGE")
        uses = ["uniform", "read-only-storage", *["storage"] * 3, "read-only-storage"]
        self._bindings = self._device.create_bind_group_layout(
            entries=[
                {"binding": i, "visibility": "COMPUTE", "buffer": {"type": use}}
                for i, use in enumerate(uses)
            ]
        )

    def encode(self, strip: np.ndarray, effort: str) -> bytes:
        """The blocks of a picture, uint8 (H, W, 4), contiguous."""
        device = self._device
        height, width = strip.shape[:2]
        rows, columns = block_grid(height, width)
        count = rows * columns
        kernels = ladder(effort, bool(strip[..., 3].min() == 255))
        slots = dict(kernels[0].constants)["SLOTS"]
        shape = np.array([width, height, columns, count], dtype=np.uint32)
        blocks = device.create_buffer(size=16 * count, usage="STORAGE|COPY_SRC")
        buffers = [  # as bound in block.wgsl
            device.create_buffer_with_data(data=shape, usage="UNIFORM"),
            device.create_buffer_with_data(data=strip, usage="STORAGE"),
            device.create_buffer(size=4 * count, usage="STORAGE"),
            blocks,
            device.create_buffer(size=4 * slots * count, usage="STORAGE"),
            self._tables,
        ]
        group = device.create_bind_group(
            layout=self._bindings,
            entries=[
                {"binding": i, "resource": {"buffer": buffer}} for i, buffer in enumerate(buffers)
            ],
        )
        commands = device.create_command_encoder()
        work = commands.begin_compute_pass()
        work.set_bind_group(0, group)
        for kernel in kernels:
            work.set_pipeline(self._pipeline(kernel))
            work.dispatch_workgroups(-(-count // GROUP))
        work.end()
        device.queue.submit([commands.finish()])
        return bytes(device.queue.read_buffer(blocks))

    def _pipeline(self, kernel: Kernel) -> "wgpu.GPUComputePipeline":
        if kernel not in self._pipelines:
            folder = resources.files("smalti.bc7.gpu") / "shaders"
            names = ("block", *PARTS.get(kernel.shader, ()), kernel.shader)
            files = [folder / f"{name}.wgsl" for name in names]
            code = "\n".join(_unrolled(file.read_text("utf-8")) for file in files)
            self._pipelines[kernel] = self._device.create_compute_pipeline(
                layout=self._device.create_pipeline_layout(bind_group_layouts=[self._bindings]),
                compute={
                    "module": self._device.create_shader_module(code=code),
                    "entry_point": "encode",
                    "constants": dict(kernel.constants),
                },
            )
        return self._pipelines[kernel]


def _unrolled(code: str) -> str:
    """Sixteen copies of the body of each loop over a block's texels.

    wgpu puts a bound of its own into every loop, and drivers then leave it a loop: what is indexed by
    texel stays in memory, and the kernels take half as long again on lavapipe.
    """
    before, loop, after = code.partition(TEXEL_LOOP)
    if not loop:
        return code
    depth = 1
    for end, character in enumerate(after):  # noqa: B007
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            break
    bodies = [re.sub(r"\bt\b", f"{t}u", after[:end]) for t in range(16)]
    return before + "\n".join(f"{{{body}}}" for body in bodies) + _unrolled(after[end + 1 :])


def _tables() -> np.ndarray:
    """See `tables` in block.wgsl: uint32 (128 + 256 + QUANTISERS, 2)."""
    texels = np.arange(16, dtype=np.uint32)
    subsets = np.arange(3, dtype=np.uint32)
    patterns = (PARTITIONS[1:].reshape(128, 16).astype(np.uint32) << 2 * texels).sum(1)
    anchors = (ANCHORS[1:].reshape(128, 3).astype(np.uint32) << 8 * subsets).sum(1)
    partitions = np.stack([patterns, anchors], axis=1).astype(np.uint32)
    margins = np.ascontiguousarray(MARGINS.T).view(np.uint32)
    return np.concatenate([partitions, solid_codes().astype(np.uint32), margins])
