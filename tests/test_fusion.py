"Fusion of two streams: hand values, neighbours in a batch, order of steps, missing streams, training."

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clip_autt.signals.fusion import (
    JCA,
    JMT,
    QUESTIONS,
    JointAttention,
    MeanLogits,
    answers,
    batch_leak,
    ccc_loss,
    clip_answer,
    fit_fusion,
    hide_streams,
    make_fusion,
    to_steps,
)
from clip_autt.utils.errors import InputError

DIMS = 5, 3
NAMES = "a", "b", "mean logits", "concat", "jca", "jmt"
EVERY = pytest.mark.parametrize("name", NAMES)


def streams(n=6, length=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, length, DIMS[0], generator=g), torch.randn(n, length, DIMS[1], generator=g)


def head(name, **settings):
    small = dict(width=16) if name not in ("jmt", "jca") else dict(width=8)
    return make_fusion(name, DIMS, **(small | settings))


def seen_like(a, hidden=""):
    "All seen but the streams in `hidden`."
    seen = torch.ones(*a.shape[:2], 2, dtype=torch.bool)
    for name in hidden:
        seen[..., "ab".index(name)] = False
    return seen


@EVERY
def test_an_answer_does_not_depend_on_its_neighbours(name):
    "The test that four public releases fail: alone, in a batch, and beside exchanged neighbours."
    a, b = streams()
    f = head(name)
    with torch.no_grad():
        together = f(a, b)
        for i in range(len(a)):
            assert (f(a[i : i + 1], b[i : i + 1])[0] - together[i]).abs().max() < 1e-6
        changed = a.clone(), b.clone()
        changed[0][1:], changed[1][1:] = 9 * a[1:].flip(0), b[1:] - 7
        assert (f(*changed)[0] - together[0]).abs().max() < 1e-6
    assert batch_leak(f, a, b) < 1e-6


def test_attention_over_the_batch_is_noticed():
    "The released variant has the same weights, and leaks."
    a, b = streams()
    sound, leaky = head("jmt"), head("jmt", variant="released")
    assert all(torch.equal(x, y) for x, y in zip(sound.state_dict().values(), leaky.state_dict().values(), strict=True))
    assert batch_leak(sound, a, b) < 1e-6 and batch_leak(leaky, a, b) > 1e-3
    with pytest.raises(InputError, match="'described' or 'released'"):
        head("jmt", variant="theirs")


@EVERY
def test_no_leak_with_missing_steps_either(name):
    a, b = streams()
    seen = seen_like(a)
    seen[0, 5:] = False
    seen[1:, :, 1] = False
    f = head(name)
    with torch.no_grad():
        together = f(a, b, seen)
        assert (f(a[:1], b[:1], seen[:1])[0] - together[0]).abs().max() < 1e-6


def test_jca_by_hand():
    half = JointAttention(1, 1, k=1)
    with torch.no_grad():
        for w in half.parameters():
            w.fill_(1.0)
        x, joint = torch.full((1, 1, 1), 2.0), torch.tensor([[[2.0, 0.0]]])
        c = half.correlation(x, joint)
        assert torch.allclose(c, torch.tensor([[[0.9930, 0.0]]]), atol=1e-4)
        assert half(x, joint).item() == pytest.approx(2 + 2 + math.tanh(4 / math.sqrt(2)), abs=1e-5)


def test_jca_without_the_way_back_is_the_identity():
    half, (a, _) = JointAttention(8, 5, k=4), streams()
    joint = torch.cat([a, a], -1)
    assert not torch.equal(half(a, joint), a)
    nn.init.zeros_(half.w_h)
    assert torch.equal(half(a, joint), a)


def test_jca_is_made_for_its_steps():
    a, b = streams(length=9)
    with pytest.raises(InputError, match=r"made for 8 steps, got 9.*to_steps\(x, 8\)"):
        head("jca")(a, b)
    assert head("jca", length=9)(a, b).shape == (6, 9, 2)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "jca"])
