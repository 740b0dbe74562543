"""What the writers of pages share: tables of Markdown, means with their spread, numbers computed once, templates."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clip_autt.utils.assets import assets
from clip_autt.utils.files import atomic_path, content_hash

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "tools" / "templates"


# a short name for the bundled weights: what was measured with others is measured anew
_LISTED = json.loads((assets() / "hashes.json").read_text(encoding="utf-8"))
MODELS = content_hash(*(digest for name, digest in _LISTED.items() if name.startswith("facs-tiny/")))


def row(*cells: object) -> str:
    "One row of a Markdown table."
    return f"| {' | '.join(map(str, cells))} |"


def rows(lines: Iterable[Sequence]) -> str:
    "Rows below a head that stands in the template."
    return "\n".join(row(*cells) for cells in lines)


def table(head: Sequence, lines: Iterable[Sequence]) -> str:
    "A whole Markdown table."
    return "\n".join([row(*head), f"|{'---|' * len(head)}", rows(lines)])


def cell(values: Sequence[float], form: str = "+.2f") -> str:
    "Mean ± standard deviation of a number over seeds; the mean alone where there is one seed."
    spread = f" ± {np.std(values, ddof=1):{form.lstrip('+')}}" if len(values) > 1 else ""
    return f"{np.mean(values):{form}}{spread}"


def percent(share: float) -> str:
    "A share in percent, without the sign."
    return f"{100 * share:.1f}"


def kept(path: Path, make: Callable[[], Any]) -> Any:
    "What `make` returns, computed once and kept as JSON."
    if not path.is_file():
        with atomic_path(path) as tmp:
            tmp.write_text(json.dumps(make()))
        print(f"measured {path.stem}", flush=True)
    return json.loads(path.read_text())


def measured(command: str) -> str:
    "When, with what and on what a page was measured: the line under its title."
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "clip_autt"))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"*Measured on {date.today()} by `{command}`: Python {platform.python_version()}, {versions}; "
        f"{os.cpu_count()} CPU cores, {memory_gb:.0f} GB of memory.*"
    )


def write_page(path: Path, template: str, command: str, **facts: object) -> None:
    "Fill a template of tools/templates with what `command` measured, write the page, and print it."
    text = (TEMPLATES / template).read_text(encoding="utf-8").format(measured=measured(command), **facts)
    with atomic_path(path) as tmp:
        tmp.write_text(text, encoding="utf-8")
    print(text)
