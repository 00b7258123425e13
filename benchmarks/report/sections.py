"""The page's other sections, each a heading, tables and where their numbers are from."""

import statistics
from collections.abc import Iterator, Sequence

from losses import is_ours, quality
from markdown import caption, folded, table
from rates import SETS, against_anchor, is_classical
from stored import Row, Run, published, rows, runs


def opening() -> Iterator[str]:
    yield "# Results"
    yield (
        "Made by `python benchmarks/report` from [benchmarks/results](../benchmarks/results) and nothing else; "
        "[benchmarks/README.md](../benchmarks/README.md) has the commands that measured. Bytes are of real files; PSNR is of the "
        "8-bit picture decoded from the file, a picture at a time, then the mean; MPix/s are million texels a second of one thread. Machines were shared: "
        "compare speeds within one table."
    )
    yield (
        "Kodak 1-12 are 768 x 512; photos/val are photographs of 400 to 512 texels, faces 5 portraits, screenshots 6 screens of games and editors, up to "
        "1920 x 1200. Codecs were developed on other pictures; [the log](LOG.md) names the few settings of BC7 for which Kodak was looked at."
    )


def rate_and_quality() -> Iterator[str]:
    yield "## Rate and quality"
    yield (
        "BD-rate: the mean difference of bytes at equal PSNR (Bjontegaard), picture by picture, then the mean; the extremes in brackets. "
        "Against AVIF 4:4:4 at speed 4, tuned for PSNR. AVIF without `psnr` is as libavif writes it, tuned for the eye."
    )
    found = {name: against_anchor(name) for name in SETS}
    series = list(dict.fromkeys(s for spreads in found.values() for s in spreads))
    lines = [
        [s if is_classical(s) else f"`{s}`", *(str(found[name].get(s, "–")) for name in SETS)]
        for s in series
    ]
    yield table(["codec", *SETS.values()], lines)
    for name, label in SETS.items():
        measured = runs(f"*-rd-{name}.jsonl")
        if measured:
            pictures = measured[-1].conditions["pictures"]
            yield f"### {label}, {pictures} pictures"
            yield f"![PSNR over bits a texel, {label}](images/results/rd-{name}.svg)"
            yield folded("Every setting", _settings(name))
            yield caption(measured)


def _settings(name: str) -> str:
    grouped: dict[str, list[Row]] = {}
    for row in rows(f"*-rd-{name}.jsonl"):
        grouped.setdefault(row["contender"], []).append(row)
    lines = []
    for contender, own in grouped.items():
        texels = sum(row["width"] * row["height"] for row in own)
        bpp = 8 * sum(row["bytes"] for row in own) / texels
        psnr, ssim = (statistics.fmean(row[key] for row in own) for key in ("psnr", "ssim"))
        speeds = (
            texels / 1e6 / sum(row[key] for row in own)
            for key in ("encode_seconds", "decode_seconds")
        )
        line = [f"`{contender}`", f"{bpp:.3f}", f"{psnr:.2f}", f"{ssim:.4f}"]
        lines.append((bpp, [*line, *(f"{speed:.3g}" for speed in speeds)]))
    head = ["setting", "bpp", "PSNR", "SSIM", "encode, MPix/s", "decode, MPix/s"]
    return table(head, [line for _, line in sorted(lines)])


def textures() -> Iterator[str]:
    yield "## BC7"
    for run in runs("*-bc7.jsonl"):
        encoders = [row for row in run.rows if "encoder" in row]
        for kind in dict.fromkeys(row["set"] for row in encoders):
            own = [row for row in encoders if row["set"] == kind]
            measure = "PSNR" if quality(own[0]) == "psnr" else "PSNR, premultiplied"
            yield f"**{kind}**, {own[0]['pictures']} pictures, {run.conditions['instruction_set']}"
            lines = [
                [
                    f"smalti `{row['encoder']}`" if is_ours(row) else row["encoder"],
                    f"{row[quality(row)]:.2f}",
                    f"{row['mpix_s']:.3g}",
                    f"{100 * row['wrong_opaque']:.0f} %" if row["wrong_opaque"] else "none",
                ]
                for row in own
            ]
            yield table(["encoder", measure, "MPix/s", "opaque texels made translucent"], lines)
        yield caption([run])
    yield "### Materials: every map and mip level, neural textures and block formats"
    lines = [
        [row["material"], row["contender"], f"{row['bpp']:.1f}", f"{row['psnr']:.2f}"]
        for row in rows("*-materials.jsonl")
    ]
    yield table(["material", "as", "bits a texel in memory", "PSNR of all channels"], sorted(lines))
    yield caption(runs("*-materials.jsonl"))


