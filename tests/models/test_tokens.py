"""Pictures as ids: sequences and their repair, files, data sets, and the two commands."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import smalti
from smalti.errors import FormatError, OptionError
from smalti.eval.metrics import psnr
from smalti.image import as_picture, to_uint8
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.layers import fsq
from smalti.models.pictures import to_picture, to_rgb, to_tensor
from smalti.tokens import ImageVocabulary, coding, files, rows, shards

from conftest import make_picture, run

LEVELS = (4, 3, 3)  # 36 codes
VOCABULARY = ImageVocabulary(LEVELS, 100)
START, END, NEWROW = 136, 137, 138


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A tokenizer of another codebook than the bundled one's, with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    FsqAutoencoder(FsqConfig(levels=LEVELS, width=8, blocks=1)).save_pretrained(path)
    return str(path)


# Embeddings of the ids.


@pytest.mark.parametrize("form", rows.FORMS)
def test_rows_and_logits_are_those_of_a_plain_table(form):
    torch.manual_seed(0)
    images = rows.make_rows(form, (8, 5, 3), 16, 24)
    images.reset(torch.randn(50, 16) * 0.1 + 0.3)
    table = images.table()
    assert table.shape == (123, 16)
    h = torch.randn(2, 5, 16)
    torch.testing.assert_close(images.logits(h), h @ table.T)
    some = torch.randint(0, 123, (2, 7))
    torch.testing.assert_close(images(some), table[some])
    assert table[:120].mean().item() == pytest.approx(0.3, abs=0.06)
    assert table[:120].std(0).mean().item() == pytest.approx(0.1, rel=0.35)
    assert len(table.detach().unique(dim=0)) == 123  # no two codes look the same to the model


def test_mlp_rows_are_a_function_of_the_dequantised_vector():
    images = rows.make_rows("mlp", LEVELS, 4, 8)
    images.reset(torch.randn(10, 4))
    v = fsq.dequantize(fsq.from_index(torch.arange(36), LEVELS), LEVELS)
    expected = images.outer(torch.nn.functional.silu(images.inner(v)))
    torch.testing.assert_close(images.table()[:36], expected)


def test_parameters_of_each_form():
    """At 15,360 codes and width 64: free rows cost as much as a small language model."""
    counts = {
        form: sum(p.numel() for p in rows.make_rows(form, FsqConfig().levels, 64, 64).parameters())
        for form in rows.FORMS
    }
    assert counts == {
        "mlp": (5 * 64 + 64) + (64 * 64 + 64) + 3 * 64,
        "rows": 15_363 * 64,
    }


def test_unknown_form_is_refused():
    with pytest.raises(OptionError, match="form 'cubes'; known: mlp"):
        rows.make_rows("cubes", LEVELS, 4, 8)


# Sequences.


def test_ids_are_laid_out_as_documented():
    assert (VOCABULARY.codes, VOCABULARY.size, VOCABULARY.total) == (36, 39, 139)
    assert (VOCABULARY.start, VOCABULARY.end, VOCABULARY.newrow) == (START, END, NEWROW)
    ids = VOCABULARY.sequence(torch.tensor([[0, 1], [2, 35]]))
    assert ids.tolist() == [START, 100, 101, NEWROW, 102, 135, NEWROW, END]
    assert VOCABULARY.text(ids[:4]) == "<img_start><img_0><img_1><img_newrow>"
    assert VOCABULARY.length(2, 2) == 8


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 3)])
def test_every_size_survives(shape):
    grid = torch.randint(0, 36, shape)
    found = VOCABULARY.picture(VOCABULARY.sequence(grid))
    assert torch.equal(found.indices, grid)
    assert found.problems == ()


def test_pictures_between_texts():
    a, b = torch.randint(0, 36, (2, 3)), torch.randint(0, 36, (4, 2))
    ids = [5, 6, *VOCABULARY.sequence(a), 7, 8, *VOCABULARY.sequence(b), 9]
    found = VOCABULARY.pictures(ids)
    assert [p.problems for p in found] == [(), ()]
    assert torch.equal(found[0].indices, a)
    assert torch.equal(found[1].indices, b)


@pytest.mark.parametrize(
    ("body", "expected", "problem"),
    [
        ("S 1 2 / 3 4 /", [[1, 2], [3, 4]], "no <img_end>"),
        ("1 2 / 3 4 / E", [[1, 2], [3, 4]], "no <img_start>"),
        ("t t 1 2 / 3 4 / E", [[1, 2], [3, 4]], "no <img_start>"),
        ("S 1 2 / 3 4 E", [[1, 2], [3, 4]], "no <img_newrow> after the last row"),
        ("S 1 2 / 3 / 5 6 / E", [[1, 2], [3, 2], [5, 6]], "row 1 has 1 codes instead of 2"),
        ("S 1 / 3 4 / 5 6 / E", [[1, 1], [3, 4], [5, 6]], "row 0 has 1 codes instead of 2"),
        ("S 1 2 / 3 4 5 / 6 7 / E", [[1, 2], [3, 4], [6, 7]], "row 1 has 3 codes instead of 2"),
        ("S 1 2 / 3 4 5 6 / 7 8 / E", [[1, 2], [3, 4], [5, 6], [7, 8]], "row 1 has 4 codes"),
        ("S 1 t 2 / 3 x 4 / E", [[1, 2], [3, 4]], "2 ids of no code left out"),
        ("S 1 2 / / 3 4 / E", [[1, 2], [3, 4]], "1 empty rows left out"),
        ("S 1 2 / 3 4 / S 5 / E", [[1, 2], [3, 4]], "no <img_end>"),
        ("S E", [], "no codes"),
        ("t t", [], "no picture"),
        ("", [], "no picture"),
    ],
)
def test_malformed_pictures_are_repaired_and_reported(body, expected, problem):
    special = {"S": START, "E": END, "/": NEWROW, "t": 7, "x": 10**12}
    ids = [special[word] if word in special else 100 + int(word) for word in body.split()]
    found = VOCABULARY.picture(ids)
    assert found.indices.tolist() == expected
    assert any(problem in sentence for sentence in found.problems), found.problems


def test_the_size_may_be_told():
    ids = VOCABULARY.sequence(torch.tensor([[1, 2, 3], [4, 5, 6]]))
    found = VOCABULARY.picture(ids, rows=3, columns=2)
    assert found.indices.tolist() == [[1, 2], [4, 5], [4, 5]]
    assert len(found.problems) == 3


def test_no_sequence_whatever_crashes_the_reader():
    draw = random.Random(0)
    for _ in range(500):
        ids = [draw.randint(-5, 145) for _ in range(draw.randint(0, 30))]
        if draw.random() < 0.5:
            ids = [draw.choice([START, END, NEWROW, 100, 120]) for _ in ids]
        for found in VOCABULARY.pictures(ids):
            grid = found.indices
            assert grid.ndim == 2
            assert not grid.numel() or 0 <= int(grid.min()) <= int(grid.max()) < 36
            again = VOCABULARY.picture(VOCABULARY.sequence(grid)) if grid.numel() else found
            assert torch.equal(again.indices, grid)
            if not found.problems:
                assert grid.numel()


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (torch.zeros(3, dtype=torch.int64), "a picture is h w integers"),
        (torch.zeros(0, 3, dtype=torch.int64), "a picture is h w integers"),
        (torch.zeros(2, 2), "a picture is h w integers"),
        (torch.tensor([[0, 36]]), r"codes 0 .. 36; the codebook has 0 .. 35"),
        (torch.tensor([[-1, 3]]), r"codes -1 .. 3"),
    ],
)
def test_what_is_no_grid_of_codes_is_refused(grid, message):
    with pytest.raises(OptionError, match=message):
        VOCABULARY.sequence(grid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 1), 10), "levels"),
        (((), 10), "levels"),
        ((LEVELS, -1), "text_size -1"),
        ((LEVELS, 10, "mlp", 0), "features 0"),
    ],
)
def test_impossible_vocabularies_are_refused(arguments, message):
    with pytest.raises(OptionError, match=message):
        ImageVocabulary(*arguments)
    with pytest.raises(OptionError, match=r"id 5; pictures have 100 \.\. 138"):
        VOCABULARY.text([5])


# Pictures.


def test_encoding_is_the_models_own_whatever_the_batch(weights):
    model = coding.load_tokenizer(weights)
    images = [make_picture(3, 8, 12), make_picture(1, 5, 7), make_picture(3, 8, 12, seed=1)]
    grids = coding.encode_pictures(model, images)
    assert [tuple(grid.shape) for grid in grids] == [(4, 6), (3, 4), (4, 6)]
    with torch.no_grad():
        assert torch.equal(grids[2], model.encode(to_tensor(images[2]))[0])
        expected = to_picture(model.decode(grids[1].unsqueeze(0)))
    x_hat = coding.decode_picture(model, grids[1], height=5, width=7)
    np.testing.assert_allclose(x_hat, expected[:5, :7], atol=1e-5)
    with pytest.raises(OptionError, match=r"codes 0 .. 36; the codebook has 0 .. 35"):
        coding.decode_picture(model, torch.tensor([[0, 36]]))
    with pytest.raises(OptionError, match=r"codes of shape \(0, 0\)"):
        coding.decode_picture(model, torch.zeros(0, 0))


def test_the_bundled_tokenizer_shows_the_picture_again():
    x = make_picture(3, 32, 48)
    model = coding.load_tokenizer()
    x_hat = coding.decode_picture(model, coding.encode_pictures(model, [x])[0])
    assert psnr(to_uint8(as_picture(x)), to_uint8(x_hat)) > 25


def test_transparency_is_drawn_over_white():
    clear, half = np.array([[[0.2, 0.4, 0.6, 0.0]]]), np.array([[[0.5, 0.5]]])
    assert to_rgb(clear).flatten().tolist() == [1, 1, 1]
    assert to_rgb(half).flatten().tolist() == [0.75, 0.75, 0.75]


def test_the_middle_square():
    x = np.zeros((10, 30, 3), np.float32)
    x[:, 10:20] = 1
    assert np.array_equal(coding.square(x, 10), np.ones((10, 10, 3)))
    assert np.allclose(coding.square(x, 4), np.ones((4, 4, 3)))


def test_ascii_preview_is_dark_where_the_picture_is():
    x = np.zeros((20, 40, 3), np.float32)
    x[:, 20:] = 1
    lines = coding.ascii_preview(x, columns=8).split("\n")
    assert lines == ["    @@@@"] * 2


# Files.


@pytest.mark.parametrize("suffix", files.WRITTEN)
def test_files_of_ids(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    held = files.TokenFile([136, 100, 138, 137], text_size=100, levels=LEVELS, height=2, width=2)
    path.write_bytes(files.to_bytes(held, suffix))
    read = files.read(path)
    assert read.ids == held.ids
    assert read == (held if suffix == ".json" else files.TokenFile(held.ids))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b'{"ids": [1]}'),
        ("a.json", b'{"smalti_tokens": 2, "ids": [1]}'),
        ("a.json", b'{"smalti_tokens": 1, "ids": [1.5]}'),
        ("a.json", b'{"smalti_tokens": 1, "ids": [1], "height": -3}'),
        ("a.json", b'{"smalti_tokens": 1, "ids": [1], "levels": "x"}'),
        ("a.json", b'{"smalti_tokens": 1, "ids": [1], "weights": 5}'),
        ("a.json", b"[1, true]"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"7"),
        ("a.json", b"[1" + b"0" * 30 + b"]"),
        ("a.txt", b"1 2 three"),
        ("a.txt", b"\xff\xfe1"),
        ("a.npy", b"\x93NUMPY"),
        ("a.npy", b""),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match="is no file of ids"):
        files.read(tmp_path / name)


# Commands.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(3, 19, 30), "a.png")
    return tmp_path


def test_tokens_and_untokens(folder, weights, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "tokens", "a.png", "--weights", weights)
    assert code == 0
    ids = [int(word) for word in out.split()]
    vocabulary = ImageVocabulary(LEVELS, 0)
    assert vocabulary.picture(ids).problems == ()
    assert len(ids) == vocabulary.length(10, 15)

    code, out, _ = run(
        monkeypatch, capsys, "tokens", "a.png", "--weights", weights, "--out", "a.json"
    )
    assert code == 0
    assert "a.png -> a.json: 162 ids, 15 x 10 codes of 36" in out
    assert json.loads(Path("a.json").read_text())["ids"] == ids
    code, out, err = run(monkeypatch, capsys, "untokens", "a.json", "b.png", "--weights", weights)
    assert (code, err) == (0, "")
    model = coding.load_tokenizer(weights)
    expected = coding.decode_picture(model, vocabulary.picture(ids).indices, height=19, width=30)
    np.testing.assert_array_equal(smalti.load("b.png"), to_uint8(expected))

    for name in ("c.npy", "c.txt"):  # these files know neither weights nor size
        options = ("--weights", weights, "--text-size", "50")
        assert run(monkeypatch, capsys, "tokens", "a.png", "--out", name, *options)[0] == 0
        assert run(monkeypatch, capsys, "untokens", name, "c.png", "--force", *options)[0] == 0
        shown = smalti.load("c.png")
        assert np.array_equal(shown[:19], smalti.load("b.png"))
        assert shown.shape == (20, 30, 3)


def test_a_malformed_file_is_drawn_and_its_faults_told(folder, weights, monkeypatch, capsys):
    Path("a.json").write_text(json.dumps([36, 1, 2, 38, 3, 38, 4, 5]))
    code, _, err = run(monkeypatch, capsys, "untokens", "a.json", "b.png", "--weights", weights)
    assert code == 0
    assert "row 1 has 1 codes instead of 2" in err
    assert smalti.load("b.png").shape == (6, 4, 3)
    Path("a.json").write_text("[9999]")
    code, _, err = run(monkeypatch, capsys, "untokens", "a.json", "d.png", "--weights", weights)
    assert (code, Path("d.png").exists()) == (1, False)
    assert err == "smalti: a.json: no picture\n"


def test_ascii(folder, weights, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "tokens", "a.png", "--weights", weights, "--ascii")
    assert code == 0
    assert [len(line) for line in out.splitlines()] == [30] * 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tokens", "none.png"), "none.png"),
        (("tokens", "."), "add --shards OUT"),
        (("tokens", "a.png", "--out", "a.exe"), "a.exe is no file of ids; known: .json"),
        (("tokens", "a.png", "--out", "old.json"), "old.json exists; --force"),
        (("tokens", "a.png", "--side", "0"), "side 0"),
        (("tokens", "a.png", "--weights", "rgba-boxes"), "holds weights of RgbaAutoencoder"),
        (("tokens", "a.png", "--shards", "out"), "a.png is no folder"),
        (("tokens", ".", "--shards", "out", "--ascii"), "--shards takes no"),
        (("tokens", ".", "--shards", "out", "--captions", "x"), "captions 'x'; known: txt"),
        (("tokens", ".", "--shards", "out", "--per-shard", "0"), "0 pictures a shard"),
        (("untokens", "none.json", "b.png"), "none.json"),
        (("untokens", "a.png", "b.png"), "a.png is no file of ids"),
        (("untokens", "old.json", "b.png", "--rows", "0"), "--rows 0"),
        (("untokens", "old.json", "b.png"), "has codes of levels (4, 3, 3), fsq-1m"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, folder, monkeypatch, capsys):
    held = files.TokenFile([36, 1, 38, 37], levels=LEVELS)
    Path("old.json").write_bytes(files.to_bytes(held, ".json"))
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert not Path("b.png").exists()


# Data sets.


@pytest.fixture
def pictures(tmp_path):
    pytest.importorskip("pyarrow")
    for number, name in enumerate(("cats/a.png", "cats/b.png", "dogs/c.png", "d.png")):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        smalti.save(make_picture(3, 6 + 2 * number, 8, seed=number), path)
    (tmp_path / "pictures" / "cats" / "a.txt").write_text("a striped cat\n")
    return tmp_path / "pictures"


def test_captions(pictures, tmp_path):
    def captions(kind: str) -> dict[str, str]:
        return {source.name: source.caption for source in shards.sources_of(pictures, kind)}

    assert captions("txt") == {
        "cats/a.png": "a striped cat", "cats/b.png": "", "d.png": "", "dogs/c.png": ""
    }  # fmt: skip
    assert captions("folders")["dogs/c.png"] == "dogs"
    assert set(captions("none").values()) == {""}
    table = tmp_path / "captions.csv"
    table.write_text('file,caption\ncats/b.png,"two, at least"\n')
    assert captions(str(table))["cats/b.png"] == "two, at least"
    table.write_text("file,caption\nnone.png,x\n")
    with pytest.raises(OptionError, match=r"names none.png, which is not in"):
        captions(str(table))
    table.write_text("picture,words\n")
    with pytest.raises(OptionError, match="has no columns file and caption"):
        captions(str(table))


def test_shards_are_what_the_model_makes_of_the_pictures(pictures, weights, tmp_path):
    import pyarrow.parquet as pq

    out = tmp_path / "out"
    sources = shards.sources_of(pictures, "folders")
    written = shards.write_shards(sources, out, tokenizer=weights, per_shard=3)
    assert [path.name for path in written] == sorted(path.name for path in out.iterdir())
    rows_ = [row for path in written for row in pq.read_table(path).to_pylist()]
    assert [row["file"] for row in rows_] == [source.name for source in sources]
    assert [row["caption"] for row in rows_] == ["cats", "cats", "", "dogs"]
    model = coding.load_tokenizer(weights)
    for row, source in zip(rows_, sources, strict=True):
        x = smalti.load(source.path)
        assert (row["height"], row["width"]) == x.shape[:2]
        grid = torch.tensor(row["codes"]).view(row["rows"], row["columns"])
        assert torch.equal(grid, coding.encode_pictures(model, [x])[0])
    made = shards.read_metadata(written[0])
    assert (made["levels"], made["factor"], made["weights"]) == ([4, 3, 3], 2, "tiny")


def test_an_interrupted_data_set_goes_on(pictures, weights, tmp_path):
    out = tmp_path / "out"
    sources = shards.sources_of(pictures)

    def interrupt(done: int, *_) -> None:
        if done == 4:
            raise KeyboardInterrupt

    arguments = {"tokenizer": weights, "per_shard": 2}
    with pytest.raises(KeyboardInterrupt):
        shards.write_shards(sources, out, on_step=interrupt, **arguments)
    first = out / "tokens-00000-of-00002.parquet"
    assert [*out.iterdir()] == [first]
    stamp = first.stat().st_mtime_ns
    whole = shards.write_shards(sources, out, **arguments)
    assert first.stat().st_mtime_ns == stamp
    assert sorted(whole) == sorted(out.glob("*.parquet"))
    assert len(whole) == 2
    before = {path: path.stat().st_mtime_ns for path in whole}
    (pictures / "d.txt").write_text("an afterthought")  # its shard alone is made anew
    shards.write_shards(shards.sources_of(pictures), out, **arguments)
    assert [path for path in whole if path.stat().st_mtime_ns != before[path]] == [whole[1]]
    with pytest.raises(OptionError, match="of another run"):
        shards.write_shards(sources, out, tokenizer=weights, per_shard=1)


def test_shards_command(pictures, weights, tmp_path, monkeypatch, capsys):
    (pictures / "broken.png").write_bytes(b"no picture")
    code, out, err = run(
        monkeypatch, capsys, "tokens", str(pictures), "--shards", str(tmp_path / "out"),
        "--weights", weights, "--side", "8",
    )  # fmt: skip
    assert code == 1
    assert "broken.png" in err
    assert "4 pictures, 1 captions, shards 1" in out
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "out" / "*.parquet"), split="train",
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    assert len(found) == 4
    assert found[0]["caption"] == "a striped cat"
    assert np.array(found[0]["codes"]).shape == (16,)
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="is no Parquet file"):
        shards.read_metadata(tmp_path / "no.parquet")
