"""A configuration with which nginx serves the same files at the same addresses.

nginx computes nothing: which file an address means stands in maps, listings are written out as
JSON. What needs a token, takes a request's body or must be proven first is not there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import Failure, UsageError, from_os_error
from fetcher.fs.atomic import write_atomically
from fetcher.fs.boundary import open_own, write_own
from fetcher.i18n import n, t
from fetcher.mirror.inventory import HeldArtifact
from fetcher.server.cards import card_of
from fetcher.server.http import Content
from fetcher.server.hub import described, refs_of
from fetcher.server.raw_files import shown_documents
from fetcher.server.repos import Repo, Snapshot
from fetcher.server.served_inventory import InventoryView
from fetcher.server.tokens import ANONYMOUS, Identity

_UNFIT = re.compile(r"[\"'$\\;{}\s]")
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
_KINDS = ("model", "dataset", "space")


@dataclass
class NginxMaps:
    """Keys and values of nginx's maps, by the map's name."""

    entries: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, name: str, key: str, value: str) -> None:
        """Add an entry; the first of a key counts."""
        self.entries.setdefault(name, {}).setdefault(key, value)

    def text(self, name: str) -> str:
        """A map's body. nginx compares without case: keys that differ by it become patterns."""
        found = self.entries.get(name, {})
        folded: dict[str, int] = {}
        for key in found:
            folded[key.lower()] = folded.get(key.lower(), 0) + 1
        lines = []
        for key, value in found.items():
            twin = folded[key.lower()] > 1
            shown = f"~^{re.escape(key)}$" if twin else key
            shown = shown.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'"{shown}" {value};\n')
        return "".join(lines)


class ConfigGenerator:
    """Collects what one view has to show to everybody, and writes it below a folder."""

    def __init__(self, view: InventoryView, folder: Path, identity: Identity) -> None:
        self.view = view
        self.identity = identity
        self.folder = folder
        self.maps = NginxMaps()
        self.documents: dict[str, bytes] = {}
        self.names: set[str] = set()

    def collect(self) -> None:
        """Fill the maps. Raises Failure for contents that do not lie in files of their own."""
        for kind in _KINDS:
            for repo in self.view.repos(kind, self.identity):
                self._hub(f"{kind}s", repo)
        for repo in self.view.repos("github", self.identity):
            self._github(repo)
        for artifact in self.view.visible(self.identity):
            self._artifact(artifact)
        documents, _ = shown_documents(self.view.inventories, self.identity)
        self.documents |= {f"projects/{name}": data for name, data in documents.items()}

    def _place(self, sha256: str | None) -> str:
        extents = self.view.locate(sha256 or "")
        if extents == ():
            self.documents["empty"] = b""
            return str(self.folder / "empty")
        if not extents or len(extents) > 1 or extents[0].offset:
            raise Failure(
                "bundle",
                t("nginx cannot serve a tar or volumes: their files do not lie on disk one by one"),
                t("import the bundle into a store first: fetch mirror import"),
            )
        return _fit(os.path.abspath(extents[0].path))

    def _hub(self, kind: str, repo: Repo) -> None:
        base = f"{kind}/{repo.id}"
        self.maps.put("known", base, "1")
        for revision in _revisions(repo):
            snapshot = repo.find(revision)
            assert snapshot is not None
            self.maps.put("commit", f"{base}@{revision}", snapshot.commit)
            if "/" in revision and _PLAIN.fullmatch(revision):
                self.names.add(revision)
        self._json("refs", base, refs_of(repo))
        for commit, snapshot in repo.snapshots.items():
            at = f"{base}@{commit}"
            self._json("info", at, self._info(repo, snapshot))
            for folder in snapshot.folders:
                for recursive in (False, True):
                    paths = snapshot.listing(folder, recursive)
                    entries = [snapshot.entries[path] for path in paths]
                    self._json("tree", f"{at}/{folder}|{int(recursive)}", entries)
            for path, entry in snapshot.files.items():
                self.maps.put("file", f"{at}/{path}", self._place(entry.sha256))
                if entry.git_blob:
                    self.maps.put("git", f"{at}/{path}", entry.git_blob)

    def _info(self, repo: Repo, snapshot: Snapshot) -> dict[str, object]:
        told = described(repo, snapshot.commit, self.identity)
        info: dict[str, object] = {**told}
        card = snapshot.files.get("README.md")
        extents = self.view.locate(card.sha256 or "") if card else None
        if card and extents:
            info |= card_of(Content(card.sha256 or "", card.size, extents))
        info["siblings"] = [entry.sibling(True) for entry in snapshot.files.values()]
        return info

    def _json(self, name: str, key: str, value: object) -> None:
        path = f"json/{len(self.documents)}.json"
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self.documents[path] = text.encode("utf-8", "surrogatepass")
        self.maps.put(name, key, _fit(str(self.folder / path)))

    def _github(self, repo: Repo) -> None:
        for revision in _revisions(repo):
            snapshot = repo.find(revision)
            for path, entry in snapshot.files.items() if snapshot else ():
                place = self._place(entry.sha256)
                for form in (revision, f"raw/{revision}"):
                    self.maps.put("github", f"{repo.id}/{form}/{path}", place)
        for tag, release in repo.releases.items():
            for path, entry in release.files.items():
                key = f"{repo.id}/releases/download/{tag}/{path}"
                self.maps.put("github", key, self._place(entry.sha256))

    def _artifact(self, artifact: HeldArtifact) -> None:
        named = self.view.named(self.identity, artifact.full_name) == [artifact]
        for file in artifact.files:
            place = self._place(file.sha256)
            self.maps.put("blob", file.sha256 or "", place)
            if named:
                self.maps.put("plain", f"{artifact.full_name}/{file.path}", place)

    def write(self, server: str) -> None:
        """Write everything, the main file last. Raises OSError, Failure."""
        for name in ("nginx.conf", "fetch.conf"):
            _refuse_foreign(self.folder / name)
        for name in ("json", "logs", "tmp"):
            open_own(self.folder, name).close()
        with open_own(self.folder, "json") as folder:
            for old in os.listdir(folder.at(".")):
                if old.endswith(".json"):
                    os.unlink(folder.at(old))
        for path, data in self.documents.items():
            write_own(self.folder, str(path), data)
        maps = [name for name, _ in _MAPS]
        for name in maps:
            write_atomically(self.folder / f"{name}.map", self.maps.text(name).encode())
        keys = [len(k.encode()) for name in maps for k in self.maps.entries.get(name, ())]
        bucket = 512
        while bucket < max(keys, default=0) + 64:
            bucket *= 2
        size = 2048
        while size < max((len(v) for v in self.maps.entries.values()), default=0) * 8:
            size *= 2
        slashed = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True))
        revision = (f"{slashed}|" if slashed else "") + "refs/[a-z]+/[^/]+|[^/]+"
        text = _HTTP.format(
            folder=self.folder,
            bucket=bucket,
            size=size,
            maps="".join(
                f'map "{key}" $fetch_{name} {{\n    default "";\n    include "'
                f'{self.folder}/{name}.map";\n}}\n'
                for name, key in _MAPS
            ),
            server=server,
            api=f"^/api/(?<fetch_kind>models|datasets|spaces)/{_REPO}",
            repo=_REPO,
            send=_SEND,
            at=f"(?<fetch_rev>{revision})",
        ).replace("@@", "$")
        write_atomically(self.folder / "fetch.conf", text.encode())
        main = _MAIN.format(folder=self.folder)
        write_atomically(self.folder / "nginx.conf", main.encode())


