"""The training of facs-people: cameras, captions that fit to some degree, and runs that resume exactly."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from clip_autt.au import mirror_order
from clip_autt.backbone import CONFIGS
from clip_autt.faces.album import Album, photograph_people, targets
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.people_clip import (
    PeopleRecipe,
    as_filmed,
    degree_captions,
    degree_loss,
    people_batch,
    people_model,
    train_on_people,
)
from clip_autt.faces.pretrain import OPEN, new_model, packed, pair_loss, pixels, vocabulary
from clip_autt.utils.errors import InputError


@pytest.fixture(scope="module")
def album() -> Album:
    return photograph_people(945_000, 10, size=64)


def test_what_cameras_add_is_random_but_fixed_by_the_seed(album):
    a, b, c = (as_filmed(album.pictures, default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.shape == (40, 3, 64, 64) and a.isfinite().all()


def test_the_face_is_still_there(album):
    "A filmed picture is more like its own original than like anybody else's."
    filmed, plain = as_filmed(album.pictures, default_rng(0)), pixels(album.pictures)
    coarse = lambda x: torch.nn.functional.normalize(
        torch.nn.functional.avg_pool2d(x - x.mean((2, 3), keepdim=True), 8).flatten(1), dim=1
    )
    own = (coarse(filmed) @ coarse(plain).T).argmax(1)
    assert (own // 4 == torch.arange(40) // 4).float().mean() > 0.6


def test_pictures_of_any_size_are_taken(album):
    assert as_filmed(album.pictures[:2], default_rng(0), 96).shape == (2, 3, 96, 96)


def test_yes_and_no_are_a_special_case():
    g = torch.Generator().manual_seed(0)
    images, texts = torch.randn(6, 8, generator=g), torch.randn(5, 8, generator=g)
    fits = torch.randint(-1, 2, (6, 5), generator=g)
    scale, bias = torch.tensor(2.0), torch.tensor(-1.0)
    ours = degree_loss(images, texts, fits.float(), scale, bias)
    torch.testing.assert_close(ours, pair_loss(images, texts, fits, scale, bias))


def test_the_best_score_grows_with_the_degree():
    bias = torch.zeros(())
    best = []
    for degree in (0.1, 0.3, 0.6, 0.9):
        cosines = torch.linspace(-1, 1, 201)
        images = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)
        losses = [
            degree_loss(x[None], torch.tensor([[1.0, 0.0]]), torch.tensor([[degree]]), bias + 1.5, bias) for x in images
        ]
        best.append(float(cosines[int(torch.stack(losses).argmin())]))
    assert best == sorted(best) and len({*best}) == 4


def test_captions_fit_as_far_as_the_face_shows_them(album):
    t = targets(album)
    texts, degrees = degree_captions(t, default_rng(0))
    n = len(BANK)
    assert degrees.shape == (40, len(texts)) and np.array_equal(degrees[:, :n].numpy(), t)
    for k in range(n, len(texts) - 1):
        parts = [j for j, prompt in enumerate(BANK.prompts) if prompt in texts[k]]
        assert len(parts) >= 2
    assert any(row[-1] == 1 for row in degrees) == bool((t <= 0).all(1).any())


def test_a_faint_face_is_neither_calm_nor_not():
    t = np.zeros((3, len(BANK)), np.float32)
    t[1, 3], t[2, 3] = 0.2, 0.9
    assert degree_captions(t, default_rng(0))[1][:, -1].tolist() == [1, OPEN, 0]


def test_mirrored_pictures_have_mirrored_captions(album):
    "With one-sided turns only, a batch of an album and of the mirrored album meet the same pairs."
    t = np.zeros((len(album), len(BANK)), np.float32)
    t[:, AU_ROW["AU51"]] = 1
    _, _, degrees = people_batch(album, t, PeopleRecipe(batch=64), 0, 64)
    left, right = degrees[:, AU_ROW["AU51"]], degrees[:, AU_ROW["AU52"]]
    assert ((left == 1) ^ (right == 1)).all() and 10 < int(left.sum()) < 54
    assert mirror_order(BANK)[AU_ROW["AU51"]] == AU_ROW["AU52"]


def test_it_begins_where_facs_tiny_ended():
    before = deepcopy(CONFIGS)
    small, large = people_model(64), people_model(96)
    assert before == CONFIGS
    names = [k for k in small.state_dict() if k != "visual.attnpool.positional_embedding"]
    assert all(torch.equal(small.state_dict()[k], large.state_dict()[k]) for k in names)
    assert large.visual.image_size == CONFIGS["facs-people"]["vision_cfg"]["image_size"] == 96
    assert len(packed(large)["token_rows"]) == len(vocabulary()) == large.token_embedding.num_embeddings


def test_a_run_that_was_interrupted_ends_with_the_same_weights(album, tmp_path):
    recipe = PeopleRecipe(steps=6, batch=16)

    def stop(step, loss, model):
        if step == 4:
            raise KeyboardInterrupt

    whole = train_on_people(new_model(), album, recipe, tmp_path / "whole.pt", every=2)
    with pytest.raises(KeyboardInterrupt):
        train_on_people(new_model(), album, recipe, tmp_path / "parts.pt", stop, every=2)
    parts = train_on_people(new_model(), album, recipe, tmp_path / "parts.pt", every=2)
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
    with pytest.raises(InputError, match="Remove it to start anew"):
        train_on_people(new_model(), album, replace(recipe, lr=1e-4), tmp_path / "whole.pt")


def test_too_few_pictures_are_an_error(album):
    with pytest.raises(InputError, match="40 pictures are fewer than one batch of 128"):
        train_on_people(new_model(), album)
