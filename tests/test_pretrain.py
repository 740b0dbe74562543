"""The training of facs-tiny: captions tell how far, the loss equals its formula, and a run resumes as it was."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.random import default_rng
from safetensors.torch import save_file

from clip_autt.au import TEMPLATES, mirror_order
from clip_autt.backbone import CONFIGS, load_backbone
from clip_autt.faces.album import Album, photograph_people, targets
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.pretrain import (
    CALM_FACE,
    FACS_NAMES,
    OPEN,
    Recipe,
    captions,
    embed_pictures,
    encode_captions,
    enlarged,
    new_model,
    packed,
    pair_loss,
    retrieval_auc,
    tone_gap,
    train_tiny_clip,
    training_batch,
    vocabulary,
)
from clip_autt.utils.errors import InputError

N = len(BANK)
CLEAR = [AU_ROW[au] for au in ("AU1", "AU4", "AU17")]  # they leave no other action unit open
PROMPTS = [TEMPLATES[0].format(p) for p in BANK.prompts]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Several threads add up in another order each time."
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@pytest.fixture(scope="module")
def album() -> Album:
    return photograph_people(945_000, 10, size=32)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return new_model(size=32).eval()


# -- captions


def test_captions_fit_as_far_as_the_face_shows_them(album):
    t = targets(album)
    texts, degrees = captions(t, default_rng(3), pairs=8)
    assert degrees.shape == (40, len(texts)) == (40, N + 8 + 1) and np.array_equal(degrees[:, :N].numpy(), t)
    for text, prompt, name in zip(texts, BANK.prompts, FACS_NAMES):
        assert prompt in text or name in text
    assert CALM_FACE in texts[-1]
    assert any(a == prompt for a, prompt in zip(texts, BANK.prompts)), "sometimes bare"
    assert any(name in a and prompt not in a for a, prompt, name in zip(texts, BANK.prompts, FACS_NAMES)), "as in FACS"


def test_two_things_fit_as_far_as_the_fainter_one(album):
    t = targets(album)
    texts, degrees = captions(t, default_rng(0), pairs=12)
    for text, fits in zip(texts[N:-1], degrees[:, N:-1].T.tolist()):
        (both,) = [(a, b) for a in range(N) for b in range(N) if f"{BANK.prompts[a]} and {BANK.prompts[b]}" in text]
        for picture, fit in zip(t[:, both], fits):
            absent, unknown = 0 in picture, OPEN in picture
            assert fit == (0 if absent else OPEN if unknown else min(picture))
        assert max(fits) >= 0.5, "there is a picture that shows both"


def test_a_faint_face_is_neither_calm_nor_not():
    t = np.zeros((4, N), np.float32)
    t[1, 3], t[2, 3], t[3, 3] = 0.2, 0.9, OPEN
    texts, degrees = captions(t, default_rng(0))
    assert degrees[:, -1].tolist() == [1, OPEN, 0, OPEN] and len(texts) == N + 1, "no picture shows two"


# -- loss


@pytest.mark.parametrize("degrees", [(0.0, 1.0, OPEN), (0.0, 0.2, 0.7, 1.0, OPEN)], ids=["yes and no", "degrees"])
def test_the_loss_equals_its_formula(degrees):
    g = torch.Generator().manual_seed(0)
    u, v = torch.randn(6, 8, generator=g), torch.randn(5, 8, generator=g)
    d = torch.tensor(degrees)[torch.randint(0, len(degrees), (6, 5), generator=g)]
    t, c, total = torch.tensor(1.3), torch.tensor(-2.0), 0.0
    for b in range(6):
        for k in range(5):
            p = torch.sigmoid(torch.exp(t) * torch.cosine_similarity(u[b], v[k], dim=0) + c)
            if d[b, k] == OPEN:
                continue
            if d[b, k] in (0, 1):  # yes and no
                total = total - (2 * torch.log(p) if d[b, k] == 1 else torch.log(1 - p))
            else:
                total = total - (2 * d[b, k] * torch.log(p) + (1 - d[b, k]) * torch.log(1 - p))
    torch.testing.assert_close(pair_loss(u, v, d, t, c), total / 6)


def test_the_best_score_grows_with_the_degree():
    "Where the loss is lowest, the sigmoid is 2d / (1 + d), since what is shown counts twice."
    cosines, none = torch.linspace(-1, 1, 401), torch.zeros(())
    images, text = torch.stack([cosines, (1 - cosines**2).sqrt()], 1), torch.tensor([[1.0, 0.0]])
    best = []
    for d in (0.1, 0.3, 0.6, 0.9):
        losses = [pair_loss(x[None], text, torch.tensor([[d]]), none + 1.5, none) for x in images]
        best.append(float(cosines[int(torch.stack(losses).argmin())]))
        assert torch.sigmoid(torch.tensor(best[-1] * np.exp(1.5))) == pytest.approx(2 * d / (1 + d), abs=0.01)
    assert best == sorted(best) and len({*best}) == 4


# -- batches


def test_mirrored_pictures_have_mirrored_captions(album):
    "Whichever way round a picture comes, what it is said to show has been turned with it, and both ways come."
    t, mirror = targets(album), mirror_order(BANK)
    assert mirror[AU_ROW["AU51"]] == AU_ROW["AU52"] and mirror[AU_ROW["AU12"]] == AU_ROW["AU12"]
    raw = lambda pictures, g, size: torch.from_numpy(np.ascontiguousarray(pictures))
    turned = []
    for step in range(2):
        pictures, texts, degrees = training_batch(album, t, Recipe(batch=32), step, 32, raw)
        assert degrees.shape == (32, len(texts))
        for picture, shown in zip(pictures.numpy(), degrees[:, :N].numpy()):
            plain, flipped = ((view == picture).all((1, 2, 3)) for view in (album.pictures, album.pictures[:, :, ::-1]))
            assert plain.sum() + flipped.sum() == 1
            row, flip = int((plain | flipped).argmax()), bool(flipped.any())
            assert np.array_equal(shown, t[row][mirror] if flip else t[row])
            turned.append((flip, bool((shown != shown[mirror]).any())))
    for flip in (True, False):
        assert 12 < sum(f == flip for f, _ in turned) and (flip, True) in turned, "some of them tell left from right"


def test_a_step_sees_what_its_number_and_the_seed_say(album):
    t = targets(album)
    one, again, later, other = (
        training_batch(album, t, Recipe(batch=16, seed=seed), step, 32)
        for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3))
    )
    assert torch.equal(one[0], again[0]) and one[1] == again[1] and torch.equal(one[2], again[2])
    for batch in (later, other):
        assert not torch.equal(one[0], batch[0]) and one[1] != batch[1]


# -- models


def test_a_larger_model_has_the_same_weights():
    before, places = deepcopy(CONFIGS), "visual.attnpool.positional_embedding"
    small = new_model(seed=5, size=64)
    large = enlarged(small, 96)
    assert before == CONFIGS and (small.visual.image_size, large.visual.image_size) == (64, 96)
    a, b = small.state_dict(), large.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a if k != places)
    mean, *two = a[places]
    grid = b[places][1:].view(3, 3, -1)
    torch.testing.assert_close(b[places][0], mean)
    torch.testing.assert_close(grid[::2, ::2].flatten(0, 1), torch.stack(two))
    torch.testing.assert_close(grid[1, 1], sum(two) / 4)
    assert large.encode_image(torch.zeros(2, 3, 96, 96)).shape == (2, 128)


def test_a_seed_is_a_model():
    a, again, b = (new_model(seed, 32).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[k], again[k]) for k in a) and not all(torch.equal(a[k], b[k]) for k in a)


def test_what_is_packed_is_what_is_loaded(tmp_path):
    model = new_model(seed=3, size=96).eval()
    state = packed(model)
    assert len(state["token_rows"]) == len(vocabulary()) == model.token_embedding.num_embeddings
    save_file(state, tmp_path / "clip.safetensors")
    backbone = load_backbone("facs-tiny", tmp_path / "clip.safetensors")
    pictures = default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        texts = encode_captions(model, PROMPTS)
    torch.testing.assert_close(backbone.encode_text(PROMPTS), texts, atol=5e-3, rtol=5e-2)
    torch.testing.assert_close(backbone.encode_frames(pictures), embed_pictures(model, pictures), atol=5e-3, rtol=5e-2)


# -- runs


class Interrupted(Exception):
    pass


def test_a_run_that_was_interrupted_ends_with_the_same_weights(album, tmp_path):
    recipe, told = Recipe(steps=6, batch=16), []

    def stop(step, loss, model):
        told.append(step)
        if step == 4:
            raise Interrupted

    whole = train_tiny_clip(new_model(size=32), album, recipe, tmp_path / "whole.pt", every=2)
    with pytest.raises(Interrupted):
        train_tiny_clip(new_model(size=32), album, recipe, tmp_path / "parts.pt", stop, every=2)
    parts = train_tiny_clip(new_model(size=32), album, recipe, tmp_path / "parts.pt", stop, every=2)
    assert told == [2, 4, 6]
    for (name, a), b in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3, msg=name)
    with pytest.raises(InputError, match="Remove it to start anew"):
        train_tiny_clip(new_model(size=32), album, replace(recipe, lr=1e-4), tmp_path / "whole.pt")


def test_training_lowers_the_loss(album):
    losses = []
    tell = lambda step, loss, model: losses.append((step, loss))
    train_tiny_clip(new_model(size=32), album, Recipe(steps=12, batch=16), report=tell, every=4)
    assert [step for step, _ in losses] == [4, 8, 12] and losses[2][1] < 0.7 * losses[0][1]


def test_too_few_pictures_are_an_error(album):
    with pytest.raises(InputError, match="40 pictures are fewer than one batch of 128"):
        train_tiny_clip(new_model(size=32), album)


# -- measures


def scored(model, album) -> np.ndarray:  # [I, N]
    "Cosines of pictures and prompts."
    with torch.no_grad():
        texts = encode_captions(model, PROMPTS)
    return (F.normalize(embed_pictures(model, album.pictures), dim=-1) @ F.normalize(texts, dim=-1).T).numpy()


def told(album, shown: np.ndarray, tones=None) -> Album:
    "The album as if its pictures showed other things: `shown` [I, 3] says which of CLEAR."
    aus = np.zeros_like(album.aus)
    aus[:, :, CLEAR] = np.where(shown, 255, 0)[:, None]
    return replace(album, aus=aus, tones=album.tones if tones is None else tones.astype(np.float32))


def test_the_area_is_that_of_pairs_of_pictures(model, album):
    "One of a picture that shows it and one that does not; what is open belongs to neither."
    shown = default_rng(0).random((len(album), 3)) < 0.5
    other = told(album, shown)
    other.aus[:10, :, CLEAR[0]] = 51  # too faint to say
    scores, found = scored(model, album)[:, CLEAR], retrieval_auc(model, other)
    assert found.shape == (N,) and np.isnan(np.delete(found, CLEAR)).all(), "unknown where no picture shows it"
    for k in range(3):
        rows = np.arange(10 if k == 0 else 0, len(album))
        yes, no = (scores[[i for i in rows if shown[i, k] == x], k] for x in (True, False))
        assert found[CLEAR[k]] == pytest.approx((yes[:, None] > no).mean())


def test_the_tone_gap_compares_thirds(model, album):
    "The truth follows the scores on one third and contradicts them on another; the middle third counts for nothing."
    album = replace(album, **{k: getattr(album, k)[:39] for k in ("pictures", "aus", "heads", "people", "tones")})
    scores, tones = scored(model, album)[:, CLEAR], np.linspace(0, 1, 39)
    light, dark = slice(0, 13), slice(26, 39)
    shown = default_rng(0).random((39, 3)) < 0.5
    shown[light] = scores[light] > np.median(scores[light], 0)
    shown[dark] = scores[dark] <= np.median(scores[dark], 0)
    assert tone_gap(model, told(album, shown, tones)) == pytest.approx(1)
    assert tone_gap(model, told(album, shown, 1 - tones)) == pytest.approx(-1)
    shown[dark] = ~shown[dark]
    assert tone_gap(model, told(album, shown, tones)) == pytest.approx(0)
