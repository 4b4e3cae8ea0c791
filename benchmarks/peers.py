"""The commands that are measured: each brings the same bytes from the same server to a folder."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.workload import Served

UNSYNCED = "fetch all, FETCH_SYNC=0"
# What this machine can do at most, beside what the tools do.
COPIED, DUMPED, HASHED, RECEIVED = "cp, sync", "dd, sync", "sha256", "curl to /dev/null"
# What tells each tool which certificates to trust (aria2c and curl have options).
TRUST = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_KEPT = ("PATH", "LANG")
_LARGE = 1 << 20
_POOL = Path(__file__).with_name("requests_pool.py")


@dataclass
class Peer:
    """One tool at one job. `fresh` are folders that a cold run begins without."""

    name: str
    argv: list[str]
    environ: Mapping[str, str]
    fresh: list[Path] = field(default_factory=list)

    def clean(self, aside: Path) -> None:
        """Move what an earlier run has left into `aside`; large files are removed.

        Right after many files are removed, some file systems are slow to make new ones, each
        tool in its own measure: ext4 without a journal does not use an inode again for a minute.
        """
        for path in self.fresh:
            if not path.exists():
                continue
            if _large_files_only(path):
                shutil.rmtree(path)
            else:
                aside.mkdir(exist_ok=True)
                path.rename(aside / f"{len(list(aside.iterdir()))}-{path.name}")


def _large_files_only(folder: Path) -> bool:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes) > len(sizes) * _LARGE


def _environ(folder: Path, endpoint: str, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in (*_KEPT, *TRUST) if name in os.environ}
    return {**kept, "HOME": str(folder / "home"), "HF_ENDPOINT": endpoint, **more}


def _program(name: str) -> str:
    """A program of this environment, else of the system."""
    here = Path(sys.executable).with_name(name)
    found = str(here) if here.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed: `make bench` installs it")
    return found


def _urls(served: Served, endpoint: str) -> list[tuple[str, dict[str, object]]]:
    base = f"{endpoint}/{served.workload.repo}/resolve/main"
    return [(f"{base}/{entry['path']}", entry) for entry in served.entries]


def fetch(served: Served, endpoint: str, folder: Path, *flags: str) -> Peer:
    """`fetch all`: listing, transfer, every digest checked, files placed, lock written."""
    project = folder / "project"
    name = served.workload.name
    for kind, text in (
        ("manifests", f"manifest: {name}\nartifacts:\n  {name}:\n    source: hf:bench/{name}\n"),
        ("layouts", f"layout: {name}\ntree:\n  data/: {name}\n"),
    ):
        (project / kind).mkdir(parents=True, exist_ok=True)
        (project / kind / f"{name}.yaml").write_text(text, "utf-8")
    cache = folder / "cache"  # what the person's own runs have read: of a store that is gone, noise
    environ = _environ(
        folder, endpoint, FETCH_STORE=str(folder / "store"), XDG_CACHE_HOME=str(cache)
    )
    argv = ["/bin/sh", "-c", f'cd "{project}" && exec "{_program("fetch")}" all --quiet "$@"', "-"]
    fresh = [project / "data", project / ".fetch", project / "fetch.lock", folder / "store", cache]
    return Peer("fetch all", [*argv, name, *flags], environ, fresh)


def fetch_unsynced(served: Served, endpoint: str, folder: Path) -> Peer:
    """The same without waiting for the disk, as the others do it."""
    peer = fetch(served, endpoint, folder)
    return Peer(UNSYNCED, peer.argv, {**peer.environ, "FETCH_SYNC": "0"}, peer.fresh)


def hf_download(served: Served, endpoint: str, folder: Path) -> Peer:
    """`hf download --local-dir`."""
    out, home = folder / "hf", folder / "hf-home"
    environ = _environ(
        folder,
        endpoint,
        HF_HOME=str(home),
        HF_HUB_DISABLE_XET="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_UPDATE_CHECK="1",
    )
    argv = [_program("hf"), "download", served.workload.repo, "--local-dir", str(out)]
    return Peer("hf download", argv, environ, [out, home])


def aria2c(served: Served, endpoint: str, folder: Path, connections: int = 8) -> Peer:
    """aria2c with a list of addresses and their checksums."""
    out, listing = folder / "aria2", folder / "aria2.txt"
    listing.write_text(
        "".join(
            f"{url}\n out={entry['path']}\n checksum=sha-256={entry['sha256']}\n"
            for url, entry in _urls(served, endpoint)
        ),
        "utf-8",
    )
    argv = [_program("aria2c"), "--quiet", "-j16", f"-x{connections}", "-k", "16M"]
    argv += ["--file-allocation=none"]
    if endpoint.startswith("https"):
        argv += [f"-s{connections}", f"--ca-certificate={os.environ['SSL_CERT_FILE']}"]
    argv += ["-d", str(out), "-i", str(listing)]
    return Peer("aria2c", argv, _environ(folder, endpoint), [out])


def curl(served: Served, endpoint: str, folder: Path, digest: bool = False) -> Peer:
    """`curl --parallel`, which checks nothing; with `digest` followed by sha256sum."""
    out, config = folder / "curl", folder / "curl.txt"
    config.write_text(
        "".join(
            f'url = "{url}"\noutput = "{out}/{entry["path"]}"\n'
            for url, entry in _urls(served, endpoint)
        ),
        "utf-8",
    )
    sums = folder / "curl.sha256"
    sums.write_text(
        "".join(f"{entry['sha256']}  {out}/{entry['path']}\n" for entry in served.entries), "utf-8"
    )
    http2 = "--http2 " if endpoint.startswith("https") else ""
    get = f'"{_program("curl")}" --silent --parallel {http2}--create-dirs -K "{config}"'
    check = f' && sha256sum --quiet -c "{sums}"' if digest else ""
    name = "curl, sha256sum" if digest else "curl --parallel"
    return Peer(name, ["/bin/sh", "-c", get + check], _environ(folder, endpoint), [out])


def copied(served: Served, _endpoint: str, folder: Path) -> Peer:
    """`cp` of the served files, and `sync`: what the disk takes, without any network or digest."""
    out = folder / "copied"
    argv = ["/bin/sh", "-c", f'cp -r "{served.files}" "{out}" && sync -f "{out}"']
    return Peer(COPIED, argv, _environ(folder, ""), [out])


def dumped(served: Served, _endpoint: str, folder: Path) -> Peer:
    """`dd` of the one served file, and `sync`: the same through a program's memory."""
    out = folder / "dumped"
    (source,) = (path for path in served.files.rglob("*") if path.is_file())
    argv = ["/bin/sh", "-c", f'dd if="{source}" of="{out}" bs=1M && sync -f "{out}"']
    return Peer(DUMPED, argv, _environ(folder, ""), [out])


