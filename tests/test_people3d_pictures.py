"""3-D people in pictures: the z-buffer, skin and folds, hair, light, camera, and what each action unit changes."""

import numpy as np
import pytest
import torch

from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.lens import Lens, Shot, backdrop, developed, head_rotation
from clip_autt.faces.hair import FACIAL_HAIR, HAIR_STYLES, SPECTACLES, style_layers, style_of
from clip_autt.faces.identity import Identity
from clip_autt.faces.light import Light
from clip_autt.faces.photo import photograph
from clip_autt.faces.raster import fragments, interpolated, rasterize, vertex_normals
from clip_autt.faces.skin import FURROWS, complexion_of, fold_depth, skin_map
from clip_autt.utils.errors import BankError, InputError

PERSON = Identity.sample(3, tone=0.3, age=32.0, male=0.0)
BARE = style_of(PERSON, hair="short", beard="none", glasses="none", fringe=0.0)
HEAD = ("AU51", "AU52", "AU53", "AU54")


def picture(left, right=None, size=64, wears=BARE, **kw):
    return photograph(PERSON, left, right, size=size, wears=wears, **kw)[0].astype(float)


CALM = picture({})


def change(left, right=None, **kw):
    return np.abs(picture(left, right, **kw) - picture({}, **kw)).sum(-1)


# ---- z-buffer


def plain(points, triangles, size):
    "Every pixel against every triangle, in whole numbers."
    depth, nearest = np.full((size, size), -np.inf), np.full((size, size), -1)
    grid = np.round(points[:, :2].numpy() * 16).astype(int)
    for f, corners in enumerate(triangles.tolist()):
        a, b, c = (grid[k].tolist() for k in corners)

        def area(p, q, r):
            return (r[0] - p[0]) * (q[1] - p[1]) - (q[0] - p[0]) * (r[1] - p[1])

        whole = area(a, b, c)
        if whole <= 0:
            continue
        for y in range(size):
            for x in range(size):
                p = (16 * x + 8, 16 * y + 8)
                w = np.array([area(p, b, c), area(a, p, c), area(a, b, p)])
                z = w @ points[corners, 2].numpy() / whole
                if (w >= 0).all() and z >= depth[y, x]:
                    depth[y, x], nearest[y, x] = z, f
    return nearest


@pytest.mark.parametrize("scale", [8, 20, 300])  # small triangles, large ones, and some far larger than the picture
def test_the_z_buffer_agrees_with_the_plain_loop(scale):
    g = torch.Generator().manual_seed(scale)
    points = (torch.rand(40, 3, generator=g) - 0.5) * scale + 8
    triangles = torch.randint(0, 40, (50, 3), generator=g)
    expected = plain(points, triangles, 16)
    nearest, weights = rasterize(points[None], triangles, 16)
    assert (nearest[0].numpy() == expected).mean() > 0.995  # ties in depth may differ
    assert ((nearest[0].numpy() >= 0) == (expected >= 0)).all()
    covered = weights[nearest >= 0]
    assert (covered > -1e-4).all() and torch.allclose(covered.sum(1), torch.ones(len(covered)), atol=1e-5)


def test_neighbours_leave_no_hole_and_the_nearer_wins():
    fan = torch.tensor([[2.0, 2, 0], [29.3, 3, 0], [28, 30.2, 0], [1, 27, 0], [14.7, 15.1, 0]])
    triangles = torch.tensor([[0, 4, 1], [1, 4, 2], [2, 4, 3], [3, 4, 0]])
    nearest, _ = rasterize(fan[None], triangles, 32)
    inside = nearest[0, 6:25, 6:25]
    assert (inside >= 0).all() and set(inside.unique().tolist()) == {0, 1, 2, 3}
    nearer = torch.cat([fan, fan * torch.tensor([1, 1, 0]) + torch.tensor([0, 0, 5.0])])
    assert (rasterize(nearer[None], torch.cat([triangles + 5, triangles]), 32)[0][0, 6:25, 6:25] < 4).all()
    assert (rasterize(fan[None], triangles.flip(1), 32)[0] == -1).all()  # from behind


def test_a_batch_is_its_pictures():
    g = torch.Generator().manual_seed(0)
    points, triangles = torch.rand(3, 4, 30, generator=g) * 20, torch.randint(0, 30, (40, 3), generator=g)
    together = fragments(points, triangles, 20)
    for b in range(4):
        alone, mine = fragments(points[:, b : b + 1], triangles, 20), together.picture == b
        assert torch.equal(alone.pixel, together.pixel[mine] - 400 * b)
        assert torch.equal(alone.triangle, together.triangle[mine])
        values = torch.rand(2, 4, 30, generator=g)
        mixed = interpolated(values, triangles, together)[:, mine]
        assert torch.allclose(mixed, interpolated(values[:, b : b + 1], triangles, alone), atol=1e-6)


