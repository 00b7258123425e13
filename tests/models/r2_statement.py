"""R2IR, R2ID, their schedule and sampler as formulae in numpy, token by token, in float64.

Made from the published description alone, to check `smalti.models.legacy.r2` against.
`python tests/models/r2_statement.py` writes golden/r2_legacy.npz: small weights, inputs and what the
formulae make of them. p is a dict of weights with names of the models' own; `under` takes a part.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden" / "r2_legacy.npz"

RESAMPLER = {
    "channels": 2, "latent_channels": 3, "width": 12, "encoder_blocks": 2, "decoder_blocks": 1,
    "heads": 3, "n_high": 3, "n_low": 2,
}  # fmt: skip
DIFFUSER = {
    "latent_channels": 3, "width": 12, "encoder_blocks": 1, "decoder_blocks": 2, "heads": 2,
    "n_high": 2, "n_low": 2, "time_high": 3, "time_low": 1, "film": 8,
}  # fmt: skip
LABELS = {"classes": 4, "tokens": 2, "width": 12}
# picture, latent and drawn sizes, as rows x columns
RESAMPLED = [((6, 6), (2, 2), (6, 6)), ((5, 9), (3, 2), (7, 4)), ((1, 4), (1, 1), (2, 3))]
DIFFUSED = [(2, 2), (3, 5), (1, 4)]


def coordinates(height: int, width: int, inscribed: bool) -> np.ndarray:
    """(x, y) of every pixel, the corners' centres 1e-6 inside the corners."""
    half_x = half_y = 0.5
    if inscribed and width >= height:
        half_y = 0.5 * height / width
    elif inscribed:
        half_x = 0.5 * width / height

    def place(i: int, n: int, half: float) -> float:
        low, high = -half + 1e-6, half - 1e-6
        return low if n == 1 else low + (high - low) * i / (n - 1)

    return np.array(
        [
            [place(column, width, half_x), place(row, height, half_y)]
            for row in range(height)
            for column in range(width)
        ]
    )


def fourier(point: np.ndarray, n_high: int, n_low: int) -> np.ndarray:
    omega = [math.pi * 2.0 ** (j - n_low) for j in range(n_high + n_low)]
    angles = [w * u for u in point for w in omega]
    return normalised(np.array([math.sin(a) for a in angles] + [math.cos(a) for a in angles]))


def positions(height: int, width: int, n_high: int, n_low: int) -> np.ndarray:
    return np.array(
        [
            np.concatenate([fourier(inside, n_high, n_low), fourier(frame, n_high, n_low)])
            for inside, frame in zip(
                coordinates(height, width, True), coordinates(height, width, False), strict=True
            )
        ]
    )


def normalised(v: np.ndarray) -> np.ndarray:
    return (v - v.mean()) / math.sqrt(v.var() + 1e-5)


def linear(p: dict, v: np.ndarray) -> np.ndarray:
    return p["weight"].astype(np.float64) @ v + p["bias"]


def under(p: dict, name: str) -> dict:
    return {k[len(name) + 1 :]: v for k, v in p.items() if k.startswith(f"{name}.")}


def attention(p: dict, queries: np.ndarray, tokens: np.ndarray, heads: int) -> np.ndarray:
    def norm(name: str, v: np.ndarray) -> np.ndarray:
        return normalised(v) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def positive(v: np.ndarray) -> np.ndarray:
        return np.array([u + 1 if u > 0 else math.exp(u) for u in v])

    keys = [positive(norm("key_norm", linear(under(p, "key"), t))) for t in tokens]
    values = [linear(under(p, "value"), t) for t in tokens]
    size = len(values[0]) // heads
    out = []
    for a in queries:
        q = positive(norm("query_norm", linear(under(p, "query"), a)))
        parts = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            weights = [q[part] @ k[part] for k in keys]
            taken = sum(w * v[part] for w, v in zip(weights, values, strict=True))
            parts.append(taken / (sum(weights) + 1e-8))
        out.append(linear(under(p, "out"), np.concatenate(parts)))
    return np.array(out)


