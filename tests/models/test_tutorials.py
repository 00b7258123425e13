"""The tutorial of the latent generator, in its reduced form: it learns, draws, stops and goes on."""

import json
import re
import shlex
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import smalti
from smalti.models.packed import Packed
from smalti.train import checkpoints

from conftest import ROOT, make_picture

FOLDER = ROOT / "docs" / "tutorials"
sys.path.insert(0, str(FOLDER))

import latent_generator as tutorial  # noqa: E402
import latent_generator_check as check  # noqa: E402
import latent_transformer  # noqa: E402
import scenes  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("generator")
    tutorial.main(["--reduced", "--out", str(out)])
    return out


@pytest.fixture
def latents() -> tutorial.Latents:
    return tutorial.Latents(tutorial.Scenes(), tutorial.REDUCED)


def test_it_learns(run, latents):
    """On scenes that it was not trained on; 0 as the velocity would give 1 + 1, about 2."""
    model = tutorial.restored(run)
    z, labels = latents.fresh(64, (3, 0))
    torch.manual_seed(0)
    trained = tutorial.loss_of(model, z, labels)
    untrained = latent_transformer.Generator(**model.config)
    untrained.mean, untrained.std = model.mean, model.std
    torch.manual_seed(0)
    assert trained < 0.8 * tutorial.loss_of(untrained, z, labels)
    losses = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_it_draws_every_label_at_every_shape(run):
    assert len({rows / columns for rows, columns in tutorial.REDUCED.shapes}) == 3
    for name in scenes.THINGS:
        for rows, columns in tutorial.REDUCED.shapes:
            x = smalti.load(run / f"{name}-{8 * columns}x{8 * rows}.png")
            assert x.shape == (8 * rows, 8 * columns, 3)
            assert x.std() > 5  # not one colour
    assert smalti.load(run / "sheet.png").shape[2] == 3


def test_the_check_counts(run, latents):
    labels = torch.arange(8)
    made = check.generated(tutorial.restored(run), latents.autoencoder, labels, (3, 5), 2.5)
    assert made.shape == (8, 3, 24, 40)
    judge = check.trained(steps=2, batch=4)
    shares = [check.share(judge, made, torch.full((8,), label)) for label in range(8)]
    assert sum(shares) == pytest.approx(1)


def test_a_stopped_run_goes_on_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tutorial, "draw", lambda *_: None)  # what is compared are the checkpoints
    command = ["--reduced", "--steps", "6", "--cached", "16", "--out"]
    tutorial.main([*command, str(tmp_path / "whole")])
    with monkeypatch.context() as patch:
        original = tutorial.loss_of

        def interrupted(model, z, labels):
            calls.append(1)
            if len(calls) == 3:
                signal.raise_signal(signal.SIGINT)
            return original(model, z, labels)

        calls = []
        patch.setattr(tutorial, "loss_of", interrupted)
        with pytest.raises(SystemExit, match="stopped after step 3; the same command goes on"):
            tutorial.main([*command, str(tmp_path / "broken")])
    tutorial.main([*command, str(tmp_path / "broken")])
    whole, broken = (checkpoints.newest(tmp_path / name, CPU) for name in ("whole", "broken"))
    assert whole["step"] == broken["step"] == 6
    for part in ("model", "averaged"):
        for name, value in whole[part].items():
            assert torch.equal(value, broken[part][name]), name
    with pytest.raises(SystemExit, match="run of other settings; choose another --out"):
        tutorial.main(["--steps", "6", "--out", str(tmp_path / "whole")])


def test_pictures_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    model = latent_transformer.Generator(8, width=64, depth=2)
    for parameter in model.parameters():  # those that begin as zero, too
        torch.nn.init.normal_(parameter, std=0.1)
    grids = [torch.randn(16, *size) for size in ((3, 5), (6, 2), (1, 1), (4, 4))]
    t, labels = torch.rand(4), torch.tensor([0, 3, 8, 3])
    with torch.no_grad():
        z = Packed.of(grids)
        together = z.like(model(z, t, labels)).unpack()
        for i, grid in enumerate(grids):
            alone = Packed.of([grid])
            v = alone.like(model(alone, t[i : i + 1], labels[i : i + 1])).unpack()[0]
            torch.testing.assert_close(v, together[i], rtol=1e-4, atol=1e-4)
    assert together[3].std() > 0.01
    assert model(z, t, labels).allclose(model(z, t, labels.flip(0))) is False


def test_every_picture_has_a_shape_of_its_own(latents):
    z, labels = latents.fresh(64, (4, 0))
    ratios = [columns / rows for rows, columns in z.sizes]
    assert len(set(z.sizes)) > 10
    assert min(ratios) < 0.5
    assert max(ratios) > 2
    assert len(labels) == 64
    assert set(labels.tolist()) == set(range(8))


def test_scenes_are_of_the_size_asked_for_and_differ():
    random = np.random.default_rng(0)
    for label in range(len(scenes.THINGS)):
        one, other = (scenes.scene(label, 40, 104, random) for _ in range(2))
        assert one.shape == (40, 104, 3)
        assert one.dtype == np.uint8
        assert (one != other).mean() > 0.1


def test_own_pictures_in_folders(tmp_path):
    for label, size in (("cat", (40, 90)), ("dog", (64, 20))):
        (tmp_path / "data" / label).mkdir(parents=True)
        smalti.save(make_picture(3, *size), tmp_path / "data" / label / "a.png")
    command = ["--reduced", "--steps", "2", "--out", str(tmp_path / "out"), "--data"]
    tutorial.main([*command, str(tmp_path / "data")])
    assert smalti.load(tmp_path / "out" / "dog-48x24.png").shape == (24, 48, 3)
    with pytest.raises(SystemExit, match="needs a folder for each label, with pictures in it"):
        tutorial.main([*command, str(tmp_path / "nothing")])
    (tmp_path / "data" / "dog" / "a.png").write_bytes(b"no picture")
    scenes.read.cache_clear()
    with pytest.raises(SystemExit, match=r"a\.png: cannot identify image file"):
        tutorial.main([*command, str(tmp_path / "data")])


def test_the_text_and_its_files_belong_together():
    text = (FOLDER / "latent_generator.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (FOLDER / target).exists(), target
    commands = re.findall(r"^ +python (docs/tutorials/\S+)(.*)$", text, flags=re.MULTILINE)
    assert {script for script, _ in commands} == {
        f"docs/tutorials/{name}.py"
        for name in ("latent_generator", "latent_generator_check", "scenes")
    }
    known = (FOLDER / "latent_generator.py").read_text()
    for script, options in commands:
        assert (ROOT / script).exists()
        for word in shlex.split(options.partition("#")[0]):
            if word.startswith("--") and script.endswith("generator.py"):
                assert f'"{word}"' in known, word
