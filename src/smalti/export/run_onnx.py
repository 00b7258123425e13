"""A picture through an exported model: python run_onnx.py ENCODER.onnx DECODER.onnx IN.png OUT.png

Needs onnxruntime, numpy and Pillow, nothing else.
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

encode, decode = (onnxruntime.InferenceSession(path) for path in sys.argv[1:3])
facts = encode.get_modelmeta().custom_metadata_map  # the file says what it takes
low, high = (float(end) for end in facts["range"].split())
factor, code = int(facts["factor"]), encode.get_outputs()[0].name  # "latents" or "tokens"

picture = Image.open(sys.argv[3]).convert(facts["channels"])
x = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255 * (high - low) + low
sides = [(0, -side % factor) for side in x.shape[2:]]  # repeat the border to whole cells
(z,) = encode.run([code], {"pictures": np.pad(x, [(0, 0), (0, 0), *sides], mode="edge")})
(x_hat,) = decode.run(["pictures"], {code: z})
x_hat = x_hat[0, :, : x.shape[2], : x.shape[3]].transpose(1, 2, 0)
levels = np.round(((x_hat - low) / (high - low)).clip(0, 1) * 255).astype(np.uint8)
Image.fromarray(levels).save(sys.argv[4])
sys.stdout.write(f"{x.size} values -> {z.size} {code} {z.shape} -> {sys.argv[4]}\n")
