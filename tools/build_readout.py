"""Fit the read-out of action units, and write it beside the weights. Part of `make assets`.

Fitted on the validation people of `build_assets.py`, measured on the test people; the albums are kept in build/assets.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
from build_assets import ROOT, TARGET, TEST, VALIDATION, album
from numpy.random import default_rng

from clip_autt.au import AUBank, mirror_order
from clip_autt.backbone import Backbone, load_backbone
from clip_autt.data.readout import Readout, au_sentences, fit_readout, save_readout, sentence_scores
from clip_autt.faces.album import Album
from clip_autt.faces.augment import as_filmed
from clip_autt.faces.pretrain import auc_per_au
from clip_autt.utils.assets import assets, write_hashes

MEAN, STD = (np.array(x, np.float32) for x in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))


def filmed(pictures: np.ndarray, seed: int, size: int) -> np.ndarray:
    "Pictures as cameras see them, uint8."
    pixels = as_filmed(pictures, default_rng(seed), size).permute(0, 2, 3, 1).numpy()
    return (255 * (pixels * STD + MEAN)).round().clip(0, 255).astype(np.uint8)


def scores_and_truth(backbone: Backbone, people: Album, seed: int) -> tuple[np.ndarray, np.ndarray]:
    "Cosines [I, N], and intensities of the stronger side from 0 to 5."
    bank = AUBank.default()
    sentences, mirrored = au_sentences(backbone, bank), mirror_order(bank)
    rows = []
    for i in range(0, len(people), 250):
        crops = filmed(people.pictures[i : i + 250], seed + i, backbone.image_size)
        rows.append(sentence_scores(backbone, crops, sentences, mirrored))
    return np.concatenate(rows), people.aus.max(1) / 51


def build(folder: Path, jobs: int) -> Readout:
    "Fit, measure and write."
    backbone, ids = load_backbone("facs-tiny"), AUBank.default().ids
    readout = fit_readout(ids, *scores_and_truth(backbone, album(folder, *VALIDATION, jobs), 0))
    scores, truth = scores_and_truth(backbone, album(folder, *TEST, jobs), 1_000_000)
    auc = []
    for s, y in zip(scores.T, truth.T):
        known = (y == 0) | (y >= 1.5)
        auc.append(auc_per_au(s[known, None], y[known, None] > 0)[0])
    readout = replace(readout, auc=np.array(auc), weights=backbone.hash)
    save_readout(TARGET / "readout.safetensors", readout)
    (TARGET / "readout.safetensors").chmod(0o644)
    write_hashes(assets())
    return readout


if __name__ == "__main__":
    found = build(ROOT / "build" / "assets", -1)
    for row in zip(found.ids, found.error, found.present, found.auc):
        print("{:10} error {:5.2f} present from {:4.2f} AUC {:.3f}".format(*row))
