"""Measure the systems around CLIP-AUTT that are no methods of test time, and write docs/beyond.md: `make beyond`.

Each section has a module beside this one, with one function `measure`, and a template. What is finished is kept in
build/beyond, so an interrupted call goes on. `python tools/beyond.py NAME ...` measures some sections and prints them.
"""

import sys
from importlib import import_module

from pages import ROOT, TEMPLATES, write_page

SECTIONS = "bah words abaw tss maps signals fusion".split()


def section(name: str) -> str:
    "The section of one system, measured and filled in."
    facts = import_module(f"beyond_{name}").measure()
    print(f"measured {name}", flush=True)
    return (TEMPLATES / f"beyond_{name}.md").read_text(encoding="utf-8").format(**facts).strip()


def main(names: list[str]) -> None:
    if names:
        print(*map(section, names), sep="\n\n")
        return
    write_page(ROOT / "docs" / "beyond.md", "beyond.md", "make beyond", sections="\n\n".join(map(section, SECTIONS)))


if __name__ == "__main__":
    main(sys.argv[1:])
