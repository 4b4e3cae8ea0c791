"""What a hub can do to its clients, by accident or on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.errors import Failure
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from tests.kit import Run, payload, sha256
from tests.servers.base import Server
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer
from tests.servers.wire import Request, Response

FILES = {"a.json": b"{}", "w.safetensors": payload(1_200_000)}
TOKEN = "hf_secretsecret"


def run_of(tmp_path: Path, hub: HubServer, **more: str) -> Run:
    return Run(tmp_path, hf_endpoint=hub.url, **more)


def test_one_listing_and_no_head_per_file(tmp_path: Path, hub: HubServer) -> None:
    hub.page_size = 1000
    hub.add_repo("o/r", {f"f{i}": b"%d" % i for i in range(50)})
    run = run_of(tmp_path, hub)
    source = HuggingFace("o/r")
    found = run.resolve(source)
    assert [request.method for request in hub.requests] == ["GET", "GET"]
    assert run.fetch(source, list(found.values())).failed == []
    assert len(hub.requests) == 52 and not hub.matching("HEAD")


def test_a_branch_that_moves_mixes_no_commits(tmp_path: Path, hub: HubServer) -> None:
    old = hub.add_repo("o/r", FILES)
    run, source = run_of(tmp_path, hub), HuggingFace("o/r")
    found = run.resolve(source)
    assert run.revision == old
    hub.add_commit("o/r", {"a.json": b'{"new": 1}', "w.safetensors": b"new"})
    outcome = run.fetch(source, list(found.values()))
    assert outcome.failed == []
    assert {done.sha256 for done in outcome.delivered} == {sha256(d) for d in FILES.values()}


def test_a_branch_that_moves_within_the_listing(tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/r", {f"f{i}": b"old%d" % i for i in range(9)})
    hub.hook("/revision/", lambda: hub.add_commit("o/r", {f"f{i}": b"new" for i in range(9)}))
    run, source = run_of(tmp_path, hub), HuggingFace("o/r")
    outcome = run.fetch(source, list(run.resolve(source).values()))
    assert sorted(d.sha256 for d in outcome.delivered) == sorted(
        sha256(b"old%d" % i) for i in range(9)
    )


def test_revisions(tmp_path: Path, hub: HubServer) -> None:
    first = hub.add_repo("o/r", {"a": b"1"})
    hub.add_commit("o/r", {"a": b"2"}, "refs/pr/1")
    hub.set_ref("o/r", "v1", first, tag=True)
    run = run_of(tmp_path, hub)
    for revision, data in (("main", b"1"), ("v1", b"1"), ("refs/pr/1", b"2"), (first, b"1")):
        found = run.resolve(HuggingFace("o/r", revision=revision))
        assert run.fetch(HuggingFace("o/r", revision=revision), list(found.values())).failed == []
        assert run.blob(data) == data
    problem = run.refused(HuggingFace("o/r", revision="v2"))
    assert problem.code == "revision-not-found" and "'v2'" in problem.message


@pytest.mark.parametrize("name", ["o--m", "a--b/c", "a/b--c", "a..b/c", "a/..", "--/x", "a/-b"])
def test_names_that_the_hub_does_not_have(name: str) -> None:
    """In the Hugging Face cache, o--m would be o/m."""
    with pytest.raises(ValueError, match="expected hf:owner/name"):
        HuggingFace.from_short(name)


def test_revisions_may_hold_what_names_may_not() -> None:
    found = HuggingFace.from_short("o/m@a--b..c:x--y/..z")
    assert (found["repo"], found["revision"], found["path"]) == ("o/m", "a--b..c", "x--y/..z")


def test_a_moved_repository_is_followed(tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/old", FILES)
    hub.move_repo("o/old", "o/new")
    run, source = run_of(tmp_path, hub), HuggingFace("o/old")
    assert run.fetch(source, list(run.resolve(source).values())).failed == []


def test_repositories_that_are_not_there(tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/secret", FILES, private=True)
    hub.add_token(TOKEN)
    for name in ("o/gone", "o/secret"):
        problem = run_of(tmp_path, hub).refused(HuggingFace(name))
        assert problem.exit_code == 6 and f"{hub.url}/{name}" in problem.hint
        problem = run_of(tmp_path, hub, hf_token=TOKEN).refused(HuggingFace(name))
        assert problem.exit_code == 3 and "read access" in problem.hint
    problem = run_of(tmp_path, hub, hf_token="hf_wrong").refused(HuggingFace("o/gone"))
    assert problem.code == "auth" and "refused the token" in problem.message
    assert "hf_wrong" not in str(problem)
    hub.add_repo("o/r", FILES)
    assert run_of(tmp_path, hub).refused(HuggingFace("o/r", path="sub")).code == "missing-upstream"


def test_private_and_gated_repositories(tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/secret", FILES, private=True)
    hub.add_repo("o/gated", FILES, gated="manual")
    hub.add_token(TOKEN, approved=["o/gated"], private=["o/secret"])
    hub.add_token("hf_unapproved")
    hub.cdn.refuse_tokens = True
    run = run_of(tmp_path, hub, hf_token=TOKEN)
    for name in ("o/secret", "o/gated"):
        source = HuggingFace(name)
        assert run.fetch(source, list(run.resolve(source).values())).failed == []
    assert hub.cdn.leaks == []
    for token in ("", "hf_unapproved"):
        other = Run(tmp_path / token, hf_endpoint=hub.url, hf_token=token)
        source = HuggingFace("o/gated")
        found = other.resolve(source)
        for _, problem in other.fetch(source, list(found.values())).failed:
            assert (problem.code, problem.exit_code) == ("gated", 6)
            assert "unapproved" not in str(problem)
        failure = source.failure(403, {"x-error-code": "GatedRepo"}, other.network)
        assert f"{hub.url}/o/gated" in failure.hint


@pytest.mark.parametrize("prefix", ["", "/hf"])
def test_a_listing_that_goes_on_elsewhere_is_gone_on_with_here(
    tmp_path: Path, hub: HubServer, files: FileServer, prefix: str
) -> None:
    """What mirrors pass on: the Hub's own address. The cursor counts, and no token goes there."""
    hub.add_repo("o/r", {f"f{i}": b"x" for i in range(10)})
    hub.add_token(TOKEN)
    hub.link_origin = files.url + prefix
    assert len(run_of(tmp_path, hub, hf_token=TOKEN).resolve(HuggingFace("o/r"))) == 10
    assert files.requests == [] and len(hub.matching("cursor=")) >= 2


