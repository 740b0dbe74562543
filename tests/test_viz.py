"""Pictures: the right things are drawn where they should be, and bad input is refused before anything is drawn."""

import io
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from clip_autt import AUBank, Adapted, Clip, InputError
from clip_autt.outputs import Window, window_at
from clip_autt.show import (
    CHOSEN,
    mark_window,
    plot_au_change,
    plot_aus,
    plot_confusion,
    plot_entropy,
    plot_film,
    plot_methods,
    plot_similarity,
    plot_subjects,
    plot_tsne,
)

BANK = AUBank.default()


@pytest.fixture(autouse=True)
def _no_open_figures_and_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


@pytest.fixture
def ax():
    "Axes of a figure that pyplot does not know, as the report uses them."
    return Figure(figsize=(5, 3)).subplots()


def make_clip(n=20, fps=10.0, height=12, width=10):
    rng = np.random.default_rng(0)
    return Clip(rng.integers(0, 255, (n, height, width, 3), dtype=np.uint8), np.arange(n) / fps)


def make_adapted(n=20, size=8, start=5, fps=10.0, classes=("neutral", "pain"), **changes):
    g, times = torch.Generator().manual_seed(0), torch.arange(n) / fps
    h = torch.rand(n - size + 1, generator=g) * 0.5 + 0.1
    h[start] = 0.01
    au = torch.randn(47, generator=g)
    values = dict(
        logits=torch.ones(len(classes)),
        logits_before=torch.zeros(len(classes)),
        au=au + torch.arange(47) / 100,
        au_before=au,
        classes=classes,
        bank=BANK,
        n_frames=n,
        n_faces=n,
        window=window_at(times, start, size),
        entropy=h,
        loss=(0.5,),
        seconds=0.0,
    )
    return Adapted(**{**values, **changes})


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_film_shows_frames_in_order_on_a_time_axis(ax):
    clip = make_clip()
    assert plot_film(clip, n=5, ax=ax) is ax
    lefts = [image.get_extent()[0] for image in ax.images]
    assert lefts == pytest.approx([0, 0.4, 0.8, 1.2, 1.6]) and ax.get_xlim() == pytest.approx((0, 2.0))
    for image, i in zip(ax.images, (2, 6, 10, 14, 18)):
        assert np.array_equal(image.get_array(), clip.frames[i])
    left, right, bottom, top = ax.images[0].get_extent()
    assert (top - bottom) / (right - left) == pytest.approx(12 / 10), "pictures keep their shape"
    assert ax.get_xlabel() == "time (s)" and not ax.patches


def test_film_shows_the_frame_that_is_on_screen_at_an_uneven_rate(ax):
    clip = make_clip(4).replace(times=[0.0, 0.1, 0.2, 3.0])
    plot_film(clip, n=4, ax=ax)
    assert np.array_equal(ax.images[1].get_array(), clip.frames[2]), "frame 2 stays on screen from 0.2 s to 3 s"


def test_film_frames_the_window(ax):
    plot_film(make_clip(), Window(5, 13, 0.5, 1.3), ax=ax)
    (frame,) = ax.patches
    assert (
        frame.get_x() == 0.5
        and frame.get_width() == pytest.approx(0.8)
        and to_hex(frame.get_edgecolor()) == CHOSEN.lower()
    )
    assert "0.50 to 1.30 s" in ax.get_title()


@pytest.mark.parametrize("n", [1, 2])
def test_film_of_very_few_frames(n):
    assert len(plot_film(make_clip(n)).images) == n


