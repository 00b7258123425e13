"""The page's first section: where others are better, and by how much."""

import statistics
from collections.abc import Iterator

from rates import ANCHOR, SETS, against_anchor, bd_rates, is_classical, times
from stored import Row, published, rows, runs


def where_others_are_better() -> Iterator[str]:
    yield "## Where others are better"
    parts = (bytes_, fitted_fast, tokens, latents, materials, enlarging, blocks)
    yield "\n".join(line for part in parts for line in part())


def bytes_() -> Iterator[str]:
    for name, label in SETS.items():
        ours = {s: v for s, v in against_anchor(name).items() if not is_classical(s)}
        if ours:
            best, value = min(ours.items(), key=lambda item: item[1].mean)
            yield (
                f"- **Bytes, {label}.** Against AVIF tuned for PSNR, 4:4:4, speed 4, at equal PSNR: "
                f"`{best}` {value}, by picture in brackets; every other codec of ours is farther behind."
            )


def fitted_fast() -> Iterator[str]:
    ours = list(rows("*-fitted-kodak.jsonl", codec="fitted:effort=fast"))
    value = bd_rates(ours, rows("*-rd-kodak12.jsonl", series=ANCHOR))
    if value:
        rivals = published("rate-distortion")
        cool_chic = bd_rates(ours, rivals)
        yield (
            f"- **`fitted:effort=fast`, Kodak 1-12:** {value} against the same AVIF, {cool_chic} "
            f"against {rivals[0]['codec']} ({rivals[0]['source']}). A fit takes most of a minute of "
            "one core, AVIF a second or two."
        )


def tokens() -> Iterator[str]:
    found = {
        label: times(
            rows(f"*-rd-{name}.jsonl", series="fsq"), rows(f"*-rd-{name}.jsonl", series=ANCHOR)
        )
        for name, label in SETS.items()
        if any(rows(f"*-rd-{name}.jsonl", series="fsq"))
    }
    if found:
        said = ", ".join(f"{value:.1f} on {label}" for label, value in found.items())
        yield f"- **Tokens as a codec.** `fsq` takes so many times AVIF's bytes at equal PSNR: {said}."


def latents() -> Iterator[str]:
    peer = next(row for row in published("autoencoder") if "FLUX" in row["model"])
    ours = [
        f"{row['psnr']:.2f} dB on {row['pictures_of']}"
        for row in rows("*-autoencoders.jsonl", model="patch-f8c16", way="float")
    ]
    if ours:
        yield (
            f"- **Latents for generators.** {peer['model']} reports {peer['psnr']:.2f} dB on "
            f"{peer['data']} with as many numbers a texel; patch-f8c16, a sixth of its size, has "
            f"{', '.join(ours)}."
        )


def materials() -> Iterator[str]:
    peer = published("neural texture")[0]
    found = rows("*-materials.jsonl", contender=f"neural texture, {peer['bpp']} bpp")
    ours = [row["psnr"] for row in found]
    if ours:
        yield (
            f"- **Neural textures.** {peer['model']} reports a median of {peer['median_psnr']} dB at "
            f"{peer['bpp']} bits a texel on {peer['materials']} materials ({peer['source']}); ours has "
            f"{statistics.median(ours):.1f} dB on {len(ours)} others."
        )


def enlarging() -> Iterator[str]:
    peer = published("any size")[0]
    for row in rows("*-resolution.jsonl", what="photos", scale=2.0):
        yield (
            f"- **Enlarging photographs twofold.** r2ir-photos is {row['psnr'] - row['resized']:+.2f} "
            f"dB beside bicubic on Kodak 1-12; {peer['model']}, which starts from the picture and not "
            f"from a few latents, {peer['over_bicubic_2x']:+.2f} dB on {peer['data']} "
            f"({peer['source']})."
        )


def blocks() -> Iterator[str]:
    """Encoders of BC7 that are above all efforts of ours that are as quick."""
    for run in runs("*-bc7.jsonl"):
        encoders = [row for row in run.rows if "encoder" in row]
        for rival in (row for row in encoders if not is_ours(row)):
            measure = quality(rival)
            same = [row for row in encoders if is_ours(row) and row["set"] == rival["set"]]
            best = max(
                (row[measure] for row in same if row["mpix_s"] >= rival["mpix_s"]), default=0
            )
            if rival[measure] > best:
                yield (
                    f"- **BC7.** {rival['encoder']} on {rival['set']}: {rival[measure]:.2f} dB at "
                    f"{rival['mpix_s']:.1f} MPix/s ({run.conditions['instruction_set']}), above all of "
                    f"ours that are as quick ({best:.2f} dB)."
                )


def is_ours(row: Row) -> bool:
    return row["version"].startswith("smalti")


def quality(row: Row) -> str:
    """Which PSNR counts: with transparency that of premultiplied colour."""
    return "psnr_premultiplied" if row["set"].startswith("rgba") else "psnr"
