"""Pictures as sequences of ids and back, whatever a model has made of the sequence."""

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from smalti.errors import OptionError

if TYPE_CHECKING:
    from smalti.tokens.vocabulary import ImageVocabulary


class Picture(NamedTuple):
    """One picture of a sequence: its codes, and what had to be repaired."""

    indices: Int[Tensor, "h w"]  # 0 .. codes - 1; 0 x 0 where there was no code at all
    problems: tuple[str, ...]  # empty for a well-formed picture


def to_sequence(vocabulary: "ImageVocabulary", indices: Int[Tensor, "h w"]) -> Int[Tensor, " n"]:
    """<img_start> row <img_newrow> row <img_newrow> ... <img_end>

    Raises:
        OptionError: no grid of codes, or a code outside the codebook.
    """
    grid = torch.as_tensor(indices)
    if grid.ndim != 2 or not grid.numel() or grid.is_floating_point():
        raise OptionError(f"indices of shape {tuple(grid.shape)}; a picture is h w integers")
    if int(grid.min()) < 0 or int(grid.max()) >= vocabulary.codes:
        raise OptionError(
            f"codes {int(grid.min())} .. {int(grid.max())}; "
            f"the codebook has 0 .. {vocabulary.codes - 1}"
        )
    rows = torch.full((grid.shape[0], grid.shape[1] + 1), vocabulary.newrow, device=grid.device)
    rows[:, :-1] = grid + vocabulary.text_size
    ends = torch.tensor([vocabulary.start, vocabulary.end], device=grid.device)
    return torch.cat([ends[:1], rows.flatten(), ends[1:]])


def to_pictures(
    vocabulary: "ImageVocabulary",
    ids: "Tensor | list[int]",
    *,
    rows: int | None = None,
    columns: int | None = None,
) -> list[Picture]:
    """Every picture of a sequence, in order; see `ImageVocabulary.picture` for the repairs."""
    numbers = torch.as_tensor(ids).flatten().tolist()
    starts = [i for i, number in enumerate(numbers) if number == vocabulary.start]
    if not starts:
        codes = any(0 <= number - vocabulary.text_size < vocabulary.codes for number in numbers)
        return [_read(vocabulary, numbers, rows, columns, ["no <img_start>"])] if codes else []
    bounds = zip(starts, [*starts[1:], len(numbers)], strict=True)
    return [_read(vocabulary, numbers[a + 1 : b], rows, columns, []) for a, b in bounds]


def _read(
    vocabulary: "ImageVocabulary",
    numbers: list[int],
    rows: int | None,
    columns: int | None,
    problems: list[str],
) -> Picture:
    lines: list[list[int]] = [[]]
    strays = 0
    ended = open_row = False
    for number in numbers:
        code = number - vocabulary.text_size
        if number == vocabulary.end:
            ended = True
            break
        if number == vocabulary.newrow:
            lines.append([])
            open_row = False
        elif 0 <= code < vocabulary.codes:
            lines[-1].append(code)
            open_row = True
        elif problems != ["no <img_start>"] or any(lines):  # else a text before the picture
            strays += 1
    if not ended:
        problems.append("no <img_end>")
    if open_row:
        problems.append("no <img_newrow> after the last row")
    if strays:
        problems.append(f"{strays} ids of no code left out")
    empty = sum(not line for line in lines[:-1])
    if empty:
        problems.append(f"{empty} empty rows left out")
    lines = [line for line in lines if line]
    if not lines:
        return Picture(torch.zeros(0, 0, dtype=torch.int64), (*problems, "no codes"))
    width = columns or _usual_length(lines)
    lines = _set_width(lines, width, problems)
    if rows and len(lines) != rows:
        problems.append(f"{len(lines)} rows instead of {rows}")
        lines = (lines + [lines[-1]] * (rows - len(lines)))[:rows]
    return Picture(torch.tensor(lines), tuple(problems))


def _usual_length(lines: list[list[int]]) -> int:
    """The most frequent length of a row, of equally frequent ones the longest."""
    counts = Counter(len(line) for line in lines)
    return max(counts, key=lambda length: (counts[length], length))


def _set_width(lines: list[list[int]], width: int, problems: list[str]) -> list[list[int]]:
    """Rows of `width` codes each: split, cut or filled from the row above."""
    fixed: list[list[int]] = []
    for number, line in enumerate(lines):
        if len(line) != width:
            problems.append(f"row {number} has {len(line)} codes instead of {width}")
        pieces = max(len(line) // width, 1)
        for i in range(pieces):
            piece = line[i * width : (i + 1) * width]
            above = fixed[-1] if fixed else [piece[-1]] * width
            fixed.append(piece + above[len(piece) :])
    return fixed
