"""A run that was given secrets in every place there is, and a search for them in all it leaves."""

from __future__ import annotations

import base64
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

# Told by Python itself for each process that is started, with arguments and environment.
_AUDIT = """
import json, os, sys
_out = os.open(os.environ["FETCH_TEST_AUDIT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def _hook(event, args):
    if event == "subprocess.Popen":
        env = dict(os.environ if args[3] is None else args[3])
        def text(value):
            return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)
        one = isinstance(args[1], (str, bytes))
        given = [text(item) for item in ([args[1]] if one else args[1])]
        line = {"args": given, "env": {text(k): text(v) for k, v in env.items()}}
        os.write(_out, json.dumps(line).encode() + b"\\n")
    elif event in ("os.exec", "os.posix_spawn", "os.system"):
        os.write(_out, json.dumps({"args": [event, repr(args)], "env": {}}).encode() + b"\\n")
sys.addaudithook(_hook)
"""


def secret(word: str) -> str:
    """A secret that is found wherever it stands."""
    return f"s3cret-{word}-{os.urandom(6).hex()}"


@dataclass
class Secrets:
    """What a run is given (`values`, by what it is), and where it may stand (`given`)."""

    folder: Path
    values: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    given: set[Path] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    def __getitem__(self, word: str) -> str:
        """The secret of this name, made when it is first asked for."""
        return self.values.setdefault(word, secret(word))

    def give(self, home: Path) -> None:
        """Variables, netrc, an endpoint's and a proxy's address, `hf auth login`, docker, AWS."""
        env = self.environment
        env["HF_TOKEN"] = self["hf"]
        env["GITHUB_TOKEN"] = self["github"]
        env["GH_ENTERPRISE_TOKEN"] = self["enterprise"]
        env["GH_HOST"] = "forge.example"
        env["OPENAI_API_KEY"] = self["openai"]
        env["AWS_SECRET_ACCESS_KEY"] = self["aws"]
        env["AZURE_STORAGE_KEY"] = self["azure"]
        env["AZURE_STORAGE_CONNECTION_STRING"] = f"AccountName=a;AccountKey={self['azurestring']}"
        env["CLOUDSDK_AUTH_ACCESS_TOKEN"] = self["google"]
        env["KAGGLE_KEY"] = self["kaggle"]
        env["http_proxy"] = f"http://me:{self['proxy']}@127.0.0.1:9"
        env["no_proxy"] = "127.0.0.1,localhost"
        for name, text in (
            (".netrc", f"machine localhost login me password {self['netrc']}\n"),
            ("huggingface/token", self["login"]),
            (".aws/credentials", f"[default]\naws_secret_access_key = {self['awsfile']}\n"),
            (".kaggle/kaggle.json", json.dumps({"username": "me", "key": self["kagglefile"]})),
            (".docker/config.json", json.dumps({"auths": {"r.example": {"auth": base64.b64encode(
                f"me:{self['docker']}".encode()).decode()}}})),
        ):  # fmt: skip
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600)
            self.given.add(path)

    @property
    def _audit(self) -> Path:
        return self.folder / "audit" / "children.jsonl"

    def fetch(
        self, *arguments: str | Path, cwd: Path, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run fetch with all of that, told of every process that it starts."""
        hook = self._audit.parent / "sitecustomize.py"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_AUDIT)
        done = subprocess.run(
            [sys.executable, "-m", "fetcher", *map(str, arguments)],
            cwd=cwd,
            env={
                **os.environ,
                **self.environment,
                "PYTHONPATH": os.pathsep.join([str(hook.parent), *filter(None, sys.path)]),
                "FETCH_TEST_AUDIT": str(self._audit),
                **more,
            },
            capture_output=True,
            text=True,
            errors="replace",
            timeout=180,
            check=False,
        )
        self.told += [done.stdout, done.stderr]
        return done

    # Searching

    def forms(self) -> dict[bytes, str]:
        """Every way to write each secret: plain, in addresses, in base64 at any alignment."""
        found: dict[bytes, str] = {}
        for word, value in self.values.items():
            raw = value.encode()
            found[raw] = word
            found[quote(value, safe="").encode()] = word
            found[raw.hex().encode()] = word
            for shift in range(3):
                # The characters that neither neighbour can change.
                coded = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]
                found[coded] = found[coded.translate(bytes.maketrans(b"+/", b"-_"))] = word
        return found

    def within(self, data: bytes, forms: Mapping[bytes, str]) -> set[str]:
        """The names of the secrets that stand in some bytes."""
        return {word for form, word in forms.items() if form in data}

    def leaks(self, *roots: Path) -> list[str]:
        """Where secrets stand that nobody put there: files below `roots`, and what was said."""
        forms, found = self.forms(), []
        for text in self.told:
            found += [f"{word} was said" for word in self.within(text.encode(), forms)]
        for root in roots:
            for path in sorted(root.rglob("*")):
                for word in self.within(os.fsencode(path.name), forms):
                    found.append(f"{word} is a file's name: {path}")
                if path in self.given or path.is_symlink() or not path.is_file():
                    continue
                for part, data in contents(path):
                    found += [f"{word} in {path}{part}" for word in self.within(data, forms)]
        return found

    def child_leaks(self, allowed: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """Secrets in the arguments or the environment of processes that were started.

        `allowed`: by a word of the arguments, the variables that this child needs.
        """
        forms, found = self.forms(), []
        lines = self._audit.read_text().splitlines() if self._audit.exists() else []
        for line in lines:
            child = json.loads(line)
            shown = " ".join(child["args"])[:200]
            for word in self.within(" ".join(child["args"]).encode(), forms):
                found.append(f"{word} is an argument of {shown}")
            needs = {
                name for word, names in (allowed or {}).items() if word in shown for name in names
            }
            for name, value in child["env"].items():
                if name not in needs and self.within(value.encode(), forms):
                    found.append(f"{name} is given to {shown}")
        return sorted(set(found))

    @property
    def children(self) -> int:
        """How many processes were started."""
        return self._audit.read_text().count("\n") if self._audit.exists() else 0


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and what an archive or a database in it holds."""
    data = path.read_bytes()
    yield "", data
    if data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError):
            yield " (unpacked)", gzip.decompress(data)
    if zipfile.is_zipfile(path):
        with suppress(zipfile.BadZipFile, RuntimeError), zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f" ({name})", archive.read(name)
    elif path.suffix == ".tar" and tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            for member in tar:
                if (stream := tar.extractfile(member)) is not None:
                    yield f" ({member.name})", stream.read()
    elif data.startswith(b"SQLite format 3\0"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as db:
            yield " (rows)", "\n".join(db.iterdump()).encode("utf-8", "replace")
