"""Judges of drawn pictures, and what they say of a language model that draws.

A judge is a small convolutional network, trained on labelled pictures alone: it sees nothing of the
tokenizer or the language model. It is kept in a file, so that every run has the same one.
"""

import dataclasses
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smalti.artist.labelled import Labelled, upper_half
from smalti.artist.language_model import ImageLanguageModel, Sampling
from smalti.eval.metrics import psnr
from smalti.image import to_uint8
from smalti.models.fsq import FsqAutoencoder
from smalti.models.pictures import to_pictures, to_tensors

FIRST_SEED = 1_000_000
TASTES = ((1.0, 1.0), (0.9, 1.0), (0.9, 1.5), (0.9, 2.0))  # temperature, guidance
SIDE = 32  # texels that a judge sees along each side; larger pictures are reduced to it


class Judge(nn.Module):
    """Labels `N classes` of pictures `N C H W` in [0, 1]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, 16), (16, 32), (32, 64)):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        head = [nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.3)]
        self.layers = nn.Sequential(*layers, *head, nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        reduced = F.adaptive_avg_pool2d(x, SIDE) if x.shape[-1] != SIDE else x
        return self.layers(reduced.contiguous(memory_format=torch.channels_last))


def judge_of(
    path: Path,
    data: Labelled,
    *,
    epochs: int,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    rate: float = 4e-3,
) -> Judge:
    """The judge of a file, or one that is trained now on pictures that have a label."""
    torch.manual_seed(0)
    judge = Judge(data.pictures.shape[3], len(data.words.labels))
    judge = judge.to(memory_format=torch.channels_last)
    if path.is_file():
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval()
    random = torch.Generator().manual_seed(0)
    known = torch.from_numpy(np.flatnonzero(data.labels >= 0))
    order = [known[torch.randperm(len(known), generator=random)] for _ in range(epochs)]
    parts = torch.cat(order).split(128)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(parts))
    labels = torch.from_numpy(data.labels)
    for part in parts:
        x = augment(to_tensors(data.pictures[part.numpy()], 0), random)
        loss = F.cross_entropy(judge(x), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    torch.save(judge.state_dict(), path)
    return judge.eval()


@torch.inference_mode()
def judged(judge: Judge, pictures: np.ndarray) -> np.ndarray:
    """Places of the labels of pictures `N H W C`."""
    parts = to_tensors(pictures, 0).split(500)
    return torch.cat([judge(part).argmax(1) for part in parts]).numpy()


def right(judge: Judge, test: Labelled) -> float:
    """Share of pictures that the judge takes for what they are."""
    return float((judged(judge, test.pictures) == test.labels).mean())


def evaluate(
    artist: ImageLanguageModel,
    judge: Judge,
    test: Labelled,
    *,
    each: int,
    named: int,
    completed: int,
    tastes: Sequence[tuple[float, float]] = TASTES,
) -> None:
    """Say what the judge says of a model: drawn, named and completed pictures.

    Args:
        test: pictures that neither model, tokenizer nor judge has learned from.
        each: drawings of each label, with seeds that nothing was chosen by.
        named, completed: so many of the test pictures.
    """
    for temperature, guidance in tastes:
        shares = drawn(artist, judge, Sampling(temperature, guidance, FIRST_SEED), each)
        say(
            {
                "what": "drawn",
                "temperature": temperature,
                "guidance": guidance,
                "pictures": each * len(shares),
                "share": round(statistics.mean(shares), 4),
                "by_label": shares,
            }
        )
    shown = test[:500]
    quality = [psnr(*pair) for pair in through(artist.image_tokenizer, shown.pictures)]
    say({"what": "tokenizer", "pictures": len(quality), "psnr": round(statistics.mean(quality), 2)})
    part = test[:named]
    names = names_of(artist, part.pictures)
    share = float((names == part.labels).mean())
    say({"what": "named", "pictures": len(names), "share": round(share, 4)})
    part = test[:completed]
    x = part.pictures
    ids = [artist.vocabulary.sequence(codes) for codes in artist.codes_of(x)]
    for what, pictures in (
        ("completed, told the label", completions(artist, x, part.labels)),
        ("completed, not told", completions(artist, x)),
        ("upper halves alone", upper_half(part.pictures)),
        ("through the tokenizer", artist.pictures_of(torch.stack(ids))),
        ("the pictures themselves", x),
    ):
        share = float((judged(judge, pictures) == part.labels).mean())
        say({"what": what, "pictures": len(x), "share": round(share, 4)})


def drawn(artist: ImageLanguageModel, judge: Judge, sampling: Sampling, each: int) -> list[float]:
    """Share of each label's drawings that the judge takes for it."""
    shares = []
    for label in range(len(artist.words.labels)):
        own = dataclasses.replace(sampling, seed=sampling.seed + label)
        pictures = artist.generate(artist.words.caption(label), each, sampling=own)
        shares.append(round(float((judged(judge, pictures) == label).mean()), 4))
    return shares


def completions(
    artist: ImageLanguageModel, pictures: np.ndarray, labels: np.ndarray | None = None
) -> np.ndarray:
    """Lower halves for the upper halves of pictures, told their labels or not."""
    drawn, sampling = np.zeros(pictures.shape, np.float32), Sampling(seed=FIRST_SEED)
    if labels is None:
        return artist.complete(pictures, sampling=sampling)
    for label in np.unique(labels):
        part = labels == label
        caption = artist.words.caption(int(label))
        drawn[part] = artist.complete(pictures[part], caption, sampling=sampling)
    return drawn


def names_of(artist: ImageLanguageModel, pictures: np.ndarray) -> np.ndarray:
    parts = (pictures[i : i + 250] for i in range(0, len(pictures), 250))
    return np.concatenate([artist.classify(part) for part in parts]).argmax(1)


@torch.inference_mode()
def through(
    image_tokenizer: FsqAutoencoder, pictures: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures `N H W C`, and what the tokenizer makes of them, `H W C` uint8."""
    x = to_tensors(pictures)
    x_hat = torch.cat([image_tokenizer(part.expand(-1, 3, -1, -1)) for part in x.split(250)])
    x_hat = x_hat.mean(1, keepdim=True) if x.shape[1] == 1 else x_hat
    return [(p, to_uint8(d)) for p, d in zip(pictures, to_pictures(x_hat), strict=True)]


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
