"""The course as a reader meets it in Google Colab: `make colab`, or `make colab TUTORIALS="01 11"`.

The Python of build/colab-venv runs this; it holds what Colab holds (colab_requirements.txt). Every tutorial runs with
its solutions in a folder without the repository, and `google.colab` is loaded, so its first cell asks pip for the
library. Git answers that address with the working tree; the cell is the one that readers run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from colab import settings
from nbclient.exceptions import CellControlSignal, DeadKernelError
from tutorials import course, execute, with_solutions

ROOT = Path(__file__).parents[1]
PINS = ROOT / "tools" / "colab_requirements.txt"


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    "What a command prints."
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def working_tree(target: Path) -> Path:
    "A repository with the branch that readers install: one commit of all files that git knows or sees."
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    run("git", "init", "-q", "-b", settings()["branch"], cwd=target)
    run("git", "add", "--all", cwd=target)
    run("git", "-c", "user.name=colab", "-c", "user.email=", "commit", "-q", "-m", "working tree", cwd=target)
    return target


def environment(home: Path) -> dict[str, str]:
    "The variables that make a kernel one of Colab, whose git answers the project's address with the working tree."
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "colab.py").write_text("import google.colab\n")
    (home / "repository").mkdir()
    address = working_tree(home / "repository").as_uri()
    (home / "gitconfig").write_text(f'[url "{address}"]\n\tinsteadOf = {settings()["git_url"]}\n')
    return {
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger of a kernel says nothing about frozen modules
        "CLIP_AUTT_CACHE": str(home / "cache"),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(ROOT / "tools" / "colab_stub"),
    }


def complaints(nb) -> list[str]:
    "What a reader would see in red, and what pip could not do."
    found = []
    for cell in (c for c in nb.cells if c.cell_type == "code"):
        streams = [o for o in cell.outputs if o.output_type == "stream"]
        failed = "%pip" in cell.source and any("error" in o.text.lower() for o in streams)
        found += [o.text.strip() for o in streams if failed or o.name == "stderr"]
    return found


def changed_pins() -> list[str]:
    "The packages that were there before the library and are of another version now."
    pins = [line.split("==") for line in PINS.read_text().splitlines() if "==" in line]
    return [f"{name} {pin} -> {version(name)}" for name, pin in pins if version(name).partition("+")[0] != pin]


def check(path: Path, folder: Path) -> str:
    "Run a tutorial in an empty folder; what is wrong, or nothing."
    folder.mkdir()
    try:
        found = complaints(execute(with_solutions(nbformat.read(path, 4)), folder))
    except (CellControlSignal, DeadKernelError) as e:
        found = [str(e)]
    return "\n".join(found + changed_pins())


def main(names: list[str]) -> int:
    paths = [p for p in course() if not names or any(p.stem.startswith(n) for n in names)]
    run(sys.executable, "-m", "pip", "uninstall", "-q", "--yes", settings()["lib_name"])
    failed = 0
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(environment(Path(home)))
        for path in paths:
            began = time.perf_counter()
            wrong = check(path, Path(home) / path.stem)
            print(f"{path.stem}: {'FAILED' if wrong else 'ok'} ({time.perf_counter() - began:.0f} s)", flush=True)
            print(wrong, end="\n" if wrong else "", flush=True)
            failed += bool(wrong)
    print(f"{len(paths) - failed} of {len(paths)} tutorials run in Colab's environment")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
