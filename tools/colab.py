"""What the tutorials say about the project's repository, whose address stands in settings.ini alone.

`python tools/colab.py` writes it into the cells that install the library where Colab opens a tutorial.
"""

import json
import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]


def settings() -> dict[str, str]:
    "The project's settings."
    parser = ConfigParser(delimiters=["="], interpolation=None)
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


def requirement() -> str:
    "What pip is asked for: the state of the branch that the badges open, so that notebook and library agree."
    cfg = settings()
    return f"{cfg['lib_name']} @ git+{cfg['git_url']}@{cfg['branch']}"


def badge(path: str) -> str:
    "The address at which Colab opens a notebook of the project."
    cfg = settings()
    repository = cfg["git_url"].removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{repository}/blob/{cfg['branch']}/{path}"


def in_step(nb: dict) -> dict:
    "A notebook whose first code cell installs that requirement, if it installs anything."
    cell = next(c for c in nb["cells"] if c["cell_type"] == "code")
    source = re.sub(r"(?m)^( *%pip install -q ).*$", rf'\1"{requirement()}"', "".join(cell["source"]))
    cell["source"] = source.splitlines(keepends=True)
    return nb


if __name__ == "__main__":
    for path in sorted((ROOT / "nbs" / "tutorials").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        new = json.dumps(in_step(json.loads(text)), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{path.name}: installs {requirement()}")
