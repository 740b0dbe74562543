"""The documentation: every link in the repository and in the site leads somewhere, no page asks another machine for
anything, the search finds things, plots say what tables say, and every text can be read."""

import functools
import html
import http.server
import importlib
import itertools
import re
import subprocess
import sys
import threading
from configparser import ConfigParser
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from conftest import CHROMIUM

import clip_autt

markdown = pytest.importorskip("markdown", reason="mkdocs-material is not installed: pip install -e '.[dev]'")
pytest.importorskip("material", reason="mkdocs-material is not installed: pip install -e '.[dev]'")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import site_api  # noqa: E402
import site_notebooks  # noqa: E402
import site_tables  # noqa: E402
from docs_site import mathml  # noqa: E402
from mkdocs.config import load_config  # noqa: E402


SHOTS = ROOT / "build" / "browser"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
NOTEBOOKS = sorted(ROOT.glob("nbs/**/*.ipynb"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


def prose(path: Path) -> str:
    "The markdown of a page or of a notebook, without code."
    if path.suffix == ".md":
        return CODE.sub("", path.read_text(encoding="utf-8"))
    return CODE.sub("", "\n\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"))


@functools.lru_cache
def anchors(path: Path) -> set[str]:
    "Addresses of the headings of a page, as GitHub makes them."
    heads = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_in_the_repository_lead_somewhere(path):
    lost = []
    for link in LINK.findall(prose(path)):
        if re.match(r"https?://", link) or link.startswith("data:"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def test_addresses_elsewhere_are_well_formed():
    for path in [*PAGES, *NOTEBOOKS]:
        for link in LINK.findall(prose(path)):
            if link.startswith("http"):
                assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[^\s]*)?", link), f"{path.name}: {link}"


TUTORIALS = sorted(ROOT.glob("nbs/tutorials/*.ipynb"))
BUILT = {  # a page of each kind
    "home": "index",
    "gallery": "nbs/tutorials/index",
    "tutorial": f"nbs/tutorials/{TUTORIALS[0].stem}",
    "results": "docs/results",
    "many intervals": "docs/personal_settings",
    "install": "docs/install",
    "names": "api/index",
    "wing": "api/wings/personal/index",
    "module": "api/autt",
}
UNREADABLE = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The site, built as `make site` does; any link that leads nowhere fails the build."
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, ROOT / "tools/docs_site.py", folder, "--strict"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def pages(site):
    "All pages as text, by name."
    return {str(p.relative_to(site).with_suffix("")): p.read_text(encoding="utf-8") for p in site.rglob("*.html")}


@pytest.fixture(scope="module")
def browser(site):
    "Chromium opens a page of the site; every request to another machine is written down."
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *a: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, asked = f"http://127.0.0.1:{server.server_port}", []

    def opened(page: str, width: int = 1280, scheme: str = "light"):
        tab = running.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.on("request", lambda r: asked.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)
        tab.goto(f"{address}/{page}.html")
        tab.wait_for_load_state("networkidle")
        return tab

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as p:
        running = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened, asked
    server.shutdown()


def test_the_site_is_whole(pages):
    for name in (*BUILT.values(), "docs/glossary", "docs/howto/own_method", "api/methods/tpt", "nbs/core/11_autt"):
        assert len(pages[name]) > 10_000, name
    tutorial = pages[BUILT["tutorial"]]
    assert "<details" in tutorial and "#| " not in tutorial and "<img" in tutorial
    assert "<math" in pages["nbs/core/11_autt"]
    assert "def encode_video" in re.sub(r"<[^>]+>", "", pages["api/features"])


def test_pages_ask_no_other_machine(pages):
    for name, page in pages.items():
        text = re.sub(r"<(pre|code).*?</\1>", "", page, flags=re.S).replace('<link rel="canonical"', "")
        assert not re.search(r'<(script|img|link|iframe)[^>]*(src|href)="https?://', text), name
        assert 'data-md-component="source"' not in page, f"{name}: the theme asks the repository's host for its stars"


class Formulas(HTMLParser):
    "Counts inline formulas, and finds those that stand in no paragraph, item, heading or cell of a table."

    HOMES = {"p", "li", "td", "th", "h1", "h2", "h3", "h4", "summary", "label", "a", "figcaption"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.open, self.lost, self.n = [], [], 0

    def handle_starttag(self, tag, attrs):
        if tag == "math" and dict(attrs).get("display") == "inline":
            self.n += 1
            self.lost += [self.getpos()] if not self.HOMES & {*self.open} else []
        if tag not in ("img", "br", "hr", "input", "meta", "link", "path", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass


def test_a_paragraph_may_begin_with_a_formula():
    text = '$$a = b$$\n\n$a$ is one, $b$\n$c$ too.\n\n<details markdown="1">\n\n$d$ is folded, $e$ too.\n\n</details>'
    settings = load_config(str(ROOT / "mkdocs.yml"))
    made = markdown.markdown(
        mathml(text), extensions=settings.markdown_extensions, extension_configs=settings.mdx_configs
    )
    made = re.sub(r"</?span>", "", re.sub(r"<math.*?</math>", "M", made, flags=re.S))
    paragraphs = [" ".join(p.split()) for p in re.findall(r"<p>(.*?)</p>", made, re.S)]
    assert paragraphs == ["M is one, M M too.", "M is folded, M too."]


def test_no_formula_falls_out_of_its_paragraph(pages):
    n = 0
    for name, page in pages.items():
        seen = Formulas()
        if "<math" in page:
            seen.feed(page.split("<article", 1)[1].split("</article>")[0])
        n += seen.n
        assert not seen.lost, f"{name}: {seen.lost}"
        assert not re.search(r"</math>(</span>)?</p>\s*<p>[a-z,.;:)]", page), f"{name}: torn after a formula"
    assert n > 200


def test_pages_lead_on_and_back(pages):
    for before, after in itertools.pairwise(TUTORIALS):
        on, back = (f'<a href="{p.stem}.html" class="md-footer__link md-footer__link--' for p in (after, before))
        assert f'{on}next"' in pages[f"nbs/tutorials/{before.stem}"]
        assert f'{back}prev"' in pages[f"nbs/tutorials/{after.stem}"]


@pytest.mark.parametrize(
    "page, source",
    [
        (BUILT["tutorial"], f"nbs/tutorials/{TUTORIALS[0].name}"),
        ("docs/results", "docs/results.md"),
        ("api/autt", "nbs/core/11_autt.ipynb"),
        ("index", "nbs/index.ipynb"),
    ],
)
def test_pages_link_to_the_repository_and_to_their_source(page, source, pages):
    settings = ConfigParser()
    settings.read(ROOT / "settings.ini")
    url = settings["DEFAULT"]["git_url"]
    assert f'<a href="{url}" title="Source code"' in pages[page]
    assert f'<a href="{url}/blob/main/{source}" title="The source of this page"' in pages[page]
    assert (ROOT / source).exists()
    assert "The source of this page" not in pages["api/index"]


def test_the_first_page_has_three_doors_above_its_picture(pages):
    doors = pages["index"].split("<img", 1)[0].split('class="grid cards doors"')[1]
    places = [f"{BUILT[n]}.html" for n in ("install", "gallery", "names")]
    assert re.findall(r'<strong><a href="([^"]+)"', doors) == places


def test_the_gallery_shows_every_tutorial(site, pages):
    cards = re.findall(r"<li>(.*?)</li>", pages[BUILT["gallery"]].split('class="grid cards gallery"')[1], re.S)
    for path, card in zip(TUTORIALS, cards[: len(TUTORIALS)], strict=True):
        assert f'href="{path.stem}.html"' in card and re.search(r'alt="[^"]{4,}"', card)
        picture = re.search(r'src="([^"]+)"', card)[1]
        assert (site / "nbs" / "tutorials" / picture).stat().st_size > 5_000
        first = "\n".join(c.source for c in nbformat.read(path, 4).cells[:2])
        if minutes := re.search(r"\*\*Time:\*\* (\d+) minutes", first):
            assert f"{minutes[1]} minutes" in card


@pytest.mark.parametrize("wing", [w.name for w in site_api.WINGS])
def test_a_wing_has_a_line_for_each_of_its_names(wing, pages):
    text = pages[f"api/wings/{wing}/index"]
    lines = dict(re.findall(r'<td><a href="[^"]+"><code>(\w+)</code></a></td>\s*<td>(.+?)</td>', text, re.S))
    for name in site_api.of_wing(wing):
        module = site_api.read_module(name)
        public = {n for n in importlib.import_module(f"clip_autt.{name}").__all__ if not n.startswith("_")}
        assert public <= {*lines, *module.constants}, name
        assert f'{Path(module.source).stem}.html"' in text, "the notebook that explains it"
    assert all(re.sub("<.+?>", "", said).strip() for said in lines.values())


@pytest.mark.parametrize("page", ["api/index", "api/wings/core/index", "api/wings/methods/index"])
def test_names_lead_to_their_parameters(page, site, pages):
    links = re.findall(r'<td><a href="([^"#]+)#([^"]+)"><code>', pages[page])
    assert len(links) > 10
    for target, anchor in links:
        module = (site / page).parent / target
        assert f'id="{anchor}"' in module.resolve().read_text(encoding="utf-8"), f"{target}#{anchor}"


def test_the_overview_has_the_dozen_names_that_people_need_first(pages):
    first = [name for names in site_api.FIRST.values() for name in names]
    assert len(first) == 12
    for name in first:
        assert hasattr(clip_autt, name) and f"<code>{name}</code></a>" in pages["api/index"]


TABLE = """# A page

Words.

| a | gain |
|---|---|
| other | 1 |

## Methods

| method | pain | gain |
|---|---|---|
| none | 70.0 | |
| worse | 60.0 | -10.0 [-12.0, -8.0] |
| `personal` | 80.0 | **+10.0 [+4.0, +16.0]** |
"""


def test_a_plot_says_what_its_table_says():
    plot = site_tables.Plot("Methods", ("gain",), "Gain.")
    rows = site_tables.rows_of(TABLE, plot)
    assert [(r.name, r.values[0][:3]) for r in rows] == [("`personal`", (10, 4, 16)), ("worse", (-10, -12, -8))]
    low, high = site_tables.span(rows, zero=True)
    assert low < -12 and high > 16
    drawn = site_tables.drawn(rows, plot, r"personal\b")
    dots = [float(x) for x in re.findall(r'class="dot" style="left:([\d.]+)%', drawn)]
    zero = float(re.search(r'class="zero" style="left:([\d.]+)%', drawn)[1])
    assert dots[1] < zero < dots[0]
    assert dots[0] - zero == pytest.approx(10 / (high - low) * 100, abs=0.15)
    own, other = (line for line in drawn.splitlines() if line.startswith("<div"))
    assert 'class="own"' in own and "+10.0 [+4.0, +16.0]" in own and 'class="own"' not in other
    with pytest.raises(ValueError, match="no table with points under the heading 'Methods'"):
        site_tables.rows_of(TABLE, plot._replace(columns=("points",)))


@pytest.mark.parametrize("text", ["-5.5 ± 3.0", "+0.32 [-0.10, 0.70]", "**24.9x**", "1,205", "–", "as before"])
def test_cells_are_read_as_they_are_written(text):
    read = {
        "-5.5 ± 3.0": (-5.5, -8.5, -2.5),
        "+0.32 [-0.10, 0.70]": (0.32, -0.10, 0.70),
        "**24.9x**": (24.9, 24.9, 24.9),
        "1,205": (1205, 1205, 1205),
    }.get(text)
    assert (site_tables.number(text) or (None,))[:3] == (read or (None,))


@pytest.mark.parametrize("name", site_tables.PLOTS)
def test_results_begin_with_a_plot_of_their_own_table(name, pages):
    page = pages[f"docs/{name}"]
    assert 0 < page.index('<figure class="forest') < page.index("<table")
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").replace("**", "")
    figures = re.findall(r'<figure class="forest.*?</figure>', page, re.S)
    assert len(figures) == len(site_tables.PLOTS[name])
    shown = [html.unescape(v) for f in figures for v in re.findall(r'class="value">([^<]+)<', f)]
    assert len(shown) >= 7 and all(value in text for value in shown)


def test_intervals_stay_on_one_line_and_own_rows_are_marked(pages):
    page = pages["docs/results"]
    cells = [c for c in re.findall(r"<td[^>]*>(.*?)</td>", page, re.S) if re.search(r"\d \[|±", c)]
    assert len(cells) > 80 and all(re.search(r'<span class="nowrap">[^<]+</span>', c) for c in cells)
    own = re.findall(r'<tr class="own">\s*<td[^>]*>(?:<code>)?([\w+-]+)', page)
    assert {"personal", "personal-threshold"} <= {*own} and all(name.startswith("personal") for name in own)


CELLS = [
    nbformat.v4.new_markdown_cell("## Two faces\n\nWords. Here is a [smile](x.md) with $a$ in *it*:"),
    nbformat.v4.new_code_cell("ax.set_title('before')\nplt.title(f'{x}')\nplot(title='after')"),
    nbformat.v4.new_code_cell("show()"),
    nbformat.v4.new_code_cell("#| fig-alt: A face\nshow()"),
    nbformat.v4.new_code_cell("plot_aus(x)"),
]


def test_a_picture_is_described_by_the_words_around_it():
    assert site_notebooks.described(CELLS, 1) == "Two faces. Here is a smile with in it. before; after"
    assert site_notebooks.described(CELLS, 2) == "Two faces"
    assert site_notebooks.described(CELLS, 3) == "A face"
    assert site_notebooks.described(CELLS, 4) == "Two faces. Heat map of action units over time"


def test_every_picture_has_a_text(pages):
    images = [i for page in pages.values() for i in re.findall(r"<img [^>]*>", page)]
    texts = [(re.search(r' alt="([^"]*)"', i) or ["", ""])[1] for i in images]
    assert len(texts) > 200
    assert not [t for t in texts if t.lower() in ("", "jpeg", "png", "svg", "image")]


def test_what_is_a_widget():
    assert site_notebooks.widget("AUExplorer(model)") == "AUExplorer"
    assert site_notebooks.widget("%matplotlib inline\nlab = VideoLab(model)\nlab") == "VideoLab"
    assert site_notebooks.widget("lab = VideoLab(model)") is None
    assert site_notebooks.widget("mixer = SubjectMixer(model)\nmixer.figure()") is None


def test_widgets_have_a_caption_and_their_picture(pages):
    n = 0
    for path in TUTORIALS:
        cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        wanted = [w for c in cells if (w := site_notebooks.widget(c.source))]
        blocks = pages[f"nbs/tutorials/{path.stem}"].split('<div class="widget"')[1:]
        assert len(blocks) == len(wanted), path.name
        for name, after in zip(wanted, blocks):
            section = re.split(r"<h[1-4]", after)[0]
            assert f"<code>{name}</code>" in section and "Jupyter" in section and "<img" in section, path.name
        n += len(wanted)
    assert n >= 6


def found(tab, words: str, condition: str) -> bool:
    "Ask the search, which hears nothing before its index is made, whether a condition comes true within ten seconds."
    from playwright.sync_api import TimeoutError

    box = tab.locator(".md-search__input")
    for text in ("", words):
        box.fill(text)
        box.press("End")  # the theme looks when a key goes up
    try:
        tab.wait_for_function(condition, timeout=10_000)
    except TimeoutError:
        return False
    return True


def test_the_search_finds(browser):
    tab = browser[0]("index", width=1400)
    first = "document.querySelector('.md-search-result__link')"
    for words, place in {
        "personal threshold": "personal",
        "own video": "video",
        "your own video": "video",
        "own clips": "own_clips",
        "install": "docs/install",
        "installation": "docs/install",
    }.items():
        assert any(found(tab, words, f"{first}?.pathname.includes('{place}')") for _ in range(12)), words
        tab.screenshot(path=SHOTS / f"site-search-{words.replace(' ', '-')}.png")
        assert "/api/" not in tab.evaluate(f"{first}.pathname"), words
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", BUILT)
def test_every_text_can_be_read(kind, scheme, browser):
    "A contrast of at least 4.5; nothing is wider than the window, and nothing is asked of another machine."
    opened, asked = browser
    tab = opened(BUILT[kind], scheme=scheme)
    tab.screenshot(path=SHOTS / f"site-{kind.replace(' ', '-')}-{scheme}.png")
    assert not tab.evaluate(UNREADABLE)
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
    tab.close()
    assert not asked


@pytest.mark.parametrize("kind", ["results", "many intervals"])
def test_tables_of_results_are_not_cut(kind, browser):
    "At 1280 pixels all of a table is seen, and every interval takes one line."
    tab = browser[0](BUILT[kind])
    cut = "boxes => boxes.filter(b => b.scrollWidth > b.clientWidth + 1).map(b => b.innerText.slice(0, 80))"
    assert not tab.locator(".md-typeset__scrollwrap").evaluate_all(cut)
    broken = "spans => spans.filter(s => s.getClientRects().length > 1).map(s => s.innerText)"
    assert tab.locator("td .nowrap").count() > 50 and not tab.locator("td .nowrap").evaluate_all(broken)
    tab.set_viewport_size({"width": 390, "height": 900})
    first = tab.locator("figure ~ .md-typeset__scrollwrap tr:nth-child(4) > :first-child").first
    left = first.evaluate(
        "cell => { cell.closest('.md-typeset__scrollwrap').scrollLeft = 99; return cell.offsetWidth }"
    )
    assert 60 < left < 170 and 0 <= first.bounding_box()["x"] < 30, "the names of rows stay, in words"
    tab.close()
