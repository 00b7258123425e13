"""Training the small language model: captions and pictures' codes in one sequence.

pictures ─tokenizer→ codes ─vocabulary→ ids ─LM→ logits ─cross-entropy→ gradients → averaged weights

The loop, and its guarantees, are those of `smalti.train.loop`.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float
from torch import Tensor, nn

from smalti import models, weights
from smalti.artist import labelled, sequences
from smalti.artist.labelled import NONE, Labelled
from smalti.artist.language_model import CHANNELS, GRID, TOKENIZER, WORDS, without_bars
from smalti.artist.sequences import IGNORED, Batch, Codes, Sequences
from smalti.artist.words import name_logits
from smalti.errors import OptionError
from smalti.models.fsq import FsqAutoencoder
from smalti.tokens.grafting import graft
from smalti.tokens.vocabulary import ImageVocabulary
from smalti.train.loop import Options, accelerator_on, train
from smalti.train.precision import Precision, keep_freed_memory
from smalti.train.recipes.language import LmRecipe
from smalti.train.sources import CACHE_MB

MODEL = "model"  # the folder of the result
TOKENIZER_FILE = "image_tokenizer.safetensors"  # in it, unless a bundled one is used


def run_recipe(
    recipe: LmRecipe,
    data: Sequence[str | Path],
    out: Path,
    *,
    validate_on: Sequence[str | Path] = (),
    options: Options | None = None,
    device: str | None = None,
    cache_mb: int = CACHE_MB,
    on_step: Callable[[int, int, str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Train by a recipe, or go on with it; the folder with the model.

    Args:
        data: one folder, of MNIST's four files or of labelled pictures (`labelled.read_folder`).
        validate_on: nothing: a part of the data is held out.
        out: `out / name` receives checkpoints, `log.jsonl`, the pictures' codes, and in `model`
            what `smalti draw --model` and `smalti.tokens.from_pretrained` read.
        options: how often to log, validate and store, and the precision.
        device: of torch; None is a GPU if there is one.
        cache_mb: not looked at: all codes of the pictures stay in memory.
        on_step: called with (done, in all, what is being done).
        on_note: called with a sentence.

    Raises:
        OptionError: no such data, the folder holds another run, or the loss is no longer a number.
        Interrupted: by Ctrl-C or SIGTERM, after a checkpoint.
    """
    if len(data) != 1 or validate_on:
        raise OptionError(f"{recipe.name} learns from one folder, named with --data, without --val")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(f"{recipe.name} trains in one process; start it without accelerate")
    options, on_step = options or Options(), on_step or (lambda done, total, text: None)
    place = accelerator_on(device).device
    folder = out / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    pictures = labelled.read(recipe, Path(data[0]), on_step)
    image_tokenizer = models.load_shared(FsqAutoencoder, recipe.tokenizer, device=str(place))
    if pictures.pictures.shape[1] % image_tokenizer.factor:
        raise OptionError(
            f"side={recipe.side}; {recipe.tokenizer} takes multiples of {image_tokenizer.factor} texels"
        )
    codes = sequences.cached_codes(
        image_tokenizer, pictures.pictures, folder / "codes.npz", on_step
    )
    task = LmTask(recipe, image_tokenizer, codes, pictures)
    return train(
        task,
        task.batches,
        folder,
        options=options,
        device=device,
        validation=LmValidation(task, Precision(options.precision, place)),
        on_step=lambda done, total, loss: on_step(done, total, f"loss {loss:.5f}"),
        on_note=on_note,
    )


