"The sparse optimizer: hand values, Adam as a limit, an exact resume, and what PyTorch expects of an optimizer."

import copy
import io
import itertools
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from torch import nn

from clip_autt import CheckpointError, ClipAU, InputError, LabeledVideo
from clip_autt.train import fit
from clip_autt.training.so import SO, draw_places, keep_largest, merged, n_places, unstable_order


def matrix(*shape, seed=0, dtype=torch.double):
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype))


def slopes(steps, *shape, seed=1, dtype=torch.double):
    return torch.randn(steps, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def run(optimizer, gradients):
    "The weights after each step."
    (p,) = optimizer.param_groups[0]["params"]
    seen = [p.detach().clone()]
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
        seen.append(p.detach().clone())
    return torch.stack(seen)


@pytest.mark.parametrize("refresh", [1, 7, 100])
@pytest.mark.parametrize("shape", [(20, 30), (6, 5, 3), (40,)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_density_one_is_adam(shape, refresh, weight_decay):
    how = dict(lr=0.01, weight_decay=weight_decay)
    adam = run(torch.optim.Adam([matrix(*shape)], **how), slopes(20, *shape))
    so = run(SO([matrix(*shape)], density=1.0, refresh=refresh, **how), slopes(20, *shape))
    torch.testing.assert_close(so, adam, rtol=0, atol=1e-12)


def test_density_one_is_adam_on_a_head_in_single_precision(model):
    "Float weights of a network that is really trained, to 1e-7 after 20 steps; an ulp of 0.5 is 6e-8."
    x, y = torch.stack([make_features(i).frames for i in range(4)]), torch.tensor([0, 1, 0, 1])
    ends = []
    for make in (torch.optim.Adam, lambda p, lr: SO(p, lr=lr, density=1.0)):
        m = copy.deepcopy(model)
        optimizer = make(m.parameters(), lr=1e-5)
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(m(x).logits, y).backward()
            optimizer.step()
        ends.append(m.state_dict())
    assert all((ends[0][k] - ends[1][k]).abs().max() <= 1e-7 for k in ends[0])
    assert any(not ends[0][k].equal(v) for k, v in model.state_dict().items())


def test_parameters_of_one_dimension_are_adam_at_any_density():
    "In the release the first step of this branch is ten times too large."
    adam = run(torch.optim.Adam([matrix(40)], lr=0.01), slopes(20, 40))
    for pairing in ("stable", "released"):
        so = run(SO([matrix(40)], lr=0.01, density=0.01, pairing=pairing), slopes(20, 40))
        torch.testing.assert_close(so, adam, rtol=0, atol=1e-12)
    assert (so[1] - so[0]).abs().max() < 0.0101


@pytest.mark.parametrize("density", [1e-4, 0.005, 0.1, 1.0])
def test_the_first_step_moves_exactly_so_many_weights_by_the_learning_rate(density):
    g = slopes(1, 20, 30)
    before, after = run(SO([matrix(20, 30)], lr=0.01, density=density), g)
    moved = before != after
    assert int(moved.sum()) == n_places(600, density) == max(1, math.floor(density * 600))
    torch.testing.assert_close((after - before)[moved], -0.01 * g[0][moved].sign(), rtol=1e-3, atol=0)


def test_no_new_weight_moves_between_refreshes_and_few_in_any_step():
    size, changed = 30, []
    weights = run(SO([matrix(20, 30)], lr=0.01, density=0.05, refresh=5), slopes(40, 20, 30))
    for before, after in itertools.pairwise(weights):
        changed.append({i for i, c in enumerate((before != after).flatten()) if c})
    assert max(map(len, changed)) <= 2 * size
    assert max(map(len, changed)) > size, "momentum goes on outside the support"
    for start in range(0, 40, 5):
        for step in range(start + 1, start + 5):
            assert changed[step] <= changed[start]
    assert not changed[5] <= changed[4], "the support was drawn anew"


def test_a_late_entrant_makes_the_step_of_the_formula():
    w = run(
        SO([nn.Parameter(torch.zeros(10, 10).double())], lr=1.0, density=0.05, refresh=3),
        torch.ones(4, 10, 10).double(),
    )
    late = (w[3] == 0) & (w[4] != 0)
    assert late.sum() >= 3
    assert (-(w[4] - w[3])[late]).tolist() == pytest.approx([0.5811] * int(late.sum()), abs=1e-4)


def test_momentum_goes_on_where_the_gradient_is_no_longer_looked_at():
    "By hand: one place of two, gradient 1 once. Its second step has m = 0.09 and v = 0.000999."
    for seed in range(20):
        w = run(
            SO([nn.Parameter(torch.zeros(1, 2).double())], lr=1.0, density=0.5, refresh=1, seed=seed),
            torch.ones(2, 1, 2).double(),
        )
        first = int(w[1][0].ne(0).nonzero())
        if draw_places(2, 1, seed, 0, 1).item() != first:
            break
    expected = -(0.09 / (1 - 0.81)) / math.sqrt(0.000999 / (1 - 0.999**2))
    assert (w[2] - w[1])[0, first].item() == pytest.approx(expected, abs=1e-6)
    assert 0.6 < abs(expected) < 0.7


def test_zero_gradients_move_nothing():
    w = run(SO([matrix(20, 30)], lr=0.1, density=0.1, refresh=2), torch.zeros(9, 20, 30).double())
    assert torch.equal(w[-1], w[0])


def test_the_released_pairing_is_far_from_adam_where_places_share_rows_and_equal_where_they_do_not():
    def end(density, pairing, shape=(20, 30)):
        return run(SO([matrix(*shape)], lr=0.01, density=density, pairing=pairing), slopes(30, *shape))[-1]

    adam = run(torch.optim.Adam([matrix(20, 30)], lr=0.01), slopes(30, 20, 30))[-1]
    assert (end(1.0, "stable") - adam).abs().max() < 1e-12
    assert (end(1.0, "released") - adam).abs().max() > 0.1
    assert not torch.equal(end(0.1, "released"), end(0.1, "stable"))
    assert torch.equal(end(1 / 600, "released"), end(1 / 600, "stable"))  # one place
    assert torch.equal(end(1.0, "released", (600, 1)), end(1.0, "stable", (600, 1)))  # one place in each row


def test_an_unstable_order_only_trades_within_rows():
    places = draw_places(600, 200, 3)
    order = unstable_order(places, 30, 0)
    assert sorted(order.tolist()) == list(range(200))
    assert torch.equal(places[order] // 30, places // 30)
    assert torch.equal(order, unstable_order(places, 30, 0)) and not torch.equal(order, unstable_order(places, 30, 1))


def test_merging_keeps_each_number_at_its_place():
    "Against a dictionary, on random sets that overlap."
    for seed in range(20):
        a, s = draw_places(50, 9, seed, 0), draw_places(50, 13, seed, 1)
        m, g = torch.randn(2, 9), torch.randn(13)
        union, moments, gradient = merged(a, m, s, g)
        assert union.tolist() == sorted({*a.tolist(), *s.tolist()})
        first, slope = dict(zip(a.tolist(), m[0].tolist())), dict(zip(s.tolist(), g.tolist()))
        assert moments[0].tolist() == [first.get(i, 0) for i in union.tolist()]
        assert gradient.tolist() == [slope.get(i, 0) for i in union.tolist()]
        kept, left = keep_largest(union, moments, 5)
        assert kept.tolist() == sorted(sorted(first, key=lambda i: -abs(first[i]))[:5])
        assert left[0].tolist() == [first[i] for i in kept.tolist()]


@pytest.mark.parametrize("pairing", ["stable", "released"])
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_state_that_is_saved_and_loaded_continues_bit_for_bit(pairing, through_a_file):
    def make():
        params = [matrix(20, 30, dtype=torch.float), matrix(6, 4, 3, dtype=torch.float), matrix(9, dtype=torch.float)]
        return SO(params, lr=0.01, density=0.05, refresh=4, pairing=pairing, seed=5), params

    def go(optimizer, params, steps):
        for t in steps:
            for i, p in enumerate(params):
                p.grad = slopes(1, *p.shape, seed=100 * t + i, dtype=torch.float)[0]
            optimizer.step()

    (whole, expected), (killed, before), (resumed, params) = make(), make(), make()
    go(whole, expected, range(18))
    go(killed, before, range(7))
    state = killed.state_dict()
    if through_a_file:
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    resumed.param_groups[0]["seed"] = 77  # the state brings its own
    resumed.load_state_dict(state)
    with torch.no_grad():
        for p, q in zip(params, before):
            p.copy_(q)
    go(killed, before, range(7, 9))  # must not touch what was loaded
    go(resumed, params, range(7, 18))
    assert all(torch.equal(p, q) for p, q in zip(params, expected))


def test_a_copied_optimizer_goes_its_own_way():
    a = SO([matrix(20, 30)], lr=0.01, density=0.05, refresh=4)
    run(a, slopes(6, 20, 30))
    b = copy.deepcopy(a)
    assert torch.equal(run(a, slopes(6, 20, 30))[-1], run(b, slopes(6, 20, 30))[-1])


def test_the_same_seed_gives_the_same_steps_and_no_global_random_number_is_used():
    torch.manual_seed(1)
    a = run(SO([matrix(20, 30)], density=0.05, seed=3), slopes(12, 20, 30))
    after = torch.rand(2)
    torch.manual_seed(2)
    b, c = (run(SO([matrix(20, 30)], density=0.05, seed=s), slopes(12, 20, 30)) for s in (3, 4))
    torch.manual_seed(1)
    assert torch.equal(a, b) and not torch.equal(a, c) and torch.equal(after, torch.rand(2))


def test_a_parameter_without_gradient_changes_nothing_for_the_others():
    "Draws are named by the number of the parameter, not by what was drawn before."
    both, one = [matrix(8, 8), matrix(20, 30)], [matrix(8, 8), matrix(20, 30)]
    a, b = SO(both, density=0.05), SO(one, density=0.05)
    for g in slopes(12, 20, 30):
        both[0].grad, both[1].grad, one[1].grad = torch.ones(8, 8).double(), g.clone(), g.clone()
        a.step(), b.step()
    assert torch.equal(both[1], one[1]) and torch.equal(one[0], matrix(8, 8))


def test_layout_in_memory_does_not_matter():
    "A transposed weight is seen as the flat list that `flatten` gives."
    g = slopes(12, 20, 30)
    plain = run(SO([matrix(20, 30)], density=0.1), g)
    turned = nn.Parameter(matrix(20, 30).detach().T.contiguous().T)
    assert not turned.is_contiguous()
    assert torch.equal(run(SO([turned], density=0.1), g)[-1], plain[-1])


def test_it_is_an_optimizer_of_pytorch():
    p, q = matrix(20, 30), matrix(5, 5)
    optimizer = SO([dict(params=[p], density=0.5)], lr=0.1, density=0.04)
    optimizer.add_param_group(dict(params=[q], lr=0.2))
    assert [g["density"] for g in optimizer.param_groups] == [0.5, 0.04] and optimizer.param_groups[1]["lr"] == 0.2
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum() + (q**2).sum()
        loss.backward()
        return loss

    start = q.detach().clone()
    losses = [float(optimizer.step(closure).detach()) for _ in range(1)]
    assert int((q.detach() != start).sum()) == 1 and (q.detach() - start).abs().max().item() == pytest.approx(0.2)
    for _ in range(4):
        scheduler.step()
        losses.append(float(optimizer.step(closure).detach()))
    assert losses == sorted(losses, reverse=True)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)


def test_little_is_kept():
    "At most 2 M numbers and 2 M places, of 4 and 8 bytes."
    optimizer = SO([matrix(300, 300, dtype=torch.float)], density=0.005, refresh=2)
    run(optimizer, slopes(9, 300, 300, dtype=torch.float))
    (state,) = optimizer.state.values()
    assert state["moments"].numel() <= 2 * 450 and len(state["places"]) <= 450 and len(state["support"]) == 450
    kept = sum(x.numel() * x.element_size() for x in state.values() if torch.is_tensor(x))
    assert kept <= 2 * 450 * (4 + 8) < 0.02 * 2 * 4 * 90_000


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (dict(density=0.0), "above 0 and at most 1, got 0.0"),
        (dict(density=1.1), "got 1.1"),
        (dict(density=float("nan")), "density"),
        (dict(refresh=0), "refresh must be a whole number of steps, 1 or more, got 0"),
        (dict(refresh=2.5), "refresh"),
        (dict(pairing="unstable"), "'stable' or 'released'"),
        (dict(betas=(0.9, 1.0)), "betas"),
        (dict(lr=-1.0), "lr"),
        (dict(seed=-1), "seed"),
    ],
)
def test_settings_out_of_range_are_refused(settings, why):
    with pytest.raises(InputError, match=why):
        SO([matrix(2, 2)], **settings)
    with pytest.raises(InputError, match=why):
        SO([matrix(2, 2)]).add_param_group(dict(params=[matrix(3, 3)], **settings))


def test_at_least_one_place():
    assert n_places(10, 1e-9) == 1 and n_places(100, 0.29) == 29 and n_places(7, 1.0) == 7


def examples(n=8):
    return [LabeledVideo(make_features(i, 12, subject=f"S{i}"), ("neutral", "pain")[i % 2]) for i in range(n)]


def test_the_usual_optimizer_of_a_training_is_unchanged(tiny):
    "AdamW by default, and by name: the same bits."
    a, b = ClipAU(tiny), ClipAU(tiny)
    fit(a, examples(), epochs=2, progress=False)
    fit(b, examples(), epochs=2, progress=False, optimizer=torch.optim.AdamW)
    assert all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


def test_a_head_is_trained_with_few_weights_moving(tiny):
    model = ClipAU(tiny)
    before = copy.deepcopy(model.state_dict())
    history = fit(model, examples(), epochs=4, batch_size=8, progress=False, optimizer=partial(SO, density=0.01))
    moved = {k: int((x != before[k]).sum()) for k, x in model.state_dict().items()}
    assert len(history) == 4
    for k, x in before.items():
        assert moved[k] == x.numel() if x.dim() < 2 else 0 < moved[k] <= n_places(x.numel(), 0.01)


def test_a_run_with_so_is_resumed_bit_for_bit_and_not_with_another_optimizer(tiny, tmp_path):
    how = dict(batch_size=4, progress=False, optimizer=partial(SO, density=0.01, refresh=3))
    whole, killed, resumed = ClipAU(tiny), ClipAU(tiny), ClipAU(tiny)
    fit(whole, examples(), epochs=5, **how)
    fit(killed, examples(), epochs=2, checkpoint=tmp_path / "run.pt", **how)
    with pytest.raises(CheckpointError, match=r"optimizer SO\(density=0.01, refresh=3\) in the file but AdamW here"):
        fit(ClipAU(tiny), examples(), epochs=5, batch_size=4, checkpoint=tmp_path / "run.pt", progress=False)
    with pytest.raises(CheckpointError, match="refresh=4"):
        fit(
            ClipAU(tiny),
            examples(),
            epochs=5,
            checkpoint=tmp_path / "run.pt",
            **how | dict(optimizer=partial(SO, refresh=4)),
        )
    fit(resumed, examples(), epochs=5, checkpoint=tmp_path / "run.pt", **how)
    assert all(torch.equal(x, resumed.state_dict()[k]) for k, x in whole.state_dict().items())


def test_what_makes_no_optimizer_is_refused(tiny):
    model = ClipAU(tiny)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match=r"optimizer must be something to call.*got 'so'"):
        fit(model, examples(), optimizer="so", progress=False)
    with pytest.raises(InputError, match="made a dict, and not an optimizer"):
        fit(model, examples(), optimizer=lambda params, **k: dict(k), progress=False)
    assert not model.trained and all(torch.equal(x, before[k]) for k, x in model.state_dict().items())