def hashed(served: Served, _endpoint: str, folder: Path) -> Peer:
    """sha256 of the served files in one thread of Python, from memory."""
    program = (
        "import hashlib, pathlib, sys\n"
        "for path in sorted(p for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()):\n"
        "    with path.open('rb', buffering=0) as stream:\n"
        "        digest = hashlib.sha256()\n"
        "        while block := stream.read(1 << 20): digest.update(block)\n"
    )
    argv = [sys.executable, "-c", program, str(served.files)]
    return Peer(HASHED, argv, _environ(folder, ""))


def received(served: Served, endpoint: str, folder: Path) -> Peer:
    """One `curl` that throws away what it receives: what the loopback carries."""
    config = folder / "received.txt"
    config.write_text(
        "".join(f'url = "{url}"\noutput = "/dev/null"\n' for url, _ in _urls(served, endpoint)),
        "utf-8",
    )
    argv = [_program("curl"), "--silent", "-K", str(config)]
    return Peer(RECEIVED, argv, _environ(folder, endpoint))


def requests_pool(served: Served, endpoint: str, folder: Path) -> Peer:
    """A pool of threads with a `requests` session each, as scripts do it; digests checked."""
    out, listing = folder / "requests", folder / "requests.txt"
    listing.write_text(
        "".join(
            f"{url}\t{out}/{entry['path']}\t{entry['sha256']}\n"
            for url, entry in _urls(served, endpoint)
        ),
        "utf-8",
    )
    argv = [sys.executable, str(_POOL), str(listing)]
    return Peer("requests pool", argv, _environ(folder, endpoint), [out])


def versions() -> dict[str, str]:
    """The first line that each tool prints of its version."""
    found = {"hf": f"huggingface_hub {importlib.metadata.version('huggingface_hub')}"}
    for name, argv in {
        "fetch": [_program("fetch"), "--version"],
        "aria2c": [_program("aria2c"), "--version"],
        "curl": [_program("curl"), "--version"],
    }.items():
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        found[name] = (done.stdout.strip() or done.stderr.strip() or "?").splitlines()[0][:60]
    return found
