"""A real browser: JupyterLab runs tutorials, sliders move, pictures change; films play. See build/browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import nbformat
import pytest

from clip_autt.cli.course import copy_tutorials

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "build" / "browser"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: pip install -e '.[dev]'")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run the browser tests"
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {  # every cell in the page at once, no question about news, no network
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
ERRORS = (
    '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"], '
    '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
)


PREPARATION = """from clip_autt import ClipAU, make_clip
from clip_autt.faces.tasks import film_person
from clip_autt.features import LabeledVideo, encode_clip
from clip_autt.show import AUExplorer, MethodRace, SubjectMixer, TuningStepper, VideoLab, WindowExplorer

model = ClipAU.from_pretrained('facs-tiny')
clip = make_clip('pain', 30_001, 'pain', 3, every=2)
videos = [LabeledVideo(encode_clip(model.backbone, c), c.label) for c in film_person('pain', 30_001, 6)]"""
FIGURES = {  # the widgets with one live picture
    "AUExplorer": "AUExplorer(model)",
    "WindowExplorer": "WindowExplorer(model, clip)",
    "SubjectMixer": "SubjectMixer(model)",
    "TuningStepper": "TuningStepper(model, clip, steps=4)",
    "MethodRace": "MethodRace(model, videos, ('clip-au', 'personal'))",
}
FILMS = Path(__file__).parents[2] / "shared" / "data" / "video"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(address: str, server: subprocess.Popen, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert server.poll() is None, "JupyterLab ended by itself"
        try:
            return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


def write_notebook(path: Path, *cells: str) -> None:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(nbformat.from_dict({**nb, "metadata": {"kernelspec": kernel}}), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "JupyterLab on a copy of the course, with nothing of the user's; its address."
    home = tmp_path_factory.mktemp("lab")
    course = home / "course"
    copy_tutorials(course)
    write_notebook(course / "widgets.ipynb", PREPARATION, *FIGURES.values(), "VideoLab(model)")
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    port = free_port()
    folders = {f"JUPYTER_{k}_DIR": str(home / k.lower()) for k in ("CONFIG", "RUNTIME", "DATA")}
    env = {
        **os.environ,
        **folders,
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ]
    options += ["--IdentityProvider.token="]
    log = open(home / "lab.log", "w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], cwd=course, env=env, stdout=log, stderr=log
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:  # its kernels are busy still
            server.kill()
            server.wait()
        log.close()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield b
        b.close()


def run_all(page, lab: str, name: str) -> None:
    "Open a tutorial and run all its cells from the menu."
    page.goto(f"{lab}/lab/tree/{name}?reset", timeout=120_000)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
    page.get_by_text(re.compile(r"Python 3.*\| Idle")).wait_for(timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    prompts = ".jp-Notebook .jp-CodeCell .jp-InputPrompt"
    done = """prompts => { const texts = [...document.querySelectorAll(prompts)].map(p => p.textContent.trim());
                           return texts.length > 0 && texts.every(t => /^\\[\\d+\\]:$/.test(t)); }"""
    page.wait_for_function(done, arg=prompts, timeout=300_000)


def shot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


@pytest.mark.parametrize("name", ["01_get_to_know_one_person", "02_what_a_face_says"])
def test_a_tutorial_runs_in_jupyterlab_and_its_slider_changes_the_picture(lab, browser, name):
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    run_all(page, lab, f"{name}.ipynb")
    assert page.locator(ERRORS).all_inner_texts() == []
    assert page.locator(".jp-OutputArea-output img").count() > 0
    slider = page.locator(".widget-slider .noUi-handle").first
    slider.scroll_into_view_if_needed()
    picture = page.locator(".jp-OutputArea-output:has(.widget-slider) img").first
    picture.wait_for(state="visible", timeout=60_000)
    before, value = picture.get_attribute("src"), slider.get_attribute("aria-valuenow")
    shot(page, f"{name}-before")
    slider.focus()
    at_the_end = float(value) == float(slider.get_attribute("aria-valuemax"))
    for _ in range(6):
        page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")
    page.wait_for_function(
        "([img, old]) => img.src !== old && img.complete && img.naturalWidth > 0",
        arg=[picture.element_handle(), before],
        timeout=60_000,
    )
    assert slider.get_attribute("aria-valuenow") != value
    shot(page, f"{name}-after")
    page.close()


@pytest.fixture(scope="module")
def six(lab, browser):
    "One page with all six widgets, and the output of each by its name."
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    run_all(page, lab, "widgets.ipynb")
    outputs = page.locator(".jp-OutputArea-output:has(.widget-vbox)")
    yield page, dict(zip([*FIGURES, "VideoLab"], outputs.all(), strict=True))
    assert page.locator(ERRORS).all_inner_texts() == []
    page.close()


@pytest.fixture(scope="module", params=[(1280, "Light"), (800, "Dark")], ids=lambda p: f"{p[0]}-{p[1].lower()}")
def widgets(request, six):
    "The six on a wide and light page, then on a narrow and dark one, as the menu of JupyterLab makes it."
    page, outputs = six
    width, theme = request.param
    page.set_viewport_size({"width": width, "height": 1000})
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu").get_by_text("Theme", exact=True).hover()
    page.locator(".lm-Menu").get_by_text(f"JupyterLab {theme}", exact=True).click()
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=f"JupyterLab {theme}")
    return page, outputs, f"{width}-{theme.lower()}"


def another_picture(page, out, act) -> None:
    "What one does is answered with another picture."
    picture = out.locator("img")
    before = picture.get_attribute("src")
    act()
    changed = "([img, old]) => img.src !== old && img.complete && img.naturalWidth > 0"
    page.wait_for_function(changed, arg=[picture.element_handle(), before], timeout=10_000)


def can_be_seen(out) -> None:
    "All controls lie inside the page, and no name is cut."
    box = out.bounding_box()
    for control in out.locator(".noUi-handle, button, select, input[type=text]").all():
        place = control.bounding_box()
        assert box["x"] <= place["x"] + 10 and place["x"] + place["width"] <= box["x"] + box["width"] + 1
    cut = "all => all.filter(x => x.scrollWidth > x.clientWidth).map(x => x.textContent)"
    assert out.locator(".widget-label, button").evaluate_all(cut) == []


def inward(handle) -> int:
    "The way from a slider's handle to the middle of its range: 1 or -1."
    now, low, high = (float(handle.get_attribute(f"aria-value{x}")) for x in ("now", "min", "max"))
    return 1 if 2 * now < low + high else -1


def drag(page, handle) -> None:
    "Move a slider by 80 pixels with the mouse."
    place, way = handle.bounding_box(), 80 * inward(handle)
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + way, y)
    page.mouse.up()


def choose_another(menu) -> None:
    "Open a menu with the keyboard and take the next entry, or the one before the last."
    last = menu.evaluate("m => m.selectedIndex === m.length - 1")
    for key in ("Space", "ArrowUp" if last else "ArrowDown", "Enter"):
        menu.press(key)


@pytest.mark.parametrize("name", FIGURES)
def test_a_widget_answers_to_mouse_and_keyboard(widgets, name):
    "Drag a slider, move it by a key, choose from a menu, press a button: each gives another picture."
    page, outputs, look = widgets
    out = outputs[name]
    handle = out.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    can_be_seen(out)
    another_picture(page, out, partial(drag, page, handle))
    another_picture(page, out, lambda: handle.press("ArrowRight" if inward(handle) > 0 else "ArrowLeft"))
    if out.locator("select").count():
        another_picture(page, out, partial(choose_another, out.locator("select")))
    if out.locator("button").count():
        another_picture(page, out, partial(out.locator("button").press, "Enter"))
    out.scroll_into_view_if_needed()
    SHOTS.mkdir(parents=True, exist_ok=True)
    out.screenshot(path=SHOTS / f"{name}-{look}.png")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    "A film of a person and a film of nobody: real ones where they are at hand."
    if FILMS.is_dir():
        return FILMS / "single_face.mp4", FILMS / "no_face.mp4"
    from clip_autt.faces.portraits import moving_portrait
    from clip_autt.video.clip import Clip
    from clip_autt.video.io import write_video

    folder, portrait = tmp_path_factory.mktemp("films"), moving_portrait(2, 12.5)
    wall = Clip(portrait.frames * 0 + 127, portrait.times)
    return write_video(portrait, folder / "single_face.mp4"), write_video(wall, folder / "no_face.mp4")


def upload(page, out, film: Path) -> None:
    with page.expect_file_chooser() as chooser:
        out.locator(".widget-upload").click()
    chooser.value.set_files(film)


def download(page, out, name: str) -> bytes:
    link = out.get_by_text(f"Download {name}")
    link.wait_for(state="visible", timeout=120_000)
    with page.expect_download() as file:
        link.click()
    assert file.value.suggested_filename == name
    return Path(file.value.path()).read_bytes()


def test_the_video_lab_answers_to_mouse_and_keyboard(widgets, films):
    "Upload, predict, action units, profile: what each offers is on the page, and the files come down."
    page, outputs, look = widgets
    out, (face, nobody) = outputs["VideoLab"], films
    out.get_by_role("button", name="new person").press("Enter")
    can_be_seen(out)
    upload(page, out, face)
    out.locator("img").wait_for(state="visible", timeout=60_000)
    another_picture(page, out, lambda: out.get_by_role("button", name="predict").press("Enter"))
    out.get_by_text("on a real face its answer means little").wait_for(state="visible", timeout=60_000)
    out.scroll_into_view_if_needed()
    SHOTS.mkdir(parents=True, exist_ok=True)
    out.screenshot(path=SHOTS / f"VideoLab-{look}.png")
    out.get_by_role("button", name="action units").click()
    assert download(page, out, f"{face.name}-aus.csv").startswith(b"frame,face_id,timestamp")
    out.get_by_role("button", name="save profile").click()
    assert len(download(page, out, "profile.safetensors")) > 500
    another_picture(page, out, lambda: upload(page, out, nobody))
    out.get_by_role("button", name="predict").click()
    out.get_by_text("No prediction.").wait_for(timeout=60_000)
    out.get_by_text("1 video of this person").wait_for(state="visible", timeout=60_000)  # nobody teaches nothing
    another_picture(page, out, partial(choose_another, out.locator("select")))


def test_an_annotated_film_plays(browser, tmp_path):
    from clip_autt.cli.main import app
    from clip_autt.faces.tasks import make_clip
    from clip_autt.video.io import write_video
    from typer.testing import CliRunner

    write_video(make_clip("pain", 30_001, "pain", seed=30_000, size=128), tmp_path / "her.mp4")
    result = CliRunner().invoke(app, ["personalize", str(tmp_path / "her.mp4"), "--video", str(tmp_path / "film.mp4")])
    assert result.exit_code == 0, result.output
    (tmp_path / "page.html").write_text('<video src="film.mp4" muted></video>')
    page = browser.new_page(viewport={"width": 900, "height": 620})
    page.goto((tmp_path / "page.html").as_uri())
    play = (
        "async v => { await v.play(); while (v.currentTime < 1) await new Promise(r => setTimeout(r, 50)); "
        "return [v.videoWidth, v.duration, v.error]; }"
    )
    width, duration, error = page.locator("video").evaluate(play)
    assert width > 600 and 2.5 < duration < 3.5 and error is None
    shot(page, "annotated-film")
    page.close()


def test_the_notebooks_ask_for_nothing_from_the_network(lab, browser):
    "Opening a tutorial makes the page ask this machine only."
    page, asked = browser.new_page(), []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{lab}/lab/tree/02_what_a_face_says.ipynb?reset", timeout=120_000)
    page.wait_for_selector(".jp-Notebook .jp-MarkdownCell", timeout=120_000)
    elsewhere = [
        u for u in asked if not re.match(r"(http|ws)://127\.0\.0\.1|data:|blob:", u) and "colab-badge.svg" not in u
    ]
    assert asked and not elsewhere
    page.close()
