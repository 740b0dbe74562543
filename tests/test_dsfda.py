"DSFDA: parts and losses against the formulas, both readings of each trap, exactness, and a world of resting faces."

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from torch import nn

from clip_autt import CheckpointError, ClipAU, InputError, LabeledVideo, load_backbone
from clip_autt.features import by_subject
from clip_autt.methods import dsfda
from clip_autt.methods.disentangle import (
    NOISE_WIDTH,
    Discriminator,
    Disentangler,
    ExpressionClassifier,
    FourAdams,
    FramePairs,
    GeneratorWeights,
    PartsSchedule,
    dropout_by,
    generated,
    generator_loss,
    noisy_pairs,
    people_loss,
    train_parts,
    train_step,
)
from clip_autt.methods.dsfda import (
    DSFDA,
    DisentangledSource,
    FramePool,
    expression_givers,
    frame_prototypes,
    prepare_dsfda,
    source_epoch,
    target_epoch,
    target_nets,
)
from clip_autt.methods.neutral_shift import NeutralShift
from clip_autt.methods.source_statistics import source_statistics
from clip_autt.personal.training import made_up_videos
from clip_autt.train import fit
from clip_autt.utils.weights import read_weights

PARTS = ("e_id", "e_exp", "decoder", "c_exp", "q_id", "q_exp")
NOTHING = dict(identity=0.0, expression=0.0, perceptual=0.0, reconstruction=0.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(n=12, dim=16, people=3, classes=2, seed=0):
    g = seeded(seed)
    x_i, x_e = torch.randn(2, n, dim, generator=g)
    return noisy_pairs(x_i, torch.arange(n) % people, x_e, torch.arange(n) % classes, g)


def row(b, k):
    return FramePairs(*(t[k : k + 1] for t in b[:4]), b.noise[:, k : k + 1])


def weights(part):
    return torch.cat([p.detach().flatten().clone() for p in part.parameters()])


@pytest.fixture
def nets():
    torch.manual_seed(0)
    return Disentangler(16, 2, 3)


@pytest.fixture(scope="module")
def source():
    return made_up_videos([f"source person {i}" for i in range(10)], clips=8, rest_sd=2.0)


@pytest.fixture(scope="module")
def prepared(source):
    model = ClipAU(load_backbone("tiny"), classes=("neutral", "pain"))
    fit(model, source, epochs=3, progress=False)
    prepare_dsfda(model, source, epochs=25, batch_size=64, lr=1e-3)
    return model


@pytest.fixture(scope="module")
def people():
    "For each person three control videos, and the others with their labels."
    videos = made_up_videos([f"T{i}" for i in range(8)], clips=10, rest_sd=2.0, seed=3)
    quiet = {who: [x.video for x in own if x.label == "neutral"][:3] for who, own in by_subject(videos).items()}
    scored = {
        who: [x for x in own if all(x.video is not v for v in quiet[who])] for who, own in by_subject(videos).items()
    }
    return quiet, scored


@pytest.fixture
def quiet(people):
    return people[0]["T0"]


@pytest.fixture
def films(people):
    return [x.video for x in people[1]["T0"]]


def enrolled(model, videos, **settings):
    method = DSFDA(model, **{"epochs": 2, **settings})
    method.enroll(videos)
    return method


# the losses


def test_generated_frames_are_those_of_the_formulas(nets):
    b = draw()
    g = nets.decode(nets.e_exp(b.x_e), nets.e_id(b.x_i), b.noise[0])
    r_i = nets.decode(nets.e_exp(b.x_i), nets.e_id(g), b.noise[1])
    r_e = nets.decode(nets.e_exp(g), nets.e_id(b.x_e), b.noise[2])
    for ours, theirs in zip(generated(nets, b), (g, r_i, r_e)):
        torch.testing.assert_close(ours, theirs)


def test_the_generator_loss_is_the_formula_with_the_published_weights(nets):
    b = draw()
    g, r_i, r_e = generated(nets, b)
    phi = nets.q_id.encoder
    by_hand = (
        0.2 * F.cross_entropy(nets.q_id(g), b.y_i)
        + 0.8 * F.cross_entropy(nets.q_exp(g), b.c_e)
        + (phi(g) - phi(b.x_i)).square().mean()
        + 5 * (r_i - b.x_i).abs().mean()
        + 5 * (r_e - b.x_e).abs().mean()
    )
    torch.testing.assert_close(generator_loss(nets, b), by_hand)


def test_features_of_the_real_frame_are_constants(nets):
    b = draw()
    only = generator_loss(
        nets, b._replace(x_i=b.x_i.requires_grad_()), GeneratorWeights(**{**NOTHING, "perceptual": 1})
    )
    ours = torch.autograd.grad(only, b.x_i)[0]
    g = generated(nets, b)[0]
    wanted = F.mse_loss(nets.q_id.encoder(g), nets.q_id.encoder(b.x_i).detach())
    torch.testing.assert_close(ours, torch.autograd.grad(wanted, b.x_i)[0])


def test_the_discriminator_of_people_has_a_class_for_generated_frames(nets):
    b, noise = draw(), torch.rand(12, NOISE_WIDTH, generator=seeded(5))
    g = nets.decode(nets.e_exp(b.x_e), nets.e_id(b.x_i), noise).detach()
    by_hand = F.cross_entropy(nets.q_id(b.x_i), b.y_i) + F.cross_entropy(nets.q_id(g), torch.full((12,), 3))
    torch.testing.assert_close(people_loss(nets, b, noise), by_hand)
    others = [p for name in ("decoder", "e_id", "e_exp") for p in getattr(nets, name).parameters()]
    assert all(x is None for x in torch.autograd.grad(people_loss(nets, b, noise), others, allow_unused=True))


def test_no_pair_knows_its_neighbours(nets):
    b = draw()
    alone = torch.stack([generator_loss(nets, row(b, k)) for k in range(12)]).mean()
    torch.testing.assert_close(generator_loss(nets, b), alone)


def test_prototypes_may_be_permuted_within_a_class(nets):
    "The mean of the generator's loss over all pairs of control frame and prototype, without noise."
    g = seeded(4)
    control, givers, classes = torch.randn(6, 16, generator=g), torch.randn(8, 16, generator=g), torch.arange(8) // 4

    def mean(order):
        i, e = torch.cartesian_prod(torch.arange(6), order).T
        b = FramePairs(control[i], torch.zeros_like(i), givers[e], classes[e], torch.zeros(3, len(i), NOISE_WIDTH))
        return generator_loss(nets, b)

    whole = torch.arange(8)
    within = torch.cat([4 * c + torch.randperm(4, generator=g) for c in (0, 1)])
    assert not torch.equal(within, whole)
    torch.testing.assert_close(mean(within), mean(whole))
    across = classes.flip(0)  # the same frames under the other class
    b = FramePairs(control[:1].expand(8, -1), torch.zeros(8, dtype=torch.long), givers, across, torch.zeros(3, 8, 32))
    assert not torch.isclose(generator_loss(nets, b), generator_loss(nets, b._replace(c_e=classes)), rtol=1e-4)


def test_in_the_limit_it_is_an_autoencoder():
    "With all weights zero but that of the reconstructions, linear networks pass ten frames on as they are."
    torch.manual_seed(1)
    nets, b = Disentangler(16, 2, 3), draw(10)
    nets.e_id, nets.e_exp = nn.Linear(16, 128), nn.Linear(16, 128)
    nets.decoder = nn.Linear(2 * 128 + NOISE_WIDTH, 16)
    how = PartsSchedule(3e-3, weights=GeneratorWeights(**{**NOTHING, "reconstruction": 5.0}))
    for _ in train_parts(nets, [[b]] * 250, how, seeded()):
        pass
    with torch.no_grad():
        _, r_i, r_e = generated(nets, b)
    assert float((r_i - b.x_i).abs().mean()) < 0.05 and float((r_e - b.x_e).abs().mean()) < 0.05


# a step


def test_four_optimizers_own_each_value_once(nets):
    owned = [id(p) for values in FourAdams(nets, 1e-3).values.values() for p in values]
    assert sorted(owned) == sorted(id(p) for p in nets.parameters()) and len({*owned}) == len(owned)


def test_literal_mode_throws_the_gradient_of_the_classifier_away(nets):
    "As if the classifier were not there: its weights make no difference to the expression encoder, bit for bit."
    after = {}
    for literal in (True, False):
        for seed in (1, 2):
            own = copy.deepcopy(nets)
            torch.manual_seed(seed)
            own.c_exp = ExpressionClassifier(2)
            train_step(own, FourAdams(own, 1e-3), draw(), 0, PartsSchedule(1e-3, literal=literal), seeded())
            after[literal, seed] = weights(own.e_exp)
    assert torch.equal(after[True, 1], after[True, 2]) and not torch.equal(after[True, 1], weights(nets.e_exp))
    assert not torch.equal(after[False, 1], after[False, 2])


@pytest.mark.parametrize("literal", [True, False])
def test_the_expression_encoder_moves_by_the_sum_of_both_gradients(nets, literal):
    b, never = draw(), 10**9
    own = list(nets.e_exp.parameters())
    classes = F.cross_entropy(nets.c_exp(nets.e_exp(b.x_e), seeded(7)), b.c_e)
    of_classes = torch.autograd.grad(classes, own)
    of_generator = torch.autograd.grad(generator_loss(nets, b), own)
    how = PartsSchedule(1e-9, never, never, literal)
    train_step(nets, FourAdams(nets, 1e-9), b, 1, how, seeded(7))
    for p, c, made in zip(own, of_classes, of_generator):
        torch.testing.assert_close(p.grad, made if literal else made + c, atol=1e-6, rtol=1e-4)


def test_discriminators_learn_in_every_fifth_and_tenth_step(nets):
    adams, moved = FourAdams(nets, 1e-3), {name: [] for name in PARTS}
    g = seeded()
    for n in range(11):
        before = {name: weights(getattr(nets, name)) for name in PARTS}
        train_step(nets, adams, draw(seed=n), n, PartsSchedule(1e-3, 5, 10), g)
        for name in PARTS:
            if not torch.equal(before[name], weights(getattr(nets, name))):
                moved[name].append(n)
    assert moved["q_id"] == [0, 5, 10] and moved["q_exp"] == [0, 10]
    assert all(moved[name] == list(range(11)) for name in ("e_id", "e_exp", "decoder", "c_exp"))


def test_the_classifier_never_hears_of_the_identity_givers(nets):
    "At the target these are the person's frames at rest: the classifier learns from prototypes alone."
    after, b = [], draw()
    for x_i in (b.x_i, b.x_i + 3):
        own = copy.deepcopy(nets)
        train_step(own, FourAdams(own, 1e-3), b._replace(x_i=x_i), 0, PartsSchedule(1e-3), seeded())
        after.append((weights(own.c_exp), weights(own.e_exp)))
    assert torch.equal(after[0][0], after[1][0]) and not torch.equal(after[0][1], after[1][1])


def test_dropout_comes_from_the_given_generator_and_not_at_test_time(nets):
    x = torch.ones(2000)
    assert torch.equal(dropout_by(x, None), x)
    assert torch.equal(dropout_by(x, seeded()), dropout_by(x, seeded()))
    assert float(dropout_by(x, seeded()).mean()) == pytest.approx(1, abs=0.1)
    z = nets.e_exp(draw().x_e)
    assert torch.equal(nets.c_exp(z), nets.c_exp(z)) and not torch.equal(nets.c_exp(z), nets.c_exp(z, seeded()))


def test_how_it_learns_is_checked(nets):
    with pytest.raises(InputError, match="above 0"):
        list(train_parts(nets, [[draw()]], PartsSchedule(0.0), seeded()))


# the source


def test_prototypes_are_real_frames_of_their_class(source):
    prototypes, classes = frame_prototypes(source, ("neutral", "pain"))
    for p, c in zip(prototypes, classes.tolist()):
        own = torch.cat([x.video.frames for x in source if x.label == ("neutral", "pain")[c]])
        assert bool((own == p).all(1).any())
    assert len(prototypes) <= 10 * 2 * 5 and len(frame_prototypes(source, ("neutral", "pain"), most=1)[0]) == 20


def test_the_unit_of_frames_is_their_mean_deviation(prepared, source):
    s = prepared.attachments["dsfda"]
    distance = s.in_units(torch.cat([x.video.frames for x in source])).abs().mean()
    assert float(distance) == pytest.approx(1, abs=0.03)


def test_a_source_epoch_shows_each_video_as_often_in_both_roles(source):
    pool = FramePool.of(source, ("neutral", "pain"), lambda x: x)
    batches = list(source_epoch(pool, 3, 50, seeded()))
    assert [len(b.x_i) for b in batches] == [50, 50, 50, 50, 40]
    where = {tuple(f.tolist()): x for x in source for f in x.video.frames}
    names = list(by_subject(source))
    seen = {"i": [], "e": []}
    for b in batches:
        for x_i, y_i, x_e, c_e in zip(*b[:4]):
            i, e = where[tuple(x_i.tolist())], where[tuple(x_e.tolist())]
            assert i.video.subject == names[y_i] and e.label == ("neutral", "pain")[c_e]
            seen["i"].append(i.video.id)
            seen["e"].append(e.video.id)
    for ids in seen.values():
        assert {ids.count(x.video.id) for x in source} == {3}


def test_preparing_depends_on_the_seed_alone_and_moves_nobody_elses_numbers(source):
    def run(seed):
        model = ClipAU(load_backbone("tiny"), classes=("neutral", "pain"))
        before = torch.get_rng_state()
        prepare_dsfda(model, source[:40], seed, epochs=2)
        assert torch.equal(before, torch.get_rng_state())
        return model.attachments["dsfda"].weights["e_exp.0.weight"]

    first = run(0)
    torch.rand(5)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1))