def test_shuffled_steps_give_shuffled_answers(name):
    (a, b), order = streams(), torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])
    f = head(name)
    with torch.no_grad():
        assert (f(a[:, order], b[:, order]) - f(a, b)[:, order]).abs().max() < 1e-6


def test_the_order_of_steps_is_something_to_jca():
    (a, b), f = streams(), head("jca")
    with torch.no_grad():
        assert (f(a.flip(1), b.flip(1)) - f(a, b).flip(1)).abs().max() > 1e-3


def test_swapped_streams_ask_the_same_questions():
    "With their parameters they give the same six tokens in another order, so only the last one is another."
    a, b = streams()
    f, swapped = head("jmt"), make_fusion("jmt", DIMS[::-1], width=8)
    other = {"0": "1", "1": "0", "2": "2"}
    with torch.no_grad():
        for name, value in f.named_parameters():
            part, _, rest = name.partition(".")
            if part in ("project", "encoders", "ask"):
                name = f"{part}.{other[rest[0]]}{rest[1:]}"
            swapped.get_parameter(name).copy_(torch.cat(value.chunk(2, 1)[::-1], 1) if name == "join.weight" else value)
    seen = seen_like(a)
    with torch.no_grad():
        mine, theirs = f.tokens(a, b, seen), swapped.tokens(b, a, seen)
    flip = [1, 0, 2]
    places = [QUESTIONS.index((flip[p], flip[q])) for p, q in QUESTIONS]
    assert (mine - theirs[:, :, places]).abs().max() < 1e-6
    assert (mine[:, :, -1] - theirs[:, :, -1]).abs().max() > 1e-4


@EVERY
@pytest.mark.parametrize("stream", ["a", "b"])
def test_what_is_missing_has_no_say(name, stream):
    "Neither numbers nor NaN in its place matter, and an answer is there."
    a, b = streams()
    f, seen = head(name), seen_like(a, stream)
    junk = {"a": (torch.full_like(a, math.nan), b), "b": (a, torch.full_like(b, math.nan))}[stream]
    with torch.no_grad():
        one, two = f(a, b, seen), f(*junk, seen)
    assert torch.equal(one, two) and one.isfinite().all()


def test_the_mean_of_opinions_leaves_out_who_saw_nothing():
    a, b = streams()
    f = MeanLogits(DIMS, width=16)
    with torch.no_grad():
        assert torch.allclose(f(a, b, seen_like(a, "b")), f.layers[0](a))
        assert torch.allclose(f(a, b), (f.layers[0](a) + f.layers[1](b)) / 2)


def test_hidden_steps_are_a_shorter_clip():
    (a, b), f = streams(), head("jmt")
    seen = seen_like(a)
    seen[:, 6:] = False
    with torch.no_grad():
        assert (f(a, b, seen)[:, :6] - f(a[:, :6], b[:, :6])).abs().max() < 1e-6
        whole, cut = clip_answer(f(a, b, seen), seen), clip_answer(f(a[:, :6], b[:, :6]))
    assert (whole - cut).abs().max() < 1e-6


def test_steps_are_means_and_say_what_they_do_not_know():
    x = torch.arange(12.0).reshape(6, 2)
    values, seen = to_steps(x, 3)
    assert torch.equal(values, x.reshape(3, 2, 2).mean(1)) and seen.all()
    x[0, 0] = x[2, 1] = x[3, 1] = math.nan
    values, seen = to_steps(x, 3)
    assert (
        seen.tolist() == [True, False, True] and values[0].tolist() == [2.0, 2.0] and values[1].tolist() == [0.0, 0.0]
    )
    for n in (1, 5, 8, 9, 75):
        assert torch.allclose(to_steps(torch.full((n, 2), 3.0))[0], torch.full((8, 2), 3.0))
    with pytest.raises(InputError, match="length must be 1"):
        to_steps(x, 0)


def test_both_rates_of_the_same_seconds_give_the_same_steps():
    slow = torch.arange(8.0)[:, None]
    assert torch.equal(to_steps(slow)[0], to_steps(slow.repeat_interleave(50, 0))[0])


