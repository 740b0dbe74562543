"""The training of facs-tiny: captions tell the truth, the loss equals its formula, and runs resume exactly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.random import default_rng
from safetensors.torch import save_file

from clip_autt import load_backbone
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.au import TEMPLATES
from clip_autt.utils.errors import InputError
from clip_autt.faces.pretrain import (
    ABSENT,
    CALM_FACE,
    FACS_NAMES,
    OPEN,
    SHOWN,
    Faces,
    Recipe,
    augment,
    captions,
    draw_faces,
    embed_pictures,
    encode_captions,
    new_model,
    packed,
    pair_loss,
    sample_expression,
    tone_gap,
    train_tiny_clip,
    visible,
)


@pytest.fixture(scope="module")
def faces():
    return draw_faces(100_000, 64)


def test_pictures_are_the_same_in_one_process_or_two(faces):
    again = draw_faces(100_010, 12, n_jobs=2)
    np.testing.assert_array_equal(again.pictures, faces.pictures[10:22])
    np.testing.assert_array_equal(again.seen, faces.seen[10:22])


def test_what_excludes_each_other_is_not_drawn_together():
    g = default_rng(0)
    for _ in range(300):
        a = sample_expression(g)
        assert ((a >= 0) & (a <= 1)).all()
        for x, y in (("AU43", "AU5"), ("AU51", "AU52"), ("AU61", "AU62"), ("AU38", "AU39"), ("AU12", "AU15")):
            assert a[AU_ROW[x]] == 0 or a[AU_ROW[y]] == 0, (x, y)


def test_strong_is_shown_weak_is_open_and_none_is_absent():
    a = np.zeros(len(BANK))
    a[[AU_ROW["AU4"], AU_ROW["AU12"]]] = 0.9, 0.2
    seen = visible(a)
    assert (seen[AU_ROW["AU4"]], seen[AU_ROW["AU12"]], seen[AU_ROW["AU6"]], seen[AU_ROW["AU17"]]) == (
        SHOWN,
        OPEN,
        OPEN,
        ABSENT,
    )
    a[AU_ROW["AU43"]] = 1
    seen = visible(a)
    assert seen[AU_ROW["AU45"]] == SHOWN and seen[AU_ROW["AU61"]] == OPEN


def test_captions_fit_the_pictures_that_show_what_they_say(faces):
    texts, fits = captions(faces.seen, default_rng(3), pairs=8)
    words = {p: i for i, p in enumerate(BANK.prompts)} | {n: i for i, n in enumerate(FACS_NAMES)}
    assert fits.shape == (len(faces), len(BANK) + 8 + 1)
    for text, fit in zip(texts, fits.T):
        phrases = [i for p, i in sorted(words.items(), key=lambda x: -len(x[0])) if p in text]
        for picture in np.flatnonzero(fit == SHOWN):
            if CALM_FACE in text:
                assert (faces.seen[picture] == ABSENT).all()
            else:
                assert any(faces.seen[picture, i] == SHOWN for i in phrases), text
    assert (fits[:, len(BANK) : -1] == SHOWN).any(0).all(), "each pair is shown by the picture it was taken from"


def test_a_mirrored_face_swaps_left_and_right(faces):
    left, right = AU_ROW["AU51"], AU_ROW["AU52"]
    x, seen = augment(faces.pictures, faces.seen, default_rng(0))
    flipped = (seen != faces.seen).any(1)
    assert 0 < flipped.sum() < len(faces)
    np.testing.assert_array_equal(seen[flipped][:, [left, right]], faces.seen[flipped][:, [right, left]])
    assert x.shape == (len(faces), 3, 64, 64)


def test_the_loss_equals_its_formula():
    g = torch.Generator().manual_seed(0)
    u, v, fits = (
        torch.randn(5, 8, generator=g),
        torch.randn(4, 8, generator=g),
        torch.randint(-1, 2, (5, 4), generator=g),
    )
    t, c, total = torch.tensor(1.3), torch.tensor(-2.0), 0.0
    for b in range(5):
        for k in range(4):
            s = torch.exp(t) * torch.cosine_similarity(u[b], v[k], dim=0) + c
            p = torch.sigmoid(s)
            if fits[b, k] != OPEN:
                total = total - (2 * torch.log(p) if fits[b, k] == SHOWN else torch.log(1 - p))
    torch.testing.assert_close(pair_loss(u, v, fits, t, c), total / 5)


def test_a_run_that_was_killed_ends_with_the_same_weights(faces, tmp_path):
    recipe = Recipe(epochs=3, cycle=3, batch=32)
    whole = train_tiny_clip(faces, recipe)

    def kill(epoch, loss, model):
        if epoch == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny_clip(faces, recipe, tmp_path / "run.pt", report=kill)
    resumed = train_tiny_clip(faces, recipe, tmp_path / "run.pt")
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(a, b), name


def test_another_recipe_does_not_continue_a_run(faces, tmp_path):
    train_tiny_clip(faces, Recipe(epochs=1, cycle=4, batch=64), tmp_path / "run.pt")
    with pytest.raises(InputError, match="Remove it to start anew"):
        train_tiny_clip(faces, Recipe(epochs=2, cycle=4, batch=64), tmp_path / "run.pt")
    with pytest.raises(InputError, match="fewer than one batch"):
        train_tiny_clip(faces, Recipe(batch=128))


def test_what_is_packed_is_what_is_loaded(tmp_path):
    model = new_model(seed=3).eval()
    save_file(packed(model), tmp_path / "clip.safetensors")
    backbone = load_backbone("facs-tiny", tmp_path / "clip.safetensors")
    texts = [f"a photo of a person with {p}." for p in BANK.prompts]
    with torch.no_grad():
        torch.testing.assert_close(backbone.encode_text(texts), encode_captions(model, texts), atol=5e-3, rtol=5e-2)


def test_the_tone_gap_compares_thirds(faces):
    "The truth follows the scores on one third and contradicts them on another; the middle third counts for nothing."
    faces, model, n = Faces(faces.pictures[:63], faces.seen[:63], faces.tones[:63]), new_model().eval(), 21
    with torch.no_grad():
        texts = encode_captions(model, [TEMPLATES[0].format(p) for p in BANK.prompts])
        scores = (F.normalize(embed_pictures(model, faces.pictures), dim=-1) @ F.normalize(texts, dim=-1).T).numpy()
    light, dark = slice(0, n), slice(len(faces) - n, None)
    seen = np.full(faces.seen.shape, SHOWN, np.int8)
    seen[light] = np.where(scores[light] > np.median(scores[light], 0), SHOWN, ABSENT)
    seen[dark] = np.where(scores[dark] > np.median(scores[dark], 0), ABSENT, SHOWN)
    tones = np.linspace(0, 1, len(faces))
    assert tone_gap(model, Faces(faces.pictures, seen, tones)) == pytest.approx(1)
    assert tone_gap(model, Faces(faces.pictures, seen, 1 - tones)) == pytest.approx(-1)
    seen[dark] = np.where(scores[dark] > np.median(scores[dark], 0), SHOWN, ABSENT)
    assert tone_gap(model, Faces(faces.pictures, seen, tones)) == pytest.approx(0)
