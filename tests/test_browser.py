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


def write_notebook(path: Path, code: str) -> None:
    cell = nbformat.v4.new_code_cell(code)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "JupyterLab on a copy of the course, with nothing of the user's; its address."
    home = tmp_path_factory.mktemp("lab")
    course = home / "course"
    copy_tutorials(course)
    write_notebook(course / "videolab.ipynb", "from clip_autt.show import VideoLab\nVideoLab()")
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


@pytest.mark.parametrize("name", ["01_personalize_in_five_minutes", "02_what_a_face_says"])
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


def set_theme(page, lab: str, theme: str) -> None:
    "Choose JupyterLab's theme, as its menu does."
    page.goto(f"{lab}/lab/tree/videolab.ipynb?reset", timeout=120_000)
    put = """([url, raw]) => fetch(url, {method: 'PUT', body: JSON.stringify({raw}), headers: {
             'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1]}}).then(r => r.status)"""
    url = f"{lab}/lab/api/settings/@jupyterlab/apputils-extension:themes"
    assert page.evaluate(put, [url, json.dumps({"theme": theme})]) == 204


@pytest.mark.parametrize("width, theme", [(1280, "JupyterLab Light"), (800, "JupyterLab Dark")])
def test_the_video_lab_works_with_a_mouse(lab, browser, tmp_path, width, theme):
    "Upload, predict, action units, profile: what each offers is on the page, and the files come down."
    from clip_autt.faces.portraits import moving_portrait
    from clip_autt.video.io import write_video

    film = write_video(moving_portrait(2, 12.5), tmp_path / "her.mp4")
    page = browser.new_page(viewport={"width": width, "height": 1000})
    set_theme(page, lab, theme)
    run_all(page, lab, "videolab.ipynb")
    assert page.locator("body").get_attribute("data-jp-theme-name") == theme
    out = page.locator(".jp-OutputArea-output:has(.widget-upload)")
    menu, name = out.locator("select"), out.locator("input[type=text]")
    assert menu.is_visible() and name.first.is_visible() and name.last.is_visible()
    with page.expect_file_chooser() as chooser:
        out.locator(".widget-upload").click()
    chooser.value.set_files(film)
    picture = out.locator("img")
    picture.wait_for(state="visible", timeout=60_000)
    before = picture.get_attribute("src")
    out.get_by_role("button", name="predict").click()
    changed = "([img, old]) => img.src !== old && img.complete && img.naturalWidth > 0"
    page.wait_for_function(changed, arg=[picture.element_handle(), before], timeout=60_000)
    assert out.get_by_text("on a real face its answer means little").is_visible()
    shot(page, f"videolab-{width}-{theme.split()[-1].lower()}")
    for button, file in (("action units", "her.mp4-aus.csv"), ("save profile", "profile.safetensors")):
        out.get_by_role("button", name=button).click()
        link = out.get_by_text(f"Download {file}")
        link.wait_for(state="visible", timeout=120_000)
        with page.expect_download() as download:
            link.click()
        content = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == file and len(content) > 500
        if file.endswith(".csv"):
            assert content.startswith(b"frame,face_id,timestamp")
    box = out.bounding_box()
    for widget in (menu, name.last, out.get_by_role("button", name="save profile")):
        place = widget.bounding_box()
        assert place["x"] + place["width"] <= box["x"] + box["width"] + 1, "nothing is pushed out of the page"
    assert page.locator(ERRORS).all_inner_texts() == []
    set_theme(page, lab, "JupyterLab Light")
    page.close()


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