def test_ccc_by_hand():
    x = torch.arange(4.0)
    for guess, described, released in (
        (x + 1, 0.7143, 0.7692),
        (2 * x, 0.5882, 0.6299),
        (x, 1, 1),
        (x.flip(0), -1, -1),
    ):
        assert 1 - ccc_loss(guess, x).item() == pytest.approx(described, abs=1e-4)
        assert 1 - ccc_loss(guess, x, "released").item() == pytest.approx(released, abs=1e-4)
    assert ccc_loss(torch.ones(4), x).item() == 1
    two = torch.stack([x, x + 1], 1)
    assert ccc_loss(two, torch.stack([x, x], 1)).item() == pytest.approx((1 - 0.7143) / 2, abs=1e-4)
    with pytest.raises(InputError, match="one shape"):
        ccc_loss(x[:, None], x)


def task(n=240, seed=1):
    "The class says whether the signs of both streams agree."
    a, b = streams(n, seed=seed)
    signs = torch.randint(2, (n, 2), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    a[..., 0] += 2 * signs[:, :1]
    b[..., 0] += 2 * signs[:, 1:]
    return a, b, (signs.prod(1) > 0).long()


@pytest.mark.parametrize(("name", "learns"), [("concat", True), ("jca", True), ("jmt", True), ("mean logits", False)])
def test_heads_that_see_both_learn_what_neither_stream_knows(name, learns):
    a, b, y = task()
    f = head(name)
    losses = fit_fusion(f, a[:160], b[:160], y[:160], epochs=15, lr=5e-3)
    right = (answers(f, a[160:], b[160:]).argmax(1) == y[160:]).float().mean()
    assert (right > 0.85) if learns else (right < 0.7)
    assert not learns or losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", ["jca", "jmt"])
def test_training_repeats_and_leaves_the_generator_alone(name):
    a, b, y = task(40)
    ends = []
    for _ in range(2):
        f, before = head(name, seed=3), torch.get_rng_state()
        fit_fusion(f, a, b, y, epochs=2, hide=0.5, seed=4)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(f.state_dict())
    assert all(torch.equal(x, y) for x, y in zip(ends[0].values(), ends[1].values(), strict=True))


def test_units_do_not_matter():
    "A stream in other units gives the same head up to rounding, since each is scaled by its training data."
    a, b, y = task(60)
    f, g = head("concat"), head("concat")
    fit_fusion(f, a, b, y, epochs=3)
    fit_fusion(g, a, 1000 * b + 5, y, epochs=3)
    assert torch.allclose(answers(f, a, b), answers(g, a, 1000 * b + 5), atol=1e-3)


def test_unseen_numbers_do_not_enter_the_scale():
    a, b, y = task(60)
    f, g, seen = head("concat"), head("concat"), seen_like(a)
    seen[::2, :, 1] = False
    wild = torch.where(seen[..., 1:], b, math.nan)
    fit_fusion(f, a, b, y, seen, epochs=2)
    fit_fusion(g, a, wild, y, seen, epochs=2)
    assert torch.equal(f.spread_b, g.spread_b) and torch.equal(answers(f, a, b, seen), answers(g, a, wild, seen))
    b[..., 2] = 4.0  # a column that never changes
    fit_fusion(f, a, b, y, epochs=1)
    assert f.spread_b[2] == 1 and answers(f, a, b).isfinite().all()


def test_streams_are_hidden_one_at_a_time():
    seen, g = torch.ones(4000, 3, 2, dtype=torch.bool), torch.Generator().manual_seed(0)
    hidden = ~hide_streams(seen, 0.3, g)
    assert hidden.any(1).sum(1).max() == 1 and hidden.any(-1).any(-1).float().mean() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(hidden.any(1), hidden.all(1))  # a whole stream or nothing
    assert torch.equal(hide_streams(seen, 0.0, g), seen)
    seen[:, 0, 1] = False  # b is not whole, so a is never taken away
    assert torch.equal(hide_streams(seen, 1.0, g)[..., 0], seen[..., 0])


def test_hiding_teaches_to_do_without():
    "A stream that is nearly the class itself, and a weaker one: only who practised can live on the weaker one."
    a, b = streams(400, seed=5)
    y = torch.arange(400) % 2
    a[..., 0] += 1.0 * (2 * y - 1)[:, None]
    b[..., 0] += 6.0 * (2 * y - 1)[:, None]
    rights = []
    for hide in (0.0, 0.6):
        f = head("concat")
        fit_fusion(f, a[:200], b[:200], y[:200], epochs=30, lr=3e-3, hide=hide)
        alone = answers(f, a[200:], b[200:], seen_like(a[200:], "b"))
        rights.append(F.cross_entropy(alone, y[200:]).item())
    assert rights[1] < rights[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a[..., :4], b, None), r"stream a must be float \[B, L, 5\]"),
        (lambda a, b: (a, b.long(), None), "stream b must be float"),
        (lambda a, b: (a, b[:, :4], None), "Cut both into the same steps"),
        (lambda a, b: (a, b, torch.ones(6, 8, dtype=torch.bool)), r"seen must be bool \[B, L, 2\]"),
        (lambda a, b: (a, b, torch.ones(6, 8, 2)), r"seen must be bool \[B, L, 2\]"),
    ],
)
def test_streams_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        head("concat")(*change(*streams()))


