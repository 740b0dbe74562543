"""Every fast path gives the numbers of the plain formula, values and gradients."""

import open_clip
import pytest
import torch
from conftest import make_features
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_autt import AUBank, AUPrompts, ClipAU, ClipAUTT, ReleasedPrompts, TemporalConv, load_backbone, score_windows
from clip_autt.au import DEFAULT_TEMPLATE, fill
from clip_autt.autt import entropy
from clip_autt.temporal import score_windows_loop
from clip_autt.texttower import encode_full


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
    torch.testing.assert_close(score_windows(temporal, x, window), score_windows_loop(temporal, x, window), atol=1e-6, rtol=0)


def test_windows_of_a_long_video_lose_no_digits():
    torch.manual_seed(0)
    temporal, x = TemporalConv(16).requires_grad_(False), torch.randn(4000, 16) + 3
    ours, plain = score_windows(temporal, x, 16), score_windows_loop(temporal, x, 16)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=0)


@pytest.fixture(scope="module", params=["tiny", "ViT-B-32"])
def backbone(request):
    return load_backbone(request.param)


def test_short_text_equals_77_tokens(backbone):
    texts = [*fill(DEFAULT_TEMPLATE, AUBank.default().prompts), *AUBank.released().prompts]
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
    tokens, lengths = backbone.tokenize(fill("a face that shows {} in a video", bank.prompts))
    start = 1 if ctx_position == "front" else lengths[:, None] - 1 - prompts.ctx.shape[1]
    at = start + torch.arange(prompts.ctx.shape[1]).expand(len(bank), -1)
    x = backbone.tower.token_embedding(tokens).scatter(1, at[..., None].expand(-1, -1, backbone.tower.width), prompts.ctx)
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
    tokens = tiny.tokenizer(fill(model.template, bank.prompts))
    x, lengths = tower.token_embedding(tokens), tokens.argmax(-1) + 1
    ctx = torch.nn.Parameter(x[:, 1:5].clone())

    def logits(z):
        text = encode_full(tower, torch.cat([x[:, :1], ctx, x[:, 5:]], 1), lengths)
        return model.classifier(model.tau * z @ model.embed_text(text).T)

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
