"Windows drawn by their score: hand values, phases, exact pooling, an exact resume, and where the windows go."

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_features

from clip_autt import CheckpointError, ClipAU, InputError, LabeledVideo
from clip_autt.features import VideoFeatures
from clip_autt.methods.references import softmax_pool
from clip_autt.methods.registry import make_method
from clip_autt.training.stochastic_softmax import (
    WindowSampling,
    draw_start,
    exploration_starts,
    explored,
    fit_windows,
    learn_score,
    mixed,
    pool_windows,
    pooled_logits,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def fresh(tiny, seed=0):
    return ClipAU(tiny, classes=("neutral", "pain"), seed=seed)


def labeled(n, frames=40, people=4):
    "Noise with labels, by people of both classes."
    lengths = [frames] * n if isinstance(frames, int) else frames
    return [
        LabeledVideo(make_features(i, t, subject=f"P{i % people}"), ("neutral", "pain")[i // people % 2])
        for i, t in enumerate(lengths)
    ]


def planted(n_people, signal, width=64, length=64, seed=0):
    "Clips of which every second one shows a class in a quarter of its frames; and which frames show it."
    g, mark, videos, shown = generator(seed), torch.randn(width, generator=generator(7)), [], []
    for who in range(n_people):
        for i in range(10):
            at = int(torch.randint(length * 3 // 4, (), generator=g))
            here = torch.zeros(length)
            here[at : at + length // 4] = i % 2
            frames = torch.randn(length, width, generator=g) + signal * here[:, None] * mark / mark.norm()
            found = torch.ones(length, dtype=torch.bool)
            video = VideoFeatures(frames, torch.arange(length) / 12.5, found, f"{who}/{i}", str(who))
            videos.append(LabeledVideo(video, ("neutral", "pain")[i % 2]))
            shown.append(here)
    return videos, torch.stack(shown)


def chi_square(starts, expected):
    counts = np.bincount(starts, minlength=len(expected))
    return float(((counts - expected) ** 2 / expected).sum())


def test_pool_by_hand():
    assert pool_windows(torch.tensor([[0.0], [2.0]]), 1.0).item() == pytest.approx(1.7616, abs=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 20.0])
def test_pooling_is_that_of_the_method_at_test_time(gamma):
    x = torch.randn(30, 3, generator=generator())
    torch.testing.assert_close(pool_windows(x, gamma), softmax_pool(x, gamma)[0])
    torch.testing.assert_close(pool_windows(torch.stack([x, -x]), gamma)[1], softmax_pool(-x, gamma)[0])


def test_pooling_between_mean_and_maximum():
    x = torch.randn(30, 3, generator=generator())
    torch.testing.assert_close(pool_windows(x, 0.0), x.mean(0))
    torch.testing.assert_close(pool_windows(x, 1e6), x.max(0).values)


def test_no_gamma_draws_uniformly():
    g = generator()
    starts = [draw_start(torch.linspace(-3, 3, 20), 9, (), WindowSampling(gamma=0.0), g) for _ in range(2000)]
    assert chi_square(starts, np.full(20, 100)) < 43.8  # 19 degrees of freedom, 0.1 %


def test_warmup_draws_uniformly_whatever_is_known():
    g = generator()
    starts = [draw_start(torch.linspace(-30, 30, 20), 3, (), WindowSampling(), g) for _ in range(2000)]
    assert chi_square(starts, np.full(20, 100)) < 43.8


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_starts_follow_the_softmax(gamma):
    g, e = generator(), torch.linspace(-1, 1, 20)
    starts = [draw_start(e, 9, (), WindowSampling(gamma=gamma), g) for _ in range(2000)]
    assert chi_square(starts, 2000 * (gamma * e).softmax(0).numpy()) < 43.8


def test_a_large_gamma_draws_the_best_start():
    g, e = generator(), torch.randn(45, generator=generator(1))
    assert {draw_start(e, 20, (), WindowSampling(gamma=1e6), g) for _ in range(50)} == {int(e.argmax())}


def test_mixing_by_hand():
    e = mixed(torch.zeros(60), 20, 1.0)
    assert [e[i].item() for i in (20, 21, 28, 35, 36, 5, 4)] == [1.0, 0.9375, 0.5, 0.0625, 0.0, 0.0625, 0.0]
    assert mixed(torch.full((60,), 3.0), 20, 1.0)[28].item() == 2.0  # half way from 3 to 1


def test_mixing_at_the_borders():
    assert mixed(torch.zeros(3), 0, 1.0, window=4).tolist() == [1.0, 0.75, 0.5]
    assert mixed(torch.zeros(3), 2, 1.0, window=1).tolist() == [0.0, 0.0, 1.0]


def test_exploration_by_hand():
    assert exploration_starts(60) == [0, 14, 29, 44, 59]
    assert exploration_starts(3) == [0, 0, 1, 1, 2]
    assert explored(torch.zeros(60), 29, 1.0).nonzero().flatten().tolist() == list(range(22, 37))


@pytest.mark.parametrize("exploration", [2, 3, 5, 8])
def test_exploration_leaves_no_start_out(exploration):
    for n in range(1, 150):
        e = torch.full((n,), torch.nan)
        starts = exploration_starts(n, exploration)
        assert starts[0] == 0 and starts[-1] == n - 1 and len(starts) == exploration
        for start in starts:
            e = explored(e, start, 1.0, exploration)
        assert (e == 1).all(), n


def test_each_phase_learns_in_its_own_way():
    s, e = WindowSampling(), torch.zeros(60)
    assert learn_score(e, 3, 29, 1.0, s).equal(e)
    assert learn_score(e, 8, 29, 1.0, s).equal(explored(e, 29, 1.0))
    assert learn_score(e, 9, 29, 1.0, s).equal(mixed(e, 29, 1.0))
    assert learn_score(e, 9, 29, 1.0, WindowSampling("uniform")).equal(e)


def test_a_short_video_is_one_window_and_draws_nothing(tiny):
    g, starts = generator(), []
    state = g.get_state()
    assert [draw_start(torch.zeros(1), epoch, [0] * 5, WindowSampling(), g) for epoch in range(1, 12)] == [0] * 11
    assert g.get_state().equal(state)
    fit_windows(fresh(tiny), labeled(8, [5, 16, 17, 40, 3, 15, 18, 16]), starts=starts, epochs=12, progress=False)
    assert torch.stack(starts)[:, [0, 1, 4, 5, 7]].eq(0).all()
    assert torch.stack(starts).max(0).values[3] > 1


def test_exploration_visits_each_start_once_in_an_order_of_its_own(tiny):
    starts = []
    fit_windows(fresh(tiny), labeled(24, 75), epochs=8, starts=starts, progress=False)
    visited = torch.stack(starts)[3:]
    assert visited.sort(0).values.T.tolist() == [exploration_starts(60)] * 24
    assert len({tuple(order) for order in visited.T.tolist()}) > 12


@pytest.mark.parametrize("gamma", [0.0, 1.0, 8.0])
def test_pooled_logits_are_those_of_the_windows(tiny, gamma):
    model = fresh(tiny)
    frames = [x.video.frames for x in labeled(4, [40, 9, 16, 23])]
    with torch.no_grad():
        fast = pooled_logits(model, frames, 16, gamma)
        for x, own in zip(frames, fast):
            windows = torch.cat([model(x[None, t : t + 16]).logits for t in range(max(1, len(x) - 15))])
            torch.testing.assert_close(own, softmax_pool(windows, gamma)[0], rtol=0, atol=1e-5)


def test_pooled_logits_are_the_answers_of_the_method(tiny):
    model, video = fresh(tiny), labeled(1)[0].video
    model.trained = True
    answer = make_method("softmax-pool", model, gamma=2.0).adapt(video).logits
    with torch.no_grad():
        torch.testing.assert_close(pooled_logits(model, [video.frames], 16, 2.0)[0], answer, rtol=0, atol=1e-5)


def test_neighbours_do_not_matter(tiny):
    model, frames = fresh(tiny), [x.video.frames for x in labeled(4, [40, 9, 16, 23])]
    with torch.no_grad():
        alone = torch.cat([pooled_logits(model, [x]) for x in frames])
        torch.testing.assert_close(pooled_logits(model, frames), alone, rtol=0, atol=1e-6)


def test_the_same_seed_gives_the_same_starts_and_another_one_others(tiny):
    found = []
    for seed in (3, 3, 4):
        found.append([])
        fit_windows(fresh(tiny), labeled(16), epochs=10, seed=seed, starts=found[-1], progress=False)
    a, b, c = map(torch.stack, found)
    assert a.equal(b) and not a.equal(c)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resumed_from_a_checkpoint_is_the_same_to_the_last_bit(tiny, tmp_path, stop):
    how = dict(sampling=WindowSampling(warmup=1, exploration=2), epochs=6, progress=False)
    data, (whole, parts) = labeled(16), ([], [])
    model, again = fresh(tiny), fresh(tiny)
    history = fit_windows(model, data[:12], None, starts=whole, **how)
    path = tmp_path / "run.pt"
    fit_windows(fresh(tiny), data[:12], None, starts=parts, checkpoint=path, **{**how, "epochs": stop})
    assert fit_windows(again, data[:12], None, starts=parts, checkpoint=path, **how) == history
    assert torch.stack(whole).equal(torch.stack(parts))
    assert all(v.equal(again.state_dict()[k]) for k, v in model.state_dict().items())


def test_estimates_are_part_of_the_checkpoint(tiny, tmp_path):
    "Forgotten estimates would give other starts: the test above can fail."
    how, path = dict(sampling=WindowSampling(gamma=50.0, warmup=0, exploration=2), progress=False), tmp_path / "run.pt"
    data, (kept, lost) = labeled(16), ([], [])
    fit_windows(fresh(tiny), data, None, checkpoint=path, epochs=4, **how)
    state = torch.load(path, weights_only=True)
    fit_windows(fresh(tiny), data, None, checkpoint=path, epochs=5, starts=kept, **how)
    torch.save(state | {"estimates": [torch.zeros_like(e) for e in state["estimates"]]}, path)
    fit_windows(fresh(tiny), data, None, checkpoint=path, epochs=5, starts=lost, **how)
    assert not kept[0].equal(lost[0])


@pytest.mark.parametrize("other", [dict(gamma=0.5), dict(warmup=2), dict(draw="uniform"), dict(window=8)])
def test_a_checkpoint_of_other_windows_is_refused(tiny, tmp_path, other):
    how = dict(epochs=1, checkpoint=tmp_path / "run.pt", progress=False)
    fit_windows(fresh(tiny), labeled(8), **how)
    with pytest.raises(CheckpointError, match=f"{next(iter(other))} .* in the file but"):
        fit_windows(fresh(tiny), labeled(8), sampling=WindowSampling(**other), **how)


def test_windows_go_where_the_class_is_shown(tiny):
    "In clips that show the class in a quarter of their frames; uniform windows stay where they were."
    videos, shown = planted(12, signal=3.0)
    painful, late = shown.sum(1) > 0, {}
    for draw in ("uniform", "softmax"):
        starts = []
        fit_windows(fresh(tiny), videos, None, WindowSampling(draw), epochs=16, starts=starts, progress=False)
        at = torch.stack(starts)[:, painful, None] + torch.arange(16)
        share = shown[painful].expand(len(at), -1, -1).gather(2, at).mean((1, 2))
        late[draw] = float(share[:3].mean()), float(share[10:].mean())
    assert late["uniform"][1] == pytest.approx(late["uniform"][0], abs=0.06)
    assert late["softmax"][0] == pytest.approx(late["uniform"][0], abs=0.06)
    assert late["softmax"][1] > 1.5 * late["uniform"][1]


def test_exact_training_steps_down_the_pooled_loss(tiny):
    "One step of plain descent on one batch is the gradient of the pooled loss."
    data, model, by_hand = labeled(8, [40, 9, 16, 23] * 2), fresh(tiny), fresh(tiny)
    fit_windows(model, data, None, WindowSampling("exact", gamma=2.0), epochs=1, lr=0.1, weight_decay=0.0,
                optimizer=torch.optim.SGD, progress=False)  # fmt: skip
    windows = [[x.video.frames[t : t + 16] for t in range(max(1, len(x.video) - 15))] for x in data]
    logits = [softmax_pool(torch.cat([by_hand(w[None]).logits for w in own]), 2.0)[0] for own in windows]
    y = torch.tensor([by_hand.classes.index(x.label) for x in data])
    torch.nn.functional.cross_entropy(torch.stack(logits), y).backward()
    for p, q in zip(by_hand.parameters(), model.parameters()):
        torch.testing.assert_close(q, p - 0.1 * p.grad, rtol=0, atol=1e-6)


def test_released_differs_for_short_videos_and_incomplete_batches_only(tiny):
    def run(videos, variant):
        model, starts = fresh(tiny), []
        fit_windows(model, videos, None, WindowSampling(variant=variant), epochs=2, starts=starts, progress=False)
        return model.state_dict(), torch.stack(starts)

    def compared(videos):
        (a, _), (b, starts) = run(videos, "described"), run(videos, "released")
        return all(v.equal(b[k]) for k, v in a.items()), int((starts < 0).sum())

    assert compared(labeled(16)) == (True, 0)
    assert compared(labeled(19)) == (False, 6)  # three of nineteen, twice
    assert compared(labeled(16, [9] * 16)) == (False, 0)
    with pytest.raises(InputError, match="do not fill one of 8"):
        run(labeled(6), "released")


def test_class_weights_and_validation_work_as_in_fit(tiny):
    data = labeled(32, people=8)
    history = fit_windows(fresh(tiny), data, 0.25, epochs=12, patience=2, class_weights="balanced", progress=False)
    assert len(history.val_uar) == len(history) <= 12 and history.stopped_early == (len(history) < 12)


def test_a_failed_training_leaves_the_model_as_it_was(tiny):
    model = fresh(tiny)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(InputError, match="diverged"):
        fit_windows(model, labeled(8), lr=1e30, epochs=3, progress=False)
    assert all(v.equal(before[k]) for k, v in model.state_dict().items()) and not model.trained


@pytest.mark.parametrize(
    "wrong",
    [dict(draw="best"), dict(window=0), dict(gamma=-1.0), dict(gamma=float("inf")), dict(warmup=-1),
     dict(exploration=1), dict(variant="published")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(WindowSampling(), **wrong)


def test_the_exploration_may_be_left_out(tiny):
    sampling = WindowSampling(warmup=0, exploration=0)
    assert sampling.phase(1) == "softmax"
    fit_windows(fresh(tiny), labeled(8), sampling=sampling, epochs=2, progress=False)
