"""Neural textures of whole materials against sets of BC7 and BC5.

    SMALTI_NUM_THREADS=1 python benchmarks/materials.py FOLDER \
        [--materials rock058 ...] [--bpp 5 2.5 10] [--rounds 500] [--bc] >> DATE-materials.jsonl

FOLDER holds a folder for each material, of one picture a map. PSNR is 10 log10(1 / MSE), the mean
over all channels of all maps (as RTXNTC counts), of texels rounded to 8 bits, decoded from the
file. bpp is everything in memory, all mip levels and the network, over the texels of mip level 0;
bpp_chain over the texels of all levels; bpp_file the .smt file's. Seconds are processor time.

The BC set: albedo as BC7, normal as BC5 (the shader finds z, so the figure holds it too), all other
maps three to a BC7. 8 bits a texel each, and a third more for the mip levels.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

import smalti
from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image
from smalti.eval.log import conditions
from smalti.fits.material.maps import Map, kind_of, mip_levels
from smalti.image import to_uint8
from smalti.material import fit_material, open_material, write_material
from smalti.textures import bc1_to_bc5

ORDER = ("albedo", "normal", "roughness", "metallic", "ao")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--materials", nargs="*", default=())
    parser.add_argument("--bpp", nargs="*", type=float, default=(5.0, 2.5, 10.0))
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--bc", action="store_true", help="the sets of BC7 and BC5 as well")
    parser.add_argument("--keep", type=Path, help="folder for the .smt files")
    options = parser.parse_args()
    say(conditions("cpu") | {"rounds": options.rounds})
    names = options.materials or sorted(p.name for p in options.folder.iterdir() if p.is_dir())
    for name in names:
        maps = read(options.folder / name)
        if options.bc:
            say({"material": name} | bc_set(maps))
        for bpp in options.bpp:
            say({"material": name} | neural(maps, bpp, options.rounds, options.keep, name))


def say(line: dict) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read(folder: Path) -> dict[str, np.ndarray]:
    return {name: smalti.load(path) for name in ORDER if (path := folder / f"{name}.png").exists()}


def psnr(miss: np.ndarray) -> float:
    return round(-10 * math.log10(max(float(np.square(miss).mean()), 1e-10)), 3)


def neural(maps: dict, bpp: float, rounds: int, keep: Path | None, name: str) -> dict:
    started = time.process_time()
    fitted = fit_material(maps, bpp=bpp, rounds=rounds)
    seconds = time.process_time() - started
    data = write_material(fitted)
    if keep:
        (keep / f"{name}-{bpp:g}.smt").write_bytes(data)
    material = open_material(data)
    layout = material.texture.layout
    kinds = [Map(n, channels(x), kind_of(n)) for n, x in maps.items()]
    levels = mip_levels(kinds, [planes(x) for x in maps.values()], layout.mip_count, repeat=False)
    decoded = [material.texture.mip(mip) for mip in range(layout.mip_count)]
    speeds = []
    for _ in range(5):
        started = time.process_time()
        material.texture.mip(0)
        speeds.append(layout.height * layout.width / 1e6 / (time.process_time() - started))
    errors = [
        np.rint(255 * d) / 255 - level / 255 for d, level in zip(decoded, levels, strict=True)
    ]
    parts = np.split(errors[0], np.cumsum([each.channels for each in kinds])[:-1], -1)
    return {
        "contender": f"neural texture, {bpp:g} bpp",
        "side": layout.height,
        "channels": layout.channels,
        "layout": [*layout.fine, *layout.coarse, *layout.hidden],
        "rounds": rounds,
        "bpp": round(layout.bpp, 3),
        "bpp_chain": round(layout.bpp_chain, 3),
        "bpp_file": round(8 * len(data) / layout.height / layout.width, 3),
        "file_bytes": len(data),
        "psnr": psnr(errors[0]),
        "psnr_mips": [psnr(miss) for miss in errors[:6]],
        "psnr_maps": {each.name: psnr(miss) for each, miss in zip(kinds, parts, strict=True)},
        "fit_seconds": round(seconds, 1),
        "decode_mpix_s": round(max(speeds), 1),
        "multiply_adds": layout.multiply_adds,
    }


def bc_set(maps: dict) -> dict:
    """Level 0 only: the others are filtered and coded alike."""
    started = time.process_time()
    found, bits = {}, 0
    scalars = [name for name in maps if name not in ("albedo", "normal")]
    for pack in (["albedo"], *[scalars[i : i + 3] for i in range(0, len(scalars), 3)]):
        rgba = opaque(np.concatenate([planes(maps[name]) for name in pack], -1))
        drawn = decode_image(encode_image(rgba, effort="medium"), *rgba.shape[:2])
        first = 0
        for name in pack:
            count = channels(maps[name])
            found[name] = drawn[..., first : first + count] / 255
            first += count
        bits += 8
    normal = opaque(planes(maps["normal"]))
    blocks = bc1_to_bc5.encode("bc5", normal, effort="medium")
    xy = bc1_to_bc5.decode("bc5", blocks, *normal.shape[:2])[..., :2] / 127.5 - 1
    z = np.sqrt(np.maximum(0, 1 - np.square(xy).sum(-1, keepdims=True)))
    found["normal"] = np.rint(np.concatenate([xy, z], -1) * 127.5 + 127.5) / 255
    bits += 8
    misses = {n: found[n] - planes(x) / 255 for n, x in maps.items()}
    return {
        "contender": "BC7 + BC5",
        "bpp": round(bits * 4 / 3, 2),
        "bpp_chain": bits,
        "psnr": psnr(np.concatenate(list(misses.values()), -1)),
        "psnr_maps": {name: psnr(miss) for name, miss in misses.items()},
        "fit_seconds": round(time.process_time() - started, 1),
    }


def planes(picture: np.ndarray) -> np.ndarray:
    """uint8 `H W C`, one channel for grey."""
    levels = to_uint8(picture)
    return levels[..., None] if levels.ndim == 2 else levels


def channels(picture: np.ndarray) -> int:
    return planes(picture).shape[2]


def opaque(texels: np.ndarray) -> np.ndarray:
    rgba = np.full((*texels.shape[:2], 4), 255, np.uint8)
    rgba[..., :3] = 0
    rgba[..., : texels.shape[2]] = texels
    return rgba


if __name__ == "__main__":
    main()