def test_normals_of_a_ball_point_outward():
    t, p = torch.meshgrid(torch.linspace(0.2, 2.9, 20), torch.linspace(0, 6.2, 40), indexing="ij")
    ball = torch.stack([t.sin() * p.cos(), t.cos(), -t.sin() * p.sin()]).flatten(1)[:, None]
    i = torch.arange(800).view(20, 40)
    quads = torch.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).view(-1, 4)
    triangles = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    assert (vertex_normals(ball, triangles) * ball).sum(0).median() > 0.99


# ---- what action units change

UPPER, EYES, MIDDLE, LOWER = slice(8, 26), slice(18, 32), slice(22, 44), slice(32, 64)
PLACES = {
    **dict.fromkeys(("AU1", "AU2", "AU4"), UPPER),
    **dict.fromkeys("AU5 AU7 AU41 AU42 AU43 AU45 AU61 AU62 AU63 AU64".split(), EYES),
    **dict.fromkeys(("AU6", "AU44", "AU46"), slice(13, 40)),
    "AU9": slice(14, 50),
    **dict.fromkeys(("AU10", "AU38"), slice(28, 56)),
    "AU11": slice(13, 56),  # the target for the fold beside the nose moves the brow along
    "AU39": slice(20, 56),
}


@pytest.mark.parametrize("au", [au.id for au in BANK if au.id not in HEAD])
def test_an_action_unit_changes_its_part_of_the_face(au):
    "Seen, in its own rows, more the stronger it is."
    rows = PLACES.get(au, LOWER)
    quarter, half, full = (change({au: x}, {} if au == "AU37-wipe" else None) for x in (0.25, 0.5, 1.0))
    assert full.sum() > 250, "hardly to be seen"
    assert full[rows].sum() > 0.8 * full.sum()
    assert quarter.sum() < half.sum() < full.sum()


@pytest.mark.parametrize("au", HEAD)
def test_the_head_turns(au):
    assert change({au: 0.3}).sum() < change({au: 1}).sum() and change({au: 1}).sum() > 20_000


@pytest.mark.parametrize("au", "AU2 AU4 AU6 AU10 AU12 AU14 AU15 AU20 AU43 AU46".split())
def test_left_is_the_person_s_left(au):
    left, right = change({au: 1}, {}), change({}, {au: 1})
    assert left[:, 32:].sum() > 2.5 * left[:, :32].sum()
    assert right[:, :32].sum() > 2.5 * right[:, 32:].sum()


def test_eyes_and_head_turn_to_the_side_that_the_unit_names():
    "AU61 and AU51 go to the person's left, the right of the picture."
    light = style_of(PERSON, hair="bald", beard="none", glasses="none")
    eyes = lambda aus: (255 - picture(aus, size=128, wears=light).mean(-1))[44:58]
    where = lambda a: (a * np.arange(128)).sum() / a.sum()
    assert where(eyes({"AU61": 1})) > where(eyes({})) > where(eyes({"AU62": 1}))
    nose = head_rotation(torch.tensor([20.0]), torch.tensor([0.0]), torch.tensor([0.0]))[0] @ torch.tensor([0, 0, 1.0])
    assert nose[0] > 0.3
    turned = picture({}, head=[[25.0, 0, 0]]), picture({"AU51": 25 / 38})
    assert np.abs(turned[0] - turned[1]).mean() < 1


def test_closed_eyes_show_no_eye():
    for seed in range(6):
        who = Identity.sample(seed, tone=0.9, age=30.0)
        wears = style_of(who, hair="bald", glasses="none")
        shut, open_ = (int(photograph(who, {"AU43": a}, size=64, wears=wears)[0, 20:30, 12:52].max()) for a in (1, 0))
        assert open_ > shut + 25


# ---- skin


def folds(who, *aus):
    a = torch.zeros(1, len(BANK))
    a[:, [AU_ROW[au] for au in aus]] = 1
    return fold_depth(who, a, a, 64)[0]


@pytest.mark.parametrize("au", sorted({f.au for f in FURROWS}))
def test_furrows_appear_with_their_action_unit(au):
    who = complexion_of(PERSON, wrinkles=0.0)
    depth = folds(who, au)
    assert depth.max() > 0.3 and torch.allclose(depth, depth.flip(-1)) and folds(who).max() == 0
    assert folds(complexion_of(PERSON, wrinkles=1.0), au).sum() > depth.sum()


def test_age_leaves_folds():
    young, old = (complexion_of(Identity.sample(1, age=age)).wrinkles for age in (20.0, 80.0))
    assert old > young + 0.5


def test_tones_are_as_light_as_they_say():
    tones = np.linspace(0, 1, 9)
    light = [sum(complexion_of(Identity.sample(5, tone=float(t))).skin) for t in tones]
    assert light == sorted(light, reverse=True) and light[0] > 8 * light[-1]
    colour, relief = skin_map(complexion_of(PERSON), 32)
    assert colour.shape[1:] == relief.shape and 0 < colour.min() and colour.max() < 1


# ---- hair, light, camera


