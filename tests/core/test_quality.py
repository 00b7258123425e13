"""Floors under what each codec reaches on three bundled pictures, tight enough to notice 0.3 dB."""

import pytest

import smalti
from smalti import registry
from smalti.eval.metrics import psnr
from smalti.files import BUNDLED_PICTURES

from conftest import codecs

# codec -> picture -> (least dB, most bits a texel)
FLOORS = {
    "bc7:effort=fast": {"astronaut": (43.2, 8.01), "bark": (38.2, 8.01), "plant": (43.5, 8.01)},
    "latent-texture:effort=ultrafast": {"astronaut": (33.9, 3.65)},
    "hash-texture:preset=tiny,effort=ultrafast": {"astronaut": (29.8, 1.22)},
    "neural-texture:effort=fast": {"astronaut": (32.3, 4.0)},
    "fitted:effort=ultrafast": {"astronaut": (37.4, 1.21), "plant": (43.2, 0.58)},
    "rgba-ae": {"astronaut": (23.0, 0.068), "bark": (24.6, 0.048), "plant": (27.0, 0.058)},
    "fsq": {"astronaut": (37.6, 2.25), "bark": (36.4, 3.07), "plant": (38.9, 0.85)},
    "resampler": {"astronaut": (29.6, 0.47), "bark": (28.8, 0.52), "plant": (36.4, 0.61)},
    "patch-ae": {"astronaut": (31.9, 0.58), "bark": (29.8, 0.69), "plant": (40.0, 0.60)},
}


def test_every_codec_has_a_floor():
    assert {spec.partition(":")[0] for spec in FLOORS} == set(registry.CODECS)


@pytest.mark.parametrize("codec", codecs())
def test_quality_and_size(codec):
    for spec, floors in FLOORS.items():
        if spec.partition(":")[0] != codec:
            continue
        for picture, (least, most) in floors.items():
            x = smalti.load(BUNDLED_PICTURES / f"{picture}.png")
            data = smalti.encode(x, spec)
            assert psnr(x, smalti.decode(data)) >= least, picture
            assert smalti.info(data).bpp <= most, picture
