"""The course reaches the reader: copies that keep what was changed, and links that work there."""

import json
import re
from pathlib import Path

import pytest
from clip_autt.cli.main import app
from clip_autt.utils.assets import pip_requirement
from clip_autt.utils.errors import InputError
from clip_autt.cli.course import copy_tutorials, tutorial_files
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_the_command_copies_and_keeps_what_was_changed(tmp_path):
    course = tmp_path / "my course"
    first = CliRunner().invoke(app, ["lab", str(course), "--copy-only"])
    assert first.exit_code == 0 and f"{len(tutorial_files())} files written, 0 kept" in first.output
    mine = course / "01_get_to_know_one_person.ipynb"
    mine.write_text("solved")
    again = CliRunner().invoke(app, ["lab", str(course), "--copy-only"])
    assert "0 files written" in again.output and mine.read_text() == "solved"


def test_links_in_the_copies_lead_to_a_neighbour_or_to_an_address(tmp_path):
    copy_tutorials(tmp_path)
    names = {p.name for p in tmp_path.iterdir()}
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8")
        prose = (
            text
            if path.suffix == ".md"
            else "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
        )
        for link in LINK.findall(re.sub(r"```.*?```", "", prose, flags=re.S)):
            file = link.partition("#")[0]
            assert link.startswith(("https://", "data:", "#")) or file in names, f"{path.name}: {link}"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        copy_tutorials(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made"):
        copy_tutorials(tmp_path / "file" / "below")
    result = CliRunner().invoke(app, ["lab", str(tmp_path / "file")])
    assert result.exit_code == 1 and "error:" in result.output and "Traceback" not in result.output


def test_without_jupyterlab_the_copies_are_made_and_the_way_out_is_said(tmp_path, monkeypatch):
    import clip_autt.cli.course as lab

    find = lab.find_spec
    monkeypatch.setattr(lab, "find_spec", lambda name: None if name == "jupyterlab" else find(name))
    result = CliRunner().invoke(app, ["lab", str(tmp_path / "course")])
    assert result.exit_code == 1 and f'pip install "{pip_requirement("lab")}"' in result.output
    assert (tmp_path / "course" / "02_what_a_face_says.ipynb").exists()


def test_options_after_two_dashes_go_to_jupyterlab(tmp_path, monkeypatch):
    import clip_autt.cli.course as lab

    class Server:
        def __init__(self, command, cwd):
            asked.append((command[3:], cwd.name))

        def wait(self):
            return 0

    asked = []
    monkeypatch.setattr(lab.subprocess, "Popen", Server)
    monkeypatch.setattr(lab.os, "geteuid", lambda: 0, raising=False)
    refused = CliRunner().invoke(app, ["lab", str(tmp_path / "course")])
    assert refused.exit_code == 1 and "-- --allow-root" in refused.output and not asked
    done = CliRunner().invoke(
        app, ["lab", str(tmp_path / "course"), "--no-browser", "--", "--allow-root", "--port=9999"]
    )
    assert done.exit_code == 0 and len(asked) == 1
    (first, uploads, *rest), folder = asked[0]
    assert (first, rest, folder) == ("--no-browser", ["--allow-root", "--port=9999"], "course")
    limit = json.loads(uploads.removeprefix("--ServerApp.tornado_settings="))["websocket_max_message_size"]
    assert limit >= 500e6, "a film of a phone can be uploaded"


def test_the_copies_say_which_kernel_runs_them(tmp_path):
    "Else JupyterLab writes it into them, and a notebook is unsaved as soon as it is opened."
    from ipykernel.ipkernel import IPythonKernel

    copy_tutorials(tmp_path)
    for path in tmp_path.glob("*.ipynb"):
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        assert metadata["language_info"] == IPythonKernel.language_info and metadata["kernelspec"]["name"] == "python3"
