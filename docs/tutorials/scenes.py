"""Pictures with labels, of any size, for `latent_generator.py`: painted scenes, or your own.

A scene's label says what stands in it. How many of it, where, how large and in which colours, the
sky, the land and the sun or moon are random, and none of that depends on the label. The wider a
scene, the more fits into it.

    python docs/tutorials/scenes.py scenes.png  # two of each
"""

import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

Colour = tuple[int, int, int]

SKIES = (  # colours at the top and at the horizon
    ((70, 130, 210), (190, 220, 240)),  # day
    ((60, 60, 120), (250, 160, 110)),  # dusk
    ((12, 16, 50), (60, 70, 120)),  # night
    ((150, 180, 200), (235, 225, 210)),  # haze
)
LANDS = ((96, 150, 70), (214, 186, 128), (232, 236, 244), (150, 110, 90))  # grass sand snow earth
SMOOTH = 3  # the scene is drawn this many times as large, then reduced


def scene(
    label: int,
    height: int,
    width: int,
    random: np.random.Generator,
    *,
    sky: int | None = None,
    land: int | None = None,
) -> np.ndarray:
    """A scene, `height width 3` uint8, with the thing `THINGS[label]` in it at least once.

    Args:
        sky, land: of SKIES and LANDS; any without.
    """
    tall, wide = SMOOTH * height, SMOOTH * width
    by_chance = random.integers(len(SKIES)), random.integers(len(LANDS))
    top, bottom = SKIES[by_chance[0] if sky is None else sky]
    ground = LANDS[by_chance[1] if land is None else land]
    horizon = int(tall * random.uniform(0.55, 0.75))
    down = np.clip(np.arange(tall) / horizon, 0, 1)[:, None]
    column = np.array(top) * (1 - down) + np.array(bottom) * down
    picture = Image.fromarray(np.broadcast_to(column[:, None], (tall, wide, 3)).astype(np.uint8))
    pen = Pen(ImageDraw.Draw(picture), random)

    pen.at(random.uniform(0, wide), random.uniform(0, 0.5) * horizon, SMOOTH * 10.0)
    pen.ellipse(0, 0, 1, 1, (255, 244, 210))  # sun or moon
    pen.at(0, horizon, 1.0)
    x = np.linspace(0, wide, 24)
    hills = tall * 0.04 * np.sin(x / wide * random.uniform(2, 9) + random.uniform(0, 6))
    pen.polygon([(0, 2 * tall), *zip(x, hills, strict=True), (wide, 2 * tall)], ground)

    size = SMOOTH * random.uniform(26, 38)  # of a thing, about; from far to near
    places = max(1, round(wide / size * random.uniform(0.4, 0.8)))
    for left, right in random.permutation(list(pairwise(np.linspace(0, wide, places + 1)))):
        depth = random.uniform(0.15, 0.8)
        x = (left + right) / 2 + random.uniform(-0.2, 0.2) * (right - left)
        pen.at(x, horizon + depth * (tall - horizon), size * random.uniform(0.85, 1.15))
        list(THINGS.values())[label](pen)
    return np.asarray(picture.reduce(SMOOTH))


