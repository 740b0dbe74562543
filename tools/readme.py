"""Write README.md from nbs/index.ipynb: markdown cells and visible code with its output; `#| hide` cells are dropped.

`--check` only compares.
"""

import base64
import posixpath
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]


def output_text(output, cell_number: int) -> tuple[str, dict[str, bytes]]:
    "One output as markdown, and the pictures it needs."
    data = output.get("data", {})
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```\n", {}
    for kind in ("png", "jpeg"):
        if f"image/{kind}" in data:
            name = f"docs/images/index_{cell_number}.{kind}"
            return f"![A face video, cropped, and the entropy of each of its windows]({name})\n", {
                name: base64.b64decode(data[f"image/{kind}"])
            }
    if "text/markdown" in data:
        return data["text/markdown"].strip() + "\n", {}
    return (f"```text\n{data['text/plain'].rstrip()}\n```\n", {}) if "text/plain" in data else ("", {})


def relinked(markdown: str) -> str:
    "Links of the notebook, which lies one folder deeper, as links from the root."

    def one(found: re.Match) -> str:
        return posixpath.normpath(f"nbs/{found[0]}")

    return re.sub(r"(?<=\]\()(?!https?:|#)[^)\s]+(?=\))", one, markdown)


def readme() -> tuple[str, dict[str, bytes]]:
    "The text of README.md and its pictures by path."
    parts, images = [], {}
    for i, cell in enumerate(nbformat.read(ROOT / "nbs/index.ipynb", 4).cells):
        directives = re.findall(r"^#\|\s*(\w+)", cell.source, re.M)
        if "hide" in directives:
            continue
        source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M).strip()
        if cell.cell_type == "markdown":
            parts.append(relinked(source) + "\n")
            continue
        if "echo" not in directives:
            parts.append(f"```python\n{source}\n```\n")
        for output in cell.outputs:
            text, new = output_text(output, i)
            parts.append(text)
            images |= new
    return "\n".join(parts), images


if __name__ == "__main__":
    text, images = readme()
    if "--check" in sys.argv:
        stale = (ROOT / "README.md").read_text(encoding="utf-8") != text or any(
            (ROOT / n).read_bytes() != b for n, b in images.items()
        )
        sys.exit("README.md is older than nbs/index.ipynb: run `make readme`" if stale else 0)
    (ROOT / "README.md").write_text(text, encoding="utf-8")
    for name, data in images.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(data)
