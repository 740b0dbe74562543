"""Every fast path gives the numbers of the plain formula, values and gradients."""

import copy
import pickle
from dataclasses import replace

import open_clip
import pytest
import torch
from conftest import make_features
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from clip_autt import AUBank, AUPrompts, ClipAU, ClipAUTT, ReleasedPrompts, TemporalConv, load_backbone, score_windows
from clip_autt.au import DEFAULT_TEMPLATE, fill_template
from clip_autt.autt import Batch, encode_many_views
from clip_autt.temporal import score_windows_loop
from clip_autt.texttower import encode_full
from clip_autt.window import entropy


@settings(max_examples=80, deadline=None)
@given(
    frames=st.integers(1, 60), window=st.integers(1, 70), dim=st.integers(1, 12),
    activation=st.sampled_from(["gelu", "glu"]), seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 10.0]),
)  # fmt: skip
def test_windows_in_one_pass_equal_the_loop(frames, window, dim, activation, seed, scale):
    torch.manual_seed(seed)
    temporal, x = TemporalConv(dim, activation).requires_grad_(False), scale * torch.randn(frames, dim)
    ours, plain = score_windows(temporal, x, window), score_windows_loop(temporal, x, window)
    assert ours.shape == (max(1, frames - window + 1), dim)
    torch.testing.assert_close(ours, plain, atol=2e-5, rtol=0)


@pytest.mark.parametrize("window", [1, 2, 3, 19, 20, 21])
def test_windows_at_the_edges(window):
    torch.manual_seed(window)
    temporal, x = TemporalConv(8).requires_grad_(False), torch.randn(20, 8)
    torch.testing.assert_close(
        score_windows(temporal, x, window), score_windows_loop(temporal, x, window), atol=1e-6, rtol=0
    )


def test_windows_of_a_long_video_lose_no_digits():
    torch.manual_seed(0)
    temporal, x = TemporalConv(16).requires_grad_(False), torch.randn(4000, 16) + 3
    ours, plain = score_windows(temporal, x, 16), score_windows_loop(temporal, x, 16)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=0)


@pytest.fixture(scope="module", params=["tiny", "ViT-B-32"])
def backbone(request):
    return load_backbone(request.param)