class Pen:
    """Draws in units of one thing: (0, 0) is the middle of its foot, y up to -1 is its top."""

    def __init__(self, draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
        self.draw, self.random = draw, random

    def at(self, x: float, y: float, unit: float) -> None:
        self.x, self.y, self.unit = x, y, unit

    def one_of(self, *colours: Colour) -> Colour:
        """One of some colours, a little changed."""
        chosen = np.array(colours[self.random.integers(len(colours))])
        red, green, blue = np.clip(chosen + self.random.integers(-18, 19, 3), 0, 255)
        return int(red), int(green), int(blue)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        spots = [(self.x + self.unit * x, self.y + self.unit * y) for x, y in points]
        self.draw.polygon(spots, fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        (x, y), (dx, dy) = (self.x + self.unit * x, self.y + self.unit * y), (width / 2, height / 2)
        dx, dy = self.unit * dx, self.unit * dy
        self.draw.ellipse([x - dx, y - dy, x + dx, y + dy], fill=colour)


def pine(pen: Pen) -> None:
    pen.box(-0.06, -0.2, 0.06, 0, (92, 64, 44))
    green = pen.one_of((34, 92, 60), (52, 112, 50))
    for wide, low, top in ((0.34, -0.12, -0.55), (0.28, -0.38, -0.78), (0.2, -0.62, -1)):
        pen.polygon([(-wide, low), (wide, low), (0, top)], green)


def house(pen: Pen) -> None:
    pen.box(-0.4, -0.55, 0.4, 0, pen.one_of((236, 224, 200), (200, 120, 90), (150, 170, 190)))
    pen.polygon([(-0.5, -0.52), (0.5, -0.52), (0, -1)], pen.one_of((160, 50, 40), (70, 60, 70)))
    pen.box(-0.08, -0.32, 0.1, 0, (80, 54, 40))
    for x in (-0.24, 0.26):
        pen.box(x - 0.08, -0.42, x + 0.08, -0.24, (250, 226, 130))


def mushroom(pen: Pen) -> None:
    pen.polygon([(-0.1, -0.5), (0.1, -0.5), (0.16, 0), (-0.16, 0)], (240, 230, 214))
    arc = np.linspace(np.pi, 2 * np.pi, 20)
    cap = pen.one_of((200, 40, 36), (170, 110, 60), (120, 70, 150))
    pen.polygon([(0.46 * np.cos(a), -0.45 + 0.5 * np.sin(a)) for a in arc], cap)
    for x, y in ((-0.24, -0.58), (0.04, -0.76), (0.24, -0.56)):
        pen.ellipse(x, y, 0.12, 0.12, (250, 246, 240))


def flower(pen: Pen) -> None:
    pen.box(-0.035, -0.65, 0.035, 0, (50, 120, 50))
    pen.ellipse(0.14, -0.2, 0.26, 0.12, (60, 140, 60))
    petals = pen.one_of((230, 90, 130), (250, 250, 250), (120, 90, 200), (250, 180, 60))
    for angle in np.arange(6) * np.pi / 3:
        pen.ellipse(0.2 * np.cos(angle), -0.7 + 0.2 * np.sin(angle), 0.24, 0.24, petals)
    pen.ellipse(0, -0.7, 0.22, 0.22, (240, 200, 50))


def balloon(pen: Pen) -> None:
    pen.y = max(pen.y - 0.9 * pen.unit, 1.1 * pen.unit)  # it flies, but not out of the picture
    for x in (-0.16, 0.13):
        pen.polygon(
            [(x, -0.35), (x + 0.03, -0.35), (x * 0.5 + 0.03, 0), (x * 0.5, 0)], (60, 50, 40)
        )
    pen.box(-0.11, -0.14, 0.11, 0.02, (120, 84, 50))
    colour = pen.one_of((220, 60, 60), (60, 120, 200), (240, 170, 40), (90, 170, 100))
    pen.ellipse(0, -0.66, 0.68, 0.72, colour)
    pen.ellipse(0, -0.66, 0.26, 0.72, pen.one_of((250, 240, 220)))


def snowman(pen: Pen) -> None:
    for y, size in ((-0.24, 0.5), (-0.58, 0.38), (-0.82, 0.28)):
        pen.ellipse(0, y, size, size, (246, 248, 252))
        pen.ellipse(size * 0.12, y + size * 0.1, size * 0.7, size * 0.7, (226, 232, 242))
    hat = pen.one_of((40, 40, 50), (150, 40, 40), (40, 70, 140))
    pen.box(-0.2, -0.95, 0.2, -0.9, hat)
    pen.box(-0.12, -1.1, 0.12, -0.92, hat)
    pen.polygon([(0, -0.84), (0.24, -0.8), (0, -0.77)], (240, 130, 40))


def cactus(pen: Pen) -> None:
    green = pen.one_of((70, 130, 70), (100, 150, 80))
    for left, top, right, bottom in (
        *((-0.1, -0.92, 0.1, 0), (-0.36, -0.5, -0.1, -0.38), (-0.36, -0.72, -0.24, -0.4)),
        *((0.1, -0.36, 0.36, -0.24), (0.24, -0.6, 0.36, -0.26)),
    ):
        pen.box(left, top, right, bottom, green)
    pen.ellipse(0, -0.92, 0.2, 0.2, green)
    pen.ellipse(0, -1.0, 0.16, 0.12, pen.one_of((230, 80, 140), (250, 200, 80)))


def windmill(pen: Pen) -> None:
    wall = pen.one_of((240, 236, 226), (190, 150, 120))
    pen.polygon([(-0.12, -0.6), (0.12, -0.6), (0.2, 0), (-0.2, 0)], wall)
    pen.polygon(
        [(-0.16, -0.58), (0.16, -0.58), (0, -0.78)], pen.one_of((150, 50, 40), (60, 60, 80))
    )
    start = pen.random.uniform(0, np.pi / 2)
    for angle in start + np.arange(4) * np.pi / 2:
        x, y = np.cos(angle), np.sin(angle)
        corners = [(0, 0), (0.5 * x, 0.5 * y), (0.5 * x - 0.14 * y, 0.5 * y + 0.14 * x)]
        pen.polygon([(a, b - 0.58) for a, b in corners], (84, 66, 60))


THINGS: dict[str, Callable[[Pen], None]] = {
    draw.__name__: draw
    for draw in (pine, house, mushroom, flower, balloon, snowman, cactus, windmill)
}


class Scenes:
    """Painted on the spot: no two alike."""

    labels = tuple(THINGS)

    def draw(self, label: int, height: int, width: int, random: np.random.Generator) -> np.ndarray:
        return scene(label, height, width, random)


class Folders:
    """ROOT/LABEL/picture: of each picture as large a part as fits the shape, anywhere in it."""

    def __init__(self, root: Path) -> None:
        folders = sorted(path for path in root.glob("*") if path.is_dir())
        self.labels = tuple(folder.name for folder in folders)
        self.files = [sorted(p for p in f.rglob("*") if p.is_file()) for f in folders]
        if not folders or not all(self.files):
            raise SystemExit(f"{root}: it needs a folder for each label, with pictures in it")

    def draw(self, label: int, height: int, width: int, random: np.random.Generator) -> np.ndarray:
        picture = read(self.files[label][random.integers(len(self.files[label]))])
        return np.asarray(ImageOps.fit(picture, (width, height), centering=random.random(2)))


@cache
def read(path: Path) -> Image.Image:
    try:
        return Image.open(path).convert("RGB")
    except OSError as cause:
        raise SystemExit(f"{path}: {cause}") from None


def main() -> None:
    random = np.random.default_rng(0)
    rows = [np.hstack([scene(i, 80, 80, random) for i in range(len(THINGS))]) for _ in range(2)]
    Image.fromarray(np.vstack(rows)).save(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
