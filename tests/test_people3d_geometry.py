"""People in three dimensions: the mesh, who somebody is, and what each action unit does to a face."""

import shutil
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch

from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.head import (
    LEFT_EYE,
    LOWER_TEETH,
    RIGHT_EYE,
    SKIN,
    TONGUE,
    UPPER_TEETH,
    blended,
    head_mesh,
    joint,
    part_vertices,
)
from clip_autt.faces.identity import Identity, asymmetry_axes, resting_mesh, shape_axes
from clip_autt.faces.lids import clear_of_eye, eye_lids, lid_margins, lid_motion, moved_lids
from clip_autt.faces.muscles import AU_TARGETS, CORRECTIVES, gaze, head_turn, moved_mesh
from clip_autt.utils.assets import assets
from clip_autt.utils.errors import BackboneError, InputError

MESH = head_mesh()
PEOPLE = [Identity.sample(seed) for seed in (0, 3, 6, 11, 38)]  # men and women, a child, young and old
FLIP = torch.tensor([-1.0, 1, 1])


def even(seed: int) -> Identity:
    "Somebody whose halves are alike."
    return replace(Identity.sample(seed), asymmetry=(0.0,) * len(asymmetry_axes()))


def intensities(aus: dict[str, float], frames: int = 1) -> torch.Tensor:
    a = torch.zeros(frames, len(BANK))
    for au, x in aus.items():
        a[:, AU_ROW[au]] = x
    return a


def moved(person: Identity, **aus: float) -> torch.Tensor:
    a = intensities({au.replace("_", "-"): x for au, x in aus.items()})
    return moved_mesh(person, a, a)[0]


def at(x: float, y: float) -> int:
    "The vertex of the front of the skin that is nearest to a place on the base mesh."
    skin = torch.full((len(MESH.vertices),), 9.0)
    i = part_vertices(SKIN)
    i = i[(MESH.vertices[i, 2] > 0.9) & (MESH.masks["inside_mouth"][i] < 0.1)]
    skin[i] = (MESH.vertices[i, :2] - torch.tensor([x, y])).norm(dim=1)
    return int(skin.argmin())


