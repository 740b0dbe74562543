"""Heads on the hub, and the head that the paper's authors publish: against servers on this machine."""

import base64
import hashlib
import json
import os
import re
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml
from conftest import make_features, save_published_head
from huggingface_hub import constants as hub
from safetensors.torch import save_file
from typer.testing import CliRunner

from clip_autt import AUBank, BackboneError, CheckpointError, ClipAU, InputError, LabeledVideo, load_backbone
from clip_autt import attach_source, prepare_personal
from clip_autt.cli.main import app
from clip_autt.published import PUBLISHED_HEADS, PublishedHead, published_path
from clip_autt.utils.card import model_card
from clip_autt.utils.download import download, git_blob_hash
from clip_autt.utils.hub import CARD_MARK


class Handler(BaseHTTPRequestHandler):
    "What both servers share: short answers, no lines on the screen."

    def log_message(self, *args):
        pass

    def answer(self, status=200, body=b"", **headers):
        body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self):
        self.do_GET()


@pytest.fixture
def serve():
    "Start servers with a handler and what it works on; all are stopped after the test."
    running = []

    def start(handler, **attributes):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (handler,), attributes))
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    def stop():
        while running:
            server = running.pop()
            server.shutdown()
            server.server_close()

    start.stop = stop
    yield start
    stop()