def test_both_readings_can_be_prepared(source):
    made = []
    for literal in (False, True):
        model = ClipAU(load_backbone("tiny"), classes=("neutral", "pain"))
        prepare_dsfda(model, source[:40], epochs=2, val=None, literal=literal)
        made.append(model.attachments["dsfda"].weights)
    assert not torch.equal(made[0]["e_exp.0.weight"], made[1]["e_exp.0.weight"])


def test_the_best_epoch_is_kept(source, monkeypatch):
    "Validation is made up: the second of three epochs is the best."
    seen, uar = [], iter([0.5, 0.9, 0.7])

    def validate(nets, *_):
        seen.append(nets.e_exp[0].weight.detach().clone())
        return 1.0, 0.5, next(uar)

    monkeypatch.setattr(dsfda, "_validate", validate)
    model = ClipAU(load_backbone("tiny"), classes=("neutral", "pain"))
    history = prepare_dsfda(model, source[:40], epochs=3)
    assert history.best_epoch == 2
    assert torch.equal(model.attachments["dsfda"].weights["e_exp.0.weight"], seen[1].half().float())


def test_what_cannot_be_prepared_says_why(source):
    model = ClipAU(load_backbone("tiny"), classes=("neutral", "joy"))
    with pytest.raises(InputError, match="videos of class pain"):
        prepare_dsfda(model, source)
    with pytest.raises(InputError, match="no training videos"):
        prepare_dsfda(model, [])
    with pytest.raises(InputError, match="at least 1"):
        prepare_dsfda(model, source, epochs=0)


