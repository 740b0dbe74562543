"""Make the contact sheets of docs/faces.md: every action unit on six people, and sixty people at rest."""

import numpy as np
from pages import ROOT
from PIL import Image, ImageDraw, ImageFont

from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.identity import Identity
from clip_autt.faces.lens import Shot
from clip_autt.faces.photo import photograph

SIX = {  # number of the person: what is fixed
    700: dict(age=24.0, male=0.0, tone=0.1),
    703: dict(age=30.0, male=1.0, tone=0.9),
    704: dict(age=38.0, male=0.0, tone=0.55),
    705: dict(age=47.0, male=1.0, tone=0.3),
    712: dict(age=62.0, male=0.0, tone=0.8),
    717: dict(age=74.0, male=1.0, tone=0.15),
}
ONE_SIDED = "AU46", "AU37-wipe"
TITLE = 14  # pixels


def joined(rows: list[list[np.ndarray]]) -> Image.Image:
    return Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in rows]))


def shows(au: str) -> tuple[np.ndarray, np.ndarray]:
    "Intensities of both halves of a face that shows one action unit."
    left, right = np.zeros((2, len(BANK)))
    left[AU_ROW[au]], right[AU_ROW[au]] = 0.9, 0.0 if au in ONE_SIDED else 0.9
    return left, right


def action_units(size: int = 88, columns: int = 12) -> Image.Image:
    "Blocks of twelve: a column for each action unit, a row for each person."
    people = [Identity.sample(number, **fixed) for number, fixed in SIX.items()]
    names = [None, *(au.id for au in BANK)]
    titles, font = [], ImageFont.load_default(11)
    blocks = []
    for start in range(0, len(names), columns):
        block = names[start : start + columns]
        halves = [shows(au) if au else ({}, {}) for au in block]
        rows = [[photograph(p, *half, size)[0] for half in halves] for p in people]
        blank = [np.full((size, size, 3), 255, np.uint8)] * (columns - len(block))
        head = Image.new("RGB", (columns * size, TITLE), "white")
        for k, au in enumerate(block):
            ImageDraw.Draw(head).text((k * size + 3, 0), au or "at rest", "black", font)
        titles.append(head)
        blocks.append(np.concatenate([np.asarray(head), np.asarray(joined([row + blank for row in rows]))]))
    return Image.fromarray(np.concatenate(blocks))


def at_rest(size: int = 88, columns: int = 12, n: int = 60) -> Image.Image:
    "People as they come, each in a light and before a camera of their own."
    pictures = [photograph(Identity.sample(800 + k), {}, None, size, Shot.sample(800 + k))[0] for k in range(n)]
    return joined([pictures[i : i + columns] for i in range(0, n, columns)])


def main() -> None:
    for name, sheet in (("action_units", action_units()), ("people", at_rest())):
        path = ROOT / "docs" / "images" / f"{name}.jpg"
        sheet.save(path, quality=72, optimize=True)
        print(f"{path.relative_to(ROOT)}: {sheet.width} x {sheet.height}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
