"""Readable twin of the BC7 encoder, one block at a time: `encode.encode_image`, bit for bit.

    texels ─▶ Block ─▶ rank: which partitions?
                  └──▶ axes ─▶ first_indices ─▶ fit ⇄ choose ─▶ descend ─▶ least error ─▶ pack

Thousands of times slower than the kernels and made to be read beside them: each part names the
part of the kernel (native/bc7/encode*) that it mirrors. The steps are in steps.py, the 128 bits in pack.py.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from smalti.bc7.layout import BLOCK_BYTES
from smalti.bc7.metric import (
    ALPHA_TO_SPACE,
    BY_ALPHA,
    M_AA,
    M_BB,
    M_GB,
    M_GG,
    M_RB,
    M_RG,
    M_RR,
    TO_SPACE,
)
from smalti.bc7.metric import metric as metric_of
from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.reference.pack import Coding, pack, solid
from smalti.bc7.reference.steps import (
    PBITS,
    choose,
    first_indices,
    fit,
    fit_second,
    principal_axis,
    rank,
    rank_rotations,
    rgba_axis,
    steps_along,
    subset_moments,
    weights_of,
    widen,
)
from smalti.bc7.search import (
    AGAIN,
    ALL_COLOURS,
    BITS,
    CLOSER,
    DIRECTIONS,
    EFFORTS,
    EXPECT,
    FAR,
    FREE,
    HELD,
    KINDS,
    MARGINS,
    MOST,
    NO_PBIT,
    SECOND_SHARE,
    SET_PBITS,
    SMOOTH,
    SMOOTH_ROUNDING,
    SUBSET_COUNTS,
    TOGETHER,
    TOPS,
    WAYS,
    Effort,
)

_F = np.float32


def encode_block(
    texels: np.ndarray,
    *,
    effort: str = "medium",
    metric: str = "rgba",
    weights: tuple[float, ...] = (1, 1, 1, 1),
) -> bytes:
    """Encode uint8 (16, 4), texels in row-major order, to 16 bytes.

    effort, metric, weights: as for `encode.encode_image`, without its two engines of mode 6.
    """
    return search_block(texels, effort=effort, metric=metric, weights=weights)[0]


def search_block(
    texels: np.ndarray,
    *,
    effort: str = "medium",
    metric: str = "rgba",
    weights: tuple[float, ...] = (1, 1, 1, 1),
) -> tuple[bytes, float]:
    """As `encode_block`; return also the error by which the search chose the block."""
    alpha, parameters = texels[:, 3], metric_of(metric, weights)
    if not alpha.any() and parameters[BY_ALPHA] != 2:
        return (1 << 6).to_bytes(BLOCK_BYTES, "little"), 0.0
    if (texels == texels[0]).all():
        return pack(solid(texels[0])), 0.0
    block = load(texels, parameters)
    search = _Search(EFFORTS[effort])
    if (alpha == 255).all():
        search.opaque(block)
    else:
        search.alpha(block)
    search.polish()
    assert search.best is not None  # every block has a trial
    return pack(search.best.coding), float(search.error)


@dataclass
class Block:
    """A block's texels, and what their errors count: d^T form d, and form_a d_A^2."""

    x: (
        np.ndarray
    )  # (16, 4): R, G, B, A; what counts nothing, under alpha 0, is the mean of the others
    space: np.ndarray  # (16, 4): the texel where the metric is a plain squared distance
    visible: np.ndarray  # (16,): weight of the colour error
    opacity: np.ndarray  # (16,): weight of the alpha error
    form: np.ndarray  # (3, 3)
    form_a: np.float32

    def rotated(self, channel: int) -> "Block":
        """The block with a colour in the place of alpha, and alpha in that of the colour."""
        order = list(range(4))
        order[channel], order[3] = 3, channel
        form = self.form.copy()
        form[channel, channel] = self.form_a
        return replace(
            self,
            x=self.x[:, order],
            space=self.space[:, order],
            form=form,
            form_a=self.form[channel, channel],
        )