UPPER, LOWER = lid_margins("left")
PLACES = {
    "inner brow": at(0.15, 7.47),
    "outer brow": at(0.45, 7.47),
    "upper lid": int(UPPER[len(UPPER) // 2]),
    "lower lid": int(LOWER[len(LOWER) // 2]),
    "cheek": at(0.42, 6.98),
    "side of the nose": at(0.15, 6.90),
    "upper lip": at(0.08, 6.69),
    "corner": at(0.27, 6.62),
    "beside the corner": at(0.33, 6.62),
    "lower lip": at(0.0, 6.53),
    "upper border": at(0.06, 6.71),
    "lower border": at(0.0, 6.46),
    "chin": at(0.0, 6.28),
    "boss of the chin": at(0.06, 6.34),
    "puff": at(0.46, 6.66),
    "masseter": at(0.56, 6.70),
    "fold": at(0.27, 6.84),
    "tongue": int(part_vertices(TONGUE)[MESH.vertices[part_vertices(TONGUE), 2].argmax()]),
}
OUT, UP, FORTH = (torch.tensor(axis) for axis in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]))  # on the left half
MOVES = [  # action unit, place, direction, and at least how far at full intensity, in distances between the eyes
    ("AU1", "inner brow", UP, 0.10), ("AU2", "outer brow", UP, 0.08), ("AU4", "inner brow", -UP, 0.08),
    ("AU4", "inner brow", -OUT, 0.03), ("AU5", "upper lid", UP, 0.03), ("AU6", "cheek", UP, 0.05),
    ("AU7", "lower lid", UP, 0.02), ("AU9", "side of the nose", UP, 0.04), ("AU9", "inner brow", -UP, 0.03),
    ("AU10", "upper lip", UP, 0.05), ("AU11", "fold", -FORTH, 0.03), ("AU12", "corner", UP, 0.07),
    ("AU12", "corner", OUT, 0.05), ("AU13", "corner", UP, 0.07), ("AU14", "corner", OUT, 0.03),
    ("AU14", "beside the corner", -FORTH, 0.05), ("AU15", "corner", -UP, 0.07), ("AU16", "lower lip", -UP, 0.04),
    ("AU17", "lower lip", UP, 0.05), ("AU17", "boss of the chin", FORTH, 0.02), ("AU18", "corner", -OUT, 0.08),
    ("AU20", "corner", OUT, 0.07), ("AU22", "lower lip", -UP, 0.05), ("AU22", "upper lip", FORTH, 0.03),
    ("AU25", "lower lip", -UP, 0.02),
    ("AU23", "upper border", -UP, 0.01), ("AU23", "lower border", UP, 0.02), ("AU24", "upper border", -UP, 0.01),
    ("AU24", "lower border", UP, 0.02), ("AU28", "upper border", -UP, 0.03), ("AU28", "lower border", UP, 0.05),
    ("AU32", "lower border", UP, 0.02), ("AU32", "upper lip", UP, 0.02), ("AU24", "upper lip", -FORTH, 0.03),
    ("AU26", "chin", -UP, 0.10), ("AU27", "chin", -UP, 0.25),
    ("AU41", "upper lid", -UP, 0.03), ("AU42", "upper lid", -UP, 0.05), ("AU43", "upper lid", -UP, 0.07),
    ("AU44", "lower lid", UP, 0.03), ("AU45", "upper lid", -UP, 0.07), ("AU46", "upper lid", -UP, 0.07),
    ("AU63", "upper lid", UP, 0.01), ("AU64", "upper lid", -UP, 0.03), ("AU29", "chin", FORTH, 0.15),
    ("AU31", "masseter", OUT, 0.05), ("AU33", "puff", FORTH, 0.10), ("AU38", "side of the nose", OUT, 0.04),
    ("AU39", "side of the nose", -OUT, 0.03), ("AU19", "tongue", FORTH, 0.20), ("AU37-lick", "tongue", UP, 0.05),
    ("AU37-lick", "tongue", FORTH, 0.20), ("AU37-wipe", "tongue", FORTH, 0.15),
]  # fmt: skip
REGIONS = {  # action units -> lowest and highest y of the base mesh that they move
    (6.9, 8.4): "AU1 AU2 AU4 AU5 AU41 AU42 AU43 AU45 AU63 AU64",
    (6.2, 7.8): "AU6 AU7 AU9 AU44 AU46 AU11 AU39",
    (5.6, 7.3): "AU10 AU12 AU13 AU14 AU15 AU16 AU17 AU18 AU20 AU22 AU23 AU24 AU25 AU28 AU32 AU33 AU38",
    (5.0, 7.15): "AU26 AU27 AU29 AU31 AU19 AU37-wipe AU37-lick",
}


def test_the_mesh_is_whole_and_even():
    assert MESH.triangles.max() < len(MESH.vertices) and MESH.triangles.min() >= 0
    assert torch.equal(MESH.vertices[MESH.mirror] * FLIP, MESH.vertices)
    assert torch.equal(MESH.mirror[MESH.mirror], torch.arange(len(MESH.vertices)))
    assert MESH.vertices[part_vertices(LEFT_EYE), 0].min() > 0 > MESH.vertices[part_vertices(RIGHT_EYE), 0].max()
    assert 0 <= MESH.uv.min() and MESH.uv.max() <= 1 and all(0 <= m.min() and m.max() <= 1 for m in MESH.masks.values())
    assert len(set(MESH.names)) == len(MESH.names) == MESH.targets.shape[0]


def test_targets_add_up_and_unknown_ones_are_named():
    a, b = {"unit/jawOpen": 0.5}, {"nose/nose-hump-incr": 1.0}
    assert torch.allclose(blended(a | b), blended(a) + blended(b), atol=1e-6)
    assert not blended({}).any()
    with pytest.raises(InputError, match="Did you mean 'unit/jawOpen'"):
        blended({"unit/jawopen": 1})


def test_a_damaged_mesh_is_one_clear_error(tmp_path, monkeypatch):
    shutil.copytree(assets() / "head", tmp_path / "head")
    shutil.copy(assets() / "hashes.json", tmp_path)
    data = bytearray((tmp_path / "head" / "head.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "head" / "head.npz").write_bytes(data)
    monkeypatch.setattr(import_module("clip_autt.utils.assets"), "assets", lambda: tmp_path)
    with pytest.raises(BackboneError, match=r"head.npz is damaged.*Install the package again"):
        head_mesh.__wrapped__()
    (tmp_path / "head" / "head.npz").unlink()
    with pytest.raises(BackboneError, match=r"head.npz is missing"):
        head_mesh.__wrapped__()


def test_a_person_is_the_number():
    again = [Identity.sample(person.seed) for person in PEOPLE]
    assert again == PEOPLE and len({person.shape for person in PEOPLE}) == len(PEOPLE)
    person = Identity.sample(5)  # the same on every platform
    assert (person.age, person.male, person.tone, person.shape[0]) == (11.1, 0.043, 0.841, 0.0295)
    assert torch.allclose(resting_mesh(person)[1234], torch.tensor([-0.1115, -0.0409, -0.0087]), atol=2e-4)


@pytest.mark.parametrize("fixed", [{"age": 70.0}, {"male": 1.0}, {"tone": 0.9}, {"weight": 0.8}])
def test_what_is_fixed_leaves_the_rest_alone(fixed):
    person, other = Identity.sample(4), Identity.sample(4, **fixed)
    assert replace(other, **{name: getattr(person, name) for name in fixed}) == person


@pytest.mark.parametrize("bad, message", [
    ({"age": 5.0}, "between 10 and 90"), ({"male": 1.5}, "between 0 and 1"), ({"tone": -0.1}, "between 0 and 1"),
    ({"tone": float("nan")}, "between 0 and 1"), ({"ethnicity": (1.0, 1.0, 0.0)}, "sum to 1"),
    ({"shape": (0.0,)}, "numbers, got 1"), ({"hight": 3}, "no hight"),
])  # fmt: skip
def test_a_person_who_cannot_be_is_refused(bad, message):
    with pytest.raises(InputError, match=message):
        Identity.sample(4, **bad)


@pytest.mark.parametrize("seed", [-1, 1.5, "3", None])
def test_a_person_needs_a_whole_number(seed):
    with pytest.raises(InputError, match="whole number from 0 up"):
        Identity.sample(seed)


def test_faces_at_rest_are_centred_and_plausible():
    for seed in range(40):
        face = resting_mesh(Identity.sample(seed))
        assert ((joint(face, "l-eye") + joint(face, "r-eye")) / 2).abs().max() < 1e-5
        assert 0.45 < joint(face, "l-eye")[0] - joint(face, "r-eye")[0] < 0.8
        lips = face[MESH.masks["lips"] > 0.9].mean(0)
        assert -1.0 < lips[1] < -0.4 and abs(lips[0]) < 0.05


def test_age_and_sex_show():
    child, man = (resting_mesh(Identity.sample(4, age=a, male=1.0)) for a in (10.0, 40.0))
    woman = resting_mesh(Identity.sample(4, age=40.0, male=0.0))
    width = lambda face: (face[part_vertices(SKIN), 0][face[part_vertices(SKIN), 1] > -0.6]).max()
    assert width(child) < width(man) and (man - woman).abs().max() > 0.05


def test_every_shape_axis_changes_the_face():
    person = even(2)
    for i in range(0, len(shape_axes()), 10):
        shape = list(person.shape)
        shape[i] = 0.7 if shape[i] < 0.3 else -0.7
        assert (resting_mesh(replace(person, shape=tuple(shape))) - resting_mesh(person)).abs().max() > 0.001


def test_every_action_unit_does_something_and_only_these():
    rest = moved(PEOPLE[0])
    for au in BANK:
        a = intensities({au.id: 1.0})
        turns = head_turn(a, a).any() or gaze(a, a).any()
        assert turns or (moved_mesh(PEOPLE[0], a, a)[0] - rest).abs().max() > 0.01, au.id
    assert set(AU_TARGETS) | {name for pair in CORRECTIVES for name in pair} <= {au.id for au in BANK}


@pytest.mark.parametrize("au, place, direction, least", MOVES, ids=[f"{m[0]} {m[1]}" for m in MOVES])
def test_an_action_unit_moves_its_part_the_right_way(au, place, direction, least):
    "Monotone in its intensity, and far enough to be seen."
    steps = torch.linspace(0, 1, 6)
    for person in PEOPLE:
        a = torch.cat([intensities({au: float(x)}) for x in steps])
        rest = moved(person)
        eyes = (joint(rest, "l-eye") - joint(rest, "r-eye")).norm()
        way = (moved_mesh(person, a, a)[:, PLACES[place]] @ direction) / eyes
        assert (way.diff() > 0).all() and way[-1] - way[0] > least, (person.id, way - way[0])


@pytest.mark.parametrize("box, au", [(box, au) for box, aus in REGIONS.items() for au in aus.split()])
def test_little_moves_elsewhere(box, au):
    person, (low, high) = PEOPLE[1], box
    way = (moved(person, **{au.replace("-", "_"): 1.0}) - moved(person)).norm(dim=1)
    skin = torch.zeros(len(way))
    skin[part_vertices(SKIN)] = 1
    elsewhere = (MESH.vertices[:, 1] < low) | (MESH.vertices[:, 1] > high)
    assert (way * skin)[elsewhere].max() < 0.15 * (way * skin).max()


@pytest.mark.parametrize(
    "au", [au for au in AU_TARGETS if au not in ("AU26", "AU27", "AU29", "AU19") and "37" not in au]
)
def test_left_is_the_persons_left(au):
    person, a, none = even(3), intensities({au: 1.0}), intensities({})
    rest = moved(person)
    left, right = moved_mesh(person, a, none)[0] - rest, moved_mesh(person, none, a)[0] - rest
    far_left, far_right = MESH.vertices[:, 0] > 0.17, MESH.vertices[:, 0] < -0.17
    skin = torch.zeros(len(rest), dtype=torch.bool)
    skin[part_vertices(SKIN)] = True
    strongest = left[skin & far_left].norm(dim=1).max()
    assert left[skin & far_right].norm(dim=1).max() < 0.2 * strongest
    assert (left[MESH.mirror] * FLIP - right).norm(dim=1)[skin].max() < 0.2 * strongest


def test_jaw_and_tongue_belong_to_both_halves():
    person, a, none = even(3), intensities({"AU27": 1.0}), intensities({})
    one, both = moved_mesh(person, a, none)[0], moved_mesh(person, a, a)[0]
    drop = [float((face - moved(person))[PLACES["chin"], 1]) for face in (one, both)]
    assert drop[0] == pytest.approx(drop[1] / 2, rel=0.15)
    sides = [float((one - moved(person))[at(x, 6.3), 1]) for x in (0.2, -0.2)]
    assert sides[0] == pytest.approx(sides[1], rel=0.15)
    wipe = intensities({"AU37-wipe": 1.0})
    aside = [moved_mesh(person, *halves)[0][PLACES["tongue"], 0] for halves in ((wipe, none), (none, wipe))]
    assert aside[0] > 0.1 and aside[1] < -0.1


def gap(person: Identity, side: str, **aus: float) -> torch.Tensor:
    "Angles between the margins of the lids, in degrees."
    upper, lower = lid_margins(side)
    d = moved(person, **aus) - joint(resting_mesh(person), {"left": "l-eye", "right": "r-eye"}[side])
    angle = torch.atan2(d[:, 1], d[:, 2]).rad2deg()
    return angle[upper] - torch.from_numpy(np.interp(d[upper, 0], d[lower, 0], angle[lower]))


@pytest.mark.parametrize("side", ["left", "right"])
def test_eyes_of_every_shape_close_step_by_step(side):
    for seed in range(25):
        person = Identity.sample(seed)
        gaps = torch.stack([gap(person, side, AU43=x).median() for x in (0.0, 0.25, 0.5, 0.75, 1.0)])
        assert (gaps.diff() < -2).all() and gaps[0] > 12 and gaps[-1] < 1, (seed, gaps)
        for others in ({"AU44": 1.0}, {"AU7": 1.0, "AU6": 1.0}, {"AU5": 1.0}, {"AU4": 1.0, "AU9": 1.0}):
            assert -7 < gap(person, side, AU43=1.0, **others).median() < 2, (seed, others)
            assert gap(person, side, **others).median() > 0 or others == {"AU44": 1.0}


@pytest.mark.parametrize("aus", [
    {"AU43": 0.5}, {"AU43": 1.0}, {"AU6": 1.0}, {"AU44": 1.0}, {"AU5": 1.0}, {"AU6": 1.0, "AU43": 0.7, "AU4": 1.0},
])  # fmt: skip
def test_lids_stay_outside_of_the_eye(aus):
    for person in PEOPLE:
        face = moved(person, **aus)
        for side, eye in (("left", "l-eye"), ("right", "r-eye")):
            lids, centre = eye_lids(person, side), joint(resting_mesh(person), eye)
            d = face[lids.vertices] - centre
            front = d[:, 2] > 0.02
            assert (d.norm(dim=1) - lids.nearest)[front].min() > -1e-4


def seen_share(face: torch.Tensor, centre: torch.Tensor) -> float:
    "Share of the front of an eyeball, on a grid, that no skin lies in front of."
    line = torch.linspace(-0.13, 0.13, 27)
    points = torch.cartesian_prod(line, line)
    points = points[points.norm(dim=1) < 0.13]
    depth = (0.149**2 - points.norm(dim=1) ** 2).sqrt()
    tri = face[MESH.triangles[MESH.part == SKIN]] - centre
    a, b, c = tri[(tri[..., :2].abs().amin(1) < 0.2).all(1) & (tri[..., 2] > -0.02).all(1)].unbind(1)
    cross = lambda u, v: u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    p, area = points[:, None], cross(b - a, c - a)
    wb, wc = cross(p - a[:, :2], c - a) / area, cross(b - a, p - a[:, :2]) / area
    z = a[:, 2] + wb * (b - a)[:, 2] + wc * (c - a)[:, 2]
    inside = (wb >= -1e-4) & (wc >= -1e-4) & (wb + wc <= 1 + 1e-4)
    return 1 - float((inside & (z > depth[:, None])).any(1).float().mean())


def test_nothing_is_seen_of_a_closed_eye():
    for seed in range(12):
        person = Identity.sample(seed)
        for eye in ("l-eye", "r-eye"):
            centre = joint(resting_mesh(person), eye)
            for others in (
                {},
                {"AU44": 1.0},
                {"AU6": 1.0, "AU12": 1.0},
                {"AU4": 1.0, "AU9": 1.0},
                {"AU1": 1.0, "AU5": 1.0},
            ):
                assert seen_share(moved(person, AU43=1.0, **others), centre) < 0.005, (seed, eye, others)
            shares = [
                seen_share(moved(person, **aus), centre) for aus in ({"AU5": 1.0}, {}, {"AU41": 1.0}, {"AU42": 1.0})
            ]
            assert shares[0] > shares[1] > shares[2] > shares[3] and shares[1] > 0.15, (seed, eye, shares)


def test_closing_saturates_and_a_wink_is_one_eye():
    assert lid_motion(intensities({"AU43": 1.0, "AU41": 1.0}))[0, 0] == 1
    assert lid_motion(intensities({"AU42": 0.5}))[0, 0] < lid_motion(intensities({"AU42": 0.5, "AU41": 0.5}))[0, 0] < 1
    a, none = intensities({"AU46": 1.0}), intensities({})
    face, rest = moved_mesh(PEOPLE[1], a, none)[0], moved(PEOPLE[1])
    upper = lid_margins("right")[0]
    assert (face - rest)[upper].abs().max() < 0.01 and (face - rest)[UPPER].abs().max() > 0.05


def test_lids_alone_are_what_the_face_does():
    person = PEOPLE[2]
    lids, motion = eye_lids(person, "left"), lid_motion(intensities({"AU43": 0.6}))
    alone = clear_of_eye(lids, resting_mesh(person)[lids.vertices] + moved_lids(lids, motion))[0]
    assert torch.allclose(moved(person, AU43=0.6)[lids.vertices], alone, atol=1e-5)


def lip_gap(face: torch.Tensor) -> float:
    "Height of the opening between the lips, on the midline."
    upper, lower = at(0.0, 6.62), at(0.0, 6.595)
    lips = (MESH.masks["lips"] > 0.5) & (MESH.vertices[:, 0].abs() < 0.03)
    above, below = lips & (MESH.vertices[:, 1] > 6.615), lips & (MESH.vertices[:, 1] < 6.60)
    assert upper != lower
    return float(face[above, 1].min() - face[below, 1].max())


def test_a_smile_with_parted_lips_shows_teeth():
    "Without its corrective, a smile closes the lips that AU25 parts."
    for person in PEOPLE:
        rest = lip_gap(moved(person))
        assert lip_gap(moved(person, AU12=1.0)) < rest + 0.02
        gaps = [lip_gap(moved(person, AU12=x, AU25=x)) for x in (0.0, 0.25, 0.5, 0.75, 1.0)]
        assert np.all(np.diff(gaps) > 0) and gaps[-1] - rest > 0.08
        assert gaps[-1] > lip_gap(moved(person, AU25=1.0))


def test_correctives_need_both():
    person = PEOPLE[1]
    alone = [moved(person, **{au.replace("-", "_"): 1.0}) - moved(person) for au in ("AU12", "AU25")]
    both = moved(person, AU12=1.0, AU25=1.0) - moved(person)
    assert (both - sum(alone)).norm(dim=1).max() > 0.03
    apart = moved_mesh(person, intensities({"AU12": 1.0}), intensities({"AU25": 1.0}))[0]  # on different halves
    plain = [moved_mesh(person, intensities({"AU12": 1.0}), intensities({}))[0],
             moved_mesh(person, intensities({}), intensities({"AU25": 1.0}))[0]]  # fmt: skip
    assert torch.allclose(apart, plain[0] + plain[1] - moved(person), atol=5e-3)


def test_teeth_hide_behind_lips_at_rest():
    lips = MESH.masks["lips"] > 0.9
    for person in PEOPLE:
        face, teeth = moved(person), part_vertices(UPPER_TEETH, LOWER_TEETH)
        assert face[teeth, 2].max() < face[lips, 2].max() - 0.03


def test_a_batch_is_its_frames():
    g = np.random.default_rng(7)
    left, right = (torch.tensor(g.random((6, len(BANK))) * (g.random((6, len(BANK))) < 0.2)) for _ in range(2))
    batch = moved_mesh(PEOPLE[3], left, right)
    for k in range(6):
        assert torch.allclose(batch[k], moved_mesh(PEOPLE[3], left[k : k + 1], right[k : k + 1])[0], atol=1e-5)
    assert moved_mesh(PEOPLE[3], left[:0], right[:0]).shape == (0, *MESH.vertices.shape)


def test_nothing_tears():
    "No edge of the skin grows beyond what a face that moves can do, in any action unit of any of these people."
    tri = MESH.triangles[MESH.part == SKIN]
    edges = torch.cat([tri[:, [0, 1]], tri[:, [1, 2]], tri[:, [2, 0]]]).unique(dim=0)
    for person in PEOPLE:
        rest = moved(person)
        length = lambda face: (face[..., edges[:, 0], :] - face[..., edges[:, 1], :]).norm(dim=-1)
        a = torch.eye(len(BANK))
        grown = length(moved_mesh(person, a, a)) - length(rest)
        worst = grown.amax(1)
        assert worst.max() < 0.2, BANK[int(worst.argmax())].id


@pytest.mark.parametrize("change, message", [
    (lambda a: a[:, :46], "one column for each"), (lambda a: a[0], "one column for each"),
    (lambda a: a + 1.2, "between 0 and 1"), (lambda a: a - 0.1, "between 0 and 1"),
    (lambda a: a * float("nan"), "between 0 and 1"),
])  # fmt: skip
def test_impossible_intensities_are_refused(change, message):
    good = intensities({"AU12": 0.5})
    for left, right in ((change(good), good), (good, change(good))):
        with pytest.raises(InputError, match=message):
            moved_mesh(PEOPLE[0], left, right)


def test_eyes_and_head_turn_to_the_persons_left():
    a = intensities({"AU61": 1.0, "AU51": 1.0, "AU53": 1.0, "AU63": 0.5})
    assert (gaze(a, a)[0] > 5).all() and (head_turn(a, a)[0, :2] > 10).all() and head_turn(a, a)[0, 2] == 0
    a = intensities({"AU62": 1.0, "AU52": 1.0, "AU54": 1.0, "AU64": 0.5})
    assert (gaze(a, a)[0] < -5).all() and (head_turn(a, a)[0, :2] < -10).all()
