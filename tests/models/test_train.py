"""Training runs: the loss falls, a killed run resumes exactly, many processes equal one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed

import smalti
from smalti.cli import main
from smalti.errors import OptionError
from smalti.image import to_uint8
from smalti.models.fsq import FsqConfig
from smalti.models.patch.model import PatchConfig
from smalti.models.patch.stages import StackedConfig
from smalti.models.rgba import RgbaConfig
from smalti.train import checkpoints, recipes
from smalti.train.loop import Interrupted, Options, learning_rate_scale
from smalti.train.recipes.recipe import Recipe
from smalti.train.run import run_recipe

TINY = {
    "fsq-1m": ["model.width=16", "model.blocks=1", "side=32", "batch=4"],
    "fsq-f8": ["model.width=16", "model.blocks=1", "side=32", "batch=4"],
    "rgba-boxes": ["model.width=8", "side=32", "batch=4"],
    "patch-f8c16": ["model.width=32", "side=32", "batch=4"],
    "patch-card": [
        "model.width=32",
        "side=32",
        "batch=4",
        "optimizer.snoo_k=3",
        "linear_init=false",
    ],
}
STEPS = {"rgba-boxes": 80}  # boxes start on a plateau
EVERY_STEP = Options(workers=0, checkpoint_every=5, validate_every=1000, log_every=1)


@pytest.fixture
def pictures(tmp_path, picture):
    images = np.stack([to_uint8(picture(3, 40, 40, seed)) for seed in range(8)])
    np.savez(tmp_path / "pictures.npz", images=images)
    return tmp_path / "pictures.npz"


def tiny(name: str, *settings: str) -> Recipe:
    return recipes.recipe_of(name, [*TINY[name], *settings])


def run(recipe, source, out, *, options=EVERY_STEP, on_step=None):
    """The losses of a run, step by step."""
    steps = []

    def note(done, total, text):
        steps.append(done)
        if on_step:
            on_step(done, total, text)

    data = [] if recipe.boxes == 1 else [source]
    run_recipe(recipe, data, out, validate_on=[source], options=options, device="cpu", on_step=note)
    lines = map(json.loads, (out / recipe.name / "log.jsonl").read_text().splitlines())
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    return [losses[step] for step in steps]


class Killed(Exception):
    pass


def kill_after(step):
    def on_step(done, total, text):
        if done == step:
            raise Killed

    return on_step


@pytest.mark.parametrize("name", list(TINY))
def test_the_loss_falls_and_a_killed_run_resumes_exactly(name, pictures, tmp_path):
    steps = STEPS.get(name, 24)
    recipe = tiny(name, f"steps={steps}", "seed=3")
    whole = run(recipe, pictures, tmp_path / "whole")
    assert np.mean(whole[-steps // 4 :]) < 0.9 * np.mean(whole[: steps // 4])
    with pytest.raises(Killed):
        run(recipe, pictures, tmp_path / "killed", on_step=kill_after(12))
    assert run(recipe, pictures, tmp_path / "killed") == whole[10:]
    file = f"{name}/{name}.safetensors"
    first, second = (tmp_path / out / file for out in ("whole", "killed"))
    assert first.read_bytes() == second.read_bytes()
    smalti.load_model(second)


def test_another_recipe_does_not_go_on_with_a_checkpoint(pictures, tmp_path):
    run(tiny("fsq-1m", "steps=2"), pictures, tmp_path)
    with pytest.raises(OptionError, match=r"belongs to a run with steps 2, not 3"):
        run(tiny("fsq-1m", "steps=3"), pictures, tmp_path)
    with pytest.raises(OptionError, match=r"with optimizer.lr 0.003, not 0.1"):
        run(tiny("fsq-1m", "steps=2", "optimizer.lr=0.1"), pictures, tmp_path)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(pictures, tmp_path):
    recipe = tiny("fsq-1m", "steps=12")
    whole = run(recipe, pictures, tmp_path / "whole")
    with pytest.raises(Killed):
        run(recipe, pictures, tmp_path / "cut", on_step=kill_after(11))
    _, newest = checkpoints.stored(tmp_path / "cut" / "fsq-1m")
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1  # within a tensor: torch itself would not notice
    newest.write_bytes(data)
    assert run(recipe, pictures, tmp_path / "cut") == whole[5:]

    for path in checkpoints.stored(tmp_path / "cut" / "fsq-1m"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OptionError, match=r"every checkpoint in .* is damaged"):
        run(recipe, pictures, tmp_path / "cut")


def test_the_last_two_checkpoints_stay_and_the_log_has_each_step_once(pictures, tmp_path):
    recipe = tiny("fsq-1m", "steps=22")
    with pytest.raises(Killed):
        run(recipe, pictures, tmp_path, on_step=kill_after(18))
    run(recipe, pictures, tmp_path)
    folder = tmp_path / "fsq-1m"
    names = [path.name for path in checkpoints.stored(folder)]
    assert names == ["checkpoint-00000020.pt", "checkpoint-00000022.pt"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 23))
    (validated,) = [line for line in lines if "psnr" in line]
    grid = smalti.load(folder / "validation" / "step-00000022.png")
    assert grid.shape[2] == 3
    assert 5 < validated["psnr"] < 40


def test_ctrl_c_writes_a_checkpoint_at_the_step_it_came_in(pictures, tmp_path):
    recipe = tiny("fsq-1m", "steps=9")
    whole = run(recipe, pictures, tmp_path / "whole")

    def press(done, total, loss):
        if done == 4:
            os.kill(os.getpid(), 2)

    with pytest.raises(Interrupted, match="after step 5 of 9"):
        run(recipe, pictures, tmp_path / "stopped", on_step=press)
    assert run(recipe, pictures, tmp_path / "stopped") == whole[5:]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_threads_changes_nothing(workers, pictures, tmp_path):
    recipe = tiny("fsq-1m", "steps=6", "side=24", "aspect=2")
    alone = run(recipe, pictures, tmp_path / "alone")
    options = Options(workers=workers, log_every=1)
    assert run(recipe, pictures, tmp_path / "many", options=options) == alone


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_short_floats_train_as_float32_does_and_resume(precision, pictures, tmp_path):
    recipe = tiny("fsq-1m", "steps=12")
    options = Options(precision=precision, workers=0, checkpoint_every=5, log_every=1)
    exact = run(recipe, pictures, tmp_path / "no", options=Options(precision="no", log_every=1))
    short = run(recipe, pictures, tmp_path / "short", options=options)
    assert short != exact
    assert short == pytest.approx(exact, rel=0.02)
    with pytest.raises(Killed):
        run(recipe, pictures, tmp_path / "cut", options=options, on_step=kill_after(7))
    assert run(recipe, pictures, tmp_path / "cut", options=options) == short[5:]


def test_a_loss_that_is_no_number_ends_the_run_without_a_checkpoint(pictures, tmp_path):
    with pytest.raises(OptionError, match="no longer a number at step"):
        run(
            tiny("fsq-1m", "steps=30", "optimizer.lr=1e30", "optimizer.lr_muon=1e30"),
            pictures,
            tmp_path,
        )
    for path in checkpoints.stored(tmp_path / "fsq-1m"):
        state = torch.load(path, weights_only=True)
        assert all(value.isfinite().all() for value in state["model"].values())


def test_finetuning_starts_from_weights(pictures, tmp_path):
    run(tiny("rgba-boxes", "steps=3"), pictures, tmp_path)
    start = tmp_path / "rgba-boxes" / "rgba-boxes.safetensors"
    settings = ["model.width=8", "side=32", "batch=4", "steps=2", f"start={start}"]
    recipe = recipes.recipe_of("rgba-finetune", [*settings, "optimizer.lr=0", "clip=0"])
    run(recipe, pictures, tmp_path)
    tuned = smalti.load_model(tmp_path / "rgba-finetune" / "rgba-finetune.safetensors")
    for key, value in smalti.load_model(start).state_dict().items():
        torch.testing.assert_close(tuned.state_dict()[key], value, rtol=2e-3, atol=1e-4)
    with pytest.raises(OptionError, match=r"start=.* has RgbaConfig.*width=8"):
        run(recipes.recipe_of("rgba-finetune", ["model.width=16", *settings[1:]]), pictures,
            tmp_path / "other")  # fmt: skip


def test_learning_rate_warms_up_and_ends_near_zero():
    recipe = tiny("fsq-1m", "steps=100")
    scales = [learning_rate_scale(step, recipe) for step in range(100)]
    assert max(scales) == 1.0
    assert scales[0] == pytest.approx(0.2)
    assert scales[-1] < 1e-3


def test_recipes_refuse_wrong_data(tmp_path):
    with pytest.raises(OptionError, match="unknown recipe 'x'; known: fsq-1m, "):
        recipes.recipe_of("x")
    with pytest.raises(OptionError, match="--data"):
        run_recipe(recipes.recipe_of("fsq-1m"), [], tmp_path)
    with pytest.raises(OptionError, match="takes no --data"):
        run_recipe(recipes.recipe_of("rgba-boxes"), [tmp_path], tmp_path)


def test_every_recipe_builds_its_model():
    for name in recipes.RECIPES:
        recipe = recipes.recipe_of(name)
        assert recipe.name == name
        assert isinstance(recipe.model, FsqConfig | RgbaConfig | PatchConfig | StackedConfig)
        with torch.device("meta"):
            assert recipe.side % recipe.build().factor == 0
        assert f"smalti train {name}" in recipes.RECIPES[name].__doc__


# One process imports torch, then forks: a child that runs the recipe, killed at a random moment.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from smalti.train import recipes
from smalti.train.run import run_recipe
from smalti.train.loop import Options

most, source, out, settings = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
options = Options(workers=1, checkpoint_every=1, validate_every=4)

def child():
    pid = os.fork()
    if pid == 0:
        run_recipe(recipes.recipe_of("fsq-1m", settings), [source], out, validate_on=[source],
                    options=options, device="cpu")
        os._exit(0)
    return pid

moments = random.Random(int(settings[-1].partition("=")[2]))
kills = 0
while kills < most:
    pid = child()
    time.sleep(moments.uniform(0.05, 0.6))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    kills += os.WIFSIGNALED(status)
    if not os.WIFSIGNALED(status):
        break
_, status = os.waitpid(child(), 0)
print(kills)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_run_killed_at_random_moments_always_resumes_and_ends_the_same(pictures, tmp_path):
    settings = [*TINY["fsq-1m"], "steps=24", "seed=5"]
    for name, kills in (("whole", 0), ("killed", 8)):  # both in fresh processes of one kind
        done = subprocess.run(
            [sys.executable, "-c", KILLER, str(kills), pictures, tmp_path / name, *settings],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    first, second = (tmp_path / o / "fsq-1m/fsq-1m.safetensors" for o in ("whole", "killed"))
    assert first.read_bytes() == second.read_bytes()
    assert not list((tmp_path / "killed" / "fsq-1m").glob(".*.tmp"))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no gloo")
def test_two_processes_equal_one_with_twice_the_batch(pictures, tmp_path):
    common = [*TINY["fsq-1m"][:3], "steps=3", "optimizer.lr_muon=0.002"]
    recipe = recipes.recipe_of("fsq-1m", [*common, "batch=8"])
    one = run(recipe, pictures, tmp_path / "one", options=Options(precision="no", log_every=1))
    arguments = ["--data", pictures, "--out", tmp_path / "two", "--precision", "no"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"),
            *(f"--main_process_port={40_000 + os.getpid() % 20_000}", "-m", "smalti", "train"),
            *("fsq-1m", *arguments, "--log-every", "1", "--set", *common, "batch=4"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights:") == 1
    lines = (tmp_path / "two" / "fsq-1m" / "log.jsonl").read_text().splitlines()
    two = [json.loads(line)["loss"] for line in lines if "loss" in line]
    assert two == pytest.approx(one, rel=1e-3)  # Muon rounds to bfloat16 within


def command(monkeypatch, capsys, *arguments):
    """Exit code, standard output and error of `smalti train`."""
    monkeypatch.setattr(sys, "argv", ["smalti", "train", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


def test_the_command_trains_and_tells_what_it_wrote(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["fsq-1m", "--data", pictures, "--val", pictures, "--device", "cpu"]
    settings = ["--steps", "2", "--batch", "3", "--set", "model.width=8", "side=16"]
    code, out, _ = command(monkeypatch, capsys, *arguments, *settings)
    assert code == 0
    assert out.splitlines()[-1] == "weights: runs/fsq-1m/fsq-1m.safetensors"
    assert "dB on validation pictures, runs/fsq-1m/validation/step-00000002.png" in out
    model = smalti.load_model("runs/fsq-1m/fsq-1m.safetensors")
    assert model.config == FsqConfig(width=8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x"], "unknown recipe 'x'; known: fsq-1m"),
        (["fsq-1m"], "learns from pictures"),
        (["fsq-1m", "--data", "none"], "none is no folder of pictures"),
        (["fsq-1m", "--set", "stepz=1"], "unknown field of fsq-1m 'stepz'; is steps meant"),
        (["rgba-boxes", "--precision", "half"], "precision 'half'; known"),
        (["rgba-boxes", "--workers", "-1"], "workers=-1"),
        (["rgba-boxes", "--val", "none"], "none is no folder of pictures"),
        (["rgba-boxes", "--set", "start=none"], "no weights 'none'"),
    ],
)
def test_a_users_mistake_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = command(monkeypatch, capsys, *arguments)
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1