class LmTask:
    """A recipe with what it learns from: all that `train.loop` asks of a recipe.

    Pictures that are held out are never trained on.
    """

    def __init__(
        self,
        recipe: LmRecipe,
        image_tokenizer: FsqAutoencoder,  # its levels are the vocabulary's
        codes: Codes,
        data: Labelled,
    ) -> None:
        self.recipe, self.image_tokenizer, self.codes, self.data = (
            recipe,
            image_tokenizer,
            codes,
            data,
        )
        self.words, self.tokenizer = data.words, data.words.tokenizer()
        self.vocabulary = ImageVocabulary.of(
            self.tokenizer, image_tokenizer.config.levels, features=recipe.features
        )
        self.forms = [
            [self.words.ids(self.tokenizer, text) for text in row] for row in self.words.captions()
        ]
        self.learnt = self._sequences(~data.held)
        self.held_out = self._sequences(data.held)

    def __getattr__(self, name: str) -> Any:
        """The recipe's numbers: name, steps, batch, ..."""
        return getattr(self.recipe, name)

    def build(self) -> transformers.PreTrainedModel:
        """A language model of random weights with a vocabulary of pictures."""
        model = graft(self.vocabulary, plain_model(self.recipe, self.tokenizer))
        settings = {
            GRID: [*self.codes.whole.shape[1:]],
            CHANNELS: self.data.pictures.shape[3],
            WORDS: dataclasses.asdict(self.words),
        }
        for key, value in settings.items():
            setattr(model.config, key, value)
        return model

    def first_model(self, _batches: "Batches") -> transformers.PreTrainedModel:
        return self.build().train()

    def batches(self, device: torch.device) -> "Batches":
        return Batches(self.learnt, device)

    def step_module(self, model: nn.Module, precision: Precision) -> "LanguageStep":
        return LanguageStep(model, precision)

    def hidden(self, model: nn.Module) -> nn.Module:
        return model.get_submodule("model.layers")

    def result(self, folder: Path) -> Path:
        return folder / MODEL

    def save(self, model: transformers.PreTrainedModel, path: Path) -> None:
        """The model in float16, its words, and its picture tokenizer or that one's name."""
        bundled = self.recipe.tokenizer in weights.bundled()
        model.half()
        setattr(model.config, TOKENIZER, self.recipe.tokenizer if bundled else TOKENIZER_FILE)
        with without_bars():
            model.save_pretrained(path)
        tokenizer = self.words.tokenizer()
        self.vocabulary.extend(tokenizer)
        tokenizer.save_pretrained(path)
        if not bundled:
            self.image_tokenizer.save_pretrained(path / TOKENIZER_FILE)

    def _sequences(self, part: np.ndarray) -> Sequences:
        return Sequences(
            sequences.picture_ids(self.codes.whole[part], self.vocabulary),
            sequences.picture_ids(self.codes.cut[part], self.vocabulary),
            self.data.labels[part],
            forms=self.forms,
            recipe=self.recipe,
            tokenizer=self.tokenizer,
        )


@dataclass(frozen=True)
class Batches:
    """Sequences on a device; all of a batch is drawn by the one process that there is."""

    sequences: Sequences
    device: torch.device
    pictures: None = None  # nothing of it can be unreadable

    def __call__(self, step: int, first: int, count: int) -> Batch:
        return self.sequences(step, count).to(self.device)


class LanguageStep(nn.Module):
    """Sequences to the mean of their targets' cross-entropies, by the targets' weights."""

    def __init__(self, model: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, batch: Batch) -> Tensor:
        losses = losses_of(self.model, batch, self.precision)
        return (losses * batch.weights).sum() / batch.weights.sum()


class LmValidation:
    """What held-out pictures cost in bits a code, as the model predicts them, and what it names."""

    def __init__(self, task: LmTask, precision: Precision) -> None:
        self.task, self.precision = task, precision

    @torch.no_grad()
    def run(self, model: transformers.PreTrainedModel) -> tuple[dict[str, float], None, str]:
        task, held_out = self.task, self.task.held_out
        batch = held_out(0, 256).to(model.device)
        first = task.vocabulary.text_size
        is_code = (batch.targets >= first) & (batch.targets < first + task.vocabulary.codes)
        bits = float(losses_of(model, batch, self.precision)[is_code].mean() / math.log(2))
        known = held_out.labels != NONE
        ids = torch.from_numpy(held_out.whole[known])
        with self.precision.autocast():
            scores = name_logits(model, task.tokenizer, task.words, ids)
        named = float((scores.argmax(1).cpu().numpy() == held_out.labels[known]).mean())
        said = f"{named:.1%} of held-out pictures named, {bits:.2f} bits a code"
        return {"bits_a_code": bits, "named": named}, None, said


def losses_of(model: nn.Module, batch: Batch, precision: Precision) -> Float[Tensor, "B T"]:
    """Cross-entropy of every target, in nats; 0 where there is none."""
    with precision.autocast():
        logits = model(input_ids=batch.ids, use_cache=False).logits
    return F.cross_entropy(
        logits.float().movedim(2, 1), batch.targets, ignore_index=IGNORED, reduction="none"
    )


def plain_model(
    recipe: LmRecipe, tokenizer: transformers.PreTrainedTokenizerFast
) -> transformers.LlamaForCausalLM:
    """A Llama of random weights that knows text alone."""
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.inner,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Sequences are short: a CPU takes twice as long with the fused attention's gradient.
        attn_implementation="eager",  # type: ignore[call-arg]  # among its further arguments
    )
    return transformers.LlamaForCausalLM(config)
