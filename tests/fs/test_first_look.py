"""What stands in place of a file is told from honest files, of each format as it is written."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fetcher.fs.first_look import ENOUGH, look, look_at_start
from fetcher.fs.formats import Body
from fetcher.fs.text import text_of
from tests.fs.honest import FILES, Maker, torch_tar
from tests.hostile.junk import EVERYWHERE, FORMATS, HONEST, NAMES, OTHER_BYTES, ZIPPED


@pytest.mark.parametrize(("name", "make"), FILES)
@settings(suppress_health_check=list(HealthCheck), max_examples=40)
@given(data=st.data())
def test_honest_files_are_never_refused(name: str, make: Maker, data: st.DataObject) -> None:
    body = make(data)
    if not body or (
        name.startswith("anything") and body.lstrip().startswith((b"PK\x03\x04", b"<"))
    ):
        return  # nothing, or what claims to be a zip or a page
    assert look(Body.of(body), name, "application/octet-stream") == ""
    # Words under a name of no format, declared a page, are a page as far as anybody can see.
    words = name.startswith("anything") and text_of(body) is not None
    for declared in ("",) if words else ("", "text/html; charset=utf-8"):
        assert look_at_start(body[:ENOUGH], name, declared) == ""


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_junk_is_refused_under_every_name(kind: str) -> None:
    body, declared = EVERYWHERE[kind]
    for name in NAMES:
        assert look(Body.of(body), name, declared), name
        assert look(Body.of(body), name.upper(), declared), name


@pytest.mark.parametrize("kind", OTHER_BYTES)
def test_a_format_is_what_its_name_promises(kind: str) -> None:
    for name in FORMATS:
        assert bool(look(Body.of(OTHER_BYTES[kind]), name)) != (name in HONEST[kind]), name


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("index.html", b"<!DOCTYPE html><title>Sign in</title>"),
        ("README.md", b"<h1 align=center>Model</h1>\n"),
        ("vocab.txt", b"<s>\n</s>\n<unk>\n<pad>\n"),
        ("vocab.txt", b"not\nfound\nquota\n"),
        ("notes.txt", b"a < b and <b>c</b>\n"),
        ("labels.txt", b"forbidden fruit\n" * 60),
        ("fig.svg", b"<?xml version='1.0'?><svg xmlns='x'/>"),
        ("boxes.xml", b"<annotation><filename>a.jpg</filename></annotation>"),
        ("log.json", b'{"error": [0.1, 0.2], "epoch": 3, "loss": 0.5}'),
        ("metrics.json", b'{"error": 0.02}'),
        ("train.json", b'{"error": "none", "text": "x"}'),
        ("chat.json", b'{"message": "hello"}'),
        ("a.jsonl", b'{"message":"page not found"}\n{"message":"x"}\n'),
        ("c.json", b"// comment\n{}"),
        ("n.json", b"null\n"),
        ("c.json", b'{"a": 1,} // as an editor writes it\n'),
        ("c.json", b'{"a": 1}\n{"b": 2}\n'),
        ("towns.json", b'{"code": 44135, "name": "Cleveland", "description": "a town"}'),
        ("texts.json", b'{"code": "en", "message": "Hello"}'),
        ("tests.json", b'[{"name": "t", "status": "failed", "title": "x"}]'),
        ("intent.json", b'{"name": "lost", "description": "tells that a page was not found"}'),
        ("mail.eml", b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n"),
        ("answer.txt", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"),
        ("app.jar", b"#!/bin/sh\nexec java -jar $0\n" + ZIPPED),
        ("old.lz4", b"\x02\x21\x4c\x18" + bytes(20)),
        ("f.py", b"raise SystemExit('404 Not Found')\n" * 30),
        ("f.py", b"# not found\n"),
        ("f.yaml", b"error: not found\nother: x\n"),
        ("word2vec.bin", b"3000000 300\n</s> \x01\x02\x03"),
        ("f.ckpt", b"\0" * 100),
        ("f.dat", b"plain words\n"),
        ("train.pkl", b"(dp0\nS'a'\np1\nI1\ns."),
        ("empty.txt", b""),
        ("data.tar.gz", b"\x1f\x8b\x08\0"),
    ],
)
def test_odd_files_that_are_honest_pass(name: str, body: bytes) -> None:
    assert look(Body.of(body), name) == ""
    assert look_at_start(body, name) == ""


CUT = ["safetensors", "npy", "npz", "zip", "whl", "png", "parquet", "h5", "pt"]


@pytest.mark.parametrize(
    ("name", "make"),
    [f for f in FILES if f[0].rpartition(".")[2] in CUT and f[1] is not torch_tar],
)
@settings(suppress_health_check=list(HealthCheck), max_examples=25)
@given(data=st.data())
def test_what_is_cut_off_is_told(name: str, make: Maker, data: st.DataObject) -> None:
    """Formats that know their own end: any byte less shows (a picture: before its last chunk)."""
    body = make(data)
    assume(body[:2] != b"\x80\x02" and b"'O'" not in body[:100])
    spare = 20 if name.endswith(("png", "h5")) else 1
    assume(len(body) > 60 and body[:1] != b"\0")
    cut = data.draw(st.integers(0, len(body) - spare))
    assume(body[:cut].rstrip(b"\0 \n") != body.rstrip(b"\0 \n"))
    assert look(Body.of(body[:cut]), name), cut


@settings(max_examples=400)
@given(st.binary(max_size=300), st.sampled_from(NAMES), st.sampled_from(["", "text/html"]))
def test_any_bytes_are_judged_without_a_crash(body: bytes, name: str, declared: str) -> None:
    for start in (b"", b"GGUF", b"PK\3\4", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\1\0", b"7z\xbc\xaf"):
        look(Body.of(start + body), name, declared)
        look_at_start(start + body, name, declared)


@pytest.mark.parametrize(
    "head", [b"<!---->" * 9000, b"<!--" * 16000, b"<?" * 30000, b"{" * 60000, b'{"error":' * 7000]
)
def test_a_long_beginning_takes_no_time(head: bytes) -> None:
    started = time.monotonic()
    for name in NAMES:
        look(Body.of(head), name, "text/html")
    assert time.monotonic() - started < 10
