"""No secret that a run is given stands in anything that it writes, says, or starts."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.secrets import Secrets
from tests.kit import sha256
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

WEIGHTS = bytes(range(256)) * 400
# The proxy's login is pip's way out; uname is the standard library's own, where it is asked.
_ALL = (
    "HF_TOKEN",
    "GITHUB_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "OPENAI_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
)
ALLOWED = {"pip": ["http_proxy"], "uname": [*_ALL, "http_proxy"]}


@pytest.fixture
def given(tmp_path: Path, hub: HubServer, secrets: Secrets) -> Path:
    """A project that needs its secrets: a private repository, signed addresses."""
    hub.add_token(secrets["hf"], private=["o/closed"])
    hub.add_repo("o/closed", {"w.safetensors": WEIGHTS, "a.txt": b"private"}, private=True)
    root = tmp_path / "project"
    write_project(
        root,
        "p",
        "artifacts:\n  m: {source: 'hf:o/closed'}\n"
        "  o: {source: 'hf:o/m', exclude: .gitattributes}\n"
        "  gone: {source: 'hf:o/gone', optional: true}\n",
        "tree: {m/: m, o/: o, gone/: gone}\n",
    )
    return root


def test_no_command_leaks_a_secret(
    given: Path, hub: HubServer, secrets: Secrets, tmp_path: Path, hermetic: Path
) -> None:
    mirror = f"http://me:{secrets['mirror']}@127.0.0.1:9/m?sig={secrets['signed']}"
    bundle = tmp_path / "bundle"
    loud = {"FETCH_LOG": str(tmp_path / "run.log"), "HF_HUB_VERBOSITY": "debug"}
    right = {
        ("all", "-vv"): 0,
        ("all", "--json"): 0,
        ("all", "gone", "--include-optional", "--only", "gone", "-vv"): None,
        ("lock", "-vv"): 3,  # one repository is not there
        ("plan", "-vv", "--json"): 0,
        ("status", "-vv"): 0,
        ("check", "--deep", "-vv", "--junit", str(tmp_path / "c.xml"), "--sarif", "c.sarif"): 0,
        ("access", "-vv", "--json"): 0,
        ("list", "--json"): 0,
        ("show", "m", "-vv"): 0,
        ("tree",): 0,
        ("config", "-vv"): 0,
        ("config", "--json"): 0,
        ("doctor", "-vv"): None,
        ("recommend", "--json"): None,
        ("runtime",): None,
        ("report",): None,
        ("verify", "--junit", str(tmp_path / "v.xml"), "-vv"): None,
        ("adopt", str(given / "m"), "-vv"): 0,
        ("mirror", "export", str(bundle), "-vv"): 0,
        ("mirror", "export", f"{bundle}.tar"): 0,
        ("mirror", "check", str(bundle)): 0,
        ("mirror", "import", str(bundle), "-vv"): 0,
        ("mirror", "pull", "oci://r.example/x:y", "--offline"): None,
        ("add", "--source", "hf:o/closed", "--name", "N", "--id", "n", "--dry-run"): None,
        ("store", "check", "-vv"): 0,
        ("store", "ls", "--json"): 0,
        ("gc", "--json", "-vv"): 0,
        ("all", "--from", mirror, "-vv", "--overwrite"): None,
    }
    for arguments, code in right.items():
        done = secrets.fetch(*arguments, cwd=given, **loud)
        assert code is None or done.returncode == code, (arguments, done.stderr)
        assert done.returncode != 1 and "Traceback" not in done.stderr, (arguments, done.stderr)
    assert hub.cdn.leaks == []
    assert (given / "m/a.txt").read_bytes() == b"private", "the token was used"
    signed = {request.query["Signature"] for request in hub.cdn.requests}
    assert signed and secrets.children
    secrets.values |= {f"signature{n}": value for n, value in enumerate(signed)}
    assert secrets.leaks(tmp_path, hermetic) == []
    assert secrets.child_leaks(ALLOWED) == []


def test_what_is_behind_an_address_and_a_cookie(
    tmp_path: Path, secrets: Secrets, hermetic: Path
) -> None:
    """A cookie is nobody's business. A manifest's own address, which all who clone it have, is
    told in the hint that needs it; no log has its query.
    """
    with FileServer() as server:
        server.add("/ok.bin", WEIGHTS)
        server.add("/cookie.bin", WEIGHTS[:-1])
        resource = server.resources["/cookie.bin"]
        resource.headers["Set-Cookie"] = f"session={secrets['cookie']}; Path=/"
        root = tmp_path / "project"
        query = f"sig={secrets['query']}"
        known = f"{{size: {len(WEIGHTS)}, sha256: {sha256(WEIGHTS)}}}"
        other = f"{{size: {len(WEIGHTS)}, sha256: {'0' * 64}}}"
        third = other.replace("000", "abc")
        lines = [
            f"  {name}:\n    source: '{server.url}/{name}.bin?{query}'\n"
            f"    files: {{{name}.bin: {facts}}}"
            for name, facts in (("ok", known), ("cookie", other), ("none", third))
        ]
        write_project(
            root,
            "p",
            "artifacts:\n" + "\n".join(lines) + "\n",
            "tree: {ok/: ok, cookie/: cookie, none/: none}\n",
        )
        manifest = root / "manifests/p.yaml"
        secrets.given |= {manifest, root / "fetch.lock"}  # who writes it there has told it all
        log = tmp_path / "log"
        done = secrets.fetch("all", "-vv", cwd=root, FETCH_LOG=str(log))
        assert done.returncode not in {0, 1}, done.stderr
        secrets.fetch("all", "--json", cwd=root)
        secrets.fetch("access", "--json", cwd=root)
    lines = [line for text in secrets.told for line in text.splitlines()]
    for line in [*lines, *log.read_text().splitlines()]:
        told_anyway = line.startswith(("hint: open ", "{"))  # the second is --json, with the hint
        assert told_anyway or secrets["query"] not in line, line
    del secrets.values["query"]
    assert secrets.leaks(tmp_path, hermetic) == []


def test_a_token_of_github_and_one_in_dotenv(
    tmp_path: Path, secrets: Secrets, hermetic: Path
) -> None:
    with GitHubServer(tmp_path / "git") as github:
        github.add_token(secrets["github"], ["g/r"])
        github.add_repo("g/r", {"a.bin": WEIGHTS})
        root = tmp_path / "project"
        write_project(
            root, "p", "artifacts:\n  a: {source: 'github:g/r@main'}\n", "tree: {a/: a}\n"
        )
        (root / ".env").write_text(
            f"OPENAI_API_KEY={secrets['dotenv']}\nHF_TOKEN={secrets['dot']}\n"
        )
        secrets.given.add(root / ".env")
        for arguments in (("all", "-vv"), ("config", "--json"), ("doctor",), ("all", "--json")):
            done = secrets.fetch(
                *arguments,
                cwd=root,
                FETCH_REWRITE=github.rewrite,
                FETCH_LOG=str(tmp_path / "log"),
                OPENAI_API_KEY="",
                HF_TOKEN="",
            )
            assert done.returncode != 1, done.stderr
        assert (root / "a/a.bin").read_bytes() == WEIGHTS
    assert secrets.leaks(root, hermetic, tmp_path / "log") == []


def test_the_search_finds_what_is_hidden(tmp_path: Path, secrets: Secrets) -> None:
    """Each way to write a secret down is found: a search that finds nothing would prove nothing."""
    import base64

    word = secrets["hf"].encode()
    folder = tmp_path / "left"
    folder.mkdir()
    (folder / "plain").write_bytes(b"x" + word + b"y")
    (folder / "login").write_bytes(base64.b64encode(b"user:" + word))
    (folder / "url").write_bytes(base64.urlsafe_b64encode(b"u:" + word + b"??"))
    (folder / "hex").write_text(word.hex())
    (folder / "gz").write_bytes(gzip.compress(word))
    with zipfile.ZipFile(folder / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", word * 5)
    with closing(sqlite3.connect(folder / "db")) as db:
        db.execute("CREATE TABLE t (v)")
        db.execute("INSERT INTO t VALUES (?)", (word.decode(),))
        db.commit()
    (folder / secrets["github"]).touch()
    secrets.told.append(json.dumps({"a": secrets["netrc"]}))
    found = "\n".join(secrets.leaks(tmp_path))
    for name in ("plain", "login", "url", "hex", "gz", "zip", "db"):
        assert f"hf in {folder / name}" in found, name
    assert "github is a file's name" in found and "netrc was said" in found
    done = secrets.fetch("--version", cwd=tmp_path)
    assert done.returncode == 0 and secrets.child_leaks() == []
    audit = secrets.folder / "audit/children.jsonl"
    audit.write_text(
        json.dumps({"args": ["x", secrets["hf"]], "env": {"HF_TOKEN": os.fsdecode(word)}}) + "\n"
    )
    assert len(secrets.child_leaks()) == 2 and len(secrets.child_leaks({"x": ["HF_TOKEN"]})) == 1
