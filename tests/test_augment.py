"""Pictures as cameras would have taken them: random but fixed by a seed, and the face is still there."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.random import default_rng

from clip_autt.faces.album import Album, photograph_people
from clip_autt.faces.augment import as_filmed, shifted
from clip_autt.faces.pretrain import pixels


@pytest.fixture(scope="module")
def album() -> Album:
    return photograph_people(945_000, 10, size=48)


@pytest.mark.parametrize("film", [as_filmed, shifted])
def test_what_is_added_is_random_but_fixed_by_the_seed(album, film):
    before = album.pictures.copy()
    a, b, c = (film(album.pictures, default_rng(seed), 48) for seed in (1, 1, 3))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.shape == (40, 3, 48, 48) and a.dtype == torch.float32 and a.isfinite().all()
    assert np.array_equal(album.pictures, before), "the album stays as it is"


def test_finite_whatever_the_pictures():
    "Also of pictures without any contrast."
    plain = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (0, 128, 255)]).repeat(8, 0)
    assert all(as_filmed(plain, default_rng(seed), 32).isfinite().all() for seed in range(4))


def test_the_face_is_still_there(album):
    "A filmed picture is more like its own original than like anybody else's."
    filmed, plain = as_filmed(album.pictures, default_rng(0), 48), pixels(album.pictures)
    coarse = lambda x: F.normalize(F.avg_pool2d(x - x.mean((2, 3), keepdim=True), 6).flatten(1), dim=1)
    own = (coarse(filmed) @ coarse(plain).T).argmax(1)
    assert (own // 4 == torch.arange(40) // 4).float().mean() > 0.6


def test_cameras_change_every_picture(album):
    filmed, plain = as_filmed(album.pictures, default_rng(0), 48), pixels(album.pictures)
    assert (filmed - plain).abs().mean((1, 2, 3)).min() > 0.05


@pytest.mark.parametrize("film", [as_filmed, shifted])
@pytest.mark.parametrize("size", [32, 48, 96])
def test_pictures_of_any_size_are_taken(album, film, size):
    x, plain = film(album.pictures[:2], default_rng(0), size), pixels(album.pictures[:2])
    assert x.shape == (2, 3, size, size)
    if film is shifted:
        resized = F.interpolate(plain, (size, size), mode="bilinear", antialias=True)
        near = F.cosine_similarity(x.flatten(1), resized.flatten(1))
        assert near.min() > 0.8, "the same picture in another size"


def test_a_shift_is_of_two_pixels_at_most_and_nothing_else(album):
    pictures, found = album.pictures[:4], []
    for seed in range(60):
        x = shifted(pictures, default_rng(seed), 48)
        by = [
            (down, right)
            for down in range(-4, 5)
            for right in range(-4, 5)
            if torch.allclose(x, torch.roll(pixels(pictures), (down, right), (2, 3)), atol=1e-6)
        ]
        assert len(by) == 1, "all pictures of a batch are moved alike, by whole pixels"
        found += by
    for axis in (0, 1):
        assert {move[axis] for move in found} == {-2, -1, 0, 1, 2}