def test_an_api_that_redirects_elsewhere_gets_no_token(
    tmp_path: Path, hub: HubServer, files: FileServer
) -> None:
    hub.add_repo("o/r", FILES)
    hub.add_token(TOKEN)
    hub.faults.add("/api/models", "redirect", to=f"{files.url}/x")
    hub.faults.add("/resolve/", "redirect", to=f"{files.url}/x")
    run = run_of(tmp_path, hub, hf_token=TOKEN)
    assert run.refused(HuggingFace("o/r")).code in {"not-found", "auth"}
    run.revision = "0" * 40
    assert run.fetch(HuggingFace("o/r"), [FileEntry("a", 1, "0" * 64)]).failed
    assert len(files.requests) >= 2
    assert all("authorization" not in request.headers for request in files.requests)


def test_rewriting_holds_for_redirects_and_carries_no_token(
    tmp_path: Path, hub: HubServer, files: FileServer
) -> None:
    """The CDN's address is rewritten as well; the token stays with the endpoint."""
    data = FILES["w.safetensors"]
    hub.add_repo("o/r", FILES)
    hub.add_token(TOKEN)
    hub.faults.add("/resolve/.*w.safetensors", "redirect", to="https://cdn.example.org/w?sig=1")
    files.add("cdn/w", data)
    run = run_of(
        tmp_path, hub, hf_token=TOKEN, rewrite=f"https://cdn.example.org/={files.url}/cdn/"
    )
    source = HuggingFace("o/r")
    assert run.fetch(source, list(run.resolve(source).values())).failed == []
    assert [request.path for request in files.requests] == ["/cdn/w"]
    assert "authorization" not in files.requests[0].headers
    assert all(request.token == TOKEN for request in hub.requests)