# the target, and both variants


def test_described_expressions_are_prototypes_of_each_class(prepared):
    s = prepared.attachments["dsfda"]
    control = torch.randn(30, 64, generator=seeded())
    givers, classes = expression_givers(s, control, "described")
    torch.testing.assert_close(givers, s.in_units(s.prototypes))
    batches = [b for k in range(40) for b in target_epoch(control, givers, classes, 20, seeded(k))]
    shown = torch.cat([b.c_e for b in batches])
    assert float(shown.float().mean()) == pytest.approx(0.5, abs=0.05)
    for b in batches[:4]:
        assert all(bool((givers[classes == c] == x).all(1).any()) for x, c in zip(b.x_e, b.c_e))
    assert torch.equal(torch.cat([b.x_i for b in batches[:2]]).sort(0).values, control.sort(0).values)
    assert {int(y) for b in batches for y in b.y_i} == {0}


def test_classes_are_balanced_whatever_their_number_of_prototypes():
    classes = torch.tensor([0] * 30 + [1] * 3)
    batches = (
        b for k in range(60) for b in target_epoch(torch.zeros(20, 4), torch.zeros(33, 4), classes, 20, seeded(k))
    )
    assert float(torch.cat([b.c_e for b in batches]).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_released_expressions_are_neutral_control_frames(prepared):
    control = torch.randn(30, 64, generator=seeded())
    givers, classes = expression_givers(prepared.attachments["dsfda"], control, "released")
    assert torch.equal(givers, control) and classes.tolist() == [0] * 30


@pytest.mark.parametrize("variant, new", [("described", set()), ("released", {"e_id", "q_id"})])
def test_the_released_code_learns_identity_anew(prepared, variant, new):
    s = prepared.attachments["dsfda"]
    start = target_nets(s, variant, 0).state_dict()
    assert {k.split(".")[0] for k, x in s.weights.items() if not torch.equal(x, start[k])} == new
    assert start["q_id.head.bias"].shape == (2,)  # this person, or generated


def test_the_released_variant_calls_everything_neutral(prepared, quiet, films):
    released = enrolled(prepared, quiet, variant="released", epochs=25, lr=1e-3)
    described = enrolled(prepared, quiet, epochs=25, lr=1e-3)
    assert {released.adapt(v).label for v in films} == {"neutral"}
    assert "pain" in {described.adapt(v).label for v in films}


def test_at_the_target_every_step_moves_all_parts(prepared, quiet, monkeypatch):
    def spy(nets, epochs, how, g):
        asked.append((how, [len(list(e)) for e in epochs]))
        return iter(())

    asked = []
    monkeypatch.setattr(dsfda, "train_parts", spy)
    passes = enrolled(prepared, quiet, epochs=25, literal=True).enroll(quiet)
    how, steps = asked[0]
    assert (how.identity_every, how.expression_every, how.literal, how.lr) == (1, 1, True, 1e-4)
    assert steps == [3] * 25 and passes == (75, 75, 0, 0)


def test_literal_is_another_adaptation(prepared, quiet, films):
    one, other = (enrolled(prepared, quiet, literal=x).adapt(films[0]).logits for x in (False, True))
    assert not torch.equal(one, other)


# exactness


def test_zero_epochs_are_the_source_bit_for_bit(prepared, quiet, films):
    for variant in ("described", "released"):
        a = enrolled(prepared, quiet, epochs=0, variant=variant).adapt(films[0])
        assert torch.equal(a.logits, a.logits_before) and not a.warnings
        assert torch.equal(a.logits, DSFDA(prepared).adapt(films[0]).logits)


def test_the_answer_is_the_mean_over_frames(prepared, films):
    s = prepared.attachments["dsfda"]
    with torch.no_grad():
        frames = [s.nets()((f - s.center) / s.scale) for f in films[0].frames]
    torch.testing.assert_close(DSFDA(prepared).adapt(films[0]).logits, torch.stack(frames).mean(0))


def test_the_answer_after_enrolment_is_that_of_the_adapted_parts(prepared, quiet, films, monkeypatch):
    "Both of them: the networks that were trained give the same answer as what is kept."

    def spy(nets, *args):
        trained.append(nets)
        return train_parts(nets, *args)

    trained = []
    monkeypatch.setattr(dsfda, "train_parts", spy)
    answer = enrolled(prepared, quiet).adapt(films[0]).logits
    with torch.no_grad():
        wanted = trained[0](prepared.attachments["dsfda"].in_units(films[0].frames)).mean(0)
    assert torch.equal(answer, wanted)


def test_action_units_are_those_of_the_head(prepared, quiet, films):
    a = enrolled(prepared, quiet).adapt(films[0])
    assert torch.equal(a.au, a.au_before)
    torch.testing.assert_close(a.au, prepared.predict(films[0]).au)


def test_reset_equals_fresh_and_another_person_is_not_answered_with_it(prepared, people, films):
    quiet, scored = people
    method, fresh = enrolled(prepared, quiet["T0"]), DSFDA(prepared, epochs=2)
    before = method.adapt(films[0]).logits
    stranger = scored["T1"][0].video
    assert torch.equal(method.predict(stranger).logits, fresh.predict(stranger).logits)
    assert torch.equal(method.adapt(films[0]).logits, before)
    assert "no control video" in " ".join(method.adapt(stranger).warnings)
    method.enroll(quiet["T0"])
    method.reset()
    assert torch.equal(method.adapt(films[0]).logits, fresh.adapt(films[0]).logits)
    method.enroll(quiet["T0"])
    assert torch.equal(method.adapt(films[0]).logits, before)


def test_a_state_from_mid_stream_goes_on_the_same_way(prepared, quiet, films):
    method = enrolled(prepared, quiet)
    method.adapt(films[0])
    state, rest = method.state_dict(), [a.logits for a in method.adapt_many(films[1:4])]
    other = DSFDA(prepared, epochs=2)
    other.load_state_dict(state)
    assert all(torch.equal(a.logits, b) for a, b in zip(other.adapt_many(films[1:4]), rest))
    state["enrolled"]["c_exp.last.bias"].add_(9)
    assert torch.equal(other.adapt(films[1]).logits, rest[0])


def test_the_seed_alone_decides(prepared, quiet, films):
    one = enrolled(prepared, quiet).adapt(films[0]).logits
    torch.rand(3)
    before = torch.get_rng_state()
    assert torch.equal(enrolled(prepared, quiet).adapt(films[0]).logits, one)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(enrolled(prepared, quiet, seed=1).adapt(films[0]).logits, one)


def test_the_model_is_left_as_it_was(prepared, quiet):
    before = copy.deepcopy(prepared.attachments["dsfda"].state())
    method = enrolled(prepared, quiet)
    start = method.nets.state_dict()
    assert all(torch.equal(x, prepared.attachments["dsfda"].state()[k]) for k, x in before.items())
    assert all(torch.equal(start[k], x) for k, x in prepared.attachments["dsfda"].weights.items())


def test_no_label_can_reach_it(prepared, people):
    with pytest.raises(InputError, match="label"):
        DSFDA(prepared).enroll(people[1]["T0"][:1])


def test_a_saved_head_gives_the_same_predictions(prepared, quiet, films, tmp_path):
    prepared.save_pretrained(tmp_path)
    loaded = ClipAU.from_pretrained(tmp_path, prepared.backbone)
    for how in (dict(epochs=0), dict(epochs=2), dict(epochs=2, variant="released")):
        one, other = (enrolled(m, quiet, **how).adapt(films[0]).logits for m in (prepared, loaded))
        assert torch.equal(one, other)
    assert b"source person" not in (tmp_path / "dsfda.safetensors").read_bytes()
    assert (tmp_path / "dsfda.safetensors").stat().st_size < 1e6


def test_a_damaged_file_is_refused(prepared, tmp_path):
    prepared.save_pretrained(tmp_path)
    state = read_weights(tmp_path / "dsfda.safetensors")
    for bad in (
        {k: x for k, x in state.items() if k != "center"},
        {k: x for k, x in state.items() if k != "nets.c_exp.last.bias"},
        {k: x for k, x in state.items() if k != "nets.decoder.0.weight"},
        {**state, "prototype_class": state["prototype_class"] + 2},
        {**state, "prototypes": state["prototypes"][:, :9]},
        {**state, "scale": -state["scale"]},
    ):
        with pytest.raises(CheckpointError, match="DSFDA"):
            DisentangledSource.from_state(bad)


def test_seven_classes(source, films):
    classes = [f"c{i}" for i in range(7)]
    seven = ClipAU(load_backbone("tiny"), classes=classes)
    videos = [LabeledVideo(x.video, classes[i % 6]) for i, x in enumerate(source[:48])]  # one class never occurs
    prepare_dsfda(seven, videos, epochs=1)
    for variant in ("described", "released"):
        method = DSFDA(seven, epochs=1, variant=variant, untrained_ok=True)
        assert method.adapt(films[0]).logits.shape == (7,)
        method.enroll(films[:1])
        assert method.adapt(films[1]).logits.isfinite().all()
    assert sorted(set(seven.attachments["dsfda"].prototype_class.tolist())) == list(range(6))


def test_one_control_frame_is_enough(prepared, quiet, films):
    v = quiet[0]
    short = replace(v, frames=v.frames[:1], times=v.times[:1], found=v.found[:1])
    assert enrolled(prepared, [short]).adapt(films[0]).logits.isfinite().all()


def test_what_is_missing_says_how_to_make_it(prepared, model):
    with pytest.raises(InputError, match="prepare_dsfda"):
        DSFDA(model, untrained_ok=True)
    model.attachments["dsfda"] = DisentangledSource.from_state(prepared.attachments["dsfda"].state())
    seven = ClipAU(load_backbone("tiny"), classes=[f"c{i}" for i in range(7)])
    seven.attachments["dsfda"] = model.attachments["dsfda"]
    with pytest.raises(InputError, match="another head"):
        DSFDA(seven, untrained_ok=True)


@pytest.mark.parametrize("bad", [dict(variant="other"), dict(epochs=-1), dict(batch_size=0), dict(lr=0.0)])
def test_settings_are_checked(prepared, bad):
    with pytest.raises(InputError, match="must be"):
        DSFDA(prepared, **bad)


def test_tables_tell_the_readings_apart(prepared):
    names = {DSFDA(prepared, variant=v, literal=x).variant for v in ("described", "released") for x in (False, True)}
    assert len(names) == 4 and "DSFDA, as described" in names


def test_all_values_are_counted(prepared):
    parts = target_nets(prepared.attachments["dsfda"], "described", 0)
    assert DSFDA(prepared).n_trained == sum(p.numel() for p in parts.parameters())
    assert isinstance(parts.q_id, Discriminator)


# the world


def test_where_only_the_rest_differs_it_loses_nothing_and_a_shift_wins(prepared, source, people):
    "Accuracy on made-up people whose resting faces differ: CLIP-AU, a plain shift, DSFDA before and after."
    quiet, scored = people
    n = sum(map(len, scored.values()))

    def accuracy(answer):
        return sum(answer(who, x.video) == x.label for who, own in scored.items() for x in own) / n

    methods = {who: enrolled(prepared, videos, epochs=25) for who, videos in quiet.items()}
    plain = DSFDA(prepared)
    before, after = accuracy(lambda who, v: plain.adapt(v).label), accuracy(lambda who, v: methods[who].adapt(v).label)
    model = copy.copy(prepared)
    model.source = source_statistics(model.temporal, source, model.classes)
    by_shift = {who: NeutralShift(model) for who in quiet}
    for who, videos in quiet.items():
        by_shift[who].enroll(videos)
    shift = accuracy(lambda who, v: by_shift[who].adapt(v).label)
    assert before > 0.6 and after >= before - 0.02 and shift >= after, (before, after, shift)


def test_a_video_without_a_face_is_no_control_video(prepared):
    v = make_features(0, subject="ann")
    blank = replace(v, found=torch.zeros_like(v.found))
    with pytest.raises(InputError, match="face"):
        DSFDA(prepared).enroll([blank])
