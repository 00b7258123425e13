"""Constrained decoding: a model that can only write a well-formed picture."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from smalti.tokens.vocabulary import ImageVocabulary


class PictureProcessor(LogitsProcessor):
    """Leaves at each place of a picture only the ids that may stand there.

    It reads the state from the sequence: the last <img_start> or <img_end> decides whether a
    picture is open, and the ids since <img_start> where in it the next one stands. Batches may
    hold sequences in different states. A picture that the prompt ends is the prompt's: what is
    drawn is another one. The prompt is what the first of a row of calls shows, each one id longer
    than the one before: make a processor for each call of `generate`.
    """

    def __init__(
        self, vocabulary: "ImageVocabulary", rows: int, columns: int, must_start: bool, stop: int
    ) -> None:
        self.vocabulary = vocabulary
        self.rows = rows
        self.columns = columns
        self.must_start = must_start
        self.stop = stop
        self.prompt = self.seen = -1  # ids of the prompt, and of the last call

    def __call__(
        self, input_ids: Int[Tensor, "B T"], scores: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B V"]:
        if input_ids.shape[1] != self.seen + 1:
            self.prompt = input_ids.shape[1]
        self.seen = input_ids.shape[1]
        allowed = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids):
            first, last = self._range(ids, scores.shape[1])
            allowed[row, first:last] = scores[row, first:last]
            if last - first == 1:  # whatever a processor before this one has forbidden
                allowed[row, first] = 0
        return allowed

    def _range(self, ids: Int[Tensor, " T"], vocabulary_size: int) -> tuple[int, int]:
        """The ids first .. last - 1 that may come next."""
        v = self.vocabulary
        bounds = ((ids == v.start) | (ids == v.end)).nonzero().flatten()
        if bounds.numel() and ids[bounds[-1]] == v.start:
            written = len(ids) - 1 - int(bounds[-1])  # since <img_start>
            if written >= self.rows * (self.columns + 1):
                return v.end, v.end + 1
            if written % (self.columns + 1) == self.columns:
                return v.newrow, v.newrow + 1
            return v.text_size, v.text_size + v.codes
        if not self.must_start:
            return 0, vocabulary_size
        if bounds.numel() and int(bounds[-1]) >= self.prompt:  # it has ended
            return self.stop, self.stop + 1
        return v.start, v.start + 1
