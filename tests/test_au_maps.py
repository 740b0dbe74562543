"Maps of action units: where they are, where a model looks, and how both are compared."

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import clip_autt.faces.au_maps as au_maps_module
import clip_autt.faces.tasks as tasks
from clip_autt import ClipAU, InputError, NoFaceError
from clip_autt.evaluation.saliency import (
    compare_maps,
    gradient_maps,
    map_cosine,
    map_iou,
    model_pixels,
    occlusion_map,
    pointing_game,
    shuffled_backbone,
    where,
)
from clip_autt.faces.au_maps import (
    CODEBOOK,
    photo_maps,
    au_motion,
    clip_maps,
    codebook_intensities,
    face_map,
    spread_out,
)
from clip_autt.faces.guidance import (
    CODEBOOK_EMOTIONS,
    GuidanceRecipe,
    GuidedTower,
    Lessons,
    emotion_lessons,
    guidance_term,
    moved_alike,
    train_guided,
)
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.identity import Identity
from clip_autt.faces.lens import Lens, Shot
from clip_autt.faces.tasks import TARGET_DOMAIN, make_clip
from clip_autt.show.where import plot_heat, plot_where

WHO = Identity.sample(3)


@pytest.fixture(scope="module")
def single():
    "The map of each of some action units alone, and their names."
    units = "AU1 AU4 AU12 AU17 AU26 AU43 AU61".split()
    maps = photo_maps(WHO, np.zeros(len(BANK)), of=units)[0]
    return {au: maps[AU_ROW[au]] for au in units}


@pytest.fixture(scope="module")
def pain():
    return ClipAU.from_pretrained("facs-tiny/pain")


def cells(heat, n=8):
    return F.interpolate(heat[None, None], (n, n), mode="area").flatten()


def rows_of(heat):
    "Height in the picture of the brightest place, 0 at the top and 1 at the bottom."
    return float(heat.amax(1).argmax()) / len(heat)


def test_maps_lie_where_anatomy_says(single):
    assert rows_of(single["AU1"]) < rows_of(single["AU43"]) < rows_of(single["AU12"]) < rows_of(single["AU17"])
    middle = single["AU1"][:, 20:28].max() > single["AU1"][:, :14].max()
    assert middle  # inner brows
    apart = F.cosine_similarity(cells(single["AU4"]), cells(single["AU12"]), dim=0)
    assert apart < 0.1
    assert all(heat.max() == 1 and heat.min() >= 0 for heat in single.values())


def test_turns_of_the_head_have_no_map_and_the_gaze_has_one():
    still = au_motion(WHO).norm(dim=-1).amax((0, 2)) == 0
    assert [BANK[int(n)].id for n in still.nonzero()] == ["AU51", "AU52", "AU53", "AU54"]
    a = np.zeros(len(BANK))
    a[AU_ROW["AU51"]] = 1
    assert face_map(photo_maps(WHO, a), a[None]).sum() == 0


def test_one_side_of_a_symmetric_face_is_the_mirror_image_of_the_other():
    even = replace(WHO, asymmetry=tuple(0.0 for _ in WHO.asymmetry))
    one, none = np.zeros((2, len(BANK)))
    one[AU_ROW["AU12"]] = 0.8
    a, b = (photo_maps(even, x, y)[0, AU_ROW["AU12"]] for x, y in ((one, none), (none, one)))
    assert (a - b.flip(1)).abs().max() < 0.1
    assert a[:, 24:].max() == 1 and a[:, :20].max() < 0.5  # the person's left is on the right of the picture


def test_maps_move_with_the_head():
    near, far = (
        photo_maps(WHO, {"AU12": 0.8}, size=64, shot=Shot(lens=Lens(offset=(x, 0.0))))[0, AU_ROW["AU12"]]
        for x in (0.0, 4 / 32)
    )
    assert torch.allclose(near[:, :-4], far[:, 4:], atol=1e-4)
    assert not torch.allclose(near, far, atol=0.1)


def test_a_hand_hides_what_is_behind_it():
    free, covered = (photo_maps(WHO, {"AU12": 0.8}, shot=Shot(hand=hand))[0, AU_ROW["AU12"]] for hand in (None, 5))
    assert covered.sum() < 0.9 * free.sum()


def test_spreading_in_two_passes_is_the_plain_formula():
    v = torch.rand(9, 9, generator=torch.Generator().manual_seed(0))
    y, x = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    plain = torch.stack(
        [
            torch.stack(
                [(v * torch.exp(-((y - i) ** 2 + (x - j) ** 2) / (2 * (0.1 * 9) ** 2))).max() for j in range(9)]
            )
            for i in range(9)
        ]
    )
    assert torch.allclose(spread_out(v, 0.1), plain, atol=1e-6)


