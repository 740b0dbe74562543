"""What an editor and a reader see: names that complete, stubs that tell the truth, no name with two meanings."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import clip_autt

jedi = pytest.importorskip("jedi")
PACKAGE = Path(clip_autt.__file__).parent
WINGS = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.pyi"))


def completions(code: str) -> set[str]:
    "Names that an editor offers after the last dot."
    project = jedi.Project(PACKAGE.parent)
    return {c.name for c in jedi.Script(code, project=project).complete(*_end(code))}


def _end(code: str) -> tuple[int, int]:
    lines = code.split("\n")
    return len(lines), len(lines[-1])


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import clip_autt\nclip_autt.", {"ClipAU", "ClipAUTT", "evaluate", "read_video", "personal", "methods"}),
        ("from clip_autt import ClipAU\nClipAU.", {"from_pretrained", "load_released", "save_pretrained", "predict"}),
        (
            "from clip_autt import ClipAU\nClipAU.from_pretrained('facs-tiny').",
            {"predict", "save_pretrained", "au_scores"},
        ),
        (
            "from clip_autt import ClipAUTT\nClipAUTT.",
            {"adapt", "adapt_many", "predict", "reset", "state_dict"},
        ),
        (
            "from clip_autt import PersonalBaseline\nPersonalBaseline.",
            {"adapt", "adapt_many", "predict", "reset", "load_state_dict"},
        ),
        ("from clip_autt import Tent\nTent.", {"adapt", "adapt_many", "predict", "reset", "load_state_dict"}),
        ("from clip_autt.methods import make_method\nmake_method('tent', None).", {"adapt", "reset", "state_dict"}),
        ("from clip_autt import evaluate\nevaluate([]).", {"table", "classes", "methods"}),
        ("from clip_autt.video import ", {"read_video", "crop_face", "Clip"}),
    ],
)
def test_names_complete_in_an_editor(code, names):
    missing = names - completions(code)
    assert not missing, f"not offered after {code!r}: {missing}"


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (clip_autt.ClipAUTT, {"save_profile", "load_profile", "tune"}),
        (clip_autt.PersonalBaseline, {"save_profile", "load_profile"}),
        (clip_autt.Results, {"summary", "per_subject", "cost", "gates", "plot", "to_csv", "to_latex", "to_markdown"}),
        (clip_autt.FeatureStore, {"get", "put", "info", "verify", "prune"}),
    ],
)
def test_methods_from_other_cells_complete_in_a_notebook(cls, names):
    "As Jupyter does it, on the living object."
    offered = {c.name for c in jedi.Interpreter("x.", [{"x": cls}]).complete()}
    assert not names - offered


@pytest.mark.parametrize("before, after", [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_somebody_decided_otherwise(before, after):
    "They are told before PyTorch is loaded."
    own = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    own |= {"OMP_WAIT_POLICY": before} if before else {}
    code = "import sys, os, clip_autt; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", after]


def test_a_folder_of_its_name_beside_a_script_does_not_hide_the_package(tmp_path):
    "As a clone lies beside what its user writes. An editable install through a finder is hidden by it."
    (tmp_path / "clip_autt").mkdir()
    script = tmp_path / "mine.py"
    script.write_text("from clip_autt import __version__")
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([sys.executable, script], env=own, cwd=tmp_path, check=True)


def test_evaluate_is_the_function_in_every_order():
    from clip_autt import evaluate

    importlib.import_module("clip_autt.evaluation.evaluate")
    from clip_autt.evaluation import evaluate as again

    assert inspect.isfunction(evaluate) and again is evaluate


@pytest.mark.parametrize("wing", ["", *WINGS])
def test_stubs_list_what_is_there(wing):
    module = importlib.import_module(f"clip_autt.{wing}".rstrip("."))
    stub = ast.parse((PACKAGE / wing / "__init__.pyi").read_text(encoding="utf-8"))
    listed = [a.name for n in stub.body if isinstance(n, ast.ImportFrom) for a in n.names]
    assert len(listed) == len({*listed}) and {*listed} == {*module.__all__}
    for name in listed:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_hands_on_whatever_its_modules_export(wing):
    package = importlib.import_module(f"clip_autt.{wing}")
    modules = [p.stem for p in (PACKAGE / wing).glob("*.py") if p.stem != "__init__"]
    exported = {name for m in modules for name in importlib.import_module(f"clip_autt.{wing}.{m}").__all__}
    assert {name for name in exported if not name.startswith("_")} == {*package.__all__}


def test_methods_are_members_with_names_of_their_own():
    for cls in (clip_autt.ClipAU, clip_autt.ClipAUTT, clip_autt.Results, clip_autt.PersonalBaseline):
        for name, f in inspect.getmembers(cls, inspect.isfunction):
            if f.__module__.startswith("clip_autt"):
                assert f.__qualname__.split(".")[-1] == name and "." in f.__qualname__, f"{cls.__name__}.{name}"


def test_a_subclass_is_loaded_as_itself():
    class Mine(clip_autt.ClipAU):
        pass

    assert type(Mine.from_pretrained("facs-tiny")) is Mine


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
