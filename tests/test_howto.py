"""README and the how-to pages: every block of code runs as it stands, in the order of the page, in an empty folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import save_published_head
from safetensors.torch import save_file

from clip_autt import AUBank, ClipAU

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(r"(<!-- needs a network -->\n)?^```(python|sh)\n(.*?)^```", re.S | re.M)


def blocks(page: Path) -> list[tuple[str, str]]:
    "Kind and text of the blocks of code that need no network."
    return [(kind, code) for network, kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if not network]


def commands(code: str) -> list[list[str]]:
    "The clip-autt commands in a block, as words."
    lines = [shlex.split(line, comments=True) for line in code.splitlines()]
    return [words for words in lines if words[:1] == ["clip-autt"]]


def script(page: Path) -> str:
    "Python blocks as they stand; commands of clip-autt through the same program."
    lines = []
    for kind, code in blocks(page):
        if kind == "python":
            lines.append(code)
        for words in commands(code) if kind == "sh" else ():
            program = str(Path(sys.executable).parent / "clip-autt")
            lines.append(f"__import__('subprocess').run([{program!r}, *{words[1:]!r}], check=True)")
    return "\n".join(lines)


def run(code: str, folder: Path) -> str:
    "What a script prints when it runs in a folder."
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_its_code_runs(page, tmp_path):
    if page.stem == "cluster":
        (tmp_path / "features").mkdir()
    assert blocks(page), "a how-to page shows how"
    run(script(page), tmp_path)


def test_the_code_of_the_readme_runs(tmp_path, tiny, portrait_mp4):
    "With a small random CLIP and head in place of the real ones, which would need a network."
    save_file(tiny.model.state_dict(), tmp_path / "tiny.safetensors")
    save_published_head(tmp_path / "head.pth", ClipAU(tiny, bank=AUBank.released(), template="{}"))
    for name in ("monday.mp4", "tuesday.mp4"):
        (tmp_path / name).write_bytes(portrait_mp4.read_bytes())
    code = "\n".join(code for kind, code in blocks(ROOT / "README.md") if kind == "python")
    real = "'ViT-B-32', pretrained='openai'"
    assert code.count(real) == 1
    printed = run(code.replace(real, "'tiny', pretrained='tiny.safetensors'"), tmp_path)
    text = re.search(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S | re.M)[1]
    assert printed.startswith(text) and (tmp_path / "her.safetensors").is_file()


def test_the_commands_of_the_readme_exist():
    from typer.main import get_command

    from clip_autt.cli.main import app

    found = [words for kind, code in blocks(ROOT / "README.md") if kind == "sh" for words in commands(code)]
    assert len(found) >= 6
    for _, *words in found:
        command = get_command(app)
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), f"{words}: there is no such command"
        options = {o for p in command.params for o in p.opts}
        assert not [w for w in words if w.startswith("--") and w not in options], (command.name, words)