@pytest.mark.parametrize(
    "path",
    ["../up", "/etc/passwd", "a/../../b", "C:/x", "a\\b", "a//b", "./a", "nul", "a\nb", "x" * 300,
     ".git/config", "a\x00b", "\ud800"],
)  # fmt: skip
def test_hostile_paths_are_refused_by_name(tmp_path: Path, hub: HubServer, path: str) -> None:
    hub.add_repo("o/r", FILES)
    hub.add_raw_tree_entry("o/r", {"type": "file", "path": path, "size": 1, "oid": "0" * 40})
    run = run_of(tmp_path, hub)
    problem = run.refused(HuggingFace("o/r"))
    assert (problem.code, problem.exit_code) == ("bad-path", 4)
    problem.message.encode()
    assert "\n" not in problem.message
    assert sorted(run.resolve(HuggingFace("o/r"), *FILES)) == sorted(FILES)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file", "path": 5, "size": 1, "oid": "0" * 40},
        {"type": "file", "path": None, "size": 1, "oid": "0" * 40},
        {"type": "file", "path": ["x"], "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": -1, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": True, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": 1.5, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": "1", "oid": "0" * 40},
        {"type": "file", "path": "x", "size": 1 << 63, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": 1, "oid": "0"},
        {"type": "file", "path": "x", "size": 1, "oid": "../../../../etc/passwd"},
        {"type": "file", "path": "x", "size": 1},
        {"type": "file", "path": "x", "size": 1, "lfs": {"oid": "0" * 40, "size": 1}},
        {"type": "file", "path": "x", "size": 1, "lfs": {"oid": 7, "size": 1}},
        {"type": "file", "path": "x" * 5000, "size": -1},
        {"type": "file", "path": "a.json", "size": 9, "oid": "0" * 40},
    ],
)
def test_wrong_entries_are_refused(
    tmp_path: Path, hub: HubServer, entry: dict[str, object]
) -> None:
    hub.add_repo("o/r", FILES)
    hub.add_raw_tree_entry("o/r", entry)
    problem = run_of(tmp_path, hub).refused(HuggingFace("o/r"))
    assert problem.code == "refused" and len(problem.message) < 300


@pytest.mark.parametrize(
    "body", ["", "{}", "null", "[1]", '["x"]', "[[]]", "<html>", "[" * 100_000]
)
def test_listings_that_are_none(tmp_path: Path, hub: HubServer, body: str) -> None:
    commit = hub.add_repo("o/r", FILES)
    hub.faults.add("/tree/", "status", code=200, body=body)
    problem = run_of(tmp_path, hub).refused(HuggingFace("o/r", revision=commit))
    assert problem.code == "refused"
    hub.faults.add("/revision/", "status", code=200, body=body)
    assert run_of(tmp_path, hub).refused(HuggingFace("o/r")).code == "refused"


def test_a_listing_in_a_circle_ends(tmp_path: Path, hub: HubServer) -> None:
    commit = hub.add_repo("o/r", FILES)
    link = f'<{hub.url}/api/models/o/r/tree/{commit}?cursor=1>; rel="next"'
    hub.faults.add("/tree/", "status", code=200, body="[]", headers={"Link": link})
    problem = run_of(tmp_path, hub).refused(HuggingFace("o/r", revision=commit))
    assert "never ends" in problem.message and len(hub.requests) < 5