def grn(p: dict, x: np.ndarray) -> np.ndarray:
    lengths = np.array([math.sqrt(sum(u * u for u in channel)) for channel in x.T])
    shares = lengths / (lengths.mean() + 1e-6)
    return np.array([(1 + p["gamma"]) * token * shares + p["beta"] + token for token in x])


def adaptive(p: dict, x: np.ndarray, film: np.ndarray) -> np.ndarray:
    a, b = np.split(linear(under(p, "film"), film), 2)
    return np.array([token * (1 + a) + b for token in grn(under(p, "norm"), x)])


def feed_forward(p: dict, x: np.ndarray) -> np.ndarray:
    def silu(v: np.ndarray) -> np.ndarray:
        return v / (1 + np.exp(-v))

    return np.array([linear(under(p, "3"), silu(linear(under(p, "0"), token))) for token in x])


def cross_block(p: dict, x: np.ndarray, tokens: np.ndarray, heads: int) -> np.ndarray:
    normed = grn(under(p, "attention_norm"), x)
    w = x + p["attention_scale"] * attention(under(p, "attention"), normed, tokens, heads)
    w = w + p["ffn_scale"] * feed_forward(under(p, "ffn"), grn(under(p, "ffn_norm"), w))
    return x + p["out_scale"] * w


def diffuser_block(
    p: dict, x: np.ndarray, film: np.ndarray, heads: int, text: np.ndarray | None = None
) -> np.ndarray:
    a = adaptive(under(p, "self_norm"), x, film)
    w = x + p["self_scale"] * attention(under(p, "self_attention"), a, a, heads)
    if text is not None:
        a = adaptive(under(p, "cross_norm"), w, film)
        w = w + p["cross_scale"] * attention(under(p, "cross_attention"), a, text, heads)
    a = adaptive(under(p, "ffn_norm"), w, film)
    w = w + p["ffn_scale"] * feed_forward(under(p, "ffn"), a)
    return x + p["out_scale"] * w


def tokens_of(image: np.ndarray) -> np.ndarray:
    return np.array([image[:, row, column] for row, column in np.ndindex(image.shape[1:])])


