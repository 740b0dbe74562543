"""The documentation as a site, offline: `python tools/docs_site.py [FOLDER]`, by default build/site.

`--strict` fails on any link that leads nowhere. Pages keep the places of their sources (docs/, nbs/, nbs/tutorials/),
so that the links which work in the repository work here.
"""

import os
import re
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path

import mkdocs.commands.build
import site_api
from house import WINGS
from mkdocs.config import load_config
from mkdocs.plugins import BasePlugin
from site_notebooks import gallery, notebook_page, tutorial
from site_tables import dressed, with_plots

from clip_autt.cli.course import ONLINE
from clip_autt.cli.slides import mathml, outside_code

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
TUTORIALS = Path("nbs/tutorials")
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)((?:#[^)\s]*)?)(?=\))")
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
HOWTO = (
    """openface action_units own_clips own_backbone own_method own_au_bank reproduce_the_paper gpu cluster""".split()
)
PAGES = """results family beyond real_people personal_settings faces films real_faces detector action_units search
departures explanations benchmarks scale reliability""".split()


def relinked(text: str, place: Path) -> str:
    "Links to notebooks become links to their pages; files that are no page are looked at online."

    def one(found: re.Match) -> str:
        path, anchor = found[1], found[2]
        target = (ROOT / place / path).resolve()
        if path.endswith(".ipynb") and target.exists():
            inside = target.relative_to(ROOT)
            return (
                os.path.relpath("index.md" if inside == Path("nbs/index.ipynb") else inside.with_suffix(".md"), place)
                + anchor
            )
        if target == ROOT / TUTORIALS:
            return os.path.relpath(TUTORIALS / "index.md", place) + anchor
        page = target.suffix == ".md" and (target.parent in (ROOT, ROOT / "docs", ROOT / "docs" / "howto"))
        if page and target == ROOT / "README.md":
            return os.path.relpath("index.md", place) + anchor
        if (
            not target.is_relative_to(ROOT)
            or page
            or target.suffix in (".png", ".gif", ".jpg", ".jpeg", ".svg", ".webp")
            or not target.exists()
        ):
            return path + anchor
        return ONLINE + str(target.relative_to(ROOT)) + anchor

    return outside_code(lambda prose: LINK.sub(one, prose), text)


def page(text: str, place: Path) -> str:
    "Markdown of the repository as markdown of the site."
    text = BADGE.sub(r"[Open in Colab](\1)", text)  # a picture from elsewhere
    return relinked(mathml(text), place).replace("<details", '<details markdown="1"')


def title(text: str) -> str:
    "The first heading of a page."
    return re.search(r"^# (.+)", text, re.M)[1]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


DOORS = """
<div class="grid cards doors" markdown="1">

-   **[Try it](docs/install.md)**

    Install it and see it work, offline, in some minutes. Then [your own clips](docs/howto/own_clips.md).

-   **[Learn it](nbs/tutorials/index.md)**

    A course of notebooks with pictures, widgets and exercises, from one face to the published methods.

-   **[Look it up](api/index.md)**

    The names people need first, all others wing by wing; [results](docs/results.md), [glossary](docs/glossary.md).

</div>
"""


def home() -> str:
    "README with three doors below its first paragraphs."
    text = page((ROOT / "README.md").read_text(encoding="utf-8"), Path("."))
    place = re.search(r"^!\[|^## ", text, re.M).start()
    return text[:place] + DOORS + "\n" + text[place:]


def of_results(place: Path) -> str:
    "The name of a page of results, by which its plots are known; nothing for other pages."
    return place.stem if place.parent == Path("docs") else ""


def boosted(text: str, boost: float) -> str:
    "A page that the search puts before others, or behind them."
    return f"---\nsearch:\n  boost: {boost}\n---\n\n{text}"


def sources(folder: Path) -> list:
    "Write all pages to a folder; what comes back is the navigation."
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, "index.md", home())
    for p in [*ROOT.glob("docs/**/*.md"), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]:
        place = p.relative_to(ROOT)
        text = page(with_plots(p.read_text(encoding="utf-8"), of_results(place)), place.parent)
        boost = {"install": 20, "glossary": 1.5}.get(p.stem, 2 if p.parent.name == "howto" else 1)
        write(folder, str(place), boosted(text, boost))
    shutil.copytree(ROOT / "docs" / "images", folder / "docs" / "images")
    titles, tutorials = {}, []
    for p in sorted(ROOT.glob("nbs/*/*.ipynb")):
        place, (text, pictures) = p.relative_to(ROOT).with_suffix(".md"), notebook_page(p)
        text = page(text, place.parent)
        titles[place] = title(text)
        course = place.parent == TUTORIALS
        if course:
            tutorials.append(tutorial(p, text, pictures))
        write(folder, str(place), boosted(text, 3) if course else text)
        for name, data in pictures.items():
            (folder / place.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / place.parent / name).write_bytes(data)
    write(folder, str(TUTORIALS / "index.md"), gallery(tutorials))
    for name, text in site_api.pages().items():
        write(folder, name, boosted(text, 0.3))
    return navigation(titles)


def navigation(titles: dict[Path, str]) -> list:
    "Tabs and their pages."

    def of(place: Path) -> list:
        return [{t: str(p)} for p, t in titles.items() if p.parent == place]

    course = ["docs/course.md"] if (ROOT / "docs" / "course.md").exists() else []
    return [
        {"Home": ["index.md", "docs/install.md"]},
        {"Tutorials": [str(TUTORIALS / "index.md"), *course, *of(TUTORIALS), {"Glossary": "docs/glossary.md"}]},
        {"How to": [f"docs/howto/{name}.md" for name in HOWTO]},
        {"Results": [f"docs/{name}.md" for name in PAGES]},
        {"The library, explained": [{w.name: of(Path("nbs") / w.name)} for w in WINGS]},
        {"API": site_api.navigation()},
        {"Project": ["CHANGELOG.md", "CONTRIBUTING.md"]},
    ]


def origin(place: str) -> str | None:
    "The file of the repository that a page was made from; None for a page that was put together here."
    path = Path(place)
    if place == "index.md":
        return "nbs/index.ipynb"
    if path.parts[0] == "api":
        module = ".".join(path.with_suffix("").parts[1:])
        return site_api.read_module(module).source if module in site_api.modules() else None
    if path.parts[0] == "nbs":
        return str(path.with_suffix(".ipynb")) if path.stem != "index" else None
    return place


class Pages(BasePlugin):
    "What is done to pages after markdown: tables are dressed, pictures load when they are seen, sources are linked."

    def on_files(self, files, config):
        for file in files.documentation_pages():
            file.edit_uri = origin(file.src_uri)
        return files

    def on_page_content(self, html, page, config, files):
        return dressed(html, of_results(Path(page.file.src_uri))).replace("<img ", '<img loading="lazy" ')


def build(site: Path, strict: bool) -> None:
    "Write the pages and build the site."
    nav, settings = sources(BUILD / "site_pages"), ConfigParser()
    settings.read(ROOT / "settings.ini")
    project = settings["DEFAULT"]
    config = load_config(
        str(ROOT / "mkdocs.yml"),
        nav=nav,
        strict=strict,
        site_dir=str(site),
        repo_url=project["git_url"],
        edit_uri=f"blob/{project['branch']}/",
    )
    config.plugins["pages"] = Pages()
    mkdocs.commands.build.build(config)


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    target = Path(names[0]).resolve() if names else BUILD / "site"
    build(target, "--strict" in sys.argv)
    shown = os.path.relpath(target)
    print(f"open {shown}/index.html, or with the search: python -m http.server -d {shown}")