def test_intensities_weigh_the_map_of_the_face():
    a = np.zeros((2, len(BANK)))
    a[:, AU_ROW["AU4"]], a[:, AU_ROW["AU12"]] = (0.9, 0.2), (0.2, 0.9)
    frown, smile = face_map(photo_maps(WHO, a), a)
    assert rows_of(frown) < 0.5 < rows_of(smile)
    assert face_map(torch.zeros(3, 8, 8), torch.ones(3)).sum() == 0


def test_maps_of_a_film_are_those_of_its_frames():
    clip = make_clip("pain", 8, "pain", 3, every=37, size=32)
    maps, aus = clip_maps("pain", 8, "pain", 3, every=37, size=16)
    assert np.allclose(clip.aus, aus, atol=1e-6) and maps.shape == (len(clip), len(BANK), 16, 16)


def test_a_film_and_its_maps_share_camera_person_and_turns_of_the_head(monkeypatch):
    seen = {}

    def film(aus, subject, shot, g, size, head):
        seen["film"] = aus, subject.seed, shot, head
        return np.zeros((len(aus), size, size, 3), np.uint8)

    def maps(aus, subject, shot, size, head, of):
        seen["maps"] = aus, subject.seed, shot, head
        return torch.zeros(len(aus), len(BANK), size, size)

    monkeypatch.setattr(tasks, "render", film)
    monkeypatch.setattr(au_maps_module, "subject_maps", maps)
    make_clip("stress", 22_005, "stress", 4, every=7, domain=TARGET_DOMAIN)
    clip_maps("stress", 22_005, "stress", 4, every=7, domain=TARGET_DOMAIN)
    (aus, who, shot, head), (aus2, who2, shot2, head2) = seen["film"], seen["maps"]
    assert (aus == aus2).all() and (head == head2).all() and who == who2 and shot == shot2


def test_the_textbook_is_that_of_the_figure():
    assert "AU10" in CODEBOOK["disgust"] and "AU5" not in CODEBOOK["disgust"]
    assert codebook_intensities("neutral").sum() == 0 and codebook_intensities("happiness").sum() == 3


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: photo_maps(WHO, {"AU12": 0.5}, of=["AU99"]), "unknown action unit 'AU99'"),
        (lambda: photo_maps(WHO, {"AU12": 0.5}, size=8), "16 to 256 pixels"),
        (lambda: photo_maps(WHO, np.zeros((2, len(BANK))), np.zeros((3, len(BANK)))), "same number of frames"),
        (lambda: spread_out(torch.ones(4, 4), 0), "spread=0"),
        (lambda: face_map(torch.ones(3, 4, 4), torch.ones(2)), "one for each map"),
        (lambda: face_map(torch.ones(3, 4, 4), -torch.ones(3)), "0 or more"),
        (lambda: codebook_intensities("joy"), "unknown expression 'joy'"),
        (lambda: map_cosine(torch.ones(2, 2), -torch.ones(2, 2)), "negative"),
        (lambda: map_cosine(torch.full((2, 2), torch.nan), torch.ones(2, 2)), "finite"),
        (lambda: compare_maps(torch.ones(1, 2, 2), torch.zeros(1, 2, 2)), "all 1 true maps are empty"),
        (lambda: guidance_term(torch.ones(2, 4, 4), torch.ones(3, 4, 4)), "attention and maps"),
        (lambda: GuidedTower(stage=0), "stages 1, 2, 3 and 4"),
        (lambda: emotion_lessons([]), "need people"),
    ],
)
def test_what_cannot_be_used_says_why(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_scores_of_maps_by_hand():
    corner, flat = torch.tensor([[1.0, 0], [0, 0]]), torch.ones(2, 2)
    assert [float(f(flat, corner)) for f in (map_cosine, pointing_game, map_iou)] == [0.5, 0.25, 0.25 / 1.75]
    assert [float(f(corner, corner)) for f in (map_cosine, pointing_game, map_iou)] == [1, 1, 1]
    assert [float(f(corner.T.flip(0), corner)) for f in (map_cosine, pointing_game, map_iou)] == [0, 0, 0]
    assert all(f(flat, 0 * corner).isnan() for f in (map_cosine, pointing_game, map_iou))
    assert float(map_cosine(-flat, corner)) == 0  # what lowers a score is no place of it
    scores = compare_maps(torch.stack([flat, corner, flat]), torch.stack([corner, corner, 0 * corner]))
    assert scores.n == 2 and scores.n_empty == 1 and scores.pointing == pytest.approx(0.625)


def test_saliency_finds_the_place_that_a_score_depends_on(pain):
    "A score made of known pixels: both ways must point there."
    backbone, place = pain.backbone, (slice(60, 80), slice(30, 50))

    class Eye(torch.nn.Module):
        visual = backbone.model.visual

        def encode_image(self, x):
            return x[(..., *place)].flatten(1) @ torch.ones(1200, 4)

    eye = replace(backbone, model=Eye())
    frames = np.full((1, 96, 96, 3), 200, np.uint8)
    for heat in (gradient_maps(eye, frames, torch.sum)[0], occlusion_map(eye, frames, torch.sum)):
        row, column = divmod(int(heat.argmax()), 96)
        assert 58 <= row <= 82 and 28 <= column <= 52


def test_gradients_in_batches_are_those_of_the_whole_film(pain):
    clip = make_clip("pain", 22_001, "pain", 3, every=15)

    def score(frames):
        return pain(frames[None]).logits[0, 1]

    whole, parts = (gradient_maps(pain.backbone, clip.frames, score, batch_size=n) for n in (99, 2))
    x = model_pixels(pain.backbone, clip.frames).requires_grad_()
    (slope,) = torch.autograd.grad(score(pain.backbone.model.encode_image(x)), x)
    raw = gradient_maps(pain.backbone, clip.frames, score, spread=0)
    assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-3 * float(whole.max()))
    assert torch.allclose(raw, slope.abs().sum(1), rtol=1e-3, atol=1e-3 * float(raw.max()))


