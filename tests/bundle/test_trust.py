"""What was changed on the way is refused, by name, and nothing of it is written."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.bundle.check_bundle import prove
from fetcher.errors import FetchError
from fetcher.mirror.bundle import blob_name, open_bundle
from fetcher.ui.progress import Progress
from tests.bundle.conftest import FILES, WEIGHTS, Site, exported
from tests.kit import sha256

MakeSite = Callable[[str], Site]
Keys = Callable[[str], Path]


def refused(away: Site, *arguments: str | Path, code: int = 4) -> str:
    """An import that must fail and leave nothing; what it said."""
    result = away.fetch("mirror", "import", *arguments)
    assert result.code == code, (result.code, result.out, result.err)
    assert away.blobs() == [] and away.leftovers() == []
    return result.err


def is_sound(path: Path) -> bool:
    try:
        bundle = open_bundle(str(path))
    except FetchError:
        return False
    try:
        return not prove(bundle, Progress(io.StringIO(), quiet=True))[0]
    finally:
        bundle.close()


def test_no_byte_of_a_tar_can_be_changed(home: Site) -> None:
    """One byte in every block, and every byte of headers and of the end."""
    for name in ("data/model/model.safetensors",):
        (home.root / name).write_bytes(WEIGHTS[:2000])
    assert home.fetch("all", "--update").code == 0
    tar = exported(home, "tar")
    assert is_sound(tar)
    data, chance = tar.read_bytes(), random.Random(4)
    places = [block + chance.randrange(512) for block in range(0, len(data), 512)]
    places += list(range(512)) + list(range(len(data) - 1024, len(data), 7))
    bad = tar.with_name("bad.tar")
    bad.write_bytes(data)
    with bad.open("r+b", buffering=0) as stream:
        for place in places:
            stream.seek(place)
            stream.write(bytes([data[place] ^ (1 << chance.randrange(8))]))
            assert not is_sound(bad), place
            stream.seek(place)
            stream.write(data[place : place + 1])
    assert is_sound(bad)
    for cut in (1, 512, 1024, 5000, len(data) - 100):
        bad.write_bytes(data[:-cut])
        assert not is_sound(bad)


def test_no_file_of_a_folder_can_be_changed_removed_or_added(home: Site, site: MakeSite) -> None:
    folder, away = exported(home, "folder"), site("away")
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    for name in names:
        path = folder / name
        data = path.read_bytes()
        if data:
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
            said = refused(away, folder)
            # A digit that became another one lays the blame on the file that it is the digest of.
            listed = name == "SHA256SUMS" and "has other bytes than listed" in said
            assert listed or name.rpartition("/")[2] in said
            assert home.fetch("mirror", "check", folder).code == 4
        path.write_bytes(data + b"x")
        assert refused(away, folder)
        path.unlink()
        assert name in refused(away, folder) or name.rpartition("/")[2] in refused(away, folder)
        path.write_bytes(data)
    for name in ("extra.txt", "blobs/sha256/" + "0" * 64, "tool/evil.sh", "project/x.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
        assert name in refused(away, folder)
        (folder / name).unlink()
    (folder / "link").symlink_to("/etc/passwd")
    assert "link" in refused(away, folder)
    (folder / "link").unlink()
    a, b = (folder / blob_name(sha256(FILES[f"set/{x}.jpg"])) for x in "ab")
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    said = refused(away, folder)
    assert "set/a.jpg" in said and "set/twin.jpg" in said
    a.write_bytes(first)
    b.write_bytes(second)
    assert away.fetch("mirror", "import", folder).code == 0


def test_a_consistent_change_is_found_out_by_the_signature(
    home: Site, site: MakeSite, keys: Keys
) -> None:
    """Whoever can change a file can change SHA256SUMS as well, but not the signature."""
    folder, away, key = exported(home, "folder"), site("away"), keys("k")
    public, other = key.with_suffix(".pub"), keys("other")
    assert "not signed" in refused(away, folder, "--verify-key", public)
    assert home.fetch("mirror", "sign", folder, "--key", key).code == 0
    assert home.fetch("mirror", "check", folder, "--verify-key", public).code == 0
    assert "another key" in refused(away, folder, "--verify-key", other.with_suffix(".pub"))
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    (folder / "INDEX.txt").write_text("nothing to see")
    sums = (folder / "SHA256SUMS").read_text()
    line = next(line for line in sums.splitlines() if line.endswith("INDEX.txt"))
    changed = sums.replace(line, f"{sha256(b'nothing to see')}  INDEX.txt")
    (folder / "SHA256SUMS").write_text(changed)
    assert home.fetch("mirror", "check", folder).code == 0
    assert "INDEX.txt" in refused(away, folder, "--verify-key", public)
    # Signed again by somebody else.
    assert home.fetch("mirror", "sign", folder, "--key", other).code == 0
    said = refused(away, folder, "--verify-key", public)
    assert "another key" in said and "bundle.sig" in said
    result = home.fetch("mirror", "check", folder, "--verify-key", public, "--json")
    assert result.code == 4 and result.codes == {"signature"}
    assert result.json["summary"]["signed"] is False


def test_the_signature_is_that_of_openssf_model_signing(home: Site, keys: Keys) -> None:
    folder, key = exported(home, "folder"), keys("k")
    assert home.fetch("mirror", "sign", folder, "--key", key).code == 0
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command += ["--signature", str(folder / "bundle.sig")]
    command += ["--public_key", str(key.with_suffix(".pub"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "extra").write_text("x")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_key_is_asked_for_wherever_a_bundle_is_used(
    home: Site, site: MakeSite, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar, away, key = exported(home, "tar"), site("away"), keys("k")
    public = key.with_suffix(".pub")
    for name in ("manifests", "layouts"):
        shutil.copytree(home.root / name, away.root / name)
    shutil.copy(home.root / "fetch.lock", away.root)
    run = ("all", "--offline", "--from", tar, "--verify-key", public)
    unsigned = away.fetch(*run, "--json")
    assert unsigned.code == 4 and unsigned.codes == {"signature"} and away.tree() == {}
    assert away.blobs() == []
    assert home.fetch("mirror", "sign", tar, "--key", key).code == 0
    assert (tar.parent / "b.tar.sig").exists()
    other = keys("other").with_suffix(".pub")
    monkeypatch.setenv("FETCH_VERIFY_KEY", str(other))
    assert away.fetch("all", "--offline", "--from", tar).code == 4 and away.tree() == {}
    monkeypatch.delenv("FETCH_VERIFY_KEY")
    plain = away.fetch("all", "--offline", "--from", home.store, "--verify-key", public)
    assert plain.code == 2 and "no bundle" in plain.err and away.tree() == {}
    assert away.fetch(*run).code == 0 and away.tree() == home.tree()
    wrong = home.fetch("mirror", "check", tar, "--verify-key", key)
    assert wrong.code == 2 and "public" in wrong.err
    missing = home.fetch("mirror", "check", tar, "--verify-key", "nope.pub")
    assert missing.code == 2 and "nope.pub" in missing.err
    assert home.fetch("mirror", "sign", tar, "--key", public).code == 2
    (tar.parent / "b.tar.sig").write_text("{}")
    assert "no such signature" in home.fetch("mirror", "check", tar, "--verify-key", public).err


def test_volumes_missing_swapped_or_damaged_are_named(home: Site, site: MakeSite) -> None:
    base = exported(home, "volumes")
    away, folder = site("away"), base.parent
    first, second = (folder / f"v.tar.00{i}" for i in (1, 2))
    one, two = first.read_bytes(), second.read_bytes()
    listing = (folder / "v.tar.sha256").read_text()
    second.rename(folder / "elsewhere")
    said = refused(away, base)
    assert "v.tar.002" in said and "1 of 2 volumes missing" in said
    (folder / "elsewhere").rename(second)
    first.write_bytes(two)
    second.write_bytes(one)
    assert "v.tar.001" in refused(away, base)
    first.write_bytes(one)
    second.write_bytes(two)
    for volume, data in ((first, one), (second, two)):
        for place in (len(data) // 3, len(data) // 2, len(data) - 200):
            changed = bytearray(data)
            changed[place] ^= 4
            volume.write_bytes(changed)
            assert volume.name in refused(away, base), (volume, place)
            checked = home.fetch("mirror", "check", base)
            assert checked.code == 4 and f"volume {volume.name} is damaged" in checked.err
        volume.write_bytes(data[:-1])
        assert volume.name in refused(away, base)
        volume.write_bytes(data)
    (folder / "v.tar.sha256").write_text(listing.replace(listing[:8], "0" * 8))
    assert home.fetch("mirror", "check", base).code == 4
    (folder / "v.tar.sha256").unlink()
    assert "v.tar.sha256" in refused(away, first)
    (folder / "v.tar.sha256").write_text(listing)
    # Volumes that lie in several places, as on discs, are put together by name.
    (folder / "disc").mkdir()
    second.rename(folder / "disc/v.tar.002")
    result = away.fetch("mirror", "import", first, folder / "disc/v.tar.002")
    assert result.code == 0 and len(away.blobs()) == len(set(FILES.values()))


def hostile(tar: Path, name: str, kind: bytes, link: str) -> Path:
    """A copy with one more member, put in front of the end."""
    bad = tar.with_name("hostile.tar")
    shutil.copy(tar, bad)
    with tarfile.open(bad, "a") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        info.size = 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))
    return bad


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../../evil", tarfile.REGTYPE, ""),
        ("/tmp/evil", tarfile.REGTYPE, ""),
        ("blobs/sha256/link", tarfile.SYMTYPE, "/etc/passwd"),
        ("blobs/sha256/hard", tarfile.LNKTYPE, "index.json"),
        ("blobs/sha256/device", tarfile.CHRTYPE, ""),
        ("index.json", tarfile.REGTYPE, ""),
        ("evil", tarfile.REGTYPE, ""),
    ],
)
def test_hostile_members_are_refused(
    home: Site, site: MakeSite, name: str, kind: bytes, link: str
) -> None:
    tar = exported(home, "tar")
    outside = set(home.root.parent.iterdir())
    bad = hostile(tar, name, kind, link)
    away = site("away")
    assert name in refused(away, bad)
    assert home.fetch("mirror", "check", bad).code == 4
    assert set(home.root.parent.iterdir()) - outside <= {bad, away.root}
    assert not Path("/tmp/evil").exists()


def test_a_folder_without_its_end_is_no_bundle(home: Site, site: MakeSite) -> None:
    folder, away = exported(home, "folder"), site("away")
    (folder / "SHA256SUMS").unlink()
    assert "not finished" in refused(away, folder)
    assert away.fetch("mirror", "check", home.root / "data").code == 2
    assert away.fetch("mirror", "import", away.root / "nothing").code == 2
    junk = home.root.parent / "junk.tar"
    junk.write_bytes(os.urandom(4096))
    assert "no tar" in refused(away, junk)
    junk.write_bytes(b"")
    assert "ends early" in refused(away, junk)


# What earlier versions wrote stays readable.

OLD = Path(__file__).parent.parent / "data" / "bundles"


def test_bundles_and_locks_of_earlier_formats(site: MakeSite) -> None:
    away = site("away")
    result = away.fetch(
        "mirror", "check", OLD / "format-1.tar", "--verify-key", OLD / "format-1.pub", "--json"
    )
    assert result.code == 0, result.err
    assert [item["id"] for item in result.json["results"]] == ["model", "set"]
    assert result.json["summary"]["bundles"][0]["digest"] == (OLD / "digest").read_text().strip()
    taken = away.fetch("mirror", "import", OLD / "format-1.tar", "--project", away.root)
    assert taken.code == 0, taken.err
    lock = json.loads((away.root / "fetch.lock").read_text())
    assert lock["schema"] == "fetch.lock/1"
    assert away.fetch("all", "--offline", "--locked").code == 0
    assert (away.root / "models/m/config.json").read_bytes() == b"{}"
    assert away.fetch("mirror", "have", OLD / "format-1.tar").code == 0
