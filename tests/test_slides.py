"""Slides of the course: all of every notebook, on pages that load nothing, seen one at a time in a real browser."""

import re
from pathlib import Path

import nbformat
import pytest
from conftest import CHROMIUM
from typer.testing import CliRunner

from clip_autt.cli.course import copy_tutorials
from clip_autt.cli.main import app
from clip_autt.cli.slides import cut_slides, slides_page, write_slides
from clip_autt.utils.assets import pip_requirement

LOADED = re.compile(r'<(?:script|img|iframe|link|source|video)\b[^>]*?(?:src|href)="(?!data:)([^"]*)"')


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    done = CliRunner().invoke(app, ["lab", str(folder), "--copy-only", "--slides"])
    assert done.exit_code == 0 and "slides of" in done.output, done.output
    return folder


def test_every_tutorial_has_slides_with_all_its_sections_and_pictures(course):
    notebooks = sorted(course.glob("*.ipynb"))
    assert len(notebooks) > 15
    for file in notebooks:
        page = file.with_suffix(".slides.html").read_text(encoding="utf-8")
        nb = nbformat.read(file, 4)
        assert page.count("<section") == len(cut_slides(nb)) > 10, file.name
        shown = [o.get("data", {}) for c in nb.cells if c.cell_type == "code" for o in c.outputs]
        pictures = sum(any(k.startswith("image/") for k in x) or x.get("text/html", "").count("<img") for x in shown)
        assert page.count("<img") == pictures, file.name
        headings = [
            x
            for c in nb.cells
            if c.cell_type == "markdown"
            for x in re.findall(r"(?m)^#{1,3} ", re.sub(r"```.*?```", "", c.source, flags=re.S))
        ]
        assert len(re.findall(r"<h[123]\b", page)) == len(headings), file.name
        assert not LOADED.findall(page), file.name
        assert "<math" in page or "$" not in "".join(c.source for c in nb.cells if c.cell_type == "markdown")


def test_the_search_for_loaded_files_would_find_one():
    assert LOADED.findall('<img alt="a" src="https://example.org/a.png">') == ["https://example.org/a.png"]


def test_links_lead_to_slides_of_the_folder(course):
    page = (course / "01_get_to_know_one_person.slides.html").read_text(encoding="utf-8")
    found = re.findall(r'href="([^":/#]+)(?:#[^"]*)?"', page)
    assert "02_what_a_face_says.slides.html" in found
    assert all((course / name).exists() for name in found)


def test_code_that_looks_like_a_heading_or_a_formula_stays_code():
    v4 = nbformat.v4
    text = "# A & B\n\n```python\n# no heading, $x$\n```\n\n`$y$` costs 5$.\n\n<details>\n\n## folded\n\n</details>"
    page = slides_page(v4.new_notebook(cells=[v4.new_markdown_cell(text)]))
    assert page.count("<section") == 1 and "<math" not in page and "<title>A &amp; B</title>" in page


def test_a_file_that_is_no_notebook_is_named_and_the_others_have_their_slides(tmp_path):
    copy_tutorials(tmp_path)
    for file in sorted(tmp_path.glob("*.ipynb"))[2:]:
        file.unlink()
    first, second = sorted(tmp_path.glob("*.ipynb"))
    first.write_text("my notes")
    with pytest.raises(Exception, match="is no notebook"):
        write_slides(tmp_path)
    assert second.with_suffix(".slides.html").exists()
    with pytest.raises(Exception, match="holds no notebooks"):
        write_slides(tmp_path / "nowhere")


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    import clip_autt.cli.course as course

    find = course.find_spec
    monkeypatch.setattr(course, "find_spec", lambda name: None if name == "latex2mathml" else find(name))
    done = CliRunner().invoke(app, ["lab", str(tmp_path / "course"), "--copy-only", "--slides"])
    assert done.exit_code == 1 and f'pip install "{pip_requirement("lab")}"' in done.output
    assert (tmp_path / "course" / "02_what_a_face_says.ipynb").exists() and "Traceback" not in done.output


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")
def test_a_browser_turns_pages_and_every_slide_fits_or_nearly(course):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    with api.sync_playwright() as p:
        page = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]).new_page(
            viewport={"width": 1280, "height": 720}
        )
        said = []
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or said.append(r.url))
        page.on("console", lambda m: said.append(m.text))
        page.goto((course / "01_get_to_know_one_person.slides.html").as_uri())
        seen = "[...document.querySelectorAll('section')].filter(s => s.offsetHeight > 0).length"
        place = page.locator("nav span")
        n = page.locator("section").count()
        assert page.evaluate(seen) == 1 and place.inner_text() == f"1 / {n}"
        page.keyboard.press("ArrowRight")
        page.locator("nav button").last.click()
        assert place.inner_text() == f"3 / {n}"
        page.keyboard.press("End")
        page.keyboard.press("PageDown")
        assert place.inner_text() == f"{n} / {n}" and page.evaluate(seen) == 1
        over = []
        for i in range(1, n + 1):
            page.evaluate(f"location.hash = {i}")
            page.wait_for_function(f"document.querySelector('nav span').textContent.startsWith('{i} /')")
            size = "[0, 1].map(i => ['Height', 'Width'].map(k => now[`scroll${k}`] - now[`client${k}`])[i])"
            down, right = page.evaluate(f"(() => {{ const now = document.querySelector('.now'); return {size} }})()")
            assert right <= 0, f"slide {i} is cut at the right"
            over.append(down > 0)
        assert sum(over) <= n / 10, f"too long for the screen: slides {[i + 1 for i, x in enumerate(over) if x]}"
        page.emulate_media(media="print")
        assert page.evaluate(seen) == n and not said, said
