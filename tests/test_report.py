"""The report: one file that loads nothing, escapes everything, and says what a reader must know."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import CHROMIUM
import torch
from PIL import Image

from clip_autt import AUBank, Adapted, Clip, InputError
from clip_autt.evaluation.evaluate import Results
from clip_autt.show.page import darken, page_figure
from clip_autt.show.result_plots import plot_confusion
from clip_autt.show.report import report_picture, write_report
from clip_autt.outputs import window_at

CLASSES = ("neutral", "pain")


def make_results(classes=CLASSES, methods=("clip-au", "personal"), subjects=("S1", "S2", "S3"), clips=6, **change):
    "Made-up predictions: every third one is wrong, another third for each method."
    rows = []
    for m, method in enumerate(methods):
        for s, subject in enumerate(subjects):
            for i in range(clips):
                label, wrong = classes[i % len(classes)], (i + s) % 3 == m
                guess = classes[(i + 1) % len(classes)] if wrong else label
                rows.append(
                    dict(
                        method=method,
                        seed=0,
                        subject=subject,
                        video=f"{subject}/{i}",
                        label=label,
                        predicted=guess,
                        before=guess,
                        window_start=0,
                        window_stop=8,
                        seconds=0.1,
                        n_frames=20,
                        notes="",
                        error=None,
                        **change,
                    )
                )
    facts = dict(variant="paper", reset="video", prediction="after the update", steps=1)
    protocol = dict(
        order="in the order given",
        average="mean over subjects",
        backbone="tiny",
        seed=0,
        n_subjects=len(subjects),
        n_videos=clips * len(subjects),
        methods={m: facts for m in methods},
    )
    return Results(pd.DataFrame(rows), tuple(classes), protocol)


def make_clip(n=20, aus=None, **kwargs):
    frames = np.random.default_rng(0).integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
    clip = Clip(frames, np.arange(n) / 10, **{"subject": "S1", "label": "pain", "id": "S1/1", **kwargs})
    if aus is not None:
        object.__setattr__(clip, "aus", aus)
    return clip


def make_example(n=20, size=8, start=5, classes=CLASSES, **changes):
    g, c = torch.Generator().manual_seed(0), len(classes)
    au = torch.randn(47, generator=g)
    values = dict(
        logits=torch.arange(c).float(),
        logits_before=torch.zeros(c),
        au=au + torch.arange(47) / 100,
        au_before=au,
        classes=tuple(classes),
        bank=AUBank.default(),
        n_frames=n,
        n_faces=n,
        window=window_at(torch.arange(n) / 10, start, size),
        entropy=torch.rand(n - size + 1, generator=g) * 0.6,
        loss=(0.5,),
        seconds=0.0,
    )
    return Adapted(**{**values, **changes})


class Page(HTMLParser):
    "What a browser would make of a page: elements, addresses, text."

    VOID = frozenset(("meta", "link", "img", "br", "hr", "source"))

    def __init__(self, html):
        super().__init__()
        self.html, self.elements, self.open, self.text, self.broken = html, [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(self.text)


@pytest.fixture
def report(tmp_path):
    "Write a report with some parts exchanged, and read it as a page."

    def write(results=None, example=None, clip=None, task="pain", **kwargs):
        path = write_report(
            tmp_path / "out" / "report.html",
            results or make_results(),
            example or make_example(),
            clip or make_clip(),
            task,
            **kwargs,
        )
        assert [p.name for p in path.parent.iterdir()] == ["report.html"], "no temporary file is left"
        assert path.stat().st_size <= 1_500_000 and not plt.get_fignums()
        page = Page(path.read_text(encoding="utf-8"))
        assert not page.broken and not page.open, "tags are nested and closed"
        assert not re.search(r"\b(nan|None|NaN|inf)\b", page.words.replace("None:", "")), (
            "what does not exist is a dash"
        )
        return page

    return write


def images(page):
    for attrs in page.all("img"):
        head, data = attrs["src"].split(",", 1)
        assert head == "data:image/png;base64"
        yield Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def test_the_page_is_complete(report):
    page = report(clip=make_clip(aus=np.random.default_rng(1).random((20, 47)).astype("f4")), notes=["A note."])
    assert page.html.startswith("<!doctype html>") and page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1 and {
        "charset": "utf-8"
    } in page.all("meta")
    assert any(m.get("name") == "viewport" for m in page.all("meta"))
    assert len(page.all("img")) == 1 + 3 + 2 + 2, (
        "before and after; film, AU change, true AUs; persons, methods; a confusion matrix for each method"
    )
    assert all(len(a["alt"]) > 20 for a in page.all("img")) and all(i.width > 300 for i in images(page))
    for words in (
        "on rendered faces",
        "nobody was filmed",
        "no medical assessment",
        "personal",
        "macro-F1",
        "after the update",
        "mean over subjects",
        "A note.",
        "CLIP-AUTT, step by step",
        "true class is pain",
        "relative to its own rest",
        "before and after personalization",
    ):
        assert words in page.words, words
    assert "tunes its prompts" not in page.words, "true of one method only, and the example may be of another"
    for query in ("prefers-color-scheme: dark", "@media print"):
        assert query in page.html


def test_nothing_is_loaded(report):
    page = report()
    addresses = [
        v
        for tag, attrs in page.elements
        for k, v in attrs.items()
        if k in ("src", "href", "srcset", "data", "action", "poster") and tag != "a"
    ]
    assert addresses and all(a.startswith("data:") for a in addresses)
    links = [a["href"] for a in page.all("a")]
    out = [a for a in links if not a.startswith("#")]
    assert out and all(a.startswith("https://github.com/") and "/blob/main/nbs/" in a for a in out)
    for file in ("nbs/core/11_autt.ipynb", "nbs/personal/03_method.ipynb"):
        assert any(a.endswith(file) for a in out) and file not in page.words, "a link says where it leads, in words"
    assert not re.search(r"url\(|@import|<script", page.html)


def test_the_answer_stands_first(report):
    "Two numbers, three sentences and one picture before anything else; tables are folded."
    results = make_results(subjects=tuple(f"S{i}" for i in range(6)))
    page, r = report(results), results.summary().loc["personal"]
    right = {m: int((results.of(m).predicted == results.of(m).label).sum()) for m in ("clip-au", "personal")}
    n = len(results.of("personal"))
    assert f"{right['clip-au']} → " in page.words and f" {right['personal']} " in page.words
    for words in (
        f"named {right['clip-au']} of {n} videos right before",
        f"{right['personal']} after",
        f"{100 * r.difference:+.1f} points",
        f"between {100 * r.low:+.1f} and {100 * r.high:+.1f}",
    ):
        assert words in page.words, words
    top = page.html[page.html.index("<h1>") : page.html.index("<h2>")]
    assert top.count("<img") == 1 and "<table" not in top
    assert page.html.index('class="note"') < page.html.index("<h2>"), "and what the numbers are about"
    parts = [m.start() for m in re.finditer("<table><caption>Scores|<dt>All methods", page.html)]
    folds = [(m.start(), m.end()) for m in re.finditer("<details.*?</details>", page.html, re.S)]
    assert len(parts) == 2 and all(any(a < t < b for a, b in folds) for t in parts)


def test_gains_and_losses_are_both_counted(report):
    results = make_results()
    rows = [results.of(m) for m in ("clip-au", "personal")]
    before, after = ((r.predicted == r.label).to_numpy() for r in rows)
    won, lost = int((~before & after).sum()), int((before & ~after).sum())
    assert won and lost, "the made-up results have both"
    assert f"{won} became right, {lost} became wrong" in report(results).words


@pytest.mark.parametrize("method", ["clip-au", "personal"])
def test_the_counts_follow_the_predictions(report, method):
    "One more video right on one side changes that side, and how many became right or wrong."
    results = make_results()
    sentence = r"named (\d+) of 18 videos right before, .* (\d+) after: (\d+) became right, (\d+) became wrong"
    first = [*map(int, re.search(sentence, report(results).words).groups())]
    t = results.table
    wrong = t[(t.method == method) & (t.predicted != t.label)].index[0]
    t.loc[wrong, "predicted"] = t.label[wrong]
    change = {"clip-au": [1, 0, -1, 0], "personal": [0, 1, 0, -1]}[method]  # made-up methods err on different videos
    assert [*map(int, re.search(sentence, report(results).words).groups())] == [a + b for a, b in zip(first, change)]


def caption(page):
    return re.search("<figcaption>(.*?)</figcaption>", page.html)[1]


def test_an_example_that_became_right_says_how_many_did(report):
    flipped = make_example(logits_before=torch.tensor([1.0, 0.0]))
    page = report(example=flipped)
    assert "became right; 6 went the other way" in caption(page)
    alt = page.all("img")[0]["alt"]
    assert "before 27% (named neutral, wrong)" in alt and "after 73% (named pain, right)" in alt


def test_an_example_that_was_right_all_along_is_not_said_to_have_changed(report):
    right = make_example(logits_before=torch.tensor([0.0, 1.0]))
    assert "It is one of 18 videos; 6 became right, 6 became wrong" in caption(report(example=right))


def test_nothing_is_named_without_being_explained(report):
    "Each word leads to its explanation where it stands, and every link has somewhere to lead."
    page = report(make_results(methods=("clip-au", "clip-autt", "personal", "oracle")))
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = {a["href"][1:]: a["title"] for a in page.all("a") if a["href"].startswith("#")}
    assert links.keys() <= ids and all(len(title) > 20 for title in links.values())
    for word in ("war", "uar", "macro-f1", "95-interval", "bootstrap", "entropy", "action-units", "au-score", "oracle"):
        assert f"word-{word}" in links, word
    for word in ("nats", "ln 2", "logit scale", "seeds"):
        assert word in page.html[page.html.index('id="words"') :].split("</details>")[0], word


@pytest.mark.parametrize("better", [True, False])
def test_an_oracle_is_no_upper_bound(report, better):
    results = make_results(methods=("clip-au", "personal", "oracle"))
    t = results.table
    worse = t.index[t.method == ("oracle" if better else "personal")]
    t.loc[worse, "predicted"] = [CLASSES[1 - CLASSES.index(label)] for label in t.label[worse]]
    words = report(results).words
    assert "no upper bound" in words and "an upper bound" not in words and "what there is to gain" not in words
    assert ("personal did better" in words) == better


def test_what_the_model_must_say_stands_in_the_note(report):
    page = report(faces="faces of a data set", caveats=("on a real face its answer means <little>",))
    note = re.search('class="note">(.*?)</div>', page.html, re.S)[1]
    assert "On a real face its answer means &lt;little&gt;." in note and "no medical assessment" in note


def test_the_policy_forbids_loading(report):
    page = report()
    assert any("default-src 'none'" in m.get("content", "") for m in page.all("meta"))


def test_scores_stand_in_the_table(report):
    results = make_results()
    s, page = results.summary(), report(results)
    for r in s.itertuples():
        assert f"{r.war:.3f} ± {r.war_sd:.3f}" in page.words
    r = s.loc["personal"]
    assert f"{r.difference:+.3f} [{r.low:+.3f}, {r.high:+.3f}]" in page.words
    assert ("includes zero" in page.words) == (r.low <= 0 <= r.high)


def test_names_are_text_and_not_markup(report):
    evil = ("<script>alert(1)</script>", 'a&b "$x$" <b>')
    results = make_results(evil, methods=("clip-au", "<i>mine</i>"), subjects=("R&D<1>", "$a$b$", "S" * 200))
    clip = make_clip(subject="<u>me</u>", label=evil[0], id="../x&y")
    page = report(results, make_example(classes=evil), clip, task="<pain> & more", notes=["1 < 2 & $title"])
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "b", "i", "u", "pain"})
    for words in (*evil, "<i>mine</i>", "<u>me</u>", "../x&y", "<pain> & more", "1 < 2 & $title"):
        assert words in page.words, words


def test_the_same_parts_give_the_same_bytes(report):
    assert report().html == report().html


def test_failed_videos_and_silent_methods(report):
    results = make_results(methods=("clip-au", "broken"))
    t = results.table
    t.loc[t.method == "broken", ["predicted", "before", "error"]] = [None, None, "InputError: <too> narrow"]
    t.loc[0, ["predicted", "before"]] = None
    page = report(results)
    assert "18 of 18 videos failed" in page.words and "InputError: <too> narrow" in page.words
    assert "broken: no prediction for any video" in page.words and len(page.all("img")) == 3 + 2 + 1


def test_one_subject_has_no_interval(report):
    page = report(make_results(subjects=("S1",)))
    assert "± –" in page.words and "[–" not in page.words and "interval includes" not in page.words


def test_without_the_baseline_nothing_is_compared(report):
    page = report(make_results(methods=("mine",)))
    assert "against clip-au" not in page.words and "mine" in page.words


def test_seven_classes_and_ninety_subjects(report):
    classes = tuple(f"emotion {i}" for i in range(7))
    page = report(
        make_results(classes, subjects=tuple(f"S{i}" for i in range(90)), clips=7), make_example(classes=classes)
    )
    assert all(i.height <= 1700 for i in images(page))


def test_a_video_without_a_face_has_no_prediction(report):
    page = report(example=make_example(n_faces=3, warnings=("no <face> found",)))
    assert "No prediction" in page.words and "Probabilities" not in page.words


def test_a_short_clip_and_a_method_that_changes_nothing(report):
    au = torch.zeros(47)
    example = make_example(n=3, size=3, start=0, au=au, au_before=au)
    assert len(report(example=example, clip=make_clip(3, aus=np.zeros((3, 47)))).all("img")) == 8


def test_recorded_faces_are_not_called_rendered(report):
    page = report(faces="faces of a data set")
    assert "rendered" not in page.words and "on faces of a data set" in page.words


@pytest.mark.parametrize(
    "parts, words",
    [
        (dict(clip=make_clip(9)), "clip has 9 frames, the example 20"),
        (dict(example=make_example(classes=("a", "b"))), "the classes a, b"),
        (dict(results={"war": 1}), "needs a Results, got a dict"),
        (dict(example=make_example(bank=AUBank.released())), "bank has 46"),
    ],
    ids=["clip", "classes", "results", "bank"],
)
@pytest.mark.parametrize("write", [write_report, report_picture])
def test_parts_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, write, parts, words):
    parts = dict(results=make_results(), example=make_example(), clip=make_clip()) | parts
    with pytest.raises(InputError, match=words):
        write(tmp_path / "new" / "f.html", **parts, **({"task": "pain"} if write is write_report else {}))
    assert not [*tmp_path.iterdir()]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", make_results(), make_example(), make_clip(), "pain")


def test_the_picture(tmp_path):
    path = report_picture(tmp_path / "p.png", make_results(), make_example(), make_clip())
    with Image.open(path) as image:
        assert image.size == (1200, 700) and image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert path.stat().st_size < 300_000 and not plt.get_fignums(), "small, even with frames of noise"
    assert (pixels == 255).all(1).mean() > 0.4, "a white ground"


def test_a_dark_page_keeps_what_is_written_on_a_heat_map():
    "Numbers of a confusion matrix stand on its colours, which do not change; axis labels stand on the page."
    fig = page_figure(3)
    ax = plot_confusion(pd.DataFrame([[9, 1], [4, 6]], CLASSES, CLASSES), ax=fig.subplots())
    fig.canvas.draw()
    before = [text.get_color() for text in ax.texts]
    darken(fig)
    assert [text.get_color() for text in ax.texts] == before and len({*before}) == 2
    assert ax.xaxis.label.get_color() == "#e6e6e6" and fig.get_facecolor() != (1, 1, 1, 1)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the package chromium to run the browser tests")
    with sync_api.sync_playwright() as p:
        yield p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture(scope="module")
def wide_report(tmp_path_factory):
    "A report with many methods, long names and many settings."
    methods = ("clip-au", "clip-autt", "clip-autt-released+baseline", "personal", "oracle")
    results = make_results(methods=methods, subjects=tuple(f"S{i}" for i in range(6)))
    for name, facts in results.settings["methods"].items():
        results.settings["methods"][name] = facts | {f"setting_{i}_of_{name}": f"{i}.0e-3" for i in range(20)}
    clip, example = make_clip(), make_example(logits_before=torch.tensor([1.0, 0.0]))
    return write_report(tmp_path_factory.mktemp("wide") / "report.html", results, example, clip, "pain")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(1280, 800), (390, 844)])
def test_nothing_is_cut_off_in_a_browser(browser, wide_report, width, height, scheme):
    page = browser.new_page(viewport=dict(width=width, height=height), color_scheme=scheme)
    page.goto(wide_report.as_uri())
    number, picture = (page.locator(x).bounding_box() for x in (".large", ".first img"))
    assert number["y"] + number["height"] < height / 2 and picture["y"] + picture["height"] < height, "first screen"
    dark = "dark" in page.locator(".first source").evaluate("s => s.media")
    shown = page.locator(".first img").evaluate("i => [i.currentSrc === i.src, i.naturalWidth / i.clientWidth]")
    assert dark and shown[0] == (scheme == "light") and shown[1] >= 1, (
        "a picture for each ground, and no blown-up pixels"
    )
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = """() => [...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 &&
        getComputedStyle(e).display !== 'inline' || e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(cut) == []
    page.close()


def test_a_word_opens_its_explanation(browser, wide_report):
    page = browser.new_page()
    page.goto(wide_report.as_uri())
    entry = page.locator("#word-95-interval + dd")
    assert not entry.is_visible()
    page.locator(".first a.word", has_text="95 % interval").click()
    assert entry.is_visible()
    page.close()