def test_aus_shows_the_largest_ranges_first(ax):
    au = np.zeros((20, 47))
    au[5:, BANK.index(12)], au[3:6, BANK.index(4)] = 1, 0.5
    plot_aus(au, np.arange(20) / 10, BANK, ax=ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["AU12 Lip corner puller", "AU4 Brow lowerer"]
    (mesh,) = ax.collections
    assert mesh.get_cmap().name == "cividis" and np.asarray(mesh.get_array()).reshape(2, 20)[0, 5] == 1
    assert ax.get_ylim() == (2, 0) and ax.get_xlim() == pytest.approx((0, 2.0)) and ax.get_xlabel() == "time (s)"


def test_aus_named_are_shown_even_if_flat_and_differences_have_a_middle(ax):
    plot_aus(torch.linspace(-1, 2, 20)[:, None].repeat(1, 47), torch.arange(20), BANK, top=["AU12", 4], ax=ax)
    (mesh,) = ax.collections
    assert mesh.get_cmap().name == "vlag" and mesh.get_clim() == (-2, 2) and len(ax.get_yticks()) == 2
    flat = plot_aus(np.zeros((3, 47)), np.arange(3), BANK, top=4)
    assert len(flat.get_yticks()) == 4


def test_entropy_stands_at_the_middle_of_each_window(ax):
    a = make_adapted()
    plot_entropy(a, ax=ax)
    line, marker = ax.lines[-2:]
    assert line.get_xdata() == pytest.approx(np.arange(13) / 10 + 0.4) and line.get_ydata() == pytest.approx(
        a.entropy.numpy()
    )
    assert list(marker.get_xdata()) == pytest.approx([0.9]) and list(marker.get_ydata()) == pytest.approx([0.01])
    assert ax.lines[0].get_ydata()[0] == pytest.approx(math.log(2)) and ax.get_ylim()[1] > math.log(2)
    assert "undecided: ln 2" in texts(ax) and len(ax.patches) == 1


def test_entropy_with_uneven_times_and_with_a_single_window(ax):
    times = np.cumsum(np.linspace(0.05, 0.2, 20))
    a = make_adapted(window=window_at(torch.as_tensor(times), 5, 8))
    plot_entropy(a, ax, times)
    assert ax.lines[-1].get_xdata()[0] == pytest.approx((a.window.start_s + a.window.stop_s) / 2)
    one = plot_entropy(make_adapted(n=8, size=8, start=0, classes=tuple("abc")))
    assert len(one.lines[-1].get_xdata()) == 1 and "undecided: ln 3" in texts(one)


def test_mark_window_spans_its_seconds(ax):
    mark_window(ax, Window(5, 13, 0.5, 1.3))
    assert ax.patches[0].get_x() == 0.5 and ax.patches[0].get_width() == pytest.approx(0.8)


def test_au_change_pairs_bars_with_the_largest_change_first(ax):
    a = make_adapted()
    plot_au_change(a, top=3, ax=ax)
    before, after = (c.patches for c in ax.containers)
    for rank, i in enumerate((46, 45, 44)):
        assert before[rank].get_width() == pytest.approx(float(a.au_before[i])) and after[
            rank
        ].get_width() == pytest.approx(float(a.au[i]))
    assert texts(ax)[:3] == ["+0.460", "+0.450", "+0.440"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["before", "after"]


def test_au_change_of_a_method_that_changes_nothing():
    a = make_adapted()
    ax = plot_au_change(make_adapted(au=a.au_before), top=4)
    assert texts(ax)[:4] == ["+0.000"] * 4


def test_confusion_has_counts_and_row_percentages(ax):
    table = pd.DataFrame([[3, 1], [0, 0]], index=["a", "b<$&$"], columns=["a", "b<$&$"])
    plot_confusion(table, ax=ax)
    assert texts(ax) == ["3\n75 %", "1\n25 %", "0\n0 %", "0\n0 %"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    ax.figure.savefig(io.BytesIO(), format="png")  # no formula between the dollar signs


def test_numbers_of_a_confusion_matrix_are_legible(ax):
    "A contrast of 4.5 and more between each number and its cell, for every percentage."
    counts = pd.DataFrame([[k, 100 - k] for k in range(101)])
    plot_confusion(counts, ax=ax)

    def luminance(colour):
        rgb = np.array(to_rgb(colour))
        return np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    cells = plt.get_cmap("cividis")(counts.to_numpy().ravel() / 100)[:, :3]
    for text, cell in zip(ax.texts, cells, strict=True):
        low, high = sorted((luminance(text.get_color()), luminance(cell)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, text.get_text()


def test_the_spread_of_a_method_is_not_cut_off(ax):
    war = pd.DataFrame({"a": [1.0, 1.0, 1.0, 0.4], "b": [0.5, 0.6, 0.5, 0.6]})
    plot_methods(war, ax)
    assert war.a.mean() + war.a.std() > 1, "the bar reaches beyond the best score there is"
    assert ax.get_xlim()[1] > war.a.mean() + war.a.std() and ax.get_xticks().max() == 1


def test_subjects_and_methods_show_every_score(ax):
    war = pd.DataFrame({"clip-au": [0.5, 0.75, 1.0], "mine": [0.75, 0.5, 1.0]}, index=["S1", "S2", "S3"])
    plot_subjects(war, ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["S3", "S2", "S1"] and len(ax.lines) == 2
    assert list(ax.lines[1].get_xdata()) == [1.0, 0.5, 0.75] and ax.lines[0].get_marker() != ax.lines[1].get_marker()
    other = plot_methods(war)
    assert texts(other) == ["0.750 ± 0.250", "0.750 ± 0.250"] and len(other.containers) == 2


def test_one_subject_and_very_many():
    war = pd.DataFrame({"clip-au": [0.5]}, index=["S1"])
    assert texts(plot_methods(war)) == ["0.500"] and len(plot_subjects(war).lines) == 1
    many = plot_subjects(pd.DataFrame({"a": np.linspace(0, 1, 87), "b": np.linspace(1, 0, 87)}))
    assert many.get_ylabel() == "87 subjects" and len(many.get_yticks()) == 0 and many.figure.get_figheight() <= 9


def test_similarity_is_the_cosine(ax):
    a, b = np.array([[2.0, 0], [0, 3.0]]), np.array([[1.0, 1.0]])
    plot_similarity(a, names=["x", "y"], ax=ax)
    assert np.asarray(ax.collections[0].get_array()).reshape(2, 2) == pytest.approx(np.eye(2))
    two = plot_similarity(torch.tensor(a), torch.tensor(b), ["x", "y"], names_b=["z"])
    assert np.asarray(two.collections[0].get_array()).ravel() == pytest.approx([2**-0.5] * 2)
    assert [t.get_text() for t in two.get_xticklabels()] == ["z"]


@pytest.mark.parametrize("n", [3, 4, 40])
def test_tsne_gives_each_label_a_colour_and_a_shape(n):
    x, labels = np.random.default_rng(0).normal(size=(n, 8)), [f"P{i % 3}" for i in range(n)]
    a, b = plot_tsne(x, labels), plot_tsne(torch.tensor(x), labels)
    (points,) = a.collections
    assert len(points.get_offsets()) == n and np.array_equal(points.get_offsets(), b.collections[0].get_offsets())
    assert (
        len({tuple(c) for c in points.get_facecolors()}) == 3
        and len({p.vertices.tobytes() for p in points.get_paths()}) == 3
    )
    assert [t.get_text() for t in a.get_legend().get_texts()] == ["P0", "P1", "P2"]


def test_long_and_strange_names_are_shown_short(ax):
    names = ["x" * 50 + "1", "x" * 50 + "2", "$a$b$"]
    plot_tsne(np.eye(6), names * 2, ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x" * 31 + "…"] * 2 + [r"\$a\$b\$"]
    assert len({tuple(c) for c in ax.collections[0].get_facecolors()}) == 3, "names that look alike when cut stay apart"


def test_tsne_leaves_the_random_state_alone():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    plot_tsne(np.random.default_rng(0).normal(size=(9, 4)), range(9))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


NAN = float("nan")
WAR = pd.DataFrame({"a": [0.5, 0.6]})
BAD = {
    "window of another clip": (lambda: plot_film(make_clip(5), Window(3, 9, 0.3, 0.9)), "clip has 5 frames"),
    "clip at another rate": (lambda: plot_film(make_clip(fps=25.0), Window(5, 13, 0.5, 1.3)), "at 0.20 s"),
    "no frames wanted": (lambda: plot_film(make_clip(), n=0), "n must be 1"),
    "wrong axes": (lambda: plot_aus(np.zeros(47), [0.0], BANK), r"\[T, N\]"),
    "wrong bank": (lambda: plot_aus(np.zeros((2, 46)), [0.0, 1.0], BANK), "bank has 47 AUs"),
    "wrong times": (lambda: plot_aus(np.zeros((2, 47)), [0.0], BANK), "one time per row"),
    "NaN": (lambda: plot_aus(np.full((2, 47), NAN), [0.0, 1.0], BANK), "NaN"),
    "unknown AU": (lambda: plot_aus(np.zeros((2, 47)), [0.0, 1.0], BANK, top=["AU99"]), "AU99"),
    "no AU": (lambda: plot_aus(np.zeros((2, 47)), [0.0, 1.0], BANK, top=0), "top must be 1"),
    "empty entropy": (lambda: plot_entropy(make_adapted(entropy=torch.zeros(0))), "not empty"),
    "NaN entropy": (lambda: plot_entropy(make_adapted(entropy=torch.full((13,), NAN))), "NaN"),
    "too few entropies": (lambda: plot_entropy(make_adapted(entropy=torch.zeros(4))), "13 windows of 8, got 4"),
    "wrong number of times": (lambda: plot_entropy(make_adapted(), times=[0.0, 1.0]), "20 frames"),
    "bank of another model": (lambda: plot_au_change(make_adapted(), AUBank.released()), "bank has 46"),
    "unknown AU change": (lambda: plot_au_change(make_adapted(), top=["AU4", "nose"]), "nose"),
    "scores of two models": (lambda: plot_au_change(make_adapted(au=torch.zeros(46))), "46"),
    "empty table": (lambda: plot_confusion(pd.DataFrame()), "not empty"),
    "negative counts": (lambda: plot_confusion(pd.DataFrame([[1, -1]])), "negative"),
    "names as counts": (lambda: plot_confusion(pd.DataFrame([["a", "b"]])), "numbers"),
    "percentages": (lambda: plot_subjects(100 * WAR), "between 0 and 1"),
    "a list of scores": (lambda: plot_methods([0.5]), "DataFrame"),
    "a subject without score": (lambda: plot_methods(pd.DataFrame({"a": [0.5, NAN]})), "NaN"),
    "no direction": (lambda: plot_similarity(np.zeros((2, 3))), "length zero"),
    "two widths": (lambda: plot_similarity(np.eye(2), np.eye(3)), "same model"),
    "too few names": (lambda: plot_similarity(np.eye(2), names=["a"]), "need 2 names"),
    "two points": (lambda: plot_tsne(np.eye(2), "ab"), "at least 3 points"),
    "one place": (lambda: plot_tsne(np.ones((5, 3)), "abcde"), "same point"),
    "too few labels": (lambda: plot_tsne(np.eye(4), "ab"), "need 4 labels"),
}


@pytest.mark.parametrize("draw, words", BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_anything_is_drawn(draw, words):
    with pytest.raises(InputError, match=words):
        draw()
    assert not plt.get_fignums(), "a refused picture leaves an empty figure"


def test_no_function_changes_the_style_or_shows(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("plt.show was called"))
    before = dict(plt.rcParams)
    plot_film(make_clip(), Window(5, 13, 0.5, 1.3))
    plot_entropy(make_adapted())
    plot_au_change(make_adapted())
    plot_similarity(np.eye(3))
    plot_confusion(pd.DataFrame([[1, 2], [3, 4]]))
    plot_methods(WAR)
    plot_subjects(WAR)
    plot_tsne(np.eye(5), "aabbc")
    assert dict(plt.rcParams) == before


USE_AX = {
    "film": lambda ax: plot_film(make_clip(), ax=ax),
    "au_change": lambda ax: plot_au_change(make_adapted(), ax=ax),
    "confusion": lambda ax: plot_confusion(pd.DataFrame([[1, 2], [3, 4]]), ax=ax),
    "methods": lambda ax: plot_methods(WAR, ax),
    "similarity": lambda ax: plot_similarity(np.eye(3), ax=ax),
    "tsne": lambda ax: plot_tsne(np.eye(5), "aabbc", ax),
}


@pytest.mark.parametrize("draw", USE_AX.values(), ids=USE_AX)
def test_given_axes_are_used_and_pyplot_stays_out(ax, draw):
    assert draw(ax) is ax and not plt.get_fignums()
