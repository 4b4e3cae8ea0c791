"""Bundles that were changed on the way: nothing of them runs, or is taken, before it is proven."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.bundle import wheelhouse
from fetcher.bundle.first_steps import Form, commands
from fetcher.errors import Failure
from fetcher.mirror import oci_documents
from tests.bundle.conftest import Site, exported, home, keys, site
from tests.e2e.test_docs import blocks
from tests.kit import sha256
from tests.mirror.test_oci import change, held, parsed

__all__ = ["home", "keys", "site"]
Keys = Callable[[str], Path]
MakeSite = Callable[[str], Site]
FORMS = ["folder", "tar", "volumes"]


def _wheel(folder: Path) -> Path:
    """A wheel with the command `fetch`, as small as can be."""
    path = folder / "fetcher-1.0-py3-none-any.whl"
    info = "fetcher-1.0.dist-info"
    files = {
        "walked.py": "import sys\ndef main(): print('fetch 1.0', sys.path)\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: fetcher\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nfetch = walked:main\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def small_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """fetch's own wheel is a small one, and needs nothing from a package index."""
    monkeypatch.setattr(wheelhouse, "_own_wheel", _wheel)
    monkeypatch.setattr(wheelhouse, "_download", lambda *_: None)
    monkeypatch.setattr(wheelhouse, "_extras", lambda _: ())


@pytest.fixture
def key(keys: Keys) -> Path:
    return keys("release")


class Walk:
    """The site: an empty folder with what travelled apart, and the commands typed there."""

    def __init__(self, root: Path, bundle: Path, public: Path) -> None:
        self.root, self.bundle = root, bundle
        root.mkdir()
        shutil.copy(public, root / public.name)

    def type(self, lines: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=self.root,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.root),
                "PYTHON": sys.executable,
                "PWNED": str(self.root / "pwned"),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def ran(self) -> bool:
        """Whether anything of the bundle has run."""
        return (self.root / "fetch-tool").exists() or (self.root / "pwned").exists()


def printed(text: str) -> list[str]:
    """The commands that an output ends with."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  bundle="))
    return [line[2:] for line in lines[start:] if line.startswith("  ")]


def digest_of(output: str) -> str:
    found = re.search(r"sha256:([0-9a-f]{64})", output)
    assert found
    return found[1]


def write_sums(folder: Path) -> None:
    """SHA256SUMS anew over what lies in a folder, as an attacker would."""
    lines = [
        f"{sha256(path.read_bytes())}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"SHA256SUMS", "SHA256SUMS.sig", "bundle.sig"}
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def packed(bundle: Path, form: str, changed: Path) -> None:
    """Put a changed folder in place of a bundle of this form."""
    if form == "folder":
        return
    out = bundle if form == "tar" else Path(f"{bundle}.001")
    for path in bundle.parent.glob(f"{bundle.name}.0*"):
        path.unlink()
    with tarfile.open(out, "w") as archive:
        for path in sorted(changed.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(changed).as_posix())


def unpacked(bundle: Path, form: str) -> Path:
    """The bundle's files in a folder, to be changed."""
    if form == "folder":
        return bundle
    target = bundle.with_name("changed")
    target.mkdir()
    script = 'cat "$1"' + (".0*" if form == "volumes" else "") + ' | tar xf - -C "$2"'
    subprocess.run(["bash", "-c", script, "-", bundle, target], check=True)
    return target