def image_of(tokens: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = np.empty((tokens.shape[1], *size))
    for token, (row, column) in zip(tokens, np.ndindex(size), strict=True):
        image[:, row, column] = token
    return image


def resample(
    p: dict, c: dict, image: np.ndarray, size: tuple[int, int], names: tuple[str, str, str]
) -> np.ndarray:
    """One picture or latent to the other; `names` of the entrance, the blocks and the exit."""
    enter, blocks, leave = names
    place = positions(*image.shape[1:], c["n_high"], c["n_low"])
    source = np.concatenate([tokens_of(image), place], axis=1)
    source = np.array([linear(under(p, enter), token) for token in source])
    x = [
        linear(under(p, "position_in"), token)
        for token in positions(*size, c["n_high"], c["n_low"])
    ]
    x = np.array(x)
    for i in range(c[f"{blocks}_blocks"]):
        x = cross_block(under(p, f"{blocks}.{i}"), x, source, c["heads"])
    return image_of(np.tanh([linear(under(p, leave), token) for token in x]), size)


def encode(p: dict, c: dict, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return resample(p, c, image, size, ("image_in", "encoder", "latent_out"))


def decode(p: dict, c: dict, latent: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return resample(p, c, latent, size, ("latent_in", "decoder", "image_out"))


def film_vector(p: dict, c: dict, alpha_bar: float) -> np.ndarray:
    u = alpha_bar * (1 - 2e-6) - (0.5 - 1e-6)
    v = fourier(np.array([u]), c["time_high"], c["time_low"])
    for name in ("film.0", "film.2"):
        v = linear(under(p, name), v)
        v = v / (1 + np.exp(-v))
    return v


def diffuse(
    p: dict, c: dict, latent: np.ndarray, alpha_bar: float, texts: list[np.ndarray]
) -> list[np.ndarray]:
    film = film_vector(p, c, alpha_bar)
    place = positions(*latent.shape[1:], c["n_high"], c["n_low"])
    x = [
        linear(under(p, "latent_in"), token)
        for token in np.concatenate([tokens_of(latent), place], axis=1)
    ]
    x = np.array(x)
    for i in range(c["encoder_blocks"]):
        x = diffuser_block(under(p, f"encoder.{i}"), x, film, c["heads"])
    found = []
    for text in texts:
        y = x
        for i in range(c["decoder_blocks"]):
            y = diffuser_block(under(p, f"decoder.{i}"), y, film, c["heads"], text)
        eps = np.array([linear(under(p, "noise_out"), token) for token in y])
        found.append(image_of(eps, latent.shape[1:]))
    return found


def label_tokens(p: dict, c: dict, label: int | None) -> np.ndarray:
    one_hot = np.array([float(k == label) for k in range(c["classes"])])
    rows = linear(under(p, "tokens"), one_hot).reshape(c["tokens"], c["width"])
    return np.array([normalised(r) * p["norm.weight"] + p["norm.bias"] for r in rows])


def alpha_bar(t: float) -> float:
    return min(max(math.cos((t + 0.008) / 1.008 * math.pi / 2), 0.0), 1.0) ** 2


def sample(
    predict: Callable, x: np.ndarray, noises: list[np.ndarray], scale: float, eta: float
) -> np.ndarray:
    """As many steps as `noises`; predict(x, ᾱ) -> noise without and with the label."""
    steps = len(noises)
    for i, z in enumerate(noises):
        now = max(alpha_bar(1 - i / steps), 1e-6)
        then = max(alpha_bar(1 - (i + 1) / steps), 1e-6)
        null, positive = predict(x, now)
        eps = null + scale * (positive - null)
        x0 = (x - math.sqrt(1 - now) * eps) / (math.sqrt(now) + 1e-6)
        direction = (x - math.sqrt(now) * x0) / (math.sqrt(1 - now) + 1e-6)
        # the original adds 1e-6 to both denominators
        ratio, coefficient = (1 - then) / (1 - now + 1e-6), max(1 - now / (then + 1e-6), 0.0)
        sigma = eta * math.sqrt(ratio * coefficient)
        kept = math.sqrt(max(1 - then - sigma**2, 0.0))
        x = math.sqrt(then) * x0 + kept * direction + sigma * z
    return x


def main() -> None:
    """Write the golden file, with the shapes of the models' weights."""
    import torch

    from smalti.models.legacy import r2 as models

    random = np.random.default_rng(7)
    kept = {}
    for name, kind, config in (
        ("resampler", models.LegacyResampler, RESAMPLER),
        ("diffuser", models.LegacyDiffuser, DIFFUSER),
        ("labels", models.LegacyLabelEncoder, LABELS),
    ):
        with torch.device("meta"):
            shapes = kind(kind.Config(**config)).state_dict()
        for key, value in shapes.items():
            deviation = 0.6 * value.shape[1] ** -0.5 if value.ndim == 2 else 0.2
            drawn = random.normal(0, deviation, tuple(value.shape)).astype(np.float32)
            is_gain = "norm.weight" in key or "scale" in key
            kept[f"{name}/{key}"] = drawn + np.float32(is_gain)

    p, c = of(kept, "resampler"), RESAMPLER
    for i, (size, latent, drawn) in enumerate(RESAMPLED):
        image = random.uniform(-1, 1, (2, *size)).astype(np.float32)
        z = encode(p, c, image, latent)
        kept |= {
            f"in/image{i}": image,
            f"out/latent{i}": z,
            f"out/image{i}": decode(p, c, z, drawn),
        }
    texts = [label_tokens(of(kept, "labels"), LABELS, label) for label in (None, 2)]
    kept["out/texts"] = np.array(texts)
    for i, size in enumerate(DIFFUSED):
        z = random.normal(size=(3, *size)).astype(np.float32)
        a = np.float32(random.uniform())
        found = diffuse(of(kept, "diffuser"), DIFFUSER, z, float(a), texts)
        kept |= {f"in/z{i}": z, f"in/alpha{i}": a, f"out/noise{i}": np.array(found)}
    np.savez_compressed(GOLDEN, **kept)


def of(kept: dict, name: str) -> dict:
    """The arrays of one model."""
    return {k[len(name) + 1 :]: v for k, v in kept.items() if k.startswith(f"{name}/")}


if __name__ == "__main__":
    main()