def test_what_cannot_be_answered_is_refused():
    a, b = streams()
    seen = seen_like(a)
    seen[2] = False
    with pytest.raises(InputError, match="nothing is seen of 1 of 6 clips"):
        answers(head("concat"), a, b, seen)
    with pytest.raises(InputError, match="Did you mean 'jca'"):
        make_fusion("jcaa", DIMS)
    with pytest.raises(InputError, match="6 clips and 5 classes"):
        fit_fusion(head("concat"), a, b, torch.zeros(5).long())
    with pytest.raises(InputError, match="hide is a chance"):
        fit_fusion(head("concat"), a, b, torch.zeros(6).long(), hide=2)
    with pytest.raises(InputError, match="stream b is seen nowhere"):
        fit_fusion(head("concat"), a, b, torch.zeros(6).long(), seen_like(a, "b"))
    with pytest.raises(InputError, match="training diverged"):
        fit_fusion(head("concat"), a, b, torch.zeros(6).long(), lr=1e30, epochs=3)


def test_published_sizes():
    "The sizes of the publications run as they are."
    a, b = torch.randn(1, 8, 512), torch.randn(1, 8, 512)
    assert JCA((512, 512), 1)(a, b).shape == (1, 8, 1)
    assert JMT((512, 512), 2, width=512)(a, b).shape == (1, 8, 2)


def test_jmt_keeps_the_token_of_the_joint_stream_asking_b():
    (a, b), f = streams(), head("jmt")
    assert QUESTIONS[-1] == (2, 1)
    with torch.no_grad():
        t = f.among_tokens(f.tokens(a, b, seen_like(a)).flatten(0, 1))
        by_hand = torch.stack([f.answer(f.last(t, t, t)[0][:, i]).unflatten(0, (6, 8)) for i in range(6)])
        assert torch.allclose(f(a, b), by_hand[-1], atol=1e-6)
        assert all((f(a, b) - other).abs().max() > 1e-4 for other in by_hand[:-1])


def test_training_refuses_what_no_head_can_learn():
    a, b, y = torch.randn(4, 8, 5), torch.randn(4, 8, 3), torch.tensor([0, 1, 0, 1])
    fit = lambda a=a, y=y, **settings: fit_fusion(make_fusion("concat", DIMS), a, b, y, epochs=1, **settings)
    with pytest.raises(InputError, match="from 0 to 1, got int64"):
        fit(y=y + 6)
    with pytest.raises(InputError, match="stream a is not a finite number in 32 steps"):
        fit(a=a * torch.nan)
    with pytest.raises(InputError, match="got -1"):
        fit(lr=-1)