@pytest.mark.usefixtures("small_tool")
@pytest.mark.parametrize("form", FORMS)
def test_the_commands_that_are_printed_prove_an_honest_bundle(
    home: Site, tmp_path: Path, key: Path, form: str
) -> None:
    """Honest: the digest of `export` and the signature of `sign` both lead to the tool."""
    out = tmp_path / {"folder": "bundle", "tar": "b.tar", "volumes": "v.tar"}[form]
    more = ["--volume-size", "1M"] if form == "volumes" else []
    made = home.fetch("mirror", "export", out, "--with-tool", *more)
    assert made.code == 0, made.err
    signed = home.fetch("mirror", "sign", out, "--key", key)
    assert signed.code == 0, signed.err
    public = key.with_suffix(".pub")
    assert home.fetch("mirror", "check", out, "--verify-key", public).code == 0
    for name, lines in {"paper": printed(made.out), "key": printed(signed.out)}.items():
        walk = Walk(tmp_path / name, out, public)
        if (form, name) != ("tar", "key"):  # to install takes long
            lines[-2:] = ["cp tool/install.sh .. && cd .. && sh -n install.sh"]
            assert walk.type(lines).returncode == 0
            continue
        # What lies about in the folder where the commands are typed is not Python's to read.
        for trap in ("venv.py", "sitecustomize.py", "pip.py", "ensurepip.py"):
            (walk.root / trap).write_text("open(__import__('os').environ['PWNED'], 'w')\n")
        (walk.root / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/\n")
        done = walk.type(lines, PIP_CONFIG_FILE=str(walk.root / "pip.conf"))
        assert done.returncode == 0, (lines, done.stdout, done.stderr)
        assert "fetch 1.0" in done.stdout
        assert not (walk.root / "pwned").exists()
        assert (walk.root / "fetch-tool/bin/fetch").exists()
        # A second time the target is there, and what stands in it may be anybody's.
        shutil.rmtree(walk.root / "fetch-check")
        again = walk.type(lines)
        assert again.returncode == 2 and "is there already" in again.stderr


Edit = Callable[[Path], None]
EVIL = 'touch "$PWNED"\n'


def _script(folder: Path) -> None:
    (folder / "tool/install.sh").write_text(EVIL)


def _script_listed(folder: Path) -> None:
    _script(folder)
    write_sums(folder)


def _wheel_changed(folder: Path) -> None:
    (wheel,) = (folder / "tool").glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")


def _list_changed(folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text() + f"{'0' * 64}  tool/more.whl\n")


def _list_with_odd_names(folder: Path) -> None:
    _script(folder)
    digest = sha256(EVIL.encode())
    lines = f"\\{digest}  tool/in\\nstall.sh\n{digest}  tool/install.sh\n{digest}  tool/a\\b\n"
    (folder / "SHA256SUMS").write_text(lines)


def _nothing_listed(folder: Path) -> None:
    _script(folder)
    (folder / "SHA256SUMS").write_text("")


TAMPERED: dict[str, Edit] = {
    "script": _script,
    "script and list": _script_listed,
    "wheel": _wheel_changed,
    "list": _list_changed,
    "odd names": _list_with_odd_names,
    "empty list": _nothing_listed,
}


@pytest.mark.usefixtures("small_tool")
@pytest.mark.parametrize("form", FORMS)
def test_nothing_of_a_changed_bundle_runs(home: Site, tmp_path: Path, key: Path, form: str) -> None:
    """Tries a script of its own in tool/, with and without a list that names it."""
    public = key.with_suffix(".pub")
    some = TAMPERED if form == "tar" else {name: TAMPERED[name] for name in ("script", "odd names")}
    for name, edit in some.items():
        out = tmp_path / name / ("bundle" if form == "folder" else "b.tar")
        more = ["--volume-size", "1G"] if form == "volumes" else []
        made = home.fetch("mirror", "export", out, "--with-tool", *more)
        assert made.code == 0, made.err
        signed = home.fetch("mirror", "sign", out, "--key", key)
        assert signed.code == 0, signed.err
        changed = unpacked(out, form)
        edit(changed)
        packed(out, form, changed)
        for proof, lines in {"paper": printed(made.out), "key": printed(signed.out)}.items():
            walk = Walk(tmp_path / name / proof, out, public)
            done = walk.type(lines)
            assert done.returncode != 0 and not walk.ran, (name, done.stdout, done.stderr)
        assert home.fetch("mirror", "check", out, "--verify-key", public).code == 4


@pytest.mark.usefixtures("small_tool")
def test_what_is_added_beside_is_not_even_unpacked(home: Site, tmp_path: Path, key: Path) -> None:
    """Tries files beside the proven ones that Python, pip or the shell might read."""
    out = tmp_path / "b.tar"
    made = home.fetch("mirror", "export", out, "--with-tool")
    signed = home.fetch("mirror", "sign", out, "--key", key)
    changed = unpacked(out, "tar")
    trap = "open(__import__('os').environ['PWNED'], 'w')\n"
    added = {
        "tool/sitecustomize.py": trap, "tool/venv.py": trap, "tool/pip.py": trap, "venv.py": trap,
        "sitecustomize.py": trap, "fetch-tool/bin/python": EVIL, "tool/pip.conf": "[global]\n",
        "fetch-tool/lib/python3/site-packages/sitecustomize.py": trap, "tool/zzz-1-any.whl": "x",
        "listed": "tool/venv.py\n",
    }  # fmt: skip
    for name, text in added.items():
        path = changed / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    packed(out, "tar", changed)
    for proof, lines in {"paper": printed(made.out), "key": printed(signed.out)}.items():
        walk = Walk(tmp_path / proof, out, key.with_suffix(".pub"))
        if proof == "key":
            lines[-2:] = ["true"]
        done = walk.type(lines)
        assert done.returncode == 0, done.stderr
        assert not (walk.root / "pwned").exists()
        there = sorted(p.name for p in (walk.root / "fetch-check/tool").iterdir())
        assert there == ["fetcher-1.0-py3-none-any.whl", "install.sh", "requirements.txt"]
    result = home.fetch("mirror", "check", out, "--json")
    assert result.code == 4
    assert {*added} <= {error["file"] for error in result.json["errors"]}


@pytest.mark.usefixtures("small_tool")
def test_a_fetch_that_lies_ready_is_not_the_one_that_runs(
    home: Site, tmp_path: Path, key: Path
) -> None:
    """Tries a `fetch-tool` of its own where the lines of the docs are typed, on the disk itself."""
    out = tmp_path / "models.tar"
    assert home.fetch("mirror", "export", out, "--with-tool").code == 0
    assert home.fetch("mirror", "sign", out, "--key", key).code == 0
    text = blocks("docs/offline.md", "sh")[1].replace("/media/usb", str(tmp_path))
    for name in ("changed", "honest"):
        if name == "changed":
            packed(out, "tar", _evil(unpacked(out, "tar")))
        else:  # what it leaves is there already
            assert home.fetch("mirror", "export", out, "--with-tool", "--overwrite").code == 0
            assert home.fetch("mirror", "sign", out, "--key", key).code == 0
        walk = Walk(tmp_path / f"site-{name}", out, key.with_suffix(".pub"))
        ready = walk.root / "fetch-tool/bin/fetch"
        ready.parent.mkdir(parents=True)
        ready.write_text(f"#!/bin/sh\n{EVIL}")
        ready.chmod(0o755)
        for _ in range(2):  # the second time, fetch-check is there
            assert walk.type(text.splitlines()).returncode != 0
            assert not (walk.root / "pwned").exists()


def _evil(folder: Path) -> Path:
    _script_listed(folder)
    return folder


def test_a_script_in_a_bundle_that_was_made_without_the_tool(
    home: Site, tmp_path: Path, key: Path
) -> None:
    """Tries tool/install.sh in a signed bundle whose list names no tool."""
    out = tmp_path / "b.tar"
    made = home.fetch("mirror", "export", out)
    assert home.fetch("mirror", "sign", out, "--key", key).code == 0
    changed = unpacked(out, "tar")
    (changed / "tool").mkdir()
    _script(changed)
    packed(out, "tar", changed)
    for steps in (
        commands(Form.TAR, str(out), key="release.pub"),
        commands(Form.TAR, str(out), digest=digest_of(made.out)),
    ):
        walk = Walk(tmp_path / f"site{len(steps[1])}", out, key.with_suffix(".pub"))
        assert walk.type(steps).returncode != 0 and not walk.ran
    public = str(key.with_suffix(".pub"))
    for command, *more in (["check"], ["import"], ["check", "--verify-key", public]):
        result = home.fetch("mirror", command, out, *more)
        assert result.code == 4 and "tool/install.sh" in result.err


@pytest.mark.usefixtures("small_tool")
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tool/sitecustomize.py", "x", "does not belong to fetch's own wheels"),
        ("tool/pip.conf", "x", "does not belong to fetch's own wheels"),
        ("tool/bin/sh", "x", "does not belong to fetch's own wheels"),
        ("tool/evil-1-py3-none-any.whl", "x", "does not belong to fetch's own wheels"),
        (
            "tool/requirements.txt",
            "--index-url http://evil/\nfetcher\n",
            "no wheel with its digest",
        ),
        ("tool/requirements.txt", "-r /etc/passwd\n", "no wheel with its digest"),
    ],
)
def test_what_is_listed_in_tool_is_what_an_export_puts_there(
    home: Site, tmp_path: Path, name: str, text: str, said: str
) -> None:
    """Tries files in tool/ that an unsigned list names, for pip or Python to read."""
    out = tmp_path / "bundle"
    assert home.fetch("mirror", "export", out, "--with-tool").code == 0
    honest = home.fetch("mirror", "check", out)
    assert honest.code == 0
    assert "nothing here proves who made tool/install.sh" in honest.out
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text(text)
    write_sums(out)
    for command in ("check", "import"):
        result = home.fetch("mirror", command, out)
        assert result.code == 4 and said in result.err and name in result.err


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_the_signature_for_openssl_must_hold_where_it_is(
    home: Site, tmp_path: Path, key: Path, keys: Keys, form: str
) -> None:
    """Tries another signature over SHA256SUMS beside one that holds."""
    out, public = exported(home, form), key.with_suffix(".pub")
    assert home.fetch("mirror", "sign", out, "--key", key).code == 0
    beside = out / "SHA256SUMS.sig" if form == "folder" else Path(f"{out}.SHA256SUMS.sig")
    good = beside.read_bytes()
    for bad in (b"", b"x" * 70, good[:-1], good + b"\0", b"\0" * 5000):
        beside.write_bytes(bad)
        result = home.fetch("mirror", "check", out, "--verify-key", public)
        assert result.code == 4 and beside.name in result.err
    beside.write_bytes(good)
    assert home.fetch("mirror", "check", out, "--verify-key", public).code == 0
    beside.unlink()  # a bundle that was signed before there was one
    assert home.fetch("mirror", "check", out, "--verify-key", public).code == 0
    # Another key's signature does not hold either.
    assert home.fetch("mirror", "sign", out, "--key", keys("other")).code == 0
    assert home.fetch("mirror", "check", out, "--verify-key", public).code == 4


