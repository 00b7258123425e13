"""Training the small language model: captions and pictures' codes in one sequence.

pictures ─eye→ codes ─vocabulary→ ids ─LM→ logits ─cross-entropy→ gradients → averaged weights

The guarantees of `smalti.train.loop`: interrupted anywhere, the same command goes on from the last
checkpoint, as the unbroken run would have; batch s follows from the seed and s alone.
"""

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from smalti import models, weights
from smalti.artist import labelled, sequences
from smalti.artist.artist import CHANNELS, EYE, GRID, WORDS, without_bars
from smalti.artist.labelled import NONE, Labelled
from smalti.artist.sequences import IGNORED, Batch, Codes, Sequences
from smalti.artist.words import name_logits
from smalti.errors import OptionError
from smalti.interrupts import StopSignals
from smalti.models.fsq import FsqAutoencoder
from smalti.tokens.grafting import graft
from smalti.tokens.vocabulary import ImageVocabulary
from smalti.train import checkpoints
from smalti.train.loop import Interrupted, Options, learning_rate_scale
from smalti.train.optimizers import TorchOptimizers, follow, hidden_weights
from smalti.train.precision import Precision, keep_freed_memory
from smalti.train.progress import Log
from smalti.train.recipes.language import LmRecipe

MODEL = "model"  # the folder of the result
EYE_FILE = "eye.safetensors"  # in it, where the picture tokenizer is not a bundled one


