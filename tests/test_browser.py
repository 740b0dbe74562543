"""A real browser: JupyterLab runs tutorials, sliders move, pictures change; films play. See build/browser."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import nbformat
import numpy as np
import pytest
from conftest import CHROMIUM

from clip_autt.cli.course import copy_tutorials

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "build" / "browser"
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
    "--use-fake-ui-for-media-stream",  # the question about the camera is answered with yes
    "--use-fake-device-for-media-stream",
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


class Lab(NamedTuple):
    address: str
    folder: Path


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
    options += ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
    log = open(home / "lab.log", "w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], cwd=course, env=env, stdout=log, stderr=log
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status", server)
        yield Lab(f"http://127.0.0.1:{port}", course)
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:  # its kernels are busy still
            server.kill()
            server.wait()
        log.close()


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Path:
    "What the camera of the browser sees: a photograph that moves, as the raw film that Chromium takes for a camera."
    from clip_autt.faces.portraits import moving_portrait

    path, frames = tmp_path_factory.mktemp("camera") / "face.y4m", moving_portrait(2, 12).frames
    with open(path, "wb") as f:
        f.write(f"YUV4MPEG2 W{frames.shape[2]} H{frames.shape[1]} F12:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            yuv = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format="yuv420p")
            f.write(b"FRAME\n" + yuv.to_ndarray().tobytes())
    return path


@pytest.fixture(scope="module")
def browser(camera):
    with sync_api.sync_playwright() as p:
        args = [*QUIET, f"--use-file-for-fake-video-capture={camera}"]
        b = p.chromium.launch(executable_path=CHROMIUM, args=args)
        yield b
        b.close()


def run_all(page, lab: Lab, name: str) -> None:
    "Open a tutorial and run all its cells from the menu."
    page.goto(f"{lab.address}/lab/tree/{name}?reset", timeout=120_000)
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
    out = page.locator(".jp-OutputArea-output:has(.widget-slider)").first
    out.locator("svg").wait_for(state="visible", timeout=60_000)
    value = slider.get_attribute("aria-valuenow")
    shot(page, f"{name}-before")
    slider.focus()
    at_the_end = float(value) == float(slider.get_attribute("aria-valuemax"))

    def six_times():
        for _ in range(6):
            page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")

    another_picture(page, out, six_times, 60_000)
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


PICTURE = ".widget-html-content svg"
TIMES = {}  # seconds from what one does to another picture


def another_picture(page, out, act, patience: int = 20_000, what: str = "") -> None:
    "What one does is answered with another picture."
    picture = out.locator(PICTURE)
    before = picture.evaluate("x => x.outerHTML") if picture.count() else ""
    begin = time.perf_counter()
    act()
    changed = "([out, svg, old]) => { const now = out.querySelector(svg)?.outerHTML; return now && now !== old; }"
    page.wait_for_function(changed, arg=[out.element_handle(), PICTURE, before], timeout=patience)
    if what:
        TIMES[what] = round(time.perf_counter() - begin, 2)
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / "times.json").write_text(json.dumps(TIMES, indent=1))


CONTROLS = ".noUi-handle, .widget-readout, .widget-label, button, select, input[type=text], input[type=checkbox], svg"
NOT_SEEN = """(out, controls) => {
    const all = [...out.querySelectorAll(controls)].filter(
        x => !x.closest('.clip-autt-camera[hidden]') && !(x.matches('.widget-label') && !x.textContent.trim()));
    const look = {checkOpacity: true, checkVisibilityCSS: true, opacityProperty: true, visibilityProperty: true};
    const page = out.getBoundingClientRect();
    const hidden = x => {
        if (!x.checkVisibility(look)) return 'hidden';
        const place = x.getBoundingClientRect();
        if (place.width < 3 || place.height < 3) return 'no size';
        if (place.left < page.left - 10 || !x.matches('svg') && place.right > page.right + 1) return 'outside';
        x.scrollIntoView({block: 'center', inline: 'nearest'});
        if (x.matches('svg, .widget-label, .widget-readout')) return '';
        const b = x.getBoundingClientRect();
        const top = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2);
        return x === top || x.contains(top) ? '' : 'covered';
    };
    const name = x => `${x.className?.baseVal ?? x.className} ${x.textContent.slice(0, 20)}`;
    return [all.length, all.map(x => [name(x), hidden(x)]).filter(x => x[1])];
}"""


def can_be_seen(out, least: int = 3) -> None:
    "Every control can be seen, nothing lies over it, no name is cut, and slider and picture have a name to be heard."
    out.scroll_into_view_if_needed()
    n, hidden = out.evaluate(NOT_SEEN, CONTROLS)
    assert n >= least and hidden == []
    cut = "all => all.filter(x => x.scrollWidth > x.clientWidth).map(x => x.textContent)"
    assert out.locator(".widget-label, button").evaluate_all(cut) == []
    nameless = "all => all.filter(x => !(x.getAttribute('aria-label') ?? '').trim()).length"
    assert out.locator(f".noUi-handle, {PICTURE}").evaluate_all(nameless) == 0


def inward(handle) -> int:
    "The way from a slider's handle to the middle of its range: 1 or -1."
    now, low, high = (float(handle.get_attribute(f"aria-value{x}")) for x in ("now", "min", "max"))
    return 1 if 2 * now < low + high else -1


def drag(page, handle) -> None:
    "Move a slider by 80 pixels with the mouse."
    handle.scroll_into_view_if_needed()
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
    another_picture(page, out, partial(drag, page, handle), what=f"{name}-{look} drag")
    key = "ArrowRight" if inward(handle) > 0 else "ArrowLeft"
    another_picture(page, out, lambda: handle.press(key), what=f"{name}-{look} key")
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


def test_a_control_that_cannot_be_seen_is_noticed(widgets):
    "The check itself: what is hidden in one of the usual ways is found."
    _, outputs, _ = widgets
    menu = outputs["VideoLab"].locator("select")
    for style in ("visibility: hidden", "display: none", "opacity: 0", "margin-left: 3000px"):
        menu.evaluate("(x, style) => { x.style.cssText = style; }", style)
        _, found = outputs["VideoLab"].evaluate(NOT_SEEN, CONTROLS)
        assert found, style
    menu.evaluate("x => { x.style.cssText = ''; }")


def upload(page, out, film: Path) -> None:
    with page.expect_file_chooser() as chooser:
        out.get_by_role("button", name="upload a film").click()
    chooser.value.set_files(film)


def press(out, name: str) -> None:
    out.get_by_role("button", name=name, exact=True).press("Enter")


def says(out, words: str, patience: int = 60_000) -> None:
    out.get_by_text(words).first.wait_for(state="visible", timeout=patience)


def download(page, out, name: str) -> bytes:
    link = out.get_by_text(f"Download {name}")
    link.wait_for(state="visible", timeout=120_000)
    with page.expect_download() as file:
        link.click()
    assert file.value.suggested_filename == name
    return Path(file.value.path()).read_bytes()


def test_the_video_lab_answers_to_mouse_and_keyboard(widgets, films, tmp_path):
    "Upload, predict, action units, save and load: what each offers is on the page, and the files come down."
    page, outputs, look = widgets
    out, (face, nobody) = outputs["VideoLab"], films
    press(out, "new person")
    can_be_seen(out, 12)
    another_picture(page, out, lambda: upload(page, out, face), what=f"VideoLab-{look} upload")
    another_picture(page, out, partial(press, out, "predict"), what=f"VideoLab-{look} predict")
    says(out, "on a real face its answer means little")
    can_be_seen(out, 13)
    out.scroll_into_view_if_needed()
    out.screenshot(path=SHOTS / f"VideoLab-{look}.png")
    press(out, "action units")
    assert download(page, out, f"{face.name}-aus.csv").startswith(b"frame,face_id,timestamp")
    profile = tmp_path / "my people" / "her.safetensors"
    out.get_by_label("profile").fill(str(profile))
    press(out, "save profile")
    says(out, f"Saved {profile}")
    assert download(page, out, profile.name) == profile.read_bytes()
    press(out, "new person")
    press(out, "load profile")
    says(out, f"Loaded {profile}, learned from 1 video")
    another_picture(page, out, lambda: upload(page, out, nobody))
    press(out, "predict")
    says(out, "No prediction.")
    another_picture(page, out, partial(choose_another, out.locator("select")))


@pytest.fixture
def video_lab(six):
    "The video lab with a new person, on a wide page."
    page, outputs = six
    page.set_viewport_size({"width": 1280, "height": 1000})
    press(outputs["VideoLab"], "new person")
    return page, outputs["VideoLab"]


def test_a_film_of_twenty_megabytes_arrives_and_says_how_far_it_is(video_lab, films, tmp_path):
    "The server here lets no message through that is larger than 10 MB, as any Jupyter server does."
    page, out = video_lab
    large, size = tmp_path / "large.mp4", 20_000_000
    large.write_bytes(films[0].read_bytes() + struct.pack(">I4s", size, b"free") + bytes(size - 8))
    said = "out => { window.heard = []; new MutationObserver(() => window.heard.push(out.textContent)).observe("
    out.locator(".clip-autt-said").evaluate(said + "out, {childList: true}); }")
    another_picture(page, out, lambda: upload(page, out, large), 60_000, what="VideoLab upload of 20 MB")
    heard = page.evaluate("window.heard")
    arrived = [float(x) for text in heard for x in re.findall(r"large.mp4: ([\d.]+) of 2\d\.\d MB have arrived", text)]
    assert len(arrived) > 20 and arrived == sorted(arrived) and out.locator(".clip-autt-said").inner_text() == ""
    assert "large.mp4" in out.locator(PICTURE).get_attribute("aria-label")


def test_the_camera_asks_first_and_its_clip_is_answered(video_lab):
    page, out = video_lab
    asked = """() => { const devices = navigator.mediaDevices, own = devices.getUserMedia.bind(devices);
        window.streams = [];
        devices.getUserMedia = async x => { const s = await own(x); window.streams.push(s); return s; }; }"""
    page.evaluate(asked)
    press(out, "camera")
    consent, view = out.locator("input[type=checkbox]"), out.locator("video")
    says(out, "goes to the kernel of this notebook and nowhere else")
    assert not view.is_visible() and page.evaluate("window.streams.length") == 0, "no picture before the box is ticked"
    consent.check()
    page.wait_for_function("v => v.videoWidth > 0 && !v.paused", arg=view.element_handle(), timeout=20_000)
    can_be_seen(out, 14)
    out.screenshot(path=SHOTS / "camera.png")
    consent.uncheck()
    off = "() => window.streams.every(s => s.getTracks().every(t => t.readyState === 'ended'))"
    assert page.evaluate(off) and not view.is_visible(), "unticking switches the camera off"
    consent.check()
    view.wait_for(state="visible")
    press(out, "record")
    says(out, "recording: 2 of 10 s")
    another_picture(page, out, partial(press, out, "stop"))
    assert page.evaluate(off) and "camera.webm, with a box" in out.locator(PICTURE).get_attribute("aria-label")
    press(out, "predict")
    says(out, "1 video of this person")
    press(out, "annotated film")
    assert len(download(page, out, "camera-annotated.mp4")) > 10_000


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("devices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); }", "No camera was found"),
        ("devices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }", "was not allowed"),
        ("Object.defineProperty(navigator, 'mediaDevices', {value: undefined, configurable: true})", "localhost"),
    ],
)
def test_what_is_in_the_way_of_the_camera_is_said(video_lab, spoil, words):
    page, out = video_lab
    page.evaluate(f"() => {{ const devices = navigator.mediaDevices; {spoil}; }}")
    press(out, "camera")
    out.locator("input[type=checkbox]").click()
    says(out, words)
    assert not out.locator("input[type=checkbox]").is_checked() and not out.locator("video").is_visible()
    page.evaluate("() => { delete navigator.mediaDevices; delete navigator.mediaDevices.getUserMedia; }")
    press(out, "camera")


def test_a_saved_notebook_shows_still_pictures_without_its_kernel(lab, six, browser):
    page, _ = six
    page.keyboard.press("Escape")
    page.locator(".jp-Notebook .jp-InputPrompt").first.click()
    page.keyboard.press("Control+s")
    saved = lab.folder / "widgets.ipynb"
    until = time.monotonic() + 60
    while saved.read_text().count('clip-autt-still\\">') < 6:
        assert time.monotonic() < until, "the notebook was not saved"
        time.sleep(0.5)
    with urllib.request.urlopen(f"{lab.address}/api/kernels") as answer:
        kernels = json.load(answer)
    for kernel in kernels:
        request = urllib.request.Request(f"{lab.address}/api/kernels/{kernel['id']}", method="DELETE")
        urllib.request.urlopen(request).close()
    again = browser.new_page(viewport={"width": 1280, "height": 1000})
    again.goto(f"{lab.address}/lab/tree/widgets.ipynb?reset", timeout=120_000)
    stills = again.locator(".clip-autt-still")
    stills.first.wait_for(state="visible", timeout=120_000)
    again.get_by_text(re.compile(r"Python 3.*\| Idle")).wait_for(timeout=120_000)
    again.wait_for_timeout(3000)  # a widget is looked for during two seconds
    assert [x.is_visible() for x in stills.all()] == [True] * 6 and stills.locator("img").count() == 5
    assert not any(x.is_visible() for x in again.get_by_text("Error displaying widget").all())
    stills.first.scroll_into_view_if_needed()
    shot(again, "reopened")
    again.close()


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


def test_a_course_notebook_is_not_unsaved_when_it_is_opened(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab.address}/lab/tree/02_what_a_face_says.ipynb?reset", timeout=120_000)
    page.get_by_text(re.compile(r"Python 3.*\| Idle")).wait_for(timeout=120_000)
    page.wait_for_timeout(2000)
    assert page.locator(".lm-TabBar-tab.jp-mod-dirty").count() == 0
    page.close()


def test_the_notebooks_ask_for_nothing_from_the_network(lab, browser):
    "Opening a tutorial makes the page ask this machine only."
    page, asked = browser.new_page(), []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{lab.address}/lab/tree/02_what_a_face_says.ipynb?reset", timeout=120_000)
    page.wait_for_selector(".jp-Notebook .jp-MarkdownCell", timeout=120_000)
    elsewhere = [
        u for u in asked if not re.match(r"(http|ws)://127\.0\.0\.1|data:|blob:", u) and "colab-badge.svg" not in u
    ]
    assert asked and not elsewhere
    page.close()