def test_a_folder_exported_anew_has_no_old_signature(home: Site, key: Path) -> None:
    """Honest: what signed an older bundle in this folder does not stay beside the new one."""
    out = exported(home, "folder")
    assert home.fetch("mirror", "sign", out, "--key", key).code == 0
    (home.root / "data/set/new.jpg").write_bytes(b"\xff\xd8\xff new")
    assert home.fetch("all", "--update").code == 0
    assert home.fetch("mirror", "export", out, "--overwrite").code == 0
    assert not (out / "bundle.sig").exists() and not (out / "SHA256SUMS.sig").exists()


def test_the_docs_and_the_index_say_what_is_printed(home: Site, tmp_path: Path) -> None:
    """The commands in docs/offline.md, INDEX.txt and the output are one text."""
    steps = commands(Form.TAR, "/media/usb/models.tar", key="release.pub")
    arrive = blocks("docs/offline.md", "sh")[1]
    assert "\n".join(steps) + "\n" in arrive
    text = Path("docs/offline.md").read_text("utf-8")
    for form, proof in ((Form.TAR, {"digest": "DIGEST"}), (Form.FOLDER, {"key": "release.pub"})):
        for line in commands(form, "/media/usb/models.tar", **proof):
            if line not in steps and "openssl" not in line:
                assert f"\n{line}\n" in text, line
    assert home.fetch("mirror", "export", tmp_path / "plain").code == 0
    assert "install.sh" not in (tmp_path / "plain/INDEX.txt").read_text()


