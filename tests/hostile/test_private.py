"""Contents that somebody marked private, and others who would show them; honest use beside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import sha256
from tests.server.kit import Mirror, attempt, bearer, serving
from tests.servers.hub import HubServer

SECRET, SHARED, OPEN = b"nobody may know\n", b"shared by both\n", b"for everybody\n"
COMMIT = "c" * 40


@dataclass
class Place:
    """A store that several projects share, and a file of tokens."""

    home: Path

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def tokens(self) -> Path:
        return self.home / "tokens"

    def project(self, name: str, artifacts: dict[str, tuple[str, dict[str, bytes]]]) -> Path:
        """A project with a lock of these artifacts: (what the manifest says, files)."""
        root = self.home / name
        (root / "manifests").mkdir(parents=True, exist_ok=True)
        text, locked = f"manifest: {name}\nartifacts:\n", {}
        for key, (said, files) in artifacts.items():
            source = f"hf:{name}/{key}@main"
            text += f'  {key}: {{source: "{source}"{said and f", {said}"}}}\n'
            locked[key] = {
                "source": source,
                "revision": COMMIT,
                "files": [
                    {"path": path, "size": len(data), "sha256": sha256(data), "lfs": True}
                    for path, data in files.items()
                ],
            }
        (root / f"manifests/{name}.yaml").write_text(text)
        lock = {"schema": "fetch.lock/1", "manifests": {name: locked}}
        (root / "fetch.lock").write_text(json.dumps(lock))
        for folder in ("blobs/sha256", "projects"):
            (self.store / folder).mkdir(parents=True, exist_ok=True)
        (self.store / f"projects/{name}.json").write_text(json.dumps({"root": str(root)}))
        return root

    def flags(self, *named: str) -> list[str | Path]:
        """What serves the whole store, and these projects as what they claim to be."""
        projects = [flag for name in named for flag in ("--project", self.home / name)]
        return ["--store", self.store, "--tokens", self.tokens, *projects]

    def put(self, *contents: bytes) -> None:
        """Put contents into the store."""
        for data in contents:
            (self.store / "blobs/sha256" / sha256(data)).write_bytes(data)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.tokens.write_text("ana read ana-token-1\nbob read bob-token-1\nroot read=* root-token-1\n")
    return made


def ways(name: str, key: str, path: str, data: bytes) -> list[str]:
    """Every address that could give a content."""
    return [
        f"/blobs/sha256/{sha256(data)}",
        f"/files/{name}/{key}/{path}",
        f"/{name}/{key}/resolve/main/{path}",
        f"/{name}/{key}/resolve/{COMMIT}/{path}",
        f"/v2/{name}/{key}/blobs/sha256:{sha256(data)}",
    ]


def readable(mirror: Mirror, addresses: list[str], token: str = "") -> list[bool]:
    headers = bearer(token) if token else {}
    return [mirror.ask(address, headers=headers).status == 200 for address in addresses]


@pytest.mark.parametrize("said", ["visibility: private, owner: ana", "owner: ana"])
def test_a_public_twin_does_not_show_what_is_private(place: Place, said: str) -> None:
    """A project claims a private content's digest as its own public file, to have it by name, by
    digest, and from the registry."""
    place.project("own", {"secret": (said, {"s.txt": SECRET})})
    twin = {"x.txt": SECRET, "open.txt": OPEN}
    place.project("thief", {"twin": ("visibility: public", twin)})
    place.put(SECRET, OPEN)
    attacked = ways("thief", "twin", "x.txt", SECRET) + ways("own", "secret", "s.txt", SECRET)
    with serving(place.home, *place.flags("own", "thief"), cwd=place.home) as mirror:
        for token in ("", "bob-token-1"):
            assert not any(readable(mirror, attacked, token))
            listed = mirror.ask("/api/models/thief/twin/tree/main", headers=bearer(token)).json()
            assert [item["path"] for item in listed] == ["open.txt"]
            found = mirror.ask("/files/thief/twin", headers=bearer(token)).json()
            assert [file["path"] for file in found["files"]] == ["open.txt"]
            honest = ways("thief", "twin", "open.txt", OPEN)
            assert all(readable(mirror, honest, token))
        for token in ("ana-token-1", "root-token-1"):
            assert all(readable(mirror, attacked, token))
        assert "thief/twin lacks files that are private elsewhere" in mirror.greeting


def test_the_hint_shows_what_was_withheld(place: Place) -> None:
    """The honest case: two projects of one person use one model, and one says nothing of it."""
    place.project("quiet", {"m": ("", {"w.bin": SHARED})})
    place.project("loud", {"m": ("visibility: public", {"w.bin": SHARED})})
    place.put(SHARED)
    flags = place.flags("loud")  # what nobody named keeps its contents private all the same
    with serving(place.home, *flags, cwd=place.home) as mirror:
        assert not any(readable(mirror, ways("loud", "m", "w.bin", SHARED)))
        assert all(readable(mirror, ways("loud", "m", "w.bin", SHARED), "bob-token-1"))
        assert "loud/m lacks files" in mirror.greeting
        assert "`visibility: public` there shows them" in mirror.greeting
    place.project("quiet", {"m": ("visibility: public", {"w.bin": SHARED})})
    with serving(place.home, *flags, cwd=place.home) as mirror:
        assert all(readable(mirror, ways("loud", "m", "w.bin", SHARED)))
        assert "lacks files" not in mirror.greeting


def test_owners_in_one_project_are_safe_from_each_other(place: Place) -> None:
    """Somebody who may register models in a project names another owner's content in a public
    record."""
    root = place.project(
        "p",
        {
            "secret": ("visibility: private, owner: ana", {"s.txt": SECRET}),
            "twin": ("visibility: public, owner: bob", {"x.txt": SECRET, "open.txt": OPEN}),
            "group": ("visibility: organization", {"g.txt": SECRET}),
        },
    )
    place.put(SECRET, OPEN)
    with serving(place.home, "--tokens", place.tokens, cwd=root) as mirror:
        for key, path in (("twin", "x.txt"), ("group", "g.txt"), ("secret", "s.txt")):
            addresses = ways("p", key, path, SECRET)
            assert not any(readable(mirror, addresses))
            assert not any(readable(mirror, addresses, "bob-token-1"))
            assert all(readable(mirror, addresses, "ana-token-1"))
        assert all(readable(mirror, ways("p", "twin", "open.txt", OPEN)))


def test_an_empty_file_is_nobodys_secret(place: Place) -> None:
    """`__init__.py` is in everything: marking it private would cut holes into what is public."""
    place.project("own", {"secret": ("visibility: private", {"s.txt": SECRET, "e": b""})})
    place.project("open", {"m": ("visibility: public", {"__init__.py": b""})})
    place.put(SECRET, b"")
    with serving(place.home, *place.flags("own", "open"), cwd=place.home) as mirror:
        assert mirror.ask("/open/m/resolve/main/__init__.py").status == 200


def test_a_claim_does_not_hide_what_a_hub_shows_to_everybody(place: Place) -> None:
    """A project marks the bytes of a public repository private, so that nobody has them."""
    root = place.project("own", {"mine": ("visibility: private", {"s.txt": OPEN})})
    with HubServer() as hub:
        hub.add_repo("o/m", {"w.txt": OPEN})
        flags = ("--upstream", hub.url, "--tokens", place.tokens)
        with serving(place.home, *flags, cwd=root) as mirror:
            assert mirror.ask("/o/m/resolve/main/w.txt").body == OPEN
        with serving(place.home, *flags, cwd=root) as mirror:
            assert mirror.ask("/o/m/resolve/main/w.txt").body == OPEN
            assert mirror.ask(f"/blobs/sha256/{sha256(OPEN)}").body == OPEN
            assert mirror.ask("/own/mine/resolve/main/s.txt").status in {401, 404}


# Without tokens


ARTIFACTS = {
    "said": ("visibility: private", {"s.txt": SECRET}),
    "group": ("visibility: organization", {"g.txt": b"group\n"}),
    "quiet": ("", {"q.txt": b"quiet\n"}),
    "open": ("visibility: public", {"o.txt": OPEN}),
}


@pytest.mark.parametrize("near", [("--trust-forwarded",), ("--host", "0.0.0.0")])
def test_without_tokens_the_network_does_not_see_what_is_marked_private(
    place: Place, near: tuple[str, ...]
) -> None:
    """Anybody in the network asks a server that was started without --tokens."""
    root = place.project("p", ARTIFACTS)
    place.put(SECRET, b"group\n", b"quiet\n", OPEN)
    addresses = {
        key: ways("p", key, path, data)
        for key, (_, files) in ARTIFACTS.items()
        for path, data in files.items()
    }

    def seen(mirror: Mirror) -> set[str]:
        mirror.url = f"http://127.0.0.1:{mirror.url.rpartition(':')[2]}"
        shown = {key for key, found in addresses.items() if all(readable(mirror, found))}
        part = {key for key, found in addresses.items() if any(readable(mirror, found))}
        assert shown == part
        cards = mirror.ask("/-/api/models").json()["models"]
        assert shown == {card["id"] for card in cards}, "the catalog shows the same"
        return shown

    with serving(place.home, *near, cwd=root) as mirror:
        assert seen(mirror) == {"quiet", "open"}, "who marks nothing means nothing by it"
        assert "2 artifacts that are private are hidden" in mirror.greeting
        assert "--tokens FILE" in mirror.greeting and "--show-private" in mirror.greeting
    with serving(place.home, *near, "--show-private", cwd=root) as mirror:
        assert seen(mirror) == addresses.keys()
        assert "3 artifacts that are not public" in mirror.greeting
    with serving(place.home, cwd=root) as mirror:
        assert seen(mirror) == addresses.keys(), "on this machine it is the person themselves"


def test_what_cannot_be_read_counts_as_private_in_the_network(place: Place) -> None:
    """A manifest is broken on purpose, so that nobody can tell what it says of visibility."""
    root = place.project("p", ARTIFACTS)
    place.put(SECRET, OPEN)
    (root / "manifests/p.yaml").write_text("artifacts: [")
    with serving(place.home, "--trust-forwarded", cwd=root) as mirror:
        assert not any(readable(mirror, ways("p", "said", "s.txt", SECRET)))
        assert not any(readable(mirror, ways("p", "quiet", "q.txt", b"quiet\n")))


def test_tokens_say_it_all(place: Place) -> None:
    """--show-private beside --tokens would mean two things."""
    root = place.project("p", ARTIFACTS)
    flags = ("--tokens", place.tokens, "--show-private")
    done = attempt(place.home, "serve", *flags, cwd=root)
    assert done.returncode == 2 and "drop --show-private" in done.stderr
