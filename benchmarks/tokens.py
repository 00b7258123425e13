"""Tokens: speed of the two directions, and what the vocabulary of pictures costs a language model.

    pip install '.[tokens]'
    OMP_NUM_THREADS=1 SMALTI_NUM_THREADS=1 python benchmarks/tokens.py PICTURES [--images 64] [--steps 150] > benchmarks/results/DATE-tokens.jsonl

PICTURES is a folder of pictures of about one size, or an .npz file with `images` (N 3 H W, uint8).
All times are of the processor, on one thread.

- tokenise: file -> ids; detokenise: ids -> PNG file; the share of the model in each.
- vocabulary: parameters of the extension of 15,360 codes, in three forms and at four widths; and
  the forward and backward pass of its logits for 256 positions: time, and bytes kept in between.
- training: a small Llama (width 128, 2 layers) on windows of 12 x 12 codes of the pictures, each
  form with the same steps, batches and seed; bits a code on pictures that it has not seen. No
  result of this part is that of a trained model: it says how fast each form learns.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import smalti
from smalti.eval.log import conditions
from smalti.files import PICTURE_SUFFIXES
from smalti.models.layers import fsq
from smalti.tokens import ImageVocabulary, coding, graft
from smalti.tokens.rows import ImageRows, make_rows

FORMS = ("rows", "mlp", "digits")  # digits is not in the library: it learns slower than mlp
FEATURES = 64
WIDTHS = (64, 256, 896, 2048)  # 896 and 2048: language models of 0.5 and 1 billion parameters
POSITIONS = 256
WINDOW = 12  # codes along each side
SEQUENCES = 4  # a step
HELD_OUT = 30  # pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--images", type=int, default=64, help="for the speed")
    parser.add_argument("--train-images", type=int, default=200)
    parser.add_argument("--steps", type=int, default=150, help="0: no training")
    arguments = parser.parse_args()
    write(conditions("cpu") | {"pictures": arguments.pictures.name})
    torch.set_num_threads(1)
    pictures = read(arguments.pictures, arguments.train_images + HELD_OUT)
    for line in (*speed(pictures[: arguments.images]), *vocabulary_costs()):
        write(line)
    if arguments.steps:
        codes = torch.cat([batch_codes(pictures[i : i + 8]) for i in range(0, len(pictures), 8)])
        for form in FORMS:
            write(training(form, codes, arguments.steps))


def write(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read(source: Path, count: int) -> list[np.ndarray]:
    if source.suffix == ".npz":
        return [*np.load(source)["images"][:count].transpose(0, 2, 3, 1)]
    paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    return [smalti.load(path) for path in paths[:count]]


class Clock:
    """Processor time, and the part of it inside the model."""

    def __init__(self) -> None:
        self.total = self.model = 0.0

    def timed(self, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Any) -> Tensor:
            started = time.process_time()
            result = run(*arguments)
            self.model += time.process_time() - started
            return result

        return call


def speed(pictures: list[np.ndarray]) -> Iterator[dict[str, Any]]:
    """From and to files in a folder, one picture at a time, as the commands do."""
    model = smalti.load_model("fsq-1m").requires_grad_(False)
    vocabulary = ImageVocabulary(model.config.levels, 0)
    encoder, decoder = model.encoder.forward, model.decoder.forward
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.png" for i in range(len(pictures))]
        for file, x in zip(files, pictures, strict=True):
            smalti.save(x, file)
        coding.encode_pictures(model, [smalti.load(files[0])])  # warms up
        there, back = Clock(), Clock()
        model.encoder.forward, model.decoder.forward = there.timed(encoder), back.timed(decoder)
        started = time.process_time()
        sequences = [
            vocabulary.sequence(coding.encode_pictures(model, [smalti.load(file)])[0]).tolist()
            for file in files
        ]
        there.total = time.process_time() - started
        started = time.process_time()
        for ids, file in zip(sequences, files, strict=True):
            smalti.save(coding.decode_picture(model, vocabulary.picture(ids).indices), file)
        back.total = time.process_time() - started
    for name, clock in (("tokenise", there), ("detokenise", back)):
        yield {
            "direction": name,
            "height": pictures[0].shape[0],
            "width": pictures[0].shape[1],
            "images": len(pictures),
            "ids": len(sequences[0]),
            "images_s": round(len(pictures) / clock.total, 2),
            "share_of_model": round(clock.model / clock.total, 3),
        }


def vocabulary_costs() -> Iterator[dict[str, Any]]:
    levels = smalti.load_model("fsq-1m").config.levels
    for width in WIDTHS:
        free = None
        for form in FORMS:  # free rows first
            torch.manual_seed(0)
            images = rows_of(form, levels, width)
            images.reset(0.02 * torch.randn(100, width))
            count = sum(p.numel() for p in images.parameters())
            seconds, kept = one_step(images, torch.randn(POSITIONS, width))
            free = free or (count, seconds)
            yield {
                "form": form,
                "width": width,
                "parameters": count,
                "bytes_bf16": 2 * count,
                "bytes_training": 16 * count,  # float32 weights, gradients, two moments of Adam
                "times_fewer_than_rows": round(free[0] / count, 1),
                "logits_ms": round(1e3 * seconds, 1),
                "times_faster_than_rows": round(free[1] / seconds, 2),
                "kept_for_backward_mb": round(kept / 1e6, 1),
            }


def rows_of(form: str, levels: tuple[int, ...], width: int) -> ImageRows:
    if form == "digits":
        return DigitRows(levels, width)
    return make_rows(form, levels, width, FEATURES)


class DigitRows(ImageRows):
    """A contender: the sum of one learned row for each digit, and logits that are sums likewise.

    Given the hidden state, the digits of a code are then independent.
    """

    def __init__(self, levels: tuple[int, ...], width: int) -> None:
        super().__init__(levels, width)
        self.digits = torch.nn.Parameter(torch.empty(sum(levels), width))

    def embed(self, codes: Tensor) -> Tensor:
        digits = fsq.from_index(codes.flatten(), self.levels).view(*codes.shape, -1)
        first = torch.tensor([0, *self.levels[:-1]], device=codes.device).cumsum(0)
        return F.embedding(digits + first, self.digits).sum(-2)

    def code_logits(self, h: Tensor) -> Tensor:
        *first, last = F.linear(h, self.digits).split(self.levels, dim=-1)
        for scores in reversed(first):  # the first digit of the mixed radix runs fastest
            last = (last.unsqueeze(-1) + scores.unsqueeze(-2)).flatten(-2)
        return last

    def reset_codes(self, mean: Tensor, spread: Tensor) -> None:
        count = len(self.levels)
        noise = torch.randn_like(self.digits, dtype=torch.float32)
        self.digits.copy_(mean / count + spread / count**0.5 * noise)


def one_step(images: torch.nn.Module, h: Tensor) -> tuple[float, int]:
    """Seconds of the logits and their gradient, the least of three; bytes kept beside weights."""
    own = {p.untyped_storage().data_ptr() for p in images.parameters()}
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    seconds = []
    gradient = torch.ones(len(h), images.codes + 3) / images.codes
    for _ in range(3):
        h = h.detach().requires_grad_()
        kept.clear()
        started = time.process_time()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            logits = images.logits(h)
        logits.backward(gradient)
        seconds.append(time.process_time() - started)
    return min(seconds), sum(kept.values())


def batch_codes(pictures: list[np.ndarray]) -> Tensor:
    return torch.stack(coding.encode_pictures(coding.load_tokenizer(), pictures))


def training(form: str, codes: Tensor, steps: int) -> dict[str, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=300,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=256,
            max_position_embeddings=256,
            tie_word_embeddings=True,
        )
    )
    levels = coding.load_tokenizer().config.levels
    vocabulary = ImageVocabulary(levels, 300, "mlp", FEATURES)
    graft(vocabulary, model)
    images = rows_of(form, levels, model.config.hidden_size)
    images.reset(model.lm_head.weight)
    model.model.embed_tokens.images, model.lm_head.images = images, (images,)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(1)
    learned = codes[:-HELD_OUT]
    started = time.process_time()
    for _ in range(steps):
        chosen = torch.randint(len(learned), (SEQUENCES,), generator=generator)
        ids = torch.stack([vocabulary.sequence(window(learned[i], generator)) for i in chosen])
        model(ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    seconds = time.process_time() - started
    model.eval()
    generator = torch.Generator().manual_seed(2)
    losses = []
    with torch.no_grad():
        for grid in codes[-HELD_OUT:]:
            ids = vocabulary.sequence(window(grid, generator))
            loss = F.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
            losses.append(loss[ids[1:] < vocabulary.start])
    return {
        "form": form,
        "steps": steps,
        "codes_seen": steps * SEQUENCES * WINDOW**2,
        "parameters_of_pictures": sum(p.numel() for p in images.parameters()),
        "parameters": sum(p.numel() for p in parameters),
        "bits_per_code": round(torch.cat(losses).mean().item() / math.log(2), 3),
        "seconds": round(seconds, 1),
    }


def window(grid: Tensor, generator: torch.Generator) -> Tensor:
    top, left = (
        int(torch.randint(size - WINDOW + 1, (1,), generator=generator)) for size in grid.shape
    )
    return grid[top : top + WINDOW, left : left + WINDOW]


if __name__ == "__main__":
    main()