def light() -> Iterator[str]:
    found = runs("*-bc6.jsonl")
    if not found:
        return
    yield "## BC6H"
    yield (
        "There are no HDR photographs that may be passed on here: these pictures are 8-bit photographs made into light, and skies and ramps that are drawn. "
        "log2 RMSE in stops, mPSNR over exposures of -10 to 10 stops, both after bcdec's decoder; speed on one core."
    )
    for run in found:
        for kind in dict.fromkeys(row["set"] for row in run.rows):
            own = [row for row in run.rows if row["set"] == kind]
            yield f"**{kind}**, {own[0]['pictures']} pictures, {run.conditions['instruction_set']}"
            lines = [
                [
                    f"smalti `{row['encoder']}`" if is_ours(row) else row["encoder"],
                    f"{row['log2_rmse']:.4f}",
                    f"{row['mpsnr']:.2f}",
                    f"{row['mpix_s']:.3g}",
                ]
                for row in own
            ]
            yield table(["encoder", "log2 RMSE", "mPSNR", "MPix/s"], lines)
    yield caption(found)


def autoencoders() -> Iterator[str]:
    yield "## Autoencoders"
    yield (
        "Pictures through the model, latents not rounded. Others' figures are theirs, on their own pictures: they say in which region a model lies. "
        "KLT is the best linear code of as many numbers, of 8 x 8 texels, learned on photos/train."
    )
    lines = [
        [row["model"], row["pictures_of"], f"{row['psnr']:.2f}", f"{row['ssim']:.3f}", ""]
        for row in rows("*-autoencoders.jsonl")
        if row["way"] in ("float", "linear")
    ]
    lines += [_peer(row) for row in published("autoencoder") if "psnr" in row]
    yield table(["model", "pictures", "PSNR", "SSIM", "source"], lines)
    yield caption(runs("*-autoencoders.jsonl"))
    measured = runs("*-patch-speed.jsonl")[-1:]
    yield (
        "Milliseconds of processor time for one picture of 512 x 512, each model in its better memory layout; `fast` is patch-f8c16 as it runs, `plain` as specified, "
        "TAESD has random weights."
    )
    yield table(["model", "dtype", "encode", "GFLOP", "decode", "GFLOP"], _speeds(measured))
    yield caption(measured)
    counted = [row for row in published("autoencoder") if "gflop_1024" in row]
    lines = [
        [
            row["model"],
            f"{row['encoder_parameters'] / 1e6:.1f} + {row['decoder_parameters'] / 1e6:.1f} M",
            " + ".join(map(str, row["gflop_1024"])),
        ]
        for row in counted
    ]
    lines.insert(0, ["patch-f8c16", "3.5 + 9.7 M", "115 + 305"])
    yield table(["model", "parameters", "GFLOP at 1024 x 1024"], lines)


def _peer(row: Row) -> list[str]:
    ssim = f"{row['ssim']:.3f}" if "ssim" in row else "–"
    return [row["model"], row["data"], f"{row['psnr']:.2f}", ssim, row["source"]]


def _speeds(measured: Sequence[Run]) -> list[list[str]]:
    best: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    for row in (row for run in measured for row in run.rows if "ms" in row):
        halves = best.setdefault((row["model"], row["dtype"]), {})
        this = (row["ms"], row["gflop"])
        halves[row["half"]] = min(halves.get(row["half"], this), this)
    return [
        [*key, *(f"{value:g}" for half in ("encode", "decode") for value in halves[half])]
        for key, halves in best.items()
    ]


