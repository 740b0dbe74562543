"""Everything that must pass, in order, with a closing line of counts: `make test`."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
CACHE = tempfile.mkdtemp()  # faces that are drawn once for all tests


def run(title: str, *command: str) -> str:
    "Run a command in the project's root, show its output as it comes, and return it. A failure ends the whole run."
    print(f"== {title}", flush=True)
    # IPython writes a history file; a scratch home keeps it out of the user's
    # threads that wait asleep: where other programs run, threads that spin while they wait are twenty times slower
    defaults = {"OMP_WAIT_POLICY": "PASSIVE", "CLIP_AUTT_CACHE": CACHE}
    env = {**defaults, **os.environ, "IPYTHONDIR": tempfile.mkdtemp(), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
        lines = []
        for line in p.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if p.returncode:
        sys.exit(f"make test: failed at '{title}'")
    return "".join(lines)


run("style: ruff", str(BIN / "ruff"), "check", ".")
run("source notebooks run: nbdev-test", str(BIN / "nbdev-test"), "--skip-folder-re", r"^[_.]|^tutorials$")
output = run("tests: pytest (with: tutorials and their solutions run, package in sync with the notebooks, notebooks clean)", sys.executable, "-m", "pytest")
counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped)", output.splitlines()[-1])}
notebooks = len(list((ROOT / "nbs").rglob("*.ipynb")))
print(f"make test: ruff clean, {notebooks} notebooks run, pytest below")
print(f"{counts.get('passed', 0)} passed, {counts.get('failed', 0)} failed, {counts.get('skipped', 0)} skipped")
