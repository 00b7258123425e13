"""A fitted picture as the sections of a file, and back: network, common stream, a stream a tile."""

from collections.abc import Sequence

import numpy as np

from smalti.entropy import kernel
from smalti.entropy.planes import check_end, finish, start
from smalti.errors import FormatError
from smalti.fitted import coder
from smalti.fitted.draw import Crew
from smalti.fitted.fit import Fit
from smalti.fitted.layout import Layout, Piece
from smalti.fitted.network import Network

# exponents of the steps that are tried for each group of parameters: synthesis, taps, context; the
# first is the finest
TRIED = ((12, 11, 10, 9, 8, 7), (9, 8, 7, 6), (8, 7, 6, 5))
USUAL = (10, 7, 6)  # what is mostly chosen
VALUE_BYTES = 8  # at most, of one coded value


def write(fit: Fit) -> list[bytes]:
    """Sections of what a fit has reached so far.

    The steps of the networks' parameters are searched, group after group: the one with the least
    error + lambda x bits of the network and, for the context model, of the values.
    """
    values = np.clip(np.rint(fit.values), -coder.LIMIT, coder.LIMIT - 1).astype(np.float32)
    texels = fit.layout.height * fit.layout.width
    steps = [tried[0] for tried in TRIED]

    def loss(group: int, tried: tuple[int, ...]) -> float:
        rounded = fit.network.rounded(tried)
        bits = 8 * len(fit.network.to_bytes(tried))
        if group == len(TRIED) - 1:
            return fit.lmbda * (bits + fit.rate(values, rounded)) / texels
        return fit.lmbda * bits / texels + fit.distortion(values, rounded)

    for group, tried in enumerate(TRIED):
        options = [(*steps[:group], k, *steps[group + 1 :]) for k in tried]
        steps = list(min(options, key=lambda option: loss(group, option)))
    fixed = tuple(steps)
    whole = values.astype(np.int32)
    table = fit.network.context_table(fixed[-1])
    layout = fit.layout
    tasks = [(stream, layout, table, fixed[-1], whole) for stream in layout.streams]
    return [fit.network.to_bytes(fixed), *fit.crew.each(_encode_stream, tasks)]


def read(
    sections: Sequence[bytes],
    layout: Layout,
    network: Network,
    crew: Crew,
    wanted: Sequence[int] | None = None,
) -> np.ndarray:
    """The flat values; fills in the network. Of the tiles only the `wanted`; all without.

    Raises:
        FormatError: sections that `write` cannot have made.
    """
    streams = layout.streams
    if len(sections) != 1 + len(streams):
        raise FormatError(f"{len(sections)} sections; {1 + len(streams)} were to come")
    steps = network.read(sections[0])
    table = network.context_table(steps[-1])
    whole = np.zeros(layout.count, np.int32)
    chosen = range(len(streams) - 1) if wanted is None else wanted
    tasks = [
        (sections[1 + s], streams[s], layout, table, steps[-1], whole)
        for s in (0, *(1 + t for t in chosen))
    ]
    _decode_stream(*tasks[0])
    crew.each(_decode_stream, tasks[1:])
    return whole.astype(np.float32)


def _tables() -> list[np.ndarray]:
    return [table.copy() for table in coder.first_probabilities()]


def _encode_stream(
    stream: list[Piece], layout: Layout, table: np.ndarray, k: int, whole: np.ndarray
) -> bytes:
    registers = np.zeros(7, np.int64)
    registers[kernel.RANGE], registers[kernel.CACHE] = kernel.MASK32, -1
    count = sum(piece.box[2] * piece.box[3] for piece in stream)
    buffer = np.empty(VALUE_BYTES * count + 64, np.uint8)
    _code(False, stream, layout, table, k, whole, buffer, registers)
    finish(buffer, registers)
    return buffer[: registers[kernel.POSITION]].tobytes()


def _decode_stream(
    data: bytes, stream: list[Piece], layout: Layout, table: np.ndarray, k: int, whole: np.ndarray
) -> None:
    registers = np.zeros(7, np.int64)
    registers[kernel.RANGE] = kernel.MASK32
    buffer = np.frombuffer(data, np.uint8).copy()
    start(buffer, registers)
    _code(True, stream, layout, table, k, whole, buffer, registers)
    check_end(buffer, registers)


def _code(
    decoding: bool,
    stream: list[Piece],
    layout: Layout,
    table: np.ndarray,
    k: int,
    whole: np.ndarray,
    buffer: np.ndarray,
    registers: np.ndarray,
) -> None:
    probabilities = _tables()
    offsets, shapes = layout.offsets, layout.shapes
    for piece in stream:
        own = whole[offsets[piece.grid] : offsets[piece.grid + 1]]
        coarse, coarse_width = np.zeros(own.size, np.int32), shapes[piece.grid][1]
        if piece.coarse >= 0:
            coarse = whole[offsets[piece.coarse] : offsets[piece.coarse + 1]]
            coarse_width = shapes[piece.coarse][1]
        coder.code_tile(
            decoding, own, shapes[piece.grid][1], piece.box, coarse, coarse_width,
            piece.coarse_box, piece.shift, table, k, *probabilities, buffer, registers,
        )  # fmt: skip
