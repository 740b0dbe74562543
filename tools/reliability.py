"""What happens when something goes wrong, and how many tests show it: `make reliability`. Writes docs/reliability.md.

The commands stand in the template, beside what they promise. Each is run by itself, as a reader would."""

import re
import shlex
import subprocess
import sys

from pages import ROOT, TEMPLATES, write_page
from tqdm import tqdm

COMMAND = re.compile(r"`(tests/[^`]+)` \| \{n\[\d+\]\}")


def passed(command: str) -> int:
    "How many tests of a command pass. One that fails, is skipped or does not exist ends the call with what was said."
    call = [sys.executable, "-m", "pytest", "-q", "--disable-warnings", *shlex.split(command)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or "skipped" in last:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    return int(re.search(r"(\d+) passed", last)[1])


def main() -> None:
    commands = COMMAND.findall((TEMPLATES / "reliability.md").read_text(encoding="utf-8"))
    counts = [passed(command) for command in tqdm(commands, unit="command")]
    write_page(ROOT / "docs" / "reliability.md", "reliability.md", "make reliability", n=counts)


if __name__ == "__main__":
    main()