@pytest.mark.usefixtures("small_tool")
def test_the_index_has_the_commands(home: Site, tmp_path: Path) -> None:
    """Honest: INDEX.txt of a bundle with the tool tells how to prove it before it runs."""
    assert home.fetch("mirror", "export", tmp_path / "b", "--with-tool").code == 0
    text = (tmp_path / "b/INDEX.txt").read_text()
    lines = [line[2:] for line in text.splitlines() if line.startswith("  ")]
    bundle = "/media/usb/BUNDLE.tar"
    for form, proof in (
        (Form.TAR, {"key": "KEY.pub"}),
        (Form.TAR, {"digest": "DIGEST"}),
        (Form.FOLDER, {"key": "KEY.pub"}),
    ):
        assert set(commands(form, bundle, **proof)) <= set(lines)
    assert text.index("openssl dgst") < text.index("sh tool/install.sh")


# OCI documents

_OTHER = base64.b64encode(b"other").decode()


def _layer(**keys: Any) -> Callable[[Any, Any, Any], None]:
    return lambda index, manifest, config: manifest["layers"][0].update(keys)


def _config(**keys: Any) -> Callable[[Any, Any, Any], None]:
    return lambda index, manifest, config: manifest["config"].update(keys)


def _entry(**keys: Any) -> Callable[[Any, Any, Any], None]:
    return lambda index, manifest, config: index["manifests"][0].update(keys)


