"""The how-to pages: every block of code runs as it stands, one page after the other from top to bottom, in an empty folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(r"(<!-- needs a network -->\n)?^```(python|sh)\n(.*?)^```", re.S | re.M)


def test_there_is_a_page_for_each_question():
    names = {"own_clips", "own_backbone", "own_method", "own_au_bank", "reproduce_the_paper", "gpu", "cluster"}
    assert {p.stem for p in PAGES} == names


def script(page: Path) -> str:
    "Python blocks as they stand; commands of clip-autt through the same program."
    lines = []
    for needs_network, kind, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if needs_network:
            continue
        if kind == "python":
            lines.append(code)
        for line in code.splitlines() if kind == "sh" else ():
            words = shlex.split(line, comments=True)
            if words[:1] == ["clip-autt"]:
                lines.append(f"__import__('subprocess').run([{str(Path(sys.executable).parent / 'clip-autt')!r}, *{words[1:]!r}], check=True)")
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_its_code_runs(page, tmp_path):
    if page.stem == "cluster":
        (tmp_path / "features").mkdir()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script(page)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
