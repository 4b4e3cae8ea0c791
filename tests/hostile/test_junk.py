"""Junk in place of a file at a first download: refused, named, and nothing of it stays."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.sources.base import FileEntry, PathCandidate
from tests.conftest import Cli, write_project
from tests.hostile.junk import ANY, ERRORS, EVERYWHERE, FORMATS, HTML, OTHER_BYTES, PAGES, POINTERS
from tests.kit import Run, payload, sha256
from tests.servers.plain import FileServer

LONG = 3 << 20  # a body that goes to a partial file, however it comes


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for place in ("network.retry", "transfer.engine", "transfer.hosts", "transfer.recovery"):
        monkeypatch.setattr(f"fetcher.{place}.backoff", lambda attempt: 0.01)
    return Run(tmp_path)


def nothing_stays(run: Run) -> None:
    assert list(run.store.digests()) == [] and run.leftovers() == []


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("kind", EVERYWHERE)
def test_junk_is_refused_and_nothing_of_it_stays(
    run: Run, files: FileServer, kind: str, sized: bool
) -> None:
    """Tries to have a page, an error report or a pointer taken as weights, and locked."""
    body, declared = EVERYWHERE[kind]
    for name in ("w.safetensors", "w.bin", "config.json", "w"):
        url = files.add(f"{kind}/{name}", body, content_type=declared)
        problem = run.fails(FileEntry(name, len(body) if sized else None), url)
        assert problem.code == "not-a-file", (name, problem)
        assert "--first-trust" in problem.message
    nothing_stays(run)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("name", [*FORMATS, "config.json"])
def test_bytes_that_no_format_has_are_refused(
    run: Run, files: FileServer, name: str, sized: bool
) -> None:
    """Tries long pages and words that begin late, under every suffix that promises a format."""
    bodies = {
        "page": PAGES["virus scan"][0] + b"x" * LONG,
        "white space": b" \n" * 50_000 + b"<html>" + b"x" * LONG,
        "words": OTHER_BYTES["css"] * (LONG // 20),
    }
    for kind, body in bodies.items():
        url = files.add(f"{kind}/{name}", body, content_type=ANY)
        assert run.fails(FileEntry(name, len(body) if sized else None), url).code == "not-a-file"
    nothing_stays(run)


WEIGHTS_ALONE = {
    "words declared as a page": (b"Please ask the help desk", HTML),
    "gzip that nobody declared": (gzip.compress(PAGES["sign-in"][0]), ANY),
    "an answer in the answer": (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n\x00\x01\x02", ANY),
}


@pytest.mark.parametrize("kind", WEIGHTS_ALONE)
def test_what_could_be_a_text_is_no_weights(run: Run, files: FileServer, kind: str) -> None:
    """Tries what a text file may hold, under names of weights that may hold any bytes."""
    body, declared = WEIGHTS_ALONE[kind]
    for name in ("w.bin", "w.ckpt"):
        url = files.add(f"{kind}/{name}", body, content_type=declared)
        assert run.fails(FileEntry(name), url).code == "not-a-file", name
    nothing_stays(run)


@pytest.mark.parametrize(
    "body", [b'{"a": [1, 2', b'{"a": "b', b"[", b'{"a":' + b"[1]," * (3 << 20)]
)
def test_json_that_is_cut_off(run: Run, files: FileServer, body: bytes) -> None:
    """Tries the first part of a configuration, of which no length was said."""
    url = files.add("config.json", body)
    problem = run.fails(FileEntry("config.json"), url)
    assert problem.code == "not-a-file" and "cut off" in problem.message
    nothing_stays(run)


def test_a_page_that_is_cut_off_is_not_gone_on_with(run: Run, files: FileServer) -> None:
    """Tries to leave half a page as a partial file, to which the next run puts the file's rest."""
    body = b"{" + b" " * LONG + b'"error": "quota exceeded"}'
    url = files.add("w.pt", body, etag='"same"')
    files.faults.add("w.pt", "truncate", n=LONG // 2)
    assert run.fails(FileEntry("w.pt"), url).code in {"network", "not-a-file"}
    files.faults.clear()
    again = Run(run.root)
    assert again.fails(FileEntry("w.pt"), url).code == "not-a-file"
    nothing_stays(again)


def test_the_next_place_delivers_what_the_first_did_not(run: Run, files: FileServer) -> None:
    """Tries a sign-in page at the source; a mirror has the file."""
    right = payload(5000)
    bad = files.add("bad/w.bin", PAGES["sign-in"][0], content_type=HTML)
    done = run.one(FileEntry("w.bin"), bad, files.add("w.bin", right))
    assert done.sha256 == sha256(right)


def test_where_a_digest_is_known_it_decides_alone(run: Run, files: FileServer) -> None:
    """Honest: whatever the bytes look like, they are the ones that were asked for."""
    body = PAGES["sign-in"][0]
    entry = FileEntry("w.safetensors", len(body), sha256(body))
    assert run.one(entry, files.add("w", body, content_type=HTML)).sha256 == sha256(body)


def test_a_file_on_this_machine_is_looked_at_as_well(run: Run, tmp_path: Path) -> None:
    """Tries a page that was saved under the model's name earlier."""
    for kind, (body, _) in {**ERRORS, **POINTERS}.items():
        path = tmp_path / "saved"
        path.write_bytes(body)
        for link in (False, True):
            place = PathCandidate("local", str(path), link)
            assert run.fails(FileEntry("w.safetensors"), place).code == "not-a-file", kind
    nothing_stays(run)


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("a.bin")
        info.size = 2000
        tar.addfile(info, io.BytesIO(payload(2000)))
    return out.getvalue()


def test_an_archive_keeps_the_compression_that_its_server_calls_an_encoding(
    run: Run, files: FileServer
) -> None:
    """Honest: Apache declares `Content-Encoding: gzip` for data.tar.gz itself."""
    body = gzip.compress(archive())
    headers = {"Content-Encoding": "gzip"}
    for name, data in (("data.tar.gz", body), ("big.tar.gz", body + bytes(LONG))):
        url = files.add(name, data, headers=headers)
        assert run.one(FileEntry(name), url).sha256 == sha256(data)
    # Bytes that nobody said were compressed, under a name that promises none.
    url = files.add("config.json", gzip.compress(b"{}"))
    assert "gzip" in run.fails(FileEntry("config.json"), url).message


@pytest.fixture
def clone(tmp_path: Path, files: FileServer) -> Path:
    body, declared = ERRORS["json error"]
    url = files.add("/a/w.pt", body, content_type=declared)
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: '{url}'}}\n", "tree: {m.pt: w}\n")
    return tmp_path


