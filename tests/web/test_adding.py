"""Registering: the form and the JSON write what `fetch add` writes, and nothing else may."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from fetcher.register.form import FIELDS
from tests.server.kit import bearer, fetch
from tests.servers.github import GitHubServer
from tests.web.kit import READER, WRITER, Make, Place, tags_of, text_of, words_of
from tests.web.korean import HANGUL, english_in
from tests.web.test_messages import VALUES

VQGAN: dict[str, Any] = {
    "name": "VQGAN ImageNet (f=16), 2048",
    "task": "image-compression",
    "framework": "pytorch",
    "tags": "vqgan, first-stage",
    "class_path": "taming.VQModel",
    "io.size": "variable",
    "io.resolution": "256, 256",
    "io.input_range": "-1, 1",
    "io.output_range": "-1, 1",
    "interface": ["reconstruct", "encode", "decode"],
    "attributes": "codebook_size=2048",
    "benchmarks": ["kodak24", "cifar10"],
    "metrics": ["psnr", "ssim", "lpips", "bpp"],
    "max_batch_size": "16",
    "device": "cpu-allowed",
    "min_vram": "4G",
    "visibility": "public",
    "license": "MIT",
    "citation": "Esser et al., CVPR 2021",
}


def _flags(form: dict[str, Any]) -> list[str]:
    texts = {k: ", ".join(v) if isinstance(v, list) else v for k, v in form.items()}
    flags = [f"--{k.rpartition('.')[2].replace('_', '-')}={v}" for k, v in texts.items()]
    return [*flags, "--owner=ana", "--skip-import", "--yes"]


def _files(root: Path) -> dict[str, bytes]:
    return {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in ("manifests", "layouts")
        for path in sorted((root / folder).iterdir())
    }


class Writer:
    """Somebody who is signed in."""

    def __init__(self, place: Place, token: str = WRITER) -> None:
        self.place = place
        self.cookie = place.sign_in(token)
        self.csrf = place.csrf(self.cookie)

    def send(self, action: str = "save", language: str = "en", **fields: Any) -> Any:
        form = {"csrf": self.csrf, "action": action, **fields}
        return self.place.post(f"/-/add?lang={language}", form, self.cookie)


@pytest.mark.parametrize("how", ["huggingface", "github", "path", "url", "json"])
def test_the_manifest_is_the_one_that_fetch_add_writes(
    writable: Make, how: str, github: GitHubServer
) -> None:
    place = writable("--allow-folder", "src", FETCH_REWRITE=github.rewrite)
    twin = place.home / "twin" / "project"
    shutil.copytree(place.root, twin, symlinks=True)
    writer = Writer(place)
    form = dict(VQGAN)
    if how == "huggingface":
        form |= {"kind_of_source": "huggingface", "hf_repo": "o/small"}
        checkpoint = "hf:o/small"
    elif how == "github":
        form |= {"kind_of_source": "github", "gh_repo": "https://github.com/g/r",
                 "gh_ref": "main", "gh_path": "weights"}  # fmt: skip
        checkpoint = "github:g/r@main:weights"
    elif how == "url":
        form |= {"kind_of_source": "url", "url": "https://example.org/last.ckpt"}
        checkpoint = "https://example.org/last.ckpt"
    elif how == "path":
        form |= {"kind_of_source": "local", "server_path": "src/c.bin"}
        checkpoint = "src/c.bin"
    if how == "json":
        checkpoint = "hf:o/small"
        value = {"name": "Named by JSON", "checkpoint": checkpoint, "owner": "somebody else"}
        answer = place.call("/api/models", value, WRITER)
        assert answer.status == 201, answer.body
        more = ["--name=Named by JSON", "--owner=ana", "--skip-import", "--yes"]
    else:
        shown = writer.send("preview", **form)
        # Lines around the change may be about what is private.
        assert "Hidden" not in words_of(shown) and "vqgan-8" not in words_of(shown)
        assert shown.status == 200 and "+  vqgan-imagenet-f16-2048:" in words_of(shown)
        assert _files(place.root) == _files(twin)
        answer = writer.send(**form)
        assert answer.status == 303, words_of(answer)
        done = place.page(answer.headers["location"], **writer.cookie)
        assert "Registered." in words_of(done)
        more = _flags(VQGAN)
    environment = {"HF_ENDPOINT": place.hub.url, "FETCH_REWRITE": github.rewrite}
    fetch(place.home, "add", checkpoint, *more, cwd=twin, **environment)
    assert _files(place.root) == _files(twin)


def test_what_was_registered_is_fetched(writable: Make) -> None:
    place = writable()
    answer = Writer(place).send(name="Another", kind_of_source="huggingface", hf_repo="o/small",
                                hf_file="config.json")  # fmt: skip
    assert answer.status == 303, words_of(answer)
    fetch(place.home, "all", "--only", "another", cwd=place.root, HF_ENDPOINT=place.hub.url)
    assert [p.name for p in (place.root / "models/another").iterdir()] == ["config.json"]
    seen = {name: place.mirror.ask("/-/api/models/another", headers=bearer(name)).status
            for name in (WRITER, READER)}  # fmt: skip
    assert seen == {WRITER: 200, READER: 404}, "it is private: ana's alone"
    told = place.mirror.ask("/-/api/models/another", headers=bearer(WRITER)).json()["record"]
    assert told["owner"] == "ana" and told["visibility"] == "private"


@pytest.mark.parametrize(
    ("fields", "key", "words"),
    [
        ({"name": "", "hf_repo": ""}, "name", "is needed"),
        ({"io.resolution": "256"}, "io.resolution", "expected a list of 2"),
        ({"framework": "torch"}, "framework", "expected one of"),
        ({"interface": ["encode"]}, "interface", "must offer reconstruct"),
        ({"max_batch_size": "many"}, "max_batch_size", "expected"),
        ({"id": "a b"}, "id", "is no id"),
        ({"id": "VQGAN-16"}, "id", "is taken"),
        ({"class_path": "os.system('x')"}, "class_path", "expected"),
        ({"description": "bell \x07"}, "description", "control"),
        ({"tags": "[unclosed"}, "tags", "cannot be read"),
        ({"hf_repo": "../../etc"}, "hf_repo", "owner/name"),
        ({"hf_repo": "o/absent"}, "hf_repo", "o/absent"),
        ({"hf_repo": ""}, "hf_repo", "is needed"),
        ({"hf_repo": "https://example.org/o/m", "hf_revision": "x"}, "hf_repo", "owner/name"),
        ({"kind_of_source": "github", "gh_repo": "nothing"}, "gh_repo", "owner/name"),
        ({"kind_of_source": "url", "url": "file:///etc/passwd"}, "url", "http"),
        ({"kind_of_source": "local", "server_path": "/etc/passwd"}, "server_path", "not below"),
        ({"kind_of_source": "local", "server_path": "src/../fetch.lock"}, "server_path", "below"),
        ({"kind_of_source": "local", "server_path": "src/out"}, "server_path", "not below"),
        ({"kind_of_source": "local", "server_path": "src/a\x00b"}, "server_path", "not below"),
        ({"kind_of_source": "local", "server_path": "src/absent"}, "server_path", "not there"),
        ({"kind_of_source": "upload", "uploaded": "fetch.lock"}, "upload", "not below"),
        ({"place": "../outside"}, "place", ""),
        ({"manifest": "../x"}, "manifest", "no manifest"),
    ],
)
def test_mistakes_stand_beside_their_fields_and_nothing_is_lost(
    form_place: Writer, fields: dict[str, Any], key: str, words: str
) -> None:
    before = _files(form_place.place.root)
    sound = {**VQGAN, "kind_of_source": "huggingface", "hf_repo": "o/small"}
    answer = form_place.send(**{**sound, **fields})
    text = text_of(answer)
    assert answer.status == 422, words_of(answer)[:300]
    beside = re.search(f'id="e-{re.escape(key)}">([^<]*)<', text)
    assert beside and words in beside[1], re.findall(r'id="e-[^<]*', text)
    assert f'href="#i-{key}"' in text
    shown = {a.get("name"): a for tag, a in tags_of(text) if tag in {"input", "textarea"}}
    for name, value in {**sound, **fields}.items():
        if name in shown and isinstance(value, str) and shown[name].get("type") not in {
            "checkbox", "radio", "hidden"} and "value" in shown[name]:  # fmt: skip
            assert shown[name]["value"] == value.strip(), name
    korean = _beside(form_place.send(language="ko", **{**sound, **fields}))
    assert korean.keys() == _beside(answer).keys()
    for told in korean.values():
        assert HANGUL.search(told) and not english_in(told), told
    assert _files(form_place.place.root) == before


def _beside(answer: Any) -> dict[str, str]:
    """What is wrong with each field, as the page says it."""
    found = re.findall(r'id="e-([^"]+)">([^<]*)<', text_of(answer))
    return {key: html.unescape(words) for key, words in found}


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_whatever_is_wrong_a_korean_page_says_it_in_korean(form_place: Writer, value: str) -> None:
    before = _files(form_place.place.root)
    fields = {item.key: [value] for item in FIELDS} | {"id": value, "place": value}
    for kind, key in (("huggingface", "hf_repo"), ("github", "gh_repo"), ("url", "url")):
        sent = {**fields, key: value, "kind_of_source": kind}
        answer = form_place.send("preview", "ko", **sent)
        told = _beside(answer)
        assert told and text_of(answer).count('role="alert"') == 1
        for words in told.values():
            assert HANGUL.search(words) and not english_in(words, value), words
    assert _files(form_place.place.root) == before


@pytest.fixture(scope="module")
def form_place(tmp_path_factory: pytest.TempPathFactory, hub: Any) -> Any:
    from tests.web.conftest import opened

    home = tmp_path_factory.mktemp("form")
    (home / "allowed").mkdir()
    with opened(home, hub, "--allow-folder", "src") as place:
        (place.root / "src/out").symlink_to("/etc")
        yield Writer(place)


def test_the_form_in_korean(form_place: Writer) -> None:
    answer = form_place.place.post(
        "/-/add",
        {"csrf": form_place.csrf, "action": "save", "name": ""},
        {**form_place.cookie, "Accept-Language": "ko"},
    )
    words = words_of(answer)
    assert "필수 항목입니다" in words and "다음 항목을 고쳐 주세요" in words and "저장소" in words


def test_hostile_names_are_text_in_the_preview_and_in_the_form(form_place: Writer) -> None:
    name = '"><script>alert(1)</script>{{7*191}}'
    answer = form_place.send("preview", name=name, hf_repo="o/small")
    text = text_of(answer)
    assert "<script>alert" not in text and "{{7*191}}" in text and "1337" not in text
    assert [a["value"] for tag, a in tags_of(text) if a.get("name") == "name"] == [name]


def test_only_those_who_may_write_write(place: Place) -> None:
    before = _files(place.root)
    assert place.page("/-/add").status == 403 and place.page("/-/add", READER).status == 403
    writer = Writer(place)
    form = {"name": "X", "hf_repo": "o/small", "action": "save"}
    for csrf in ("", "wrong", "é"):
        answer = place.post("/-/add", {**form, "csrf": csrf}, writer.cookie)
        assert answer.status == 403 and "another site" in words_of(answer)
    sent = {**form, "csrf": writer.csrf}
    assert place.post("/-/add", sent).status == 403
    elsewhere = {**writer.cookie, "Origin": "https://evil.example"}
    assert place.post("/-/add", sent, elsewhere).status == 403
    cross = {**writer.cookie, "Sec-Fetch-Site": "cross-site"}
    assert place.post("/-/add", sent, cross).status == 403
    reader = Writer(place, READER)
    assert reader.send(name="X", hf_repo="o/small").status == 403
    # A cookie alone uploads nothing, and JSON wants the form's token or a bearer's.
    assert place.mirror.ask("/blobs/sha256/" + "0" * 64, "PUT", writer.cookie, b"x").status == 401
    value = {"name": "X", "checkpoint": "hf:o/small"}
    assert place.call("/-/api/models", value, headers=writer.cookie).status == 403
    assert place.call("/api/models", value, headers=writer.cookie).status == 401
    assert place.call("/-/api/models", value, READER).status == 403
    assert place.call("/-/api/models", value).status == 401
    kind = {"Content-Type": "text/plain", "Authorization": f"Bearer {WRITER}"}
    assert place.call("/-/api/models", value, headers=kind).status == 415
    assert _files(place.root) == before


def test_signing_in_and_out(place: Place) -> None:
    wrong = place.post("/-/login", {"token": "nobody-has-this"})
    assert wrong.status == 403 and "does not know" in words_of(wrong)
    assert "set-cookie" not in wrong.headers
    answer = place.post("/-/login", {"token": WRITER, "next": "https://evil.example/"})
    assert answer.headers["location"] == "/"
    assert place.post("/-/login", {"token": WRITER, "next": "//evil"}).headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and WRITER not in cookie
    foreign = {"Origin": "https://evil.example"}
    assert place.post("/-/login", {"token": WRITER}, foreign).status == 403
    writer = Writer(place)
    assert "Signed in as ana" in words_of(place.page("/", **writer.cookie))
    assert place.post("/-/logout", {"csrf": "no"}, writer.cookie).status == 403
    assert place.post("/-/logout", {"csrf": writer.csrf}, writer.cookie).status == 303
    assert "Signed in" not in words_of(place.page("/", **writer.cookie))


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ([], "(the file)"),
        ({"name": "X"}, "source"),
        ({"name": "X", "checkpoint": "/etc/passwd"}, "source"),
        ({"name": "X", "checkpoint": "local:/etc/passwd"}, "source"),
        ({"name": "X", "checkpoint": "file:///etc/passwd"}, "source"),
        ({"name": "X", "checkpoint": "~/x"}, "source"),
        ({"name": "X", "source": {"type": "local", "path": "/etc"}}, "source"),
        ({"name": "X", "source": {"type": "local", "path": "src/out/passwd"}}, "source"),
        ({"name": "X", "source": {"type": "url", "url": "file:///etc/passwd"}}, "source"),
        ({"name": "X", "checkpoint": "hf:o/small",
          "mirrors": [{"type": "local", "path": "/etc"}]}, "mirrors"),
        ({"name": "X", "checkpoint": "hf:o/small", "nmae": "Y"}, "nmae"),
        ({"name": ["X"], "checkpoint": "hf:o/small"}, "name"),
        ({"name": "X", "upload": "../../x"}, "upload"),
        ({"name": "X", "checkpoint": "hf:o/small", "task": "image-compression"}, "interface"),
    ],
)  # fmt: skip
def test_json_that_is_wrong(form_place: Writer, value: Any, key: str) -> None:
    before = _files(form_place.place.root)
    answer = form_place.place.call("/-/api/models", value, WRITER)
    assert answer.status in {404, 422}, answer.body
    assert answer.status == 404 or key in answer.json()["errors"], answer.body
    assert _files(form_place.place.root) == before


def test_json_that_is_none(form_place: Writer) -> None:
    kind = {"Content-Type": "application/json", "Authorization": f"Bearer {WRITER}"}
    ask = form_place.place.mirror.ask
    assert ask("/-/api/models", "POST", kind, b"{").status == 400
    assert ask("/-/api/models", "POST", kind, b"[" * 100_000).status == 400
    assert ask("/-/api/models", "POST", kind, b" " * (5 << 20)).status == 413
    dry = form_place.place.call(
        "/-/api/models?dry_run=true", {"name": "X", "checkpoint": "hf:o/small"}, WRITER
    )
    assert dry.status == 200 and dry.json()["written"] is False and "+  x:" in dry.json()["diff"]


def test_uploads_go_on_where_they_were_and_end_in_the_store(writable: Make) -> None:
    place = writable("--max-upload", "1M")
    data = bytes(range(256)) * 1000
    begun = place.call("/-/api/uploads", {"name": "last.ckpt", "size": len(data)}, WRITER)
    assert begun.status == 201, begun.body
    address = f"/-/api/uploads/{begun.json()['id']}"
    kind = {"Content-Type": "application/octet-stream", "Authorization": f"Bearer {WRITER}"}

    def send(offset: Any, part: bytes) -> Any:
        return place.mirror.ask(f"{address}?offset={offset}", "POST", kind, part)

    assert send(0, data[:1000]).json()["received"] == 1000
    assert send(0, data[:1000]).status == 409
    assert send(2000, b"x").status == 409 and send(-1, b"x").status == 400
    assert send(1000, data[1000:] + b"more").status == 413
    there = place.mirror.ask(address, headers=kind).json()["received"]
    done = send(there, data[there:]).json()
    assert done["received"] == len(data) and (place.root / done["path"]).read_bytes() == data
    # Nobody else's, and not before it is whole.
    other = {"Authorization": "Bearer other-token-12"}
    assert place.mirror.ask(address, headers=other).status == 404
    stolen = {"name": "Mine", "upload": done["id"]}
    assert place.call("/-/api/models", stolen, "other-token-12").status == 404
    answer = place.call("/-/api/models", {"name": "Uploaded", "upload": done["id"]}, WRITER)
    assert answer.status == 201, answer.body
    twin = place.home / "twin"
    shutil.copytree(place.root, twin)
    assert json.dumps(answer.json()["record"]["files"])
    for name, text in _files(place.root).items():
        (twin / name).write_bytes(text)
    fetch(place.home, "all", "--only", "uploaded", cwd=place.root, HF_ENDPOINT=place.hub.url)
    assert (place.root / "models/uploaded/last.ckpt").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "size", "status"),
    [
        ("../x", 10, 422),
        ("a/b", 10, 422),
        ("/etc/x", 10, 422),
        (".gitignore", 10, 422),
        ("con", 10, 422),
        ("a\nb", 10, 422),
        ("x" * 300, 10, 422),
        ("", 10, 422),
        (None, 10, 422),
        ("x.bin", True, 422),
        ("x.bin", "10", 422),
        ("x.bin", 0, 413),
        ("x.bin", -1, 413),
        ("x.bin", 10**15, 413),
    ],
)
def test_uploads_that_are_refused(place: Place, name: Any, size: Any, status: int) -> None:
    answer = place.call("/-/api/uploads", {"name": name, "size": size}, WRITER)
    assert answer.status == status, answer.body
    assert not (place.root / "uploads").exists()
    assert place.call("/-/api/uploads", {"name": "x", "size": 1}, READER).status == 403


def test_an_id_is_proposed(place: Place) -> None:
    headers = {"Authorization": f"Bearer {WRITER}"}
    ask = place.mirror.ask
    found = ask("/-/api/propose-id?name=VQGAN%208", headers=headers).json()
    assert found == {"id": "vqgan-8-2"}
    assert ask("/-/api/propose-id?name=", headers=headers).json() == {"id": ""}
    assert ask("/-/api/propose-id?name=x&manifest=../x", headers=headers).status == 422
    assert ask("/-/api/propose-id?name=x").status == 401