def tokenizers() -> Iterator[str]:
    yield "## Tokenizers"
    yield "Bits a texel of ours are of files, whose tokens are entropy-coded; of others tokens times the logarithm of the codes, on their own pictures."
    lines = [
        [
            f"{row['recipe']}, trained for {row['cpu_seconds']:.0f} s",
            *_tokens(row["tokens"], row["codebook"], row["bpp"], "STL-10, 96 x 96", row),
        ]
        for row in rows("*-fsq-family.jsonl")
    ]
    lines += [
        ["fsq-1m as shipped", *_tokens("", 15360, row["bpp"], row["pictures_of"], row)]
        for row in rows("*-autoencoders.jsonl", model="fsq-1m")
    ]
    lines += [
        [
            row["model"],
            *_tokens(row["tokens"], row["codebook"], row["bits_a_texel"], row["data"], row),
        ]
        for row in published("tokenizer")
    ]
    yield table(["tokenizer", "tokens", "codes", "bits a texel", "pictures", "PSNR", "SSIM"], lines)
    yield caption(runs("*-fsq-family.jsonl"))


def _tokens(tokens: object, codes: int, bpp: float, pictures: str, row: Row) -> list[str]:
    numbers = [f"{bpp:.3f}", pictures, f"{row['psnr']:.2f}", f"{row['ssim']:.3f}"]
    return [str(tokens), str(codes), *numbers]


def sizes() -> Iterator[str]:
    yield "## Any size"
    yield "Digits encoded at 32 x 32 and drawn at other sizes, PSNR against the digit drawn from its original; beside it the drawing at 32 x 32, resized."
    lines = [
        [row["size"], row["fit"], f"{row['psnr']:.2f}", f"{row['resized']:.2f}"]
        for row in rows("*-resolution.jsonl", what="truth", model="r2ir-mnist")
    ]
    yield table(["size", "fit", "drawn", "resized"], lines)
    yield "Digits drawn by the diffuser, read by an independent judge; FID in the judge's own features, `floor` between two halves of real digits."
    lines = [
        [
            row["size"],
            row["fit"],
            f"{100 * row['accuracy']:.1f} %",
            *(f"{row[key]:.2f}" for key in ("fid", "resized_fid", "floor")),
        ]
        for row in rows("*-resolution.jsonl", what="samples")
        if "fid" in row
    ]
    yield table(["size", "fit", "read as asked", "FID", "FID, resized", "floor"], lines)
    yield caption(runs("*-resolution.jsonl"))


def fitting() -> Iterator[str]:
    yield "## Fitting a picture"
    yield "A step of `fitted` and its decoder beside the package before it had native kernels, in one run; a fit takes 250 steps (`ultrafast`), 700, 2,000, 5,000 or 12,000 (`best`)."
    measured = runs("*-fitted-speed.jsonl")[-1:]
    versions = {"this": "native", "other": "numba"}
    lines = [
        [
            row["picture"],
            versions[row["version"]],
            f"{row['step_ms']:.1f}",
            f"{row['decode_mpix_s']:.1f}",
        ]
        for run in measured
        for row in run.rows
    ]
    yield table(["picture", "version", "step, ms", "decode, MPix/s"], lines)
    yield caption(measured)


def starting() -> Iterator[str]:
    yield "## Starting"
    measured = runs("*-start.jsonl")[-1:]
    lines = [
        [
            f"`{row['command']}`",
            f"{row['first_s']:.2f}",
            f"{row['wall_s']:.2f}",
            f"{row['peak_mb']}",
        ]
        for run in measured
        for row in run.rows
    ]
    yield table(["command", "first, s", "median, s", "memory, MB"], lines)
    yield caption(measured)
    lines = [[row["step"], f"{row['wall_s']}"] for row in rows("*-install.jsonl")]
    yield table(["step", "wall, s"], lines)
    yield caption(runs("*-install.jsonl"))