def test_shuffled_weights_leave_the_model_as_it_was(pain):
    before = pain.backbone.hash
    other = shuffled_backbone(pain.backbone)
    assert pain.backbone.hash == before != other.hash


def test_where_asks_for_classes_and_action_units(pain):
    clip = make_clip("pain", 22_001, "pain", 3, every=15)
    w = where(pain, clip)
    assert w.question in pain.classes and w.maps.shape == (len(clip), 96, 96) and w.heat.max() == 1
    assert where(pain, clip, "AU4", scored="sentence").question == "AU4"
    assert len(where(pain, clip, "pain", "occlusion", every=4).maps) == 1
    with pytest.raises(InputError, match="neither a class nor an action unit"):
        where(pain, clip, "AU04")
    with pytest.raises(NoFaceError, match="a face in 0 of"):
        where(pain, replace(clip, found=np.zeros(len(clip), bool)))


def test_the_picture_of_where_and_which(pain):
    fig = plot_where(pain, make_clip("pain", 22_001, "pain", 3, every=15), top=1)
    assert len(fig.axes) == 4
    ax = plot_heat(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2)))
    assert np.asarray(ax.images[1].get_alpha()).max() == 0
    with pytest.raises(InputError, match="1 to 4"):
        plot_where(pain, make_clip("pain", 22_001, "pain", 3, every=30), top=0)


def made_up(n=20):
    g = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (n, 64, 64, 3), generator=g, dtype=torch.uint8).numpy()
    maps = torch.rand(n, 32, 32, generator=g)
    return Lessons(pictures, torch.arange(n) % len(CODEBOOK_EMOTIONS), maps, maps.flip(0), torch.arange(n))


def test_the_guidance_term_by_hand():
    one, other = torch.zeros(2, 1, 8, 8)
    one[0, :4], other[0, 4:] = 1, 1
    assert guidance_term(one, one) == pytest.approx(0, abs=1e-6)
    assert guidance_term(one, other) == pytest.approx(1, abs=1e-6)
    assert guidance_term(torch.ones(1, 2, 2), torch.tensor([[[1.0, 0], [0, 0]]])) == pytest.approx(0.5)
    both = guidance_term(torch.cat([one, one]), torch.cat([other, 0 * other]))
    assert both == pytest.approx(1, abs=1e-6)  # a neutral picture is left out, not counted as right


def test_no_weight_is_plain_training_bit_for_bit_and_a_weight_is_not():
    recipe, lessons = GuidanceRecipe(weight=0, steps=2, batch=8), made_up()
    nets = [GuidedTower() for _ in range(3)]
    train_guided(nets[0], lessons, lessons.true, recipe)
    train_guided(nets[1], lessons, lessons.textbook, recipe)  # other maps, never looked at
    train_guided(nets[2], lessons, lessons.true, replace(recipe, weight=3))
    plain, zero, guided = (net.state_dict() for net in nets)
    assert all(torch.equal(plain[k], zero[k]) for k in plain)
    assert any(not torch.equal(plain[k], guided[k]) for k in plain)


def test_maps_move_as_pictures_do():
    lessons = made_up(4)
    big = F.interpolate(lessons.true[:, None], (64, 64), mode="nearest").expand(-1, 3, -1, -1)
    for seed in range(6):
        x, a = moved_alike(big, lessons.true, np.random.default_rng(seed))
        assert torch.equal(F.interpolate(a[:, None], (64, 64), mode="nearest")[:, 0], x[:, 0])


def test_lessons_are_the_same_each_time_and_neutral_ones_have_no_map():
    a, b = (emotion_lessons([510_000], map_size=16, size=32) for _ in range(2))
    assert (a.pictures == b.pictures).all() and torch.equal(a.true, b.true)
    empty = a.true.flatten(1).amax(1) == 0
    assert CODEBOOK_EMOTIONS[int(a.labels[empty])] == "neutral"