def test_the_hint_works(clone: Path, cli: Cli) -> None:
    """Tries an error object as weights; who knows better takes it by the flag that is named."""
    result = cli("all", "--json")
    (error,) = result.json["errors"]
    assert result.code == 3 and error["code"] == "not-a-file"
    assert "Repository not found" in error["message"] and "--first-trust" in error["message"]
    assert not (clone / "m.pt").exists()
    locked = json.loads((clone / "fetch.lock").read_text())["manifests"]["p"]["w"]["files"]
    assert "sha256" not in locked[0]
    assert cli("all", "--first-trust").code == 0
    assert (clone / "m.pt").read_bytes() == ERRORS["json error"][0]
    assert cli("all").code == 0 and cli("check", "--deep").code == 0


def test_what_a_person_adopts_is_looked_at(clone: Path, cli: Cli) -> None:
    """Tries a page that the browser saved; the hint's flag takes it all the same."""
    page = clone / "saved.pt"
    for body, _ in (PAGES["utf-16"], ERRORS["s3"], POINTERS["lfs crlf"], (b"", "")):
        page.write_bytes(body)
        result = cli("adopt", page, "--as", "w/w.pt", "--json")
        assert result.codes == {"not-a-file"} and result.code == 3
        assert "--first-trust" in result.json["errors"][0]["hint"]
    page.write_bytes(PAGES["utf-16"][0])
    assert cli("adopt", page, "--as", "w/w.pt", "--first-trust").code == 0
    assert cli("all").code == 0
    assert (clone / "m.pt").read_bytes() == PAGES["utf-16"][0]


def test_the_python_api_takes_the_persons_word(clone: Path) -> None:
    """Tries the same through the API, where the flag is an argument."""
    import fetcher

    assert not fetcher.fetch(root=clone, quiet=True).ok
    assert fetcher.fetch(root=clone, quiet=True, first_trust=True).ok


def test_an_empty_body_is_no_file(run: Run, files: FileServer) -> None:
    """Tries nothing at all, also where the server says beforehand that it is nothing."""
    for name, size in (("w.pt", 0), ("w.safetensors", 0), ("c.json", 0), ("w.bin", None)):
        url = files.add(f"empty/{name}", b"")
        assert run.fails(FileEntry(name, size), url).code == "not-a-file", name
    nothing_stays(run)
    for name in ("__init__.py", "empty.txt", "w.bin"):  # honest: the listing says so
        run.one(FileEntry(name, 0), files.add(name, b""))


@pytest.mark.parametrize(
    "text",
    ["error: this file is too popular", "Sorry, you cannot have this.", "Unable to open it\n",
     "Oops! Something is amiss", "Failed to get the object", "Fatal: no space"],
)  # fmt: skip
def test_a_sentence_in_place_of_bytes(run: Run, files: FileServer, text: str) -> None:
    """Tries to have a server's complaint, in words of its own, taken as weights."""
    for name in ("w.bin", "w.ckpt", "w.pt"):
        url = files.add(f"s/{name}", text.encode(), content_type="application/octet-stream")
        assert run.fails(FileEntry(name, len(text)), url).code == "not-a-file", name
    nothing_stays(run)
