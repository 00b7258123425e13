"""A fitted picture as the sections of a file, and back: network, common stream, a stream a tile."""

from collections.abc import Sequence

import numpy as np

from smalti.errors import FormatError
from smalti.fits.picture import coder
from smalti.fits.picture.fit import Fit
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network

# exponents of the steps that are tried for each group of parameters: synthesis, taps, context; the
# first is the finest
TRIED = ((12, 11, 10, 9, 8, 7), (9, 8, 7, 6), (8, 7, 6, 5))
USUAL = (10, 7, 6)  # what is mostly chosen


def write(fit: Fit) -> list[bytes]:
    """Sections of what a fit has reached so far."""
    fixed = steps_of(fit)
    table = fit.network.context_table(fixed[-1])
    streams = coder.encode_streams(
        fit.layout.streams, fit.layout, table, fixed[-1], _whole(fit).astype(np.int32), fit.threads
    )
    return [fit.network.to_bytes(fixed), *streams]


def steps_of(fit: Fit) -> tuple[int, ...]:
    """Exponents of the steps of the networks' parameters in a file.

    They are searched, group after group: the one with the least error + lambda x bits of the network
    and, for the context model, of the values.
    """
    values = _whole(fit)
    texels = fit.layout.height * fit.layout.width
    steps: list[int] = [tried[0] for tried in TRIED]

    def loss(group: int, tried: tuple[int, ...]) -> float:
        rounded = fit.network.rounded(tried)
        bits = 8 * len(fit.network.to_bytes(tried))
        if group == len(TRIED) - 1:
            return fit.lmbda * (bits + fit.rate(values, rounded)) / texels
        return fit.lmbda * bits / texels + fit.distortion(values, rounded)

    for group, tried in enumerate(TRIED):
        losses = {k: loss(group, (*steps[:group], k, *steps[group + 1 :])) for k in tried}
        steps[group] = min(losses, key=losses.__getitem__)
    return tuple(steps)


def _whole(fit: Fit) -> np.ndarray:
    return np.clip(np.rint(fit.values), -coder.LIMIT, coder.LIMIT - 1).astype(np.float32)


def read(
    sections: Sequence[bytes],
    layout: Layout,
    network: Network,
    wanted: Sequence[int] | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """The flat values, int32; fills in the network. Of the tiles only the `wanted`; all without.

    Raises:
        FormatError: sections that `write` cannot have made.
    """
    streams = layout.streams
    if len(sections) != 1 + len(streams):
        raise FormatError(f"{len(sections)} sections; {1 + len(streams)} were to come")
    steps = network.read(sections[0])
    table = network.context_table(steps[-1])
    whole = np.zeros(layout.count, np.int32)
    # the common stream first: the tiles look at its values
    chosen = range(len(streams) - 1) if wanted is None else wanted
    for numbers in ([0], [1 + tile for tile in chosen]):
        coder.decode_streams(
            [sections[1 + s] for s in numbers], [streams[s] for s in numbers],
            layout, table, steps[-1], whole, threads,
        )  # fmt: skip
    return whole