def _two_sizes(index: Any, manifest: Any, config: Any) -> None:
    layer = copy.deepcopy(manifest["layers"][0])
    layer["size"] += 1
    layer["annotations"]["org.opencontainers.image.title"] = "twin"
    manifest["layers"].append(layer)


SURPRISES: dict[str, tuple[Callable[[Any, Any, Any], None], str]] = {
    "urls": (_layer(urls=["http://169.254.169.254/"]), "addresses of its own"),
    "urls of a config": (_config(urls=["file:///etc/passwd"]), "addresses of its own"),
    "urls of a manifest": (_entry(urls=["http://evil/"]), "addresses of its own"),
    "urls that are none": (_layer(urls=7), "addresses of its own"),
    "data": (_layer(data=_OTHER), "other bytes"),
    "data of no base64": (_layer(data="!"), "other bytes"),
    "data of a manifest": (_entry(data=_OTHER), "other bytes"),
    "foreign layer": (
        _layer(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        "of type 'application/vnd.docker",
    ),
    "nondistributable": (
        _layer(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar"),
        "of type",
    ),
    "no type": (_layer(mediaType=None), "of type None"),
    "typed list": (_layer(mediaType=["application/octet-stream"]), "of type"),
    "foreign config": (_config(mediaType="application/vnd.oci.image.config.v1+json"), "of type"),
    "index in the index": (_entry(mediaType=oci_documents.INDEX_TYPE), "of type"),
    "manifest is an index": (
        lambda i, m, c: m.update(mediaType=oci_documents.INDEX_TYPE),
        "no image manifest",
    ),
    "subject": (
        lambda i, m, c: m.update(subject=copy.deepcopy(i["manifests"][0])),
        "refers to another manifest",
    ),
    "two sizes": (_two_sizes, "two sizes"),
    "a large manifest": (_entry(size=1 << 40), "too large"),
    "listed often": (
        lambda i, m, c: i["manifests"].extend([i["manifests"][1]] * 1000),
        "twice",
    ),
    "artifact type list": (lambda i, m, c: m.update(artifactType=["x"]), "unknown type"),
}


@pytest.mark.parametrize("kind", SURPRISES)
def test_surprises_in_oci_documents_are_refused_with_a_sentence(kind: str) -> None:
    """Tries what OCI allows and fetch never writes: bytes from elsewhere, loops, lying sizes."""
    edit, said = SURPRISES[kind]
    built = oci_documents.build([held("a", 3)], {"fetch.lock": b"{}"})
    late = kind == "a large manifest"
    changed = change(built, (lambda *_: None) if late else edit)
    if late:
        index = json.loads(changed.index)
        edit(index, None, None)
        changed = oci_documents.BuiltDocuments(oci_documents.as_json(index), changed.blobs, {})
    with pytest.raises(Failure, match=re.escape(said)) as caught:
        parsed(changed)
    assert caught.value.exit_code == 4


def test_a_key_that_stands_twice_is_refused() -> None:
    """Tries two digests for one layer: readers differ in which they take."""
    built = oci_documents.build([held("a", 3)], {"fetch.lock": b"{}"})
    index = built.index.replace(b'"manifests":', b'"manifests":[],"manifests":', 1)
    with pytest.raises(Failure, match="twice"):
        parsed(oci_documents.BuiltDocuments(index, built.blobs, {}))


def test_an_index_that_leads_to_itself_ends() -> None:
    """Tries an index whose manifest is the index: nesting without end."""
    built = oci_documents.build([held("a", 1)], {"fetch.lock": b"{}"})
    digest = hashlib.sha256(built.index).hexdigest()
    index = json.loads(built.index)
    index["manifests"][0].update(digest=f"sha256:{digest}", size=len(built.index))
    blobs = {**built.blobs, digest: built.index}
    with pytest.raises(Failure, match="no image manifest"):
        parsed(oci_documents.BuiltDocuments(oci_documents.as_json(index), blobs, {}))


def test_data_that_is_the_blob_is_allowed(home: Site) -> None:
    """Honest: tools put small blobs into their descriptors, under the same digest."""
    built = oci_documents.build([held("a", 3)], {"fetch.lock": b"{}"})

    def embed(index: Any, manifest: Any, config: Any) -> None:
        digest = manifest["config"]["digest"][7:]
        data = oci_documents.as_json(config)
        assert hashlib.sha256(data).hexdigest() == digest
        manifest["config"]["data"] = base64.b64encode(data).decode()

    assert parsed(change(built, embed)).artifacts == parsed(built).artifacts


@pytest.mark.parametrize("kind", ["urls", "foreign layer", "subject"])
def test_a_bundle_with_a_surprise_is_refused_by_every_command(
    home: Site, site: MakeSite, kind: str
) -> None:
    """Tries the same in a bundle whose digests are all right."""
    folder = exported(home, "folder")
    index = json.loads((folder / "index.json").read_text())
    entry = index["manifests"][0]
    blob = folder / "blobs/sha256" / entry["digest"][7:]
    manifest = json.loads(blob.read_text())
    SURPRISES[kind][0](index, manifest, None)
    data = json.dumps(manifest).encode()
    blob.unlink()
    entry.update(digest=f"sha256:{sha256(data)}", size=len(data))
    (folder / "blobs/sha256" / sha256(data)).write_bytes(data)
    (folder / "index.json").write_text(json.dumps(index))
    write_sums(folder)
    away = site("away")
    for command, *more in (["check"], ["import"], ["have"], ["push", "oci://127.0.0.1:1/x"]):
        result = away.fetch("mirror", command, folder, *more)
        assert result.code == 4 and SURPRISES[kind][1] in result.err
    assert away.blobs() == []


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "larger than 1 MiB"])
def test_a_key_that_a_project_names_is_a_file(
    home: Site, tmp_path: Path, key: Path, kind: str
) -> None:
    """Tries to keep a command waiting, or to fill the memory, by `verify_key` in fetch.yaml."""
    out = tmp_path / "b.tar"
    assert home.fetch("mirror", "export", out).code == 0
    assert home.fetch("mirror", "sign", out, "--key", key).code == 0
    named = home.root / "key.pub"
    if kind == "a FIFO":
        os.mkfifo(named)
    elif kind == "a device":
        named = Path("/dev/zero")
    else:
        named.touch()
        os.truncate(named, 1 << 40)
    with (home.root / "fetch.yaml").open("a") as settings:
        settings.write(f"\nverify_key: {named}\n")
    for command in ("check", "import"):
        result = home.fetch("mirror", command, out)
        assert result.code == 2 and kind in result.err and str(named) in result.err, result.err
    # The person's own word goes before it.
    assert home.fetch("mirror", "check", out, "--verify-key", key.with_suffix(".pub")).code == 0