def load(texels: np.ndarray, parameters: np.ndarray) -> Block:
    """`load_block` and `load_texels`."""
    x = texels.astype(np.float32)
    seen = (texels[:, 3] > 0) | (parameters[BY_ALPHA] == 2)
    count = int(seen.sum())
    x[~seen, :3] = (texels[seen, :3].sum(axis=0, dtype=int) + count // 2) // count
    visible = seen.astype(np.float32)
    if parameters[BY_ALPHA] == 1 and (texels[:, 3] < 255).any():
        visible = np.ceil(x[:, 3] ** 2 * _F(16 / 65025)) / 16
    opacity = np.where(
        (texels[:, 3] == 0) | (texels[:, 3] == 255), _F(HELD) / parameters[M_AA], _F(1)
    )

    rows = _F(4) * parameters[TO_SPACE : TO_SPACE + 9].reshape(3, 3)
    r, g, b = x[:, :3].T - _F(128)
    space = [np.floor(r * i + g * j + b * k + _F(0.5)) for i, j, k in rows]
    space.append(np.floor(x[:, 3] * (_F(4) * parameters[ALPHA_TO_SPACE]) + _F(0.5)))
    places = [[M_RR, M_RG, M_RB], [M_RG, M_GG, M_GB], [M_RB, M_GB, M_BB]]
    return Block(
        x, np.stack(space, axis=1) / 4, visible, opacity, parameters[places], parameters[M_AA]
    )


class _Search:
    """The search of one block: the best trial so far, and its error."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.error = _F(1e30)
        self.best: _Trial | None = None

    def keep(self, error: np.float32, trial: "_Trial") -> None:
        if error < self.error:
            self.error, self.best = error, trial.copy()

    def opaque(self, block: Block) -> None:
        """`search_opaque`."""
        effort, enough = self.effort, _F(self.effort.enough)
        self.lines(block, 6, 0, opaque=True)
        if effort.trials and (block.x[:, :3].max(axis=1) == 0).any():
            self.apart(block, 5, 0, 0)
        if effort.trials and self.error > enough:
            self.ranked(block, {1: 64, 3: 64})
        if effort.three and self.error > enough:
            self.ranked(block, {0: 16, 2: 64})
        if effort.apart and self.error > CLOSER * enough:
            self.rotations(block)

    def alpha(self, block: Block) -> None:
        """`search_alpha`. Mode 5 can hold alpha 0 and 255 whatever the colours."""
        effort = self.effort
        for mode, selection in [(5, 0), (4, 0), (4, 1)] if effort.trials else [(5, 0)]:
            self.apart(block, mode, 0, selection)
        self.lines(block, 6, 0, opaque=False)
        if effort.trials == 0 or self.error == 0:
            return
        off, along = rank(block.space, 2)
        inside = np.array([_alpha_scatter(block.x[:, 3], p) for p in PARTITIONS[1]], dtype=_F)
        expected = EXPECT[7, 0] * off + EXPECT[7, 1] * (along + block.form_a * inside)
        self.promising(block, [(e + EXPECT[7, 2], 7, p) for p, e in enumerate(expected)], False)

    def ranked(self, block: Block, counts: dict[int, int]) -> None:
        """`try_ranked`. counts: modes of equally many subsets, and their partitions."""
        off, along = rank(block.space, SUBSET_COUNTS[min(counts)])
        promises = []
        for mode, count in counts.items():
            expected = EXPECT[mode, 0] * off + EXPECT[mode, 1] * along + EXPECT[mode, 2]
            promises += [(expected[p], mode, p) for p in range(count)]
        self.promising(block, promises, opaque=True)

    def promising(self, block: Block, promises: list[tuple], opaque: bool) -> None:
        """Try modes and partitions, (expected error, mode, partition), the most promising first."""
        promises = [(_F(min(np.floor(e), MOST)), *rest) for e, *rest in promises]
        promises.sort(key=lambda promise: promise[0])  # equal ones stay in order
        effort = self.effort
        trials = effort.three if SUBSET_COUNTS[promises[0][1]] == 3 else effort.trials
        for expected, mode, partition in promises[:trials]:
            if _F(effort.hope) * expected >= self.error:
                break
            self.lines(block, mode, partition, opaque)

    def rotations(self, block: Block) -> None:
        """`try_rotations`: one channel, or opaque alpha, gets indices of its own."""
        crossed = (block.form - np.diag(np.diag(block.form))).any()
        rounding = SMOOTH_ROUNDING if self.error < SMOOTH else EXPECT[:, 2]
        ((n, sums),) = subset_moments(block.space, PARTITIONS[0, 0], 1)
        found = rank_rotations(n, sums)
        promises = []
        for mode, rotation, selection in WAYS[: 1 if crossed else None]:
            off, along, lone = found[rotation]
            share = SECOND_SHARE[1] if selection else EXPECT[mode, 1]
            second = SECOND_SHARE[1 if (mode, selection) == (4, 0) else 0]
            expected = (EXPECT[mode, 0] * off + share * along) + (second * lone + rounding[mode])
            promises.append((expected, mode, rotation, selection))
        most = sorted(promises, key=lambda promise: promise[0])[: self.effort.apart]
        for promise in promises:
            if promise in most and _F(self.effort.hope) * promise[0] < self.error:
                _, mode, rotation, selection = promise
                turned = block.rotated(rotation - 1) if rotation else block
                self.apart(turned, mode, rotation, selection)

    def lines(self, block: Block, mode: int, partition: int, opaque: bool) -> None:
        """`try_lines`: modes 0 to 3, 6 and 7. opaque: alpha is 255 and left out."""
        subsets, kind = SUBSET_COUNTS[mode], KINDS[mode]
        channels = 3 if opaque else 4
        subset = PARTITIONS[subsets - 1, partition]
        if opaque:
            kind = SET_PBITS if mode == 6 else kind
            sums = subset_moments(block.space, subset, subsets)
            axes = np.array([principal_axis(n, m) for n, m in sums])
        else:
            axes = np.array([rgba_axis(block.space[subset == s]) for s in range(subsets)])
        trial = _Trial(block, mode, partition, 0, 0, channels, kind, self.effort.quantisers)
        trial.project(axes)
        for start in range(self.effort.starts):
            trial.begin(start)
            least = self.refine(trial, patient=False)
            if least < _F(self.effort.near) * self.error:
                self.descend(trial)
            elif least > _F(FAR) * self.error:
                break

    def apart(self, block: Block, mode: int, rotation: int, selection: int) -> None:
        """`try_apart`: modes 4 and 5, where alpha's row has indices of its own."""
        trial = _Trial(block, mode, 0, rotation, selection, 3, NO_PBIT, self.effort.quantisers)
        if trial.begin_second() >= self.error:
            return
        sums = subset_moments(block.space, PARTITIONS[0, 0], 1)
        trial.project(np.array([principal_axis(n, m) for n, m in sums]))
        trial.begin(0)
        least = self.refine(trial, patient=True)
        if least < _F(self.effort.near) * self.error:
            self.descend(trial)

    def refine(self, trial: "_Trial", patient: bool) -> np.float32:
        """`refine`: fit and choose by turns; leave the best in the trial and return its error.

        patient: go on as long as it gets better, however bad it is.
        """
        least = last = _F(1e30)
        codes = trial.coding.codes
        for _ in range(self.effort.fits):
            now = trial.refit()
            self.keep(now, trial)
            if now < least:
                least, codes = now, trial.coding.codes.copy()
            if now >= last or (not patient and now > _F(AGAIN) * self.error):
                break
            last = now
        trial.coding.codes = codes
        return least

    def polish(self) -> None:
        """`polish_all`: move the codes of what the block has become."""
        if self.best and self.effort.passes and self.effort.near == 0 and self.error > 0:
            self.descend(self.best.copy())

    def descend(self, trial: "_Trial") -> None:
        """`descend_all`: in each subset try other p-bits, and move codes by one step."""
        codes = trial.coding.codes
        for s in range(len(codes)):
            now = trial.choose_apart()[s]
            for _ in range(self.effort.passes):
                before = now
                for move in chain(trial.other_pbits(s), trial.steps(s, self.effort.together)):
                    kept = codes[s].copy()
                    codes[s] = move
                    other = trial.choose_apart()[s]
                    if other < now:
                        now = other
                    else:
                        codes[s] = kept
                if now == before:
                    break
        self.keep(trial.choose(), trial)


class _Trial:
    """One try of one mode and partition. channels: 3 where alpha is 255 or has its own indices."""

    def __init__(
        self, block, mode, partition, rotation, selection, channels, kind, quantisers
    ) -> None:
        self.block, self.channels, self.kind = block, channels, kind
        self.quantisers = quantisers
        self.bits, self.top = BITS[mode], TOPS[mode]
        self.second_bits, self.second_top = (6 if mode == 4 else 8), _F(3)
        if mode == 4:
            self.top, self.second_top = (_F(7), _F(3)) if selection else (_F(3), _F(7))
        self.subsets = SUBSET_COUNTS[mode]
        self.subset = PARTITIONS[self.subsets - 1, partition]
        codes = np.zeros((self.subsets, 2, 4), dtype=_F)
        if kind == SET_PBITS:
            codes[..., 3] = 255
        self.coding = Coding(
            mode, partition, rotation, selection, codes, np.zeros(16), np.zeros(16)
        )
        self.apart = _F(0)  # error of the channel with indices of its own

    def copy(self) -> "_Trial":
        other = copy(self)
        other.coding = self.coding.copy()
        return other

    def begin_second(self) -> np.float32:
        """Fit the channel that has indices of its own; return its error."""
        coding, values = self.coding, self.block.x[:, 3]
        opaque = coding.rotation or (values == 255).all()
        quantisers = self.quantisers if opaque else len(MARGINS[0])
        *codes, coding.second, error = fit_second(
            values, self.second_bits, self.second_top, coding.rotation == 0, quantisers
        )
        coding.codes[0, :, 3] = codes
        self.apart = self.block.form_a * error
        return self.apart

    def project(self, axes: np.ndarray) -> None:
        """Find each texel's place along the axis of its subset; axes: (subsets, 3 or 4)."""
        terms = axes[self.subset] * self.block.space[:, : axes.shape[1]]
        places = sum(terms.T)  # from left to right
        self.places = steps_along(places, self.subset, self.subsets, self.top)

    def begin(self, place: int) -> None:
        """Set indices by the best quantiser of each subset's places, or a lower one."""
        self.coding.index = first_indices(
            self.places, self.subset, self.subsets, self.top, self.quantisers, place
        )

    def refit(self) -> np.float32:
        """Fit the endpoints to the indices, then the indices to the endpoints; return the error."""
        coding = self.coding
        weight = weights_of(coding.index, self.top)
        for s in range(self.subsets):
            coding.codes[s, :, : self.channels] = self.fit(s, weight, PBITS[self.kind])
        if coding.rotation:  # the row of opaque alpha
            coding.codes[:, :, coding.rotation - 1] = (1 << self.bits) - 1
        return self.choose()

    def fit(self, s: int, weight: np.ndarray, pbits: list) -> np.ndarray:
        """Codes of a subset's endpoints, (2, channels)."""
        inside = self.subset == s
        x = self.block.x[inside, : self.channels]
        held = _held_alpha(x[:, 3]) if self.channels == 4 else (FREE, FREE)
        visible = self.block.visible[inside]
        return fit(x, weight[inside], visible, self.bits, pbits, held)

    def other_pbits(self, s: int) -> Iterator[np.ndarray]:
        """A subset's codes, (2, 4), fitted anew with each choice of p-bits."""
        if self.channels == 4 or self.coding.rotation:
            return
        self.choose()
        weight = weights_of(self.coding.index, self.top)
        for pair in PBITS[self.kind]:
            codes = self.coding.codes[s].copy()
            codes[:, :3] = self.fit(s, weight, [pair])
            yield codes

    def steps(self, s: int, together: int) -> Iterator[np.ndarray]:
        """A subset's codes, (2, 4), with colours of an endpoint, or of both, moved by a step."""
        stride = _F(1 if self.kind == NO_PBIT else 2)
        lone = self.coding.rotation - 1
        for colours in TOGETHER[:together]:
            if lone in colours and colours != ALL_COLOURS:
                continue
            moving = [c for c in colours if c != lone]
            for direction in DIRECTIONS:
                codes = self.coding.codes[s].copy()
                codes[:, moving] += (stride * direction)[:, None]
                moved = codes[:, moving]
                if moved.min() >= 0 and moved.max() < 1 << self.bits:
                    yield codes

    def choose(self) -> np.float32:
        """Set the best indices for the endpoints; return the error."""
        return sum(self.choose_apart()) + self.apart

    def choose_apart(self) -> list:
        """Set the best indices for the endpoints; return the error of each subset."""
        ends = widen(self.coding.codes[..., : self.channels], self.bits)
        self.coding.index, errors = choose(self.block, self.subset, ends, self.top)
        return errors


def _held_alpha(alpha):
    """`hold_alpha`: what the endpoints must have for 0 and 255 to come back exactly."""
    return tuple(end if end in (0, 255) else FREE for end in (alpha.min(), alpha.max()))


def _alpha_scatter(alpha, subset):
    """Square sum of alpha about its mean in each of two subsets, together."""
    n, x, xx = (subset == 1).sum(), alpha[subset == 1].sum(), (alpha[subset == 1] ** 2).sum()
    rest, tail = alpha.sum() - x, (alpha**2).sum() - xx
    inside = xx - x * x * (_F(1) / _F(n))
    return inside + (tail - rest * rest * (_F(1) / _F(16 - n)))


def _row_scatter(row):
    """Square sum of a channel about its mean."""
    x = row.sum()
    return (row**2).sum() - x * x * _F(1 / 16)