def _refuse_foreign(path: Path) -> None:
    """Raise Failure for somebody else's configuration: it would be lost."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as stream:
            if stream.read(len(_SIGN)) != _SIGN:
                raise Failure(
                    "conflict",
                    t("{path} is there, and fetch did not write it", path=path),
                    t("it would be lost: name a folder of its own"),
                    file=str(path),
                )


def _fit(path: str) -> str:
    if _UNFIT.search(path):
        raise UsageError(
            t("{path}: nginx's configuration cannot hold such a path", path=path),
            t("choose a folder without spaces and the signs \" ' $ \\ ; { }"),
        )
    return path


def _revisions(repo: Repo) -> Iterator[str]:
    for name in repo.refs:
        yield name
        if not name.startswith("refs/"):
            yield f"refs/heads/{name}"
            yield f"refs/tags/{name}"
    yield from repo.snapshots
    for commit in repo.snapshots:
        for length in (7, 8, 12):
            if repo.find(commit[:length]):
                yield commit[:length]


def write_configuration(
    views: InventoryView,
    folder: Path,
    listen: str,
    certificate: Iterable[Path] = (),
    identity: Identity = ANONYMOUS,
) -> list[str]:
    """Write the configuration below `folder`, of what `identity` may see; what to tell the user.

    Raises FetchError.
    """
    folder = Path(_fit(str(folder.absolute())))
    generator = ConfigGenerator(views, folder, identity)
    generator.collect()
    lines = [f"listen {listen}{' ssl' if certificate else ''};"]
    for name, path in zip(("ssl_certificate", "ssl_certificate_key"), certificate, strict=False):
        lines.append(f"{name} {_fit(str(path.absolute()))};")
    try:
        generator.write("\n        ".join(lines))
    except OSError as error:
        raise from_os_error(error, t("writing {folder}", folder=folder)) from error
    hidden = len(views.artifacts) - len(views.visible(identity))
    told = [
        n(
            "wrote {path} for {count} artifact",
            "wrote {path} for {count} artifacts",
            len(views.visible(identity)),
            path=folder / "nginx.conf",
        )
    ]
    if hidden:
        told.append(
            n(
                "{count} that is not public is left out",
                "{count} that are not public are left out",
                hidden,
            )
        )
    elif closed := [a for a in views.artifacts if not ANONYMOUS.may_see(a.full_name, a.record)]:
        told.append(
            n(
                "{count} of them is not public: --tokens FILE leaves it out",
                "{count} of them are not public: --tokens FILE leaves them out",
                len(closed),
            )
        )
    return [*told, f"  nginx -p {folder} -c nginx.conf", t("write it anew after every change")]


# Which variables each map is asked by.
_AT = "$fetch_kind/$fetch_repo@$fetch_commit"
_MAPS = (
    ("known", "$fetch_kind/$fetch_repo"),
    ("commit", "$fetch_kind/$fetch_repo@$fetch_rev"),
    ("refs", "$fetch_kind/$fetch_repo"),
    ("info", _AT),
    ("tree", f"{_AT}/$fetch_folder|$fetch_recursive"),
    ("file", f"{_AT}/$fetch_path"),
    ("git", f"{_AT}/$fetch_path"),
    ("github", "$fetch_tail"),
    ("plain", "$fetch_tail"),
    ("blob", "$fetch_tail"),
)

_REPO = "(?<fetch_repo>[^/]+(?:/[^/]+)?)"
_SEND = """add_header X-Repo-Commit @@fetch_commit;
            add_header X-Linked-Etag @@fetch_etag;
            add_header X-Content-Type-Options nosniff;
            try_files @@fetch_file @missing;"""

_SIGN = b"# Written by fetch serve --nginx-config"
_MAIN = """# Written by fetch serve --nginx-config: a whole configuration for nginx -p {folder}
worker_processes auto;
error_log logs/error.log;
pid nginx.pid;
events {{
    worker_connections 4096;
}}
http {{
    access_log logs/access.log;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    include "{folder}/fetch.conf";
}}
"""

_HTTP = """# Written by fetch serve --nginx-config: for the http block of a configuration.
map_hash_bucket_size {bucket};
map_hash_max_size {size};
map @@arg_recursive @@fetch_recursive {{
    default 0;
    "~*^(true|1)@@" 1;
}}
{maps}map @@fetch_file @@fetch_sha {{
    default "";
    "~/(?<fetch_hex>[0-9a-f]{{64}})@@" @@fetch_hex;
}}
map "@@fetch_git|@@fetch_sha" @@fetch_etag {{
    default "";
    "~^(?<fetch_id>[0-9a-f]{{40}})\\|" '"@@fetch_id"';
    "~^\\|(?<fetch_id>[0-9a-f]{{64}})@@" '"@@fetch_id"';
}}
map "@@fetch_known@@fetch_commit" @@fetch_code {{
    default EntryNotFound;
    "" RepoNotFound;
    1 RevisionNotFound;
}}
server {{
        {server}
        root /;
        default_type application/octet-stream;
        sendfile on;
        tcp_nopush on;
        keepalive_requests 1000000;
        open_file_cache max=20000 inactive=60s;
        set @@fetch_kind "";
        set @@fetch_repo "";
        set @@fetch_rev "";
        set @@fetch_path "";
        set @@fetch_folder "";
        set @@fetch_tail "";

        location = /healthz {{
            default_type text/plain;
            return 200 "ok\\n";
        }}
        location = /api/agent-harnesses {{
            default_type application/json;
            return 200 '{{"harnesses":[]}}';
        }}
        location ~ "{api}/refs@@" {{
            default_type application/json;
            try_files @@fetch_refs @missing;
        }}
        location ~ "{api}/revision/(?<fetch_rev>.+)@@" {{
            default_type application/json;
            try_files @@fetch_info @missing;
        }}
        location ~ "{api}/tree/{at}(?:/(?<fetch_folder>.*?))?/?@@" {{
            default_type application/json;
            try_files @@fetch_tree @missing;
        }}
        location ~ "{api}@@" {{
            set @@fetch_rev main;
            default_type application/json;
            try_files @@fetch_info @missing;
        }}
        location ~ "^/blobs/sha256/(?<fetch_tail>[0-9a-f]{{64}})@@" {{
            try_files @@fetch_blob =404;
        }}
        location ~ "^/files/(?<fetch_tail>.+)@@" {{
            try_files @@fetch_plain =404;
        }}
        location ~ "^/gh/(?<fetch_tail>.+)@@" {{
            try_files @@fetch_github =404;
        }}
        location /projects/ {{
            alias "{folder}/projects/";
        }}
        location ~ "^/(?<fetch_kind>datasets|spaces)/{repo}/resolve/{at}/(?<fetch_path>.+)@@" {{
            {send}
        }}
        location ~ "^/{repo}/resolve/{at}/(?<fetch_path>.+)@@" {{
            set @@fetch_kind models;
            {send}
        }}
        location / {{
            return 404;
        }}
        location @missing {{
            default_type application/json;
            add_header X-Error-Code @@fetch_code always;
            add_header X-Repo-Commit @@fetch_commit always;
            return 404 '{{"error":"not held by this mirror"}}';
        }}
}}
"""