def test_a_relative_next_page(tmp_path: Path, hub: HubServer) -> None:
    commit = hub.add_repo("o/r", FILES)
    link = f'</x>; rel="prev", </api/models/o/r/tree/{commit}?recursive=true>; rel="next"'
    hub.faults.add("/tree/", "status", times=1, code=200, body="[]", headers={"Link": link})
    assert len(run_of(tmp_path, hub).resolve(HuggingFace("o/r", revision=commit))) == 2


def test_a_signed_link_that_has_run_out_is_asked_for_again(tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/r", FILES)
    hub.cdn.faults.add("GET", "status", code=403, times=1)
    run, source = run_of(tmp_path, hub), HuggingFace("o/r")
    assert run.fetch(source, list(run.resolve(source).values())).failed == []


def test_quotas_are_kept_to(tmp_path: Path, hub: HubServer) -> None:
    hub.page_size = 1000
    hub.add_repo("o/r", {f"f{i}": b"%d" % i for i in range(30)})
    hub.limit("resolvers", 20, window=2)
    run, source = run_of(tmp_path, hub), HuggingFace("o/r")
    assert run.fetch(source, list(run.resolve(source).values())).failed == []
    assert sum(request.status == 429 for request in hub.requests) <= 16


class History(Server):
    """Answers with pages of commits: `pages` by number, each with the address of the next."""

    def __init__(self, pages: dict[str, object], following: dict[str, str]) -> None:
        super().__init__()
        self.pages, self.following = pages, following

    def respond(self, request: Request) -> Response:
        page = request.query.get("p", "0")
        answer = Response.json(self.pages[page])
        if page in self.following:
            answer.headers["Link"] = f'<{self.following[page]}>; rel="next"'
        return answer


@pytest.mark.parametrize("found", [True, False])
def test_where_a_branch_once_was(tmp_path: Path, found: bool) -> None:
    pages: dict[str, object] = {"0": [{"id": "a" * 40}, "junk", {}], "1": [{"id": "b" * 40}]}
    with History(pages, {"0": "?p=1"}) as server:
        network = Run(tmp_path, hf_endpoint=server.url).fresh_network()
        wanted = ("b" if found else "c") * 40
        assert HuggingFace("o/r").was_at(wanted, network) is found
        assert len(server.requests) == 2


def test_a_history_that_never_ends_leads_elsewhere_or_is_none(tmp_path: Path) -> None:
    page: list[object] = [{"id": "a" * 40}]
    with History({"0": page, "1": page}, {"0": "?p=1", "1": "?p=0"}) as server:
        network = Run(tmp_path, hf_endpoint=server.url).fresh_network()
        assert not HuggingFace("o/r").was_at("c" * 40, network)
        assert len(server.requests) < 30
        server.following["0"] = "http://127.0.0.1:9/?p=1"
        with pytest.raises(Failure, match="another host"):
            HuggingFace("o/r").was_at("c" * 40, network)
        server.pages["0"] = {"error": "no"}
        assert not HuggingFace("o/r").was_at("c" * 40, network)


def test_what_the_hub_allows_is_documented_where_it_does_not_tell(tmp_path: Path) -> None:
    source = HuggingFace("o/r")
    anonymous = Run(tmp_path / "a", hf_endpoint="https://huggingface.co").network
    found = source.allowance({}, anonymous)
    assert found is not None and (found.left, found.least_seconds(10_000)) == (3000, 900)
    known = Run(tmp_path / "b", hf_endpoint="https://huggingface.co", hf_token=TOKEN).network
    found = source.allowance({}, known)
    assert found is not None and (found.left, found.least_seconds(10_000)) == (5000, 300)
    told = source.allowance({"ratelimit": '"resolvers";r=7;t=9'}, known)
    assert told is not None and told.left == 7
    mirror = Run(tmp_path / "c", hf_endpoint="https://mirror.example").network
    assert source.allowance({}, mirror) is None