@pytest.mark.parametrize("hair", HAIR_STYLES)
def test_hair_changes_the_head_but_not_the_mouth(hair):
    base, worn = picture({}, wears=style_of(PERSON, hair="bald", volume=0.0, glasses="none")), None
    worn = picture({}, wears=style_of(PERSON, hair=hair, volume=0.6, glasses="none", fringe=0.0))
    difference = np.abs(worn - base).sum(-1)
    if hair != "bald":
        assert difference[:14].sum() > 3000
    assert difference[40:50, 26:38].sum() < 0.02 * difference.sum() + 50


def test_beards_and_glasses_are_where_they_belong():
    man = Identity.sample(3, tone=0.1, age=40.0, male=1.0)
    shown = lambda **kw: photograph(man, {}, size=64, wears=style_of(man, hair="short", **kw))[0].astype(float)
    bare = shown(beard="none", glasses="none")
    for beard in FACIAL_HAIR[1:]:
        d = np.abs(shown(beard=beard, glasses="none") - bare).sum(-1)
        assert d[36:].sum() > 0.95 * d.sum() > 500
    for glasses in SPECTACLES[1:]:
        d = np.abs(shown(beard="none", glasses=glasses) - bare).sum(-1)
        assert d[16:36].sum() > 0.95 * d.sum() > 500
    assert not [layer for layer in style_layers(style_of(man, hair="bald", beard="none", glasses="none"))]


def test_light_from_the_left_brightens_the_left():
    left, right = (picture({}, shot=Shot(Light(key=(x, 0.2, 0.4), fill_power=0.0))) for x in (1.0, -1.0))
    assert left[24:48, 36:48].mean() > left[24:48, 16:28].mean() + 15
    assert right[24:48, 16:28].mean() > right[24:48, 36:48].mean() + 15


def test_a_hand_hides_part_of_the_face_and_stays_when_the_head_turns():
    d = np.abs(picture({}, shot=Shot(hand=4)) - CALM).sum(-1)
    assert 5000 < d.sum() and (d > 30).mean() < 0.5


def test_the_camera_does_what_the_lens_says():
    light = backdrop(2, 64)[None]
    sharp = developed(light, Lens()).astype(float)
    detail = lambda x: np.abs(np.diff(x.astype(float), axis=2)).sum()
    for lens in (Lens(blur=2.0), Lens(motion=(8.0, 0.0))):
        assert detail(developed(light, lens)) < detail(sharp)
    assert developed(light, Lens(exposure=1.5)).mean() > sharp.mean()
    assert np.array_equal(developed(light, Lens(noise=5.0)), developed(light, Lens()))  # no generator, no noise
    assert np.abs(developed(light, Lens(jpeg=10)) - sharp).max() > 2


def test_shots_are_sampled_one_property_at_a_time():
    shots = [Shot.sample(seed) for seed in range(30)]
    assert len({s.light.key for s in shots}) == len({s.lens.zoom for s in shots}) == 30
    assert shots[:3] == [Shot.sample(seed) for seed in range(3)]
    assert style_of(PERSON, hair="bob").glasses == style_of(PERSON).glasses


# ---- the same again, and what is refused


def test_pictures_depend_on_nothing_but_the_arguments():
    aus = np.random.default_rng(0).random((7, len(BANK))) * (np.random.default_rng(1).random((7, len(BANK))) < 0.1)
    film = photograph(PERSON, aus)
    assert np.array_equal(film, photograph(PERSON, aus))
    alone = np.concatenate([photograph(PERSON, frame) for frame in aus])
    assert np.abs(film.astype(int) - alone).max() <= 3 and (film == alone).mean() > 0.99
    noisy = [photograph(PERSON, {}, shot=Shot.sample(9), g=np.random.default_rng(2)) for _ in range(2)]
    assert np.array_equal(*noisy)


def test_people_differ():
    faces = [photograph(Identity.sample(seed), {}, size=32)[0].astype(float) for seed in range(12)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(faces) for b in faces[:i]) > 4


@pytest.mark.parametrize("size", [16, 33, 100])
def test_any_size_in_range_works(size):
    assert photograph(PERSON, {}, size=size).shape == (1, size, size, 3)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: photograph(PERSON, {}, size=8), "16 to 1024"),
        (lambda: photograph(PERSON, {}, size=2000), "16 to 1024"),
        (lambda: photograph(PERSON, {"AU12": 1.5}), "AU12 has the intensity 1.5"),
        (lambda: photograph(PERSON, {"AU12": -0.1}), "AU12 has the intensity -0.1"),
        (lambda: photograph(PERSON, {"AU99": 1}), "AU99"),
        (lambda: photograph(PERSON, np.zeros((2, 46))), "must be [T, 47]"),
        (lambda: photograph(PERSON, np.zeros((2, 47)), np.zeros((3, 47))), "2 and 3"),
        (lambda: style_of(PERSON, hair="mohawk"), "hair is one of"),
        (lambda: Identity.sample(-1), "from 0 up"),
        (lambda: rasterize(torch.zeros(3, 3), torch.zeros(1, 3, dtype=torch.int64), 8), "must be [B, V, 3]"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises((BankError, InputError)) as error:
        call()
    assert said in str(error.value)