class Hub(Handler):
    "As much of the hub's protocol as its client asks for: repositories as lists of commits, each {path: content}."

    repos: dict  # name: {"private", "branches": {branch: commit}, "commits": {commit: files}}

    def error(self, status, code):
        self.answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def found(self, name, revision="main"):
        repo = self.repos.get(name)
        if repo is None or (repo["private"] and self.headers.get("Authorization") != "Bearer mine"):
            return self.error(401, "RepoNotFound")
        commit = repo["branches"].get(revision, revision)
        if commit not in repo["commits"]:
            return self.error(404, "RevisionNotFound")
        return commit, repo["commits"][commit]

    def do_GET(self):
        path = self.path.partition("?")[0]
        if file := re.fullmatch(r"/([\w-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            if not (found := self.found(file[1], file[2])):
                return None
            commit, files = found
            if file[3] not in files:
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            content = files[file[3]]
            tag = f'"{git_blob_hash(content)}"'
            return self.answer(200, content, ETag=tag, X_Repo_Commit=commit)
        if info := re.fullmatch(r"/api/models/([\w-]+/[\w.-]+)(?:/(revision|tree)/([^/]+))?/?", path):
            if not (found := self.found(info[1], info[3] or "main")):
                return None
            commit, files = found
            if info[2] == "tree":
                return self.answer(
                    200,
                    [dict(type="file", path=p, size=len(x), oid=git_blob_hash(x)) for p, x in sorted(files.items())],
                )
            return self.answer(
                200, dict(id=info[1], sha=commit, siblings=[{"rfilename": p} for p in files], tags=[], private=False)
            )
        return self.answer(404)

    def do_POST(self):
        data = self.body()
        if self.path == "/api/repos/create":
            asked = json.loads(data)
            name = f"{asked['organization']}/{asked['name']}"
            if asked["organization"] == "other":
                return self.answer(403, X_Error_Message="You have no right to do this")
            if name in self.repos:
                return self.answer(409, {"url": name})
            private = asked.get("private") or asked.get("visibility") == "private"
            first = hashlib.sha1(name.encode()).hexdigest()
            self.repos[name] = dict(private=private, branches={"main": first}, commits={first: {}})
            return self.answer(200, {"url": f"{hub.ENDPOINT}/{name}"})
        if self.path == "/api/validate-yaml":  # the first lines of the card
            return self.answer(200, {"errors": [], "warnings": []})
        name, what, branch = re.fullmatch(r"/api/models/([\w-]+/[\w.-]+)/(\w+)/([^/?]+).*", self.path).groups()
        if not self.found(name):
            return None
        branches = self.repos[name]["branches"]
        if what == "branch":
            if branch in branches:
                return self.answer(409)
            branches[branch] = branches["main"]
            return self.answer(200, {})
        if what == "preupload":
            files = [dict(path=f["path"], uploadMode="regular", shouldIgnore=False) for f in json.loads(data)["files"]]
            return self.answer(200, {"files": files})
        files = dict(self.repos[name]["commits"][branches[branch]])
        for line in map(json.loads, data.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = hashlib.sha1(b"".join(p.encode() + x for p, x in sorted(files.items()))).hexdigest()
        self.repos[name]["commits"][commit] = files
        branches[branch] = commit
        url = f"{hub.ENDPOINT}/{name}/commit/{commit}"
        return self.answer(200, dict(success=True, commitUrl=url, commitOid=commit, hookOutput=""))


@pytest.fixture
def repos(serve, tmp_path, monkeypatch):
    "An empty hub on this machine, and an empty cache."
    repos = {}
    address = serve(Hub, repos=repos)
    monkeypatch.setattr(hub, "ENDPOINT", address)
    monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(hub, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "mine")
    monkeypatch.chdir(tmp_path)
    return repos


def labeled(n=8):
    return [LabeledVideo(make_features(i, subject=f"s{i % 4}"), ("neutral", "pain")[i // 4 % 2]) for i in range(n)]


@pytest.fixture(scope="module")
def whole(tiny):
    "A head with everything that can lie beside it."
    model = ClipAU(tiny)
    model.trained = True
    prepare_personal(model, labeled(), epochs=1)
    attach_source(model, labeled())
    return model


def same(a, b):
    x = make_features(7).frames[None]
    return torch.equal(a(x).logits, b(x).logits)


def test_a_head_goes_to_the_hub_and_comes_back_whole(repos, whole):
    url = whole.push_to_hub("ann/pain-head")
    assert url.startswith(f"{hub.ENDPOINT}/ann/pain-head/commit/") and repos["ann/pain-head"]["private"]
    files = repos["ann/pain-head"]["commits"][url.rpartition("/")[2]]
    assert {*files} == {
        *("README.md", "config.json", "head.safetensors", "source.safetensors"),
        *(
            f"personal/{name}"
            for name in ("config.json", "head.safetensors", "people.safetensors", "source.safetensors")
        ),
    }
    again = ClipAU.from_pretrained("ann/pain-head")
    assert same(again, whole) and same(again.personal.head, whole.personal.head)
    assert torch.equal(again.source.frame_mean, whole.source.frame_mean)
    card = files["README.md"].decode()
    facts = yaml.safe_load(card.split("---")[1])
    assert facts["library_name"] == "clip_autt" and "action-units" in facts["tags"] and "license" not in facts
    assert "ClipAU.from_pretrained('ann/pain-head')" in card and "neutral, pain" in card and "tiny" in card


def test_without_a_network_the_cache_is_read(repos, whole, serve):
    whole.push_to_hub("ann/head")
    ClipAU.from_pretrained("ann/head")
    serve.stop()
    assert same(ClipAU.from_pretrained("ann/head"), whole)
    with pytest.raises(CheckpointError, match=r"ben/head: not in the cache.*gives no answer"):
        ClipAU.from_pretrained("ben/head")
    with pytest.raises(CheckpointError, match="refuses or is silent"):
        whole.push_to_hub("ann/other")


def test_the_switch_of_the_client_for_working_offline_counts(repos, whole, monkeypatch):
    whole.push_to_hub("ann/head")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="not in the cache"):
        ClipAU.from_pretrained("ann/head")
    assert hub.HF_HUB_OFFLINE


def test_revisions(repos, whole, tiny):
    first = whole.push_to_hub("ann/head").rpartition("/")[2]
    bare = ClipAU(tiny, classes=("calm", "stressed"))
    bare.push_to_hub("ann/head", revision="stress")
    assert ClipAU.from_pretrained("ann/head").classes == ("neutral", "pain")
    assert ClipAU.from_pretrained("ann/head", revision="stress").classes == ("calm", "stressed")
    bare.push_to_hub("ann/head")
    now = ClipAU.from_pretrained("ann/head")
    assert (now.classes, now.personal, now.source) == (("calm", "stressed"), None, None), "earlier parts are removed"
    assert same(ClipAU.from_pretrained("ann/head", revision=first), whole)
    with pytest.raises(CheckpointError, match="no revision 'nowhere'"):
        ClipAU.from_pretrained("ann/head", revision="nowhere")
    with pytest.raises(CheckpointError, match="only a head on the hub has revisions"):
        ClipAU.from_pretrained(".", revision="main")


def test_missing_private_and_foreign_repositories(repos, whole, monkeypatch):
    with pytest.raises(CheckpointError, match=r"ann/haed: no such repository.*or a private one.*HF_TOKEN"):
        ClipAU.from_pretrained("ann/haed")
    whole.push_to_hub("ann/secret")
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(CheckpointError, match=r"no such repository.*or a private one"):
        ClipAU.from_pretrained("ann/secret")
    repos["ann/clip"] = dict(private=False, branches={"main": "1" * 40}, commits={"1" * 40: {"model.bin": b"1"}})
    with pytest.raises(CheckpointError, match=r"no config\.json, so it is not a head"):
        ClipAU.from_pretrained("ann/clip")
    for config in (b'{"model_type": "clip"}', b"{", b"[]"):
        name = f"ann/clip-{len(config)}"
        repos[name] = dict(private=False, branches={"main": "2" * 40}, commits={"2" * 40: {"config.json": config}})
        with pytest.raises(CheckpointError, match=r"its config\.json is not that of a head"):
            ClipAU.from_pretrained(name)
    with pytest.raises(CheckpointError, match=r"other/head.*has to be yours"):
        whole.push_to_hub("other/head")
    with pytest.raises(InputError, match="OWNER/NAME, got 'head'"):
        whole.push_to_hub("head")


def test_a_misspelt_folder_is_not_looked_up(repos, whole, tmp_path):
    whole.save_pretrained(tmp_path / "heads" / "pain")
    repos["heads/pian"] = None  # asking for it would be another error
    with pytest.raises(CheckpointError, match=r"heads/pian: no such folder"):
        ClipAU.from_pretrained("heads/pian")
    assert same(ClipAU.from_pretrained("heads/pain"), whole)


def test_a_backbone_beside_the_head_is_used(repos, tmp_path, tiny):
    file = tmp_path / "elsewhere" / "w.safetensors"
    file.parent.mkdir()
    save_file(tiny.model.state_dict(), file)
    model = ClipAU(load_backbone("tiny", file, quick_gelu=True))
    model.push_to_hub("ann/head")
    (files,) = [x for x in repos["ann/head"]["commits"].values() if x]
    with pytest.raises(BackboneError, match=r"w\.safetensors"):
        ClipAU.from_pretrained("ann/head")
    files["w.safetensors"] = file.read_bytes()
    repos["ann/head"]["branches"]["main"] = "3" * 40
    repos["ann/head"]["commits"]["3" * 40] = files
    assert ClipAU.from_pretrained("ann/head").backbone.hash == model.backbone.hash


def test_a_page_of_ones_own_is_kept(repos, whole, tmp_path):
    folder = tmp_path / "mine"
    whole.save_pretrained(folder)
    assert CARD_MARK in (folder / "README.md").read_text() and not (folder / "personal" / "README.md").exists()
    ClipAU(whole.backbone, classes=("a", "b")).save_pretrained(folder)
    assert "CLIP-AU: a, b" in (folder / "README.md").read_text(), "never the card of an earlier head"
    (folder / "README.md").write_text("My words.")
    whole.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "My words."
    whole.save_pretrained(tmp_path / "plain", card=False)
    assert not (tmp_path / "plain" / "README.md").exists()
    whole.push_to_hub("ann/head")
    newest = repos["ann/head"]["commits"][repos["ann/head"]["branches"]["main"]]
    newest["README.md"] = b"On the hub."
    ClipAU(whole.backbone, classes=("a", "b")).push_to_hub("ann/head")
    assert repos["ann/head"]["commits"][repos["ann/head"]["branches"]["main"]]["README.md"] == b"On the hub."


def test_a_card_says_what_the_configuration_says(whole, tmp_path):
    whole.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    card = model_card({**config, "trained": False}, [])
    assert "**no**" in card and config["backbone"]["hash"] in card and "| action units | 47 |" in card
    assert "GELU" in card and config["versions"]["torch"] in card


def test_the_command_line_takes_a_name_on_the_hub(repos, whole, portrait_mp4):
    whole.push_to_hub("ann/head")
    for option in ("--model", "--head"):
        result = CliRunner().invoke(app, ["predict", str(portrait_mp4), option, "ann/head", "--json", "-"])
        assert result.exit_code == 0, result.output
        assert set(json.loads(result.stdout)[0]["probs"]) == {"neutral", "pain"}


# ---- the head that the paper's authors publish


class Shelf(Handler):
    "One file, and whatever can go wrong on the way."

    content: bytes
    asked: list

    def do_GET(self):
        self.asked.append(self.path)
        match self.path:
            case "/cut":
                self.answer(200, self.content[:-9], Content_Length=str(len(self.content)))
            case "/short":
                self.answer(200, self.content[:-9])
            case "/other":
                self.answer(200, self.content[:-1] + b"?")
            case "/page":
                self.answer(200, b"<!DOCTYPE html><title>Sign in</title>")
            case "/moved":
                self.answer(302, Location="/head.pth")
            case "/elsewhere":
                self.answer(302, Location=f"http://localhost:{self.server.server_port}/head.pth")
            case "/head.pth":
                self.answer(200, self.content)
            case _:
                self.answer(404)


@pytest.fixture
def shelf(serve, tmp_path, tiny, monkeypatch):
    "A server with a head in the published format under the name 'biovid-released', and an empty cache."
    donor = ClipAU(tiny, bank=AUBank.released(), template="{}")
    content = save_published_head(tmp_path / "donor.pth", donor).read_bytes()
    address, asked = "", []
    address = serve(Shelf, content=content, asked=asked)
    monkeypatch.setenv("CLIP_AUTT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLIP_AUTT_YES", raising=False)

    def offer(path="/head.pth", content=content, size=None):
        head = PublishedHead(
            address + path, git_blob_hash(content), "head.pth", "a test", "1 MB", ("neutral", "pain"), size=size
        )
        monkeypatch.setitem(PUBLISHED_HEADS, "biovid-released", head)
        return head

    offer()
    offer.donor, offer.asked, offer.content, offer.size = donor, asked, content, len(content)
    return offer


def nothing_left():
    folder = published_path("biovid-released").parent
    return not folder.exists() or not [*folder.iterdir()]


def test_it_is_fetched_once_and_only_if_agreed_to(shelf, tiny, capsys, monkeypatch):
    load = partial(ClipAU.load_released, "biovid-released", tiny)
    with pytest.raises(CheckpointError, match=r"(?s)no licence.*Nothing was fetched.*fetch=True.*--yes.*CLIP_AUTT_YES"):
        load()
    assert not shelf.asked and nothing_left()
    model = load(fetch=True)
    assert same(model, shelf.donor) and model.classes == ("neutral", "pain") and model.trained
    said = capsys.readouterr().err
    assert all(x in said for x in ("a test", "1 MB", "/head.pth", str(published_path("biovid-released")), "no licence"))
    assert shelf.asked == ["/head.pth"]
    assert same(load(), shelf.donor) and shelf.asked == ["/head.pth"], "from the cache, without a question"
    published_path("biovid-released").unlink()
    monkeypatch.setenv("CLIP_AUTT_YES", "1")
    assert same(load(), shelf.donor)
    assert load(classes=["calm", "hurt"]).classes == ("calm", "hurt")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/cut", "bytes came, expected|cannot be fetched"),
        ("/short", "not the file that was published"),
        ("/other", "not the file that was published"),
        ("/page", "a web page"),
        ("/elsewhere", "sends on to http://localhost.*another host was not agreed to"),
        ("/gone", r"(?s)404.*1\. http.*head\.pth.*2\. .*ViT-B-32-openai\.safetensors"),
    ],
)
def test_whatever_else_comes_is_refused_and_nothing_is_kept(shelf, tiny, path, message):
    shelf(path)
    with pytest.raises(CheckpointError, match=message):
        ClipAU.load_released("biovid-released", tiny, fetch=True)
    assert nothing_left()


def test_the_size_is_checked_where_it_is_known(shelf, tmp_path):
    head = shelf("/short", size=shelf.size)
    with pytest.raises(CheckpointError, match=f"expected {shelf.size:,}"):
        download(head.url, tmp_path / "x" / "head.pth", head.blob, head.size)
    head = shelf()
    with pytest.raises(CheckpointError, match="more than 1,000 bytes"):
        download(head.url, tmp_path / "x" / "head.pth", head.blob, largest=1000)
    assert not [*(tmp_path / "x").iterdir()]


def test_a_redirect_on_the_same_host_is_followed(shelf, tiny):
    shelf("/moved")
    assert same(ClipAU.load_released("biovid-released", tiny, fetch=True), shelf.donor)


def test_a_repository_that_holds_an_lfs_pointer_only(serve, shelf, tiny, monkeypatch):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5000000\n"
    address = serve(Shelf, content=pointer, asked=[])
    shelf("/head.pth", content=pointer)
    head = PUBLISHED_HEADS["biovid-released"]
    monkeypatch.setitem(PUBLISHED_HEADS, "biovid-released", PublishedHead(
        f"{address}/head.pth", head.blob, head.file, head.what, head.about, head.classes))  # fmt: skip
    with pytest.raises(CheckpointError, match=r"Git LFS pointer.*--head FILE.*ClipAU\.load_released\(FILE"):
        ClipAU.load_released("biovid-released", tiny, fetch=True)
    assert nothing_left()


def test_a_file_in_the_cache_is_compared_each_time(shelf, tiny):
    path = published_path("biovid-released")
    path.parent.mkdir(parents=True)
    path.write_bytes(shelf.content)
    assert same(ClipAU.load_released("biovid-released", tiny), shelf.donor) and not shelf.asked
    path.write_bytes(shelf.content + b"?")
    with pytest.raises(CheckpointError, match="not the file that was published"):
        ClipAU.load_released("biovid-released", tiny, fetch=True)


def test_without_a_network_both_files_and_their_places_are_named(serve, shelf, tiny, monkeypatch):
    serve.stop()
    places = (
        r"(?s)cannot be fetched.*1\. http.*head\.pth\n   as .*heads.head\.pth\n"
        r"2\. http.*vit_base_patch32_clip_224\.openai.*safetensors\n   as .*heads.ViT-B-32-openai\.safetensors"
    )
    with pytest.raises(CheckpointError, match=places):
        ClipAU.load_released("biovid-released", fetch=True)
    path = published_path("biovid-released")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(shelf.content)
    monkeypatch.setattr("clip_autt.utils.hub._reachable", lambda address: False)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", "nowhere")
    with pytest.raises(BackboneError, match=r"(?s)could not be fetched.*2\. http.*ViT-B-32-openai\.safetensors"):
        ClipAU.load_released("biovid-released")
    save_file(tiny.model.state_dict(), path.with_name("ViT-B-32-openai.safetensors"))
    model = ClipAU.load_released("biovid-released", "tiny")
    assert Path(model.backbone.pretrained).name == "ViT-B-32-openai.safetensors", "put there by hand, and used"


def test_a_file_of_that_name_is_a_file(shelf, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_published_head(tmp_path / "biovid-released", shelf.donor)
    assert same(ClipAU.load_released("biovid-released", tiny), shelf.donor) and not shelf.asked


@pytest.fixture
def tiny_clip(shelf, tiny):
    "Options that put a tiny CLIP in the place of ViT-B/32."
    path = published_path("biovid-released").with_name("tiny.safetensors")
    path.parent.mkdir(parents=True)
    save_file(tiny.model.state_dict(), path)
    return ["--backbone", "tiny", "--pretrained", str(path), "--head", "biovid-released", "--quiet"]


@pytest.mark.parametrize("command", ["predict", "personalize"])
def test_the_command_line_asks(shelf, tiny_clip, portrait_mp4, command, monkeypatch):
    call = [command, str(portrait_mp4), *tiny_clip]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 1 and "--yes" in result.stderr and not shelf.asked, "nobody is there to be asked"
    result = CliRunner().invoke(app, [*call, "--yes", "--json", "-"])
    assert result.exit_code == 0 and "no licence" in result.stderr, result.output
    assert json.loads(result.stdout)[0]["label"] in ("neutral", "pain") and shelf.asked == ["/head.pth"]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_the_question_in_a_terminal(shelf, tiny_clip, portrait_mp4, answer, code, monkeypatch):
    from clip_autt.cli import options

    monkeypatch.setattr(options, "_in_terminal", lambda: True)
    result = CliRunner().invoke(app, ["predict", str(portrait_mp4), *tiny_clip], input=answer)
    assert result.exit_code == code and "Fetch it?" in result.stderr, result.output
    assert bool(shelf.asked) == (code == 0)


def test_the_environment_agrees_for_scripts(shelf, tiny_clip, portrait_mp4, monkeypatch):
    monkeypatch.setenv("CLIP_AUTT_YES", "1")
    assert CliRunner().invoke(app, ["predict", str(portrait_mp4), *tiny_clip]).exit_code == 0


def test_the_real_one_is_pinned():
    "Read before any test replaces it: one commit, one hash, no size that somebody made up."
    head = PUBLISHED_HEADS["biovid-released"]
    assert re.search(
        r"/595a3d1[0-9a-f]{33}/WeightFiles/Biovid/lab_srcs77_biovid_ep10_bs8_sql16_str2_vid\.pth$", head.url
    )
    assert head.url.startswith("https://") and head.blob == "9c0a15c6ba3dfe1c27406994e8a4028db676f6c5"
    assert head.classes == ("neutral", "pain") and (head.backbone, head.pretrained) == ("ViT-B-32", "openai")
    assert os.environ.get("CLIP_AUTT_YES") is None