def test_short_text_equals_77_tokens(backbone):
    texts = [*fill_template(DEFAULT_TEMPLATE, AUBank.default().prompts), *AUBank.released().prompts]
    tokens = backbone.tokenizer(texts)
    with torch.no_grad():
        full = backbone.model.encode_text(tokens)
    torch.testing.assert_close(backbone.encode_text(texts), full, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ctx_position", ["front", "end"])
def test_prompts_and_gradients_equal_77_tokens(backbone, ctx_position):
    bank = AUBank.default().subset(codes=[1, 4, 12, 27, 43])
    prompts = AUPrompts(backbone, bank, template="a face that shows {} in a video", ctx_position=ctx_position)
    torch.manual_seed(0)
    with torch.no_grad():
        prompts.ctx += 0.01 * torch.randn_like(prompts.ctx)
    goal = torch.randn(len(bank), backbone.embed_dim)
    short = prompts()
    (grad_short,) = torch.autograd.grad((short * goal).sum(), prompts.ctx)
    tokens, lengths = backbone.tokenize(fill_template("a face that shows {} in a video", bank.prompts))
    start = 1 if ctx_position == "front" else lengths[:, None] - 1 - prompts.ctx.shape[1]
    at = start + torch.arange(prompts.ctx.shape[1]).expand(len(bank), -1)
    x = backbone.tower.token_embedding(tokens).scatter(
        1, at[..., None].expand(-1, -1, backbone.tower.width), prompts.ctx
    )
    full = encode_full(backbone.tower, x, lengths)
    (grad_full,) = torch.autograd.grad((full * goal).sum(), prompts.ctx)
    torch.testing.assert_close(short, full, atol=1e-5, rtol=1e-5)
    scale = grad_full.abs().max()
    torch.testing.assert_close(grad_short / scale, grad_full / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ctx_position", ["front", "end"])
def test_zero_steps_are_clip_au(tiny, ctx_position):
    model = ClipAU(tiny)
    for n_frames in (5, 16, 40):
        v = make_features(n_frames, n_frames)
        with torch.no_grad():
            own = model(v.frames[None])
        out = ClipAUTT(model, steps=0, ctx_position=ctx_position, untrained_ok=True).adapt(v)
        torch.testing.assert_close(out.logits, own.logits[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(out.au, own.au[0], atol=1e-6, rtol=0)
        assert torch.equal(out.logits, out.logits_before)


def test_paper_prompts_are_distinct_and_released_ones_are_nine(tiny):
    with torch.no_grad():
        paper, released = AUPrompts(tiny)(), ReleasedPrompts(tiny)()
    distance = torch.cdist(paper, paper) + torch.eye(len(paper)) * 9
    assert distance.min() > 1e-3
    assert len(torch.unique((released * 1e4).round(), dim=0)) == 9


def test_one_paper_step_equals_the_definition(tiny):
    "Window by the loop, 77-token prompts, entropy of the chosen window, one AdamW step: written out plainly."
    model, v = ClipAU(tiny), make_features(3, 24)
    method = ClipAUTT(model, window=8, lr=1e-2, untrained_ok=True)
    result = method.adapt(v)

    tower, bank = tiny.tower, model.bank
    tokens = tiny.tokenizer(fill_template(model.template, bank.prompts))
    x, lengths = tower.token_embedding(tokens), tokens.argmax(-1) + 1
    ctx = torch.nn.Parameter(x[:, 1:5].clone())

    def logits(z):
        text = encode_full(tower, torch.cat([x[:, :1], ctx, x[:, 5:]], 1), lengths)
        return model.classifier(model.logit_scale * z @ model.embed_text(text).T)

    windows = score_windows_loop(model.temporal, v.frames, 8).detach()
    h = entropy(logits(windows))
    assert int(h.argmin()) == result.window.start
    torch.testing.assert_close(result.entropy, h.detach(), atol=1e-6, rtol=0)
    optimizer = torch.optim.AdamW([ctx], lr=1e-2, weight_decay=1e-4)
    (ctx.grad,) = torch.autograd.grad(h.min(), ctx)
    optimizer.step()
    assert result.loss[0] == pytest.approx(float(h.detach().min()), abs=1e-6)
    with torch.no_grad():
        after = logits(model.temporal(v.frames[None]))[0]
    torch.testing.assert_close(result.logits, after, atol=1e-3, rtol=0)
    assert not torch.allclose(result.logits, result.logits_before, atol=1e-3)


def test_preprocess_equals_open_clip_on_real_frames():
    import skimage.data
    from PIL import Image

    from clip_autt import preprocess

    theirs = open_clip.image_transform(224, is_train=False)
    for image in (skimage.data.astronaut(), skimage.data.astronaut()[:300], skimage.data.cat()[:, :200]):
        assert (preprocess(image[None].copy())[0] - theirs(Image.fromarray(image))).abs().max() < 2e-2


def test_the_batch_size_does_not_change_embeddings(tiny):
    frames = torch.randint(0, 256, (7, 40, 50, 3), dtype=torch.uint8)
    torch.testing.assert_close(tiny.encode_frames(frames, 2), tiny.encode_frames(frames, 7), atol=1e-5, rtol=0)


def test_windows_of_a_batch_equal_the_loop():
    torch.manual_seed(0)
    temporal = TemporalConv(8).requires_grad_(False)
    for frames, window in ((20, 1), (20, 2), (20, 16), (20, 20), (5, 16), (1, 1), (3000, 16)):
        x = torch.randn(3, frames, 8)
        plain = torch.stack([score_windows_loop(temporal, v, window) for v in x])
        torch.testing.assert_close(score_windows(temporal, x, window), plain, atol=2e-6, rtol=0)


POSITIONS = pytest.mark.parametrize("ctx_position", ["front", "end"])


def make_prompts(backbone, ctx_position, **kwargs):
    return AUPrompts(
        backbone,
        AUBank.default().subset(codes=[1, 4, 12, 27, 43]),
        "a face that shows {} in a video",
        ctx_position,
        **kwargs,
    )


@POSITIONS
@pytest.mark.parametrize("shared", [False, True])
def test_one_run_serves_several_videos(backbone, ctx_position, shared):
    "Gradients pulled back through one shared run are those of a run for each video."
    prompts = make_prompts(backbone, ctx_position, shared=shared)
    start, goals = (
        prompts.cached(prompts.ctx_start),
        torch.randn(3, 5, backbone.embed_dim, generator=torch.Generator().manual_seed(0)),
    )
    contexts = prompts.ctx_start.repeat(3, 1, 1, 1).requires_grad_()
    (own,) = torch.autograd.grad((prompts.encode(contexts) * goals).sum(), contexts)
    for pulled in (start.vjp(goals, keep=True), torch.cat([start.vjp(g[None], keep=True) for g in goals])):
        torch.testing.assert_close(pulled / own.abs().max(), own / own.abs().max(), atol=1e-5, rtol=0)
    torch.testing.assert_close(start.text, prompts.encode(contexts)[2], atol=1e-5, rtol=1e-5)


@POSITIONS
def test_what_is_remembered_is_of_this_context(tiny, ctx_position):
    prompts = make_prompts(tiny, ctx_position)
    start = prompts.cached(prompts.ctx)
    assert prompts.cached(prompts.ctx_start) is start
    with torch.no_grad():
        prompts.ctx += 0.01
    moved = prompts.cached(prompts.ctx)
    assert moved is not start and prompts.cached(prompts.ctx) is moved and prompts.cached(prompts.ctx_start) is start
    torch.testing.assert_close(moved.text, prompts().detach(), atol=1e-6, rtol=1e-6)
    prompts.ctx_start.copy_(prompts.ctx + 0.01)
    prompts.reset()
    torch.testing.assert_close(prompts.cached(prompts.ctx).text, prompts().detach(), atol=1e-6, rtol=1e-6)


def plain_adaptation(model, v, ctx_position, steps, lr, window=8):
    """CLIP-AUTT as the formula reads: all windows one by one, 77-token prompts, every forward pass of its own.

    Returns losses and logits after each step.
    """
    bank, tower = model.bank, model.backbone.tower
    tokens, lengths = model.backbone.tokenize(fill_template(model.template, bank.prompts))
    x = tower.token_embedding(tokens)
    n = 4 if ctx_position == "front" else 1
    at = (torch.ones_like(lengths) if ctx_position == "front" else lengths - 1 - n)[:, None] + torch.arange(n)
    index = at[..., None].expand(-1, -1, x.shape[-1])
    ctx = torch.nn.Parameter(x.gather(1, index))
    optimizer = torch.optim.AdamW([ctx], lr=lr, weight_decay=1e-4)
    text = lambda: model.embed_text(encode_full(tower, x.scatter(1, index, ctx), lengths))
    losses, logits = [], []
    for _ in range(steps):
        with torch.no_grad():
            best = int(
                entropy(
                    model.classifier(model.au_scores(score_windows_loop(model.temporal, v.frames, window), text()))
                ).argmin()
            )
        loss = entropy(model.classifier(model.au_scores(model.temporal(v.frames[None, best : best + window]), text())))[
            0
        ]
        (ctx.grad,) = torch.autograd.grad(loss, ctx)
        optimizer.step()
        with torch.no_grad():
            logits.append(model.classifier(model.au_scores(model.temporal(v.frames[None]), text()))[0])
        losses.append(float(loss.detach()))
    return losses, logits


@POSITIONS
@pytest.mark.parametrize("reset", ["video", "never"])
def test_five_steps_equal_the_plain_formula(tiny, ctx_position, reset):
    "AdamW goes by the sign of a gradient, so rounding can turn the few values that are almost zero: hence 1e-3."
    model, v = ClipAU(tiny), make_features(3, 24)
    losses, logits = plain_adaptation(model, v, ctx_position, 5, 1e-3)
    settings = dict(window=8, ctx_position=ctx_position, reset=reset, untrained_ok=True)
    result = ClipAUTT(model, steps=5, **settings).adapt(v)
    assert result.loss == pytest.approx(losses, abs=1e-3)
    torch.testing.assert_close(result.logits, logits[-1], atol=1e-3, rtol=0)
    if reset == "never":  # five times one step: each begins with the text that the last one ended with
        method = ClipAUTT(model, steps=1, **settings)
        each = [method.adapt(v) for _ in range(5)]
        assert [r.loss[0] for r in each] == pytest.approx(losses, abs=1e-3)
        torch.testing.assert_close(torch.stack([r.logits for r in each]), torch.stack(logits), atol=1e-3, rtol=0)


@pytest.mark.parametrize("reset", ["video", "never"])
def test_how_often_the_text_encoder_runs(tiny, monkeypatch, reset):
    method, runs = ClipAUTT(ClipAU(tiny), window=8, reset=reset, untrained_ok=True), []
    encode = AUPrompts.encode_context
    monkeypatch.setattr(
        AUPrompts, "encode_context", lambda self, ctx: runs.append(ctx.shape[:-3].numel()) or encode(self, ctx)
    )
    method.adapt(make_features(0))
    assert runs == [1, 1]  # at the start, which is remembered, and after the step
    method.adapt_many([make_features(i) for i in (1, 2, 3)])
    assert runs[2:] == ([3] if reset == "video" else [1, 1, 1])
    if reset == "video":
        method.config = replace(method.config, steps=3)
        method.adapt_many([make_features(i) for i in (1, 2)])
        assert runs[3:] == [2, 2, 2]


def test_many_videos_in_one_batch_equal_one_by_one(tiny):
    method = ClipAUTT(ClipAU(tiny), window=8, steps=2, untrained_ok=True)
    videos = [make_features(i, 5 + i % 7) for i in range(64)]
    for a, b in zip(method.adapt_many(videos, batch_size=64), [method.adapt(v) for v in videos], strict=True):
        torch.testing.assert_close(a.logits, b.logits, atol=1e-3, rtol=0)
        torch.testing.assert_close(a.logits_before, b.logits_before, atol=1e-5, rtol=0)
        assert a.window == b.window and a.passes == b.passes == (3, 2, 3 * 47, 2 * 47)


def test_a_method_that_remembers_can_be_copied_and_sent(tiny):
    method = ClipAUTT(ClipAU(tiny), window=8, reset="never", untrained_ok=True)
    method.adapt(make_features(0))
    copied, sent = copy.deepcopy(method), pickle.loads(pickle.dumps(method))
    results = [m.adapt(make_features(1)) for m in (method, copied, sent)]
    assert all(torch.equal(results[0].logits, r.logits) for r in results)


class Waits(TorchDispatchMode):
    "Notes every operation for which a processor would have to wait for a GPU."

    NAMES = "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique"

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        name = f._overloadpacket.__name__
        if name in self.NAMES:
            self.seen.append(name)
        return f(*args, **(kwargs or {}))


@POSITIONS
def test_steps_never_wait_for_a_gpu(tiny, ctx_position):
    method = ClipAUTT(ClipAU(tiny), window=8, steps=3, ctx_position=ctx_position, untrained_ok=True)
    batch = Batch.of(encode_many_views(method.model, [make_features(i) for i in range(3)], 8))
    ctx = torch.nn.Parameter(method.prompts.ctx_start.repeat(3, 1, 1, 1))
    start = method.prompts.cached(method.prompts.ctx_start)
    method.prompts.encode(ctx)  # lays the tokens out, once
    with Waits() as waits:
        float(ctx.detach().sum())
        steps = list(method._steps(batch, ctx, torch.optim.SGD([ctx], lr=1e-3), start))
    assert waits.seen == ["_local_scalar_dense"] and len(steps) == 3  # the one above, which shows that the check works


@pytest.mark.parametrize("autocast", ["bfloat16", "float16"])
def test_autocast_is_close_and_a_choice(tiny, autocast):
    model, videos = ClipAU(tiny), [make_features(i) for i in range(8)]
    exact = ClipAUTT(model, window=8, untrained_ok=True).adapt_many(videos)
    half = ClipAUTT(model, window=8, autocast=autocast, untrained_ok=True)
    for a, b in zip(half.adapt_many(videos), exact, strict=True):
        assert a.logits.dtype == torch.float32
        torch.testing.assert_close(a.logits_before, b.logits_before, atol=0.02, rtol=0)
        torch.testing.assert_close(a.logits, b.logits, atol=0.1, rtol=0)
    assert half.ctx.dtype == torch.float32


def test_small_gradients_survive_float16(tiny):
    prompts, goal = make_prompts(tiny, "front"), torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    exact = prompts.graph(prompts.ctx).vjp(goal)
    prompts.autocast = torch.float16
    link = prompts.graph(prompts.ctx)
    for size in (1e-12, 1.0, 1e6):
        torch.testing.assert_close(
            link.vjp(goal * size, keep=True) / size / exact.abs().max(), exact / exact.abs().max(), atol=0.02, rtol=0
        )
    assert (link.vjp(torch.zeros_like(goal)) == 0).all()
