"""The parts of a training step: recipes' fields, losses, optimisers, number formats, quick layers."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from smalti.errors import OptionError
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.patch.model import PatchAutoencoder, PatchConfig
from smalti.train import launch
from smalti.train.fused import DoublingConv, GroupNormSilu, HalvingPair, fuse
from smalti.train.losses import PictureLoss, StructuralRgba, multiscale_ssim, sobel
from smalti.train.optimizers import Muon, hidden_weights, optimizer_of
from smalti.train.precision import Precision
from smalti.train.recipes import recipe_of
from smalti.train.recipes.recipe import Optimization

CPU = torch.device("cpu")


def test_every_field_of_a_recipe_can_be_set():
    for name in ("fsq-1m", "rgba-boxes", "patch-f8c16"):
        recipe = recipe_of(name)
        for field, value in recipe.plain().items():
            if field == "name":
                continue
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            assert recipe_of(name, [f"{field}={text}"]) == recipe
    changed = recipe_of("fsq-1m", ["model.levels=8,5,5", "optimizer.lr=1e-3", "loss.sobel=0"])
    assert changed.model == FsqConfig(levels=(8, 5, 5))
    assert changed.optimizer.lr == 1e-3
    assert changed.loss == PictureLoss(sobel=0.0)
    assert recipe_of("patch-f8c16", ["linear_init=false"]).linear_init is False


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("stepz=3", "unknown field of fsq-1m 'stepz'; is steps meant"),
        ("model=3", "unknown field of fsq-1m 'model'"),
        ("steps=many", "steps=many; it must be a whole number"),
        ("clip=x", "clip=x; it must be a number"),
        ("linear_init=maybe", "it must be true or false"),
        ("model.levels=8,x", "model.levels=8,x; it must be whole numbers with x or commas"),
        ("steps", "'steps'; write field=value"),
        ("steps=0", "steps=0; it must be at least 1"),
        ("ema=1.5", r"ema=1.5; it lies in 0 .. 1"),
        ("boxes=0.5", "only models of RGBA pictures learn from boxes"),
        ("optimizer.kind=sgd", "optimizer.kind=sgd; known: muon, adamw"),
        ("model.factor=3", "factor 3; it is a power of two"),
    ],
)
def test_wrong_settings_are_one_sentence(setting, sentence):
    with pytest.raises(OptionError, match=sentence) as caught:
        recipe_of("fsq-1m", [setting])
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_built_is_one_sentence():
    with pytest.raises(OptionError, match="no model of FsqConfig"):
        recipe_of("fsq-1m", ["model.width=10"]).build()


def test_picture_loss_is_its_formula():
    x, x_hat = torch.rand(2, 2, 3, 9, 7)
    row = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernels = torch.stack([row, row.T]).repeat(3, 1, 1).unsqueeze(1)
    torch.testing.assert_close(
        sobel(x).unflatten(1, (2, 3)), F.conv2d(x, kernels, groups=3).unflatten(1, (3, 2)).mT.mT
        .transpose(1, 2)
    )  # fmt: skip
    expected = (
        F.l1_loss(x_hat, x) + 0.25 * F.mse_loss(x_hat, x) + 0.5 * F.l1_loss(sobel(x_hat), sobel(x))
    )
    torch.testing.assert_close(PictureLoss()(x_hat, x), expected)
    assert PictureLoss(l1=0, mse=0, sobel=0)(x_hat, x) == 0


def test_structural_loss_ignores_what_is_invisible():
    x = torch.rand(2, 4, 40, 40)
    x[:, 3, :20] = 0
    hidden = x.clone()
    hidden[:, :3, :20] = torch.rand(2, 3, 20, 40)
    loss = StructuralRgba(l1=1.0, ssim=1.0)
    assert loss(hidden, x) == pytest.approx(0, abs=1e-5)
    assert dataclasses.replace(loss, premultiply=False)(hidden, x) > 0.05
    shown = (x + 0.1).clamp(0, 1)
    for term in ("l1", "mse", "sobel", "ssim"):
        only = StructuralRgba(**{"l1": 0, "mse": 0, "sobel": 0, "ssim": 0, term: 1.0})
        assert only(shown, x) > 1e-3
    assert multiscale_ssim(x, x) == pytest.approx(1)


def small_model():
    torch.manual_seed(0)
    return FsqAutoencoder(FsqConfig(width=16, blocks=1))


def one_step(model, optimizer, x):
    PictureLoss()(model(x), x).backward()
    optimizer.step(1.0)
    model.zero_grad()


def test_muon_takes_hidden_weights_whichever_way_they_lie_in_memory():
    model = PatchAutoencoder(PatchConfig(width=32))
    names = {id(p): name for name, p in model.named_parameters()}
    hidden = {names[id(p)] for p in hidden_weights(model)}
    assert "encoder.0.initial.0.weight" not in hidden  # touches the picture
    assert "decoder.0.positions" not in hidden  # no layer's weight
    assert "decoder.0.blocks.0.mlp.2.weight" in hidden

    x = torch.rand(2, 3, 16, 16)
    results = []
    for order in (torch.contiguous_format, torch.channels_last):
        model = small_model().to(memory_format=order)
        optimizer = optimizer_of(model, Optimization())
        for _ in range(3):
            one_step(model, optimizer, x)
        results.append(model.state_dict())
    for key, value in results[0].items():
        # Muon rounds to bfloat16 within, and another order of columns rounds otherwise.
        torch.testing.assert_close(results[1][key], value, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_muon_without_bfloat16_takes_the_steps_of_torch(shape, monkeypatch):
    monkeypatch.setattr("smalti.train.optimizers.best", lambda device: "no")
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimizers = Muon([ours], **settings), torch.optim.Muon([theirs], **settings)
    for _ in range(3):
        gradient = torch.randn(shape)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    way = (theirs - start).abs().mean()
    assert (ours - theirs).abs().mean() < 0.05 * way  # bfloat16 has 8 bits
    optimizers[0].load_state_dict(optimizers[1].state_dict())


def test_snoo_is_its_formula_and_lookahead_without_momentum():
    """arXiv 2510.15830, algorithm 1, on two numbers and gradients that do not depend on them."""
    settings = Optimization(kind="adamw", lr=0.1, snoo_k=3, snoo_lr=0.6, snoo_momentum=0.4)
    model, inner = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    inner.load_state_dict(model.state_dict())
    outer = optimizer_of(model, settings)
    plain = optimizer_of(inner, dataclasses.replace(settings, snoo_k=0))
    slow, b = model.weight.detach().clone(), torch.zeros(2, 1)
    for step in range(1, 10):
        gradient = torch.tensor([[float(step)], [-1.0]])
        model.weight.grad, inner.weight.grad = gradient, gradient.clone()
        outer.step(1.0)
        plain.step(1.0)
        if step % 3 == 0:
            s = slow - inner.weight.detach()
            b = 0.4 * b + s
            slow = slow - 0.6 * (0.4 * b + s)
            inner.weight.data.copy_(slow)
        torch.testing.assert_close(model.weight, inner.weight)


@pytest.mark.parametrize("settings", [Optimization(kind="adamw", snoo_k=2), Optimization(snoo_k=2)])
def test_optimiser_state_is_saved_whole(settings):
    x = torch.rand(2, 3, 16, 16)
    model = small_model()
    optimizer = optimizer_of(model, settings)
    for _ in range(3):
        one_step(model, optimizer, x)
    again = copy.deepcopy(model)
    resumed = optimizer_of(again, settings)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        one_step(model, optimizer, x)
        one_step(again, resumed, x)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quick_norm_equals_torchs(dtype):
    torch.manual_seed(0)
    plain = nn.GroupNorm(4, 24)
    nn.init.normal_(plain.weight, 1, 0.3)
    nn.init.normal_(plain.bias)
    quick = GroupNormSilu(4, 24)
    quick.load_state_dict(plain.state_dict())
    x = (2 * torch.randn(3, 24, 9, 11) + 1).to(dtype).requires_grad_()
    twin = x.detach().float().requires_grad_()
    gradient = torch.randn(3, 24, 9, 11)
    y, expected = quick(x), F.silu(plain(twin))
    assert y.dtype == dtype
    y.backward(gradient.to(dtype))
    expected.backward(gradient.to(dtype).float())
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 0.01,
                                                                             "atol": 0.02}  # fmt: skip
    for ours, torchs in (
        (y, expected),
        (x.grad, twin.grad),
        (quick.weight.grad, plain.weight.grad),
        (quick.bias.grad, plain.bias.grad),
    ):
        torch.testing.assert_close(ours.float(), torchs, **tolerance)


def test_quick_norm_survives_large_means_and_values():
    norm = GroupNormSilu(2, 8)
    x = 1000 + torch.randn(1, 8, 16, 16)
    torch.testing.assert_close(norm(x), F.silu(F.group_norm(x, 2)), rtol=1e-3, atol=1e-3)
    spikes = torch.zeros(1, 8, 32, 32)
    spikes[0, 0, 0, 0] = 1e6
    assert norm(spikes).isfinite().all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_quick_model_is_the_same_function(threads):
    model = small_model()
    quick = fuse(copy.deepcopy(model))
    kinds = [type(layer) for layer in quick.modules()]
    assert kinds.count(GroupNormSilu) == 6
    assert kinds.count(DoublingConv) == 1
    assert kinds.count(HalvingPair) == 1
    assert list(quick.state_dict()) == list(model.state_dict())
    x = torch.rand(4, 3, 16, 24) * 2 - 1
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for each in (model, quick):
            PictureLoss()(each(x), x).backward()
    finally:
        torch.set_num_threads(before)
    # the tokens may differ where a number lies on the edge of two levels, so compare the decoders
    digits = model.digits(x)
    torch.testing.assert_close(quick.from_digits(digits), model.from_digits(digits),
                               rtol=1e-4, atol=1e-4)  # fmt: skip
    for (name, ours), plain in zip(quick.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize("size", [(2, 2), (4, 8), (10, 6), (7, 5)])
def test_two_convolutions_as_one_are_the_same_up_to_the_border(size):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 9, 4, stride=2, padding=1))
    quick = fuse(copy.deepcopy(plain))
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(quick(x), plain(x), rtol=1e-5, atol=1e-5)
    for model in (plain, quick):
        (model(x) ** 2).sum().backward()
    for ours, torchs in zip(quick.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, torchs.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["fsq-1m", "fsq-f4", "fsq-f8"])
def test_tokenizers_of_fewer_tokens(name):
    recipe = recipe_of(name, ["model.width=8"])
    factor, model = recipe.model.factor, fuse(recipe.build())
    tokens = model.encode(torch.rand(2, 3, 16, 32))
    assert tokens.shape == (2, 16 // factor, 32 // factor)
    assert model.decode(tokens).shape == (2, 3, 16, 32)


def test_precision_names():
    assert Precision("no", CPU).name == "no"
    assert Precision("auto", CPU).name in ("no", "bf16")
    with pytest.raises(OptionError, match="precision 'half'; known: auto, no, bf16, fp16"):
        Precision("half", CPU)


def test_fp16_skips_a_step_that_overflows_and_lowers_its_scale():
    precision = Precision("fp16", CPU)
    weight = nn.Parameter(torch.ones(2))
    scale = precision.scaler.get_scale()
    precision.backward((weight * torch.tensor([1.0, 1e38])).sum())  # times 65,536: infinite
    precision.unscale([weight])
    norm = nn.utils.clip_grad_norm_([weight], 1.0)
    assert not precision.accepts(norm)
    assert precision.scaler.get_scale() == scale / 2
    weight.grad = None
    precision.backward((weight * torch.tensor([3.0, 4.0])).sum())
    precision.unscale([weight])
    norm = nn.utils.clip_grad_norm_([weight], 10.0)
    assert precision.accepts(norm)
    assert norm == pytest.approx(5)


def test_only_a_lone_cpu_process_of_accelerate_starts_others(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert launch.processes_to_start() == 1
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert launch.processes_to_start() == 1  # the test's parent names no --num_processes
    monkeypatch.setattr(
        "psutil.Process.cmdline", lambda self: ["accelerate", "launch", "--num_processes", "3"]
    )
    assert launch.processes_to_start() == 3
    monkeypatch.setenv("RANK", "0")
    assert launch.processes_to_start() == 1
