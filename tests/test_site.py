"""The documentation: every link in the repository and in the site leads somewhere, no page asks another machine for
anything, and the search finds things."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The site, built as `make site` does; any link that leads nowhere fails the build."
    pytest.importorskip("mkdocs", reason="mkdocs-material is not installed: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, ROOT / "tools/docs_site.py", folder, "--strict"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_the_site_is_whole(site):
    tutorial = "nbs/tutorials/01_get_to_know_one_person"
    for name in (
        "index",
        "docs/glossary",
        "docs/howto/own_method",
        "api/autt",
        "api/methods/tpt",
        "nbs/core/11_autt",
        "nbs/methods/07_tpt",
        tutorial,
    ):
        assert (site / f"{name}.html").stat().st_size > 10_000, name
    tutorial = (site / f"{tutorial}.html").read_text(encoding="utf-8")
    assert "<details" in tutorial and "#| " not in tutorial and "<img" in tutorial
    assert "<math" in (site / "nbs/core/11_autt.html").read_text(encoding="utf-8")
    assert "def encode_video" in re.sub(r"<[^>]+>", "", (site / "api/features.html").read_text(encoding="utf-8"))


def test_pages_ask_no_other_machine(site):
    for page in site.rglob("*.html"):
        text = re.sub(r"<(pre|code).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(
            r'<(script|img|link|iframe)[^>]*(src|href)="https?://', text.replace('<link rel="canonical"', "")
        ), page


def test_the_search_finds_a_term(site):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *a: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as p:
        page = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]).new_page(
            viewport={"width": 1400, "height": 900}
        )
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.locator(".md-search__input").fill("personal threshold")
        page.wait_for_selector(".md-search-result__link", timeout=60_000)
        found = page.locator(".md-search-result__link").all_inner_texts()
        shots = ROOT / "build" / "browser"
        shots.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=shots / "site-search.png")
    server.shutdown()
    assert any("threshold" in text.lower() for text in found)