def run(
    recipe: LmRecipe,
    data: Path,
    out: Path,
    *,
    options: Options | None = None,
    device: str | None = None,
    on_step: Callable[[int, int, str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Train by a recipe, or go on with it; the folder with the model.

    Args:
        data: folder of MNIST's four files, or of labelled pictures (`labelled.read_folder`).
        out: `out / name` receives checkpoints, `log.jsonl`, the pictures' codes, and in `model`
            what `smalti draw --model` and `smalti.tokens.from_pretrained` read.
        options: how often to log, validate and store, and the precision.
        device: of torch; None is a GPU if there is one.
        on_step: called with (done, in all, what is being done).
        on_note: called with a sentence.

    Raises:
        OptionError: no such data, the folder holds another run, or the loss is no longer a number.
        Interrupted: by Ctrl-C or SIGTERM, after a checkpoint.
    """
    options = options or Options()
    note, tell = on_note or (lambda text: None), on_step or (lambda done, total, text: None)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    folder = out / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    pictures = labelled.read(recipe, data, tell)
    eye = models.load_shared(FsqAutoencoder, recipe.tokenizer, device=str(place))
    if pictures.pictures.shape[1] % eye.factor:
        raise OptionError(
            f"side={recipe.side}; {recipe.tokenizer} takes multiples of {eye.factor} texels"
        )
    codes = sequences.cached_codes(eye, pictures.pictures, folder / "codes.npz", tell)
    training = Run(recipe, eye, codes, pictures, place, options.precision)
    start = training.restore(folder)
    if start:
        note(f"going on after step {start} of {recipe.steps}")
    with StopSignals() as signals, Log(folder, start) as log:
        for done in range(start + 1, recipe.steps + 1):
            loss = training.step(done - 1)
            stops = signals.arrived and done < recipe.steps
            stores = stops or done == recipe.steps or done % options.checkpoint_every == 0
            if stores or done % options.log_every == 0:
                value = float(loss)
                if not math.isfinite(value):
                    raise OptionError(
                        f"the loss is no longer a number at step {done}; lower the learning rate "
                        "(--set optimizer.lr=... optimizer.lr_muon=...) in another folder (--out)"
                    )
                log.write(done, {"loss": value})
                tell(done, recipe.steps, f"{recipe.name}, loss {value:.4f}")
            if done == recipe.steps or done % options.validate_every == 0:
                numbers = training.validate()
                log.write(done, numbers)
                note(
                    f"step {done}: {numbers['named']:.1%} of held-out pictures named, "
                    f"{numbers['bits_a_code']:.2f} bits a code"
                )
            if stores:
                checkpoints.store(folder, done, training.state(done))
            if stops:
                raise Interrupted(f"after step {done} of {recipe.steps}")
    training.save(folder / MODEL)
    return folder / MODEL


class Run:
    """Model, optimiser and averaged weights, and their state.

    Pictures that are held out are never trained on.
    """

    def __init__(
        self,
        recipe: LmRecipe,
        eye: FsqAutoencoder,  # its levels are the vocabulary's
        codes: Codes,
        data: Labelled,
        device: torch.device,
        precision: str = "auto",
    ) -> None:
        self.recipe, self.eye, self.device = recipe, eye, device
        torch.manual_seed(recipe.seed)
        self.words, self.tokenizer = data.words, data.words.tokenizer()
        self.vocabulary = ImageVocabulary.of(
            self.tokenizer, eye.config.levels, features=recipe.features
        )
        self.forms = [
            [self.words.ids(self.tokenizer, text) for text in row] for row in self.words.captions()
        ]
        self.batches = self._sequences(codes, data.labels, ~data.held)
        self.held_out = self._sequences(codes, data.labels, data.held)
        self.model = graft(self.vocabulary, plain_model(recipe, self.tokenizer)).to(device)
        settings = {
            GRID: [*codes.whole.shape[1:]],
            CHANNELS: data.pictures.shape[3],
            WORDS: dataclasses.asdict(self.words),
        }
        for key, value in settings.items():
            setattr(self.model.config, key, value)
        self.precision = Precision(precision, device)
        hidden = hidden_weights(self.model.model.layers) if recipe.optimizer.kind == "muon" else []
        self.optimizer = TorchOptimizers(self.model, hidden, recipe.optimizer)
        self.parameters = list(self.model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]

    def step(self, step: int) -> Tensor:
        batch = self.batches(step, self.recipe.batch).to(self.device)
        losses = self._losses(self.model, batch)
        loss = (losses * batch.weights).sum() / batch.weights.sum()
        self.precision.backward(loss)
        self.precision.unscale(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        if self.precision.accepts(norm):
            self.optimizer.step(learning_rate_scale(step, self.recipe))
        for parameter in self.parameters:
            parameter.grad = None
        follow(self.average, [p.detach() for p in self.parameters], step, self.recipe.ema)
        return loss.detach()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Of held-out pictures: bits a code as the model predicts them, share that it names."""
        model = self.averaged()
        batch = self.held_out(0, 256).to(self.device)
        first = self.vocabulary.text_size
        is_code = (batch.targets >= first) & (batch.targets < first + self.vocabulary.codes)
        bits = self._losses(model, batch)[is_code].mean() / math.log(2)
        known = self.held_out.labels != NONE
        ids = torch.from_numpy(self.held_out.whole[known])
        with self.precision.autocast():
            scores = name_logits(model, self.tokenizer, self.words, ids)
        named = scores.argmax(1).cpu().numpy() == self.held_out.labels[known]
        return {"bits_a_code": float(bits), "named": float(named.mean())}

    def averaged(self) -> transformers.PreTrainedModel:
        """A copy with the averaged weights."""
        model = copy.deepcopy(self.model)
        for parameter, value in zip(model.parameters(), self.average, strict=True):
            parameter.data.copy_(value)
        return model.eval()

    def save(self, folder: Path) -> None:
        """The averaged model in float16, its words, and its picture tokenizer or that one's name."""
        bundled = self.recipe.tokenizer in weights.bundled()
        model = self.averaged().to(torch.float16)
        setattr(model.config, EYE, self.recipe.tokenizer if bundled else EYE_FILE)
        with without_bars():
            model.save_pretrained(folder)
        tokenizer = self.words.tokenizer()
        self.vocabulary.extend(tokenizer)
        tokenizer.save_pretrained(folder)
        if not bundled:
            self.eye.save_pretrained(folder / EYE_FILE)

    def state(self, done: int) -> dict[str, Any]:
        return {
            "recipe": self.recipe.plain(),
            "done": done,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
        }

    def restore(self, folder: Path) -> int:
        """Load the newest checkpoint, if there is one; the steps that are done."""
        state = checkpoints.newest(folder, self.device)
        if state is None:
            return 0
        for key, value in self.recipe.plain().items():
            if state["recipe"].get(key) != value:
                raise OptionError(
                    f"{folder} belongs to a run with {key} {state['recipe'].get(key)}, not "
                    f"{value}; choose another folder (--out), or delete it to begin anew"
                )
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        return state["done"]

    def _losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy of every target `B T`, in nats; 0 where there is none."""
        with self.precision.autocast():
            logits = model(input_ids=batch.ids, use_cache=False).logits
        return F.cross_entropy(
            logits.float().movedim(2, 1), batch.targets, ignore_index=IGNORED, reduction="none"
        )

    def _sequences(self, codes: Codes, labels: np.ndarray, part: np.ndarray) -> Sequences:
        return Sequences(
            sequences.picture_ids(codes.whole[part], self.vocabulary),
            sequences.picture_ids(codes.cut[part], self.vocabulary),
            labels[part],
            forms=self.forms,
            recipe=self.recipe,
            tokenizer=self.tokenizer,
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
        attn_implementation="eager",
    )
    return transformers.LlamaForCausalLM(config)
