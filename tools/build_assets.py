"""Build the files of the package: `make assets`. What is finished is kept in build/assets, so an interrupted run goes on where it stopped."""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from clip_autt.bundled import assets, write_hashes
from clip_autt.files import atomic_path
from clip_autt.pretrain import Faces, Recipe, check_seeds, draw_faces, packed, pretrain, retrieval_auc

ROOT = Path(__file__).resolve().parents[1]
TRAIN, VALIDATION = (100_000, 60_000), (900_000, 4_000)  # first subject and how many
CHUNK = 4_000


def faces(folder: Path, first: int, n: int, jobs: int) -> Faces:
    "n faces, drawn in chunks that are kept."
    check_seeds(first, n)
    chunks = []
    for start in range(first, first + n, CHUNK):
        path = folder / f"faces-{start}.npz"
        if not path.is_file():
            drawn = draw_faces(start, min(CHUNK, first + n - start), jobs)
            with atomic_path(path) as tmp:
                np.savez(tmp, pictures=drawn.pictures, seen=drawn.seen, tones=drawn.tones)
            print(f"drew {start} to {start + len(drawn) - 1}", flush=True)
        with np.load(path) as f:
            chunks.append([f[name] for name in ("pictures", "seen", "tones")])
    return Faces(*(np.concatenate(part) for part in zip(*chunks)))


def backbone(folder: Path, device: str, jobs: int, recipe: Recipe) -> None:
    "Train facs-tiny and put its weights into the package."
    train, new_people = faces(folder, *TRAIN, jobs), faces(folder, *VALIDATION, jobs)

    def report(epoch, loss, model):
        model.eval()
        auc = retrieval_auc(model, new_people)
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {loss:.3f}, AUC mean {auc.mean():.4f}, worst {auc.min():.3f}", flush=True)

    model = pretrain(train, recipe, folder / "clip.pt", device, report)
    target = assets() / "facs-tiny" / "clip.safetensors"
    with atomic_path(target) as tmp:
        save_file(packed(model), tmp)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "assets", help="where intermediate results are kept")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--jobs", type=int, default=-1, help="processes that draw; -1 for one per core")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    backbone(args.folder, args.device, args.jobs, Recipe(epochs=args.epochs))
    write_hashes(assets())


if __name__ == "__main__":
    main()
