"""S3, Google Cloud Storage, Azure: addresses, versions, sums, logins that stay with their hosts."""

from __future__ import annotations

import datetime
import random
from dataclasses import replace
from pathlib import Path

import pytest

from fetcher.config.settings import Value
from fetcher.fs import crc32c
from fetcher.network.cloud_logins import aws, azure_query
from fetcher.network.sigv4 import AwsKeys, presigned
from fetcher.sources.addresses import written_out
from fetcher.sources.az import AzureBlob
from fetcher.sources.base import FileEntry, Source
from fetcher.sources.gs import GoogleStorage
from fetcher.sources.s3 import S3
from fetcher.sources.xml_listing import rows
from tests.conftest import Cli, write_project
from tests.kit import Run, entry, sha256, tensors
from tests.servers.object_stores import ACCOUNT, AzureServer, GoogleServer, ObjectServer, S3Server
from tests.servers.plain import FileServer

FILES = {"m/w.safetensors": tensors(40_000), "m/config.yaml": b"a: 1\n", "m/z/x.txt": b"x"}
WEIGHTS = FILES["m/w.safetensors"]
AMAZON, GOOGLE = "amazonaws.com", "https://storage.googleapis.com"
AZURE = "https://account.blob.core.windows.net"

SERVERS: dict[str, tuple[type[ObjectServer], Source]] = {
    "s3": (S3Server, S3("bucket")),
    "gs": (GoogleServer, GoogleStorage("bucket")),
    "az": (AzureServer, AzureBlob(ACCOUNT, "bucket")),
}


def source_at(kind: str, path: str, revision: str = "") -> Source:
    if kind == "s3":
        return S3("bucket", path, revision)
    if kind == "gs":
        return GoogleStorage("bucket", path, revision)
    return AzureBlob(ACCOUNT, "bucket", path, revision)


def give_login(kind: str, server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the person's login in the environment; returns its secret."""
    if kind == "s3":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3Server.KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3Server.SECRET)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        return S3Server.SECRET
    if kind == "gs":
        monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", GoogleServer.TOKEN)
        return GoogleServer.TOKEN
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_KEY", AzureServer.KEY)
    return AzureServer.KEY


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ADDRESSES: dict[str, Source] = {
    f"https://bucket.s3.eu-west-1.{AMAZON}/a/w%20x.pt": S3(
        "bucket", "a/w x.pt", region="eu-west-1"
    ),
    f"https://bucket.s3.{AMAZON}/w.pt?versionId=v.1": S3("bucket", "w.pt", "v.1"),
    f"https://bucket.s3-us-west-2.{AMAZON}/w.pt": S3("bucket", "w.pt", region="us-west-2"),
    f"https://s3.us-east-2.{AMAZON}/a.dotted.bucket/w.pt": S3(
        "a.dotted.bucket", "w.pt", region="us-east-2"
    ),
    f"https://s3.{AMAZON}/bucket/w.pt": S3("bucket", "w.pt"),
    f"https://s3.dualstack.eu-west-1.{AMAZON}/bucket/w.pt": S3(
        "bucket", "w.pt", region="eu-west-1"
    ),
    f"https://bucket.s3.cn-north-1.{AMAZON}.cn/w.pt": S3("bucket", "w.pt", region="cn-north-1"),
    f"{GOOGLE}/bucket/a/w.pt": GoogleStorage("bucket", "a/w.pt"),
    f"{GOOGLE}/bucket/w.pt?generation=12": GoogleStorage("bucket", "w.pt", "12"),
    "https://bucket.storage.googleapis.com/w.pt": GoogleStorage("bucket", "w.pt"),
    "https://storage.cloud.google.com/bucket/w.pt": GoogleStorage("bucket", "w.pt"),
    f"{GOOGLE}/download/storage/v1/b/bucket/o/a%2Fw.pt?alt=media": GoogleStorage(
        "bucket", "a/w.pt"
    ),
    f"{AZURE}/bucket/a/w.pt": AzureBlob("account", "bucket", "a/w.pt"),
    f"{AZURE}/bucket?restype=container&comp=list&prefix=a": AzureBlob("account", "bucket", "a"),
    f"{AZURE}/bucket/w.pt?versionid=2024-01-01T00:00:00.0Z": AzureBlob(
        "account", "bucket", "w.pt", "2024-01-01T00:00:00.0Z"
    ),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses(address: str) -> None:
    found = written_out(address)
    assert found is not None and found[0](**found[1]) == ADDRESSES[address]


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_short_form_means_the_same(address: str) -> None:
    source = ADDRESSES[address]
    kind, _, rest = source.describe().partition(":")
    again = type(source)(**type(source).from_short(rest))
    if isinstance(source, S3):  # a region is no part of an object's name
        source = replace(source, region="")
    assert kind == source.type and again == source


@pytest.mark.parametrize(
    "address",
    [
        f"https://bucket.s3.{AMAZON}/w.pt?X-Amz-Signature=secret",
        f"{GOOGLE}/bucket/w.pt?X-Goog-Signature=secret",
        f"{AZURE}/bucket/w.pt?sig=secret",
    ],
)
def test_a_signed_address_is_refused_without_its_signature(address: str) -> None:
    with pytest.raises(ValueError, match="signed") as refused:
        written_out(address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["https://ec2.amazonaws.com/x", "https://bucket.s3.evil-amazonaws.com/x", f"{GOOGLE}/UP/x",
     "https://s3.amazonaws.com.evil.example/bucket/x", "https://x.queue.core.windows.net/a/b"],
)  # fmt: skip
def test_other_addresses_are_plain(address: str) -> None:
    assert written_out(address) is None


def test_one_object_is_that_file(kind: str, cli: Cli, tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    make, _ = SERVERS[kind]
    with make(FILES) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        source = source_at(kind, "m/w.safetensors").describe()
        write_project(
            tmp_path, "p", f"artifacts:\n  w: {{source: '{source}'}}\n", "tree: {m/: w}\n"
        )
        result = cli("all")
        assert result.code == 0, result.err
        assert [path.name for path in (tmp_path / "m").iterdir()] == ["w.safetensors"]
        assert (tmp_path / "m/w.safetensors").read_bytes() == WEIGHTS
        assert sha256(WEIGHTS) in (tmp_path / "fetch.lock").read_text()
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
        assert cli("check", "--deep").code == 0


def test_a_version_is_the_revision(kind: str, tmp_path: Path) -> None:
    make, _ = SERVERS[kind]
    old = tensors(40_000, 5)
    versions = ("1", "2")
    with make(FILES) as server:
        server.current["m/w.safetensors"] = versions[1]
        server.versions["m/w.safetensors", versions[0]] = old
        run = Run(tmp_path, rewrite=server.rewrite)
        source = source_at(kind, "m/w.safetensors")
        (file,) = run.resolve(source).values()
        assert run.revision == versions[1] and source.admits(versions[1])
        pinned = source_at(kind, "m/w.safetensors", versions[0])
        (file,) = run.resolve(pinned).values()
        assert run.revision == versions[0] and not pinned.admits(versions[1])
        assert run.fetch(pinned, [file]).failed == []
        assert run.blob(old) == old
        # What is locked stays what it was, though another has come.
        (file,) = run.resolve(source).values()
        server.versions["m/w.safetensors", versions[1]] = WEIGHTS
        server.objects["m/w.safetensors"], server.current["m/w.safetensors"] = old, "3"
        assert run.fetch(source, [file]).failed == []
        assert run.blob(WEIGHTS) == WEIGHTS


def test_a_published_sum_is_checked(kind: str, tmp_path: Path) -> None:
    make, source = SERVERS[kind]
    with make(FILES) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(source)
        assert all(file.md5 for file in found.values())
        server.objects["m/w.safetensors"] = tensors(40_000, 9)
        problem = run.fetch(source, [found["m/w.safetensors"]]).failed[0][1]
        assert problem.code == "digest-mismatch" and "md5" in problem.message


def test_what_came_in_parts_has_no_md5(kind: str, tmp_path: Path) -> None:
    make, source = SERVERS[kind]
    with make(FILES) as server:
        server.no_md5.add("m/w.safetensors")
        run = Run(tmp_path, rewrite=server.rewrite)
        file = run.resolve(source)["m/w.safetensors"]
        assert file.md5 is None
        assert bool(file.published) == (kind == "gs")
        assert run.fetch(source, [file]).failed == []
        if kind == "gs":
            server.objects["m/w.safetensors"] = tensors(40_000, 9)
            problem = run.fetch(source, [file]).failed[0][1]
            assert problem.code == "digest-mismatch" and "crc32c" in problem.message


@pytest.mark.parametrize("path", ["m", "m/w.safetensors"])
def test_what_is_closed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                        path: str) -> None:  # fmt: skip
    make, _ = SERVERS[kind]
    with make(FILES) as server:
        server.closed = True
        source = source_at(kind, path)
        problem = Run(tmp_path, rewrite=server.rewrite).refused(source)
        assert problem.code == "auth" and problem.exit_code == 6
        page = source.page(Run(tmp_path).network)
        assert page in problem.hint and ("AWS_" in problem.hint or "AZURE_" in problem.hint
                                         or "gcloud" in problem.hint)  # fmt: skip
        secret = give_login(kind, server, monkeypatch)
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(source)
        assert found
        assert run.fetch(source, list(found.values())).failed == []
        assert run.blob(WEIGHTS) == WEIGHTS
        if kind != "gs":  # whose token is what is sent
            sent = "".join(str(r.headers) + r.target for r in server.requests)
            assert secret not in sent
        assert server.errors == []


def test_nothing_of_a_login_leaves_while_it_is_not_needed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, source = SERVERS[kind]
    with make(FILES) as server:
        give_login(kind, server, monkeypatch)
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(source)
        assert run.fetch(source, list(found.values())).failed == []
        for request in server.requests:
            assert "authorization" not in request.headers
            assert "sig" not in request.query and "X-Amz-Signature" not in request.query


def test_a_project_does_not_choose_where_a_login_goes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, source = SERVERS[kind]
    with make(FILES) as server:
        server.closed = True
        give_login(kind, server, monkeypatch)
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        run = Run(tmp_path)
        run.settings.values["rewrite"] = Value(server.rewrite, ".env")
        run.fresh_network()
        assert run.refused(source).code == "auth"
        run.revision = ""
        run.fetch(source, [entry("m/w.safetensors", WEIGHTS)])
        assert server.requests
        for request in server.requests:
            assert "authorization" not in request.headers
            assert "sig" not in request.query and "X-Amz-Signature" not in request.query


def test_an_object_that_may_not_be_listed(kind: str, tmp_path: Path) -> None:
    make, _ = SERVERS[kind]
    with make(FILES) as server:
        server.lists = False
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(source_at(kind, "m/w.safetensors"))
        assert [file.size for file in found.values()] == [len(WEIGHTS)]
        assert run.refused(source_at(kind, "m")).code in {"auth", "not-found"}


@pytest.mark.parametrize("fault", [{"code": 503}, {"code": 405}])
def test_no_answer_to_head_is_needed(kind: str, tmp_path: Path, fault: dict[str, int],
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("fetcher.sources.object_stores._PATIENCE", 0.1)
    make, _ = SERVERS[kind]
    with make(FILES) as server:
        server.faults.add(lambda request: request.method == "HEAD", "status", times=99, **fault)
        run = Run(tmp_path, rewrite=server.rewrite)
        source = source_at(kind, "m/w.safetensors")
        found = list(run.resolve(source).values())
        assert found == [FileEntry("w.safetensors")]
        assert run.fetch(source, found).failed == []


def test_names_that_lead_out(kind: str, tmp_path: Path) -> None:
    make, source = SERVERS[kind]
    with make({"../x": b"x"}) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(source).code == "bad-path"
    with make({"//x": b"x"}) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(source).code == "bad-path"


def test_a_listing_that_never_ends(kind: str, tmp_path: Path) -> None:
    make, source = SERVERS[kind]
    with make(FILES) as server:
        server.endless = True
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(source).code == "refused"
        assert len(server.requests) < 10


def test_what_is_not_there(kind: str, tmp_path: Path) -> None:
    make, _ = SERVERS[kind]
    with make(FILES) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(source_at(kind, "m/none.pt")).code == "missing-upstream"
        assert run.refused(source_at(kind, "m/w.safetensors", "9")).code == "not-found"
    with make({}) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(SERVERS[kind][1]).code == "missing-upstream"


def test_access(kind: str, tmp_path: Path) -> None:
    make, source = SERVERS[kind]
    with make(FILES) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert source.check_access(run.network)
        assert source_at(kind, "m/w.safetensors").check_access(run.network)


# S3


def test_a_checksum_of_s3_is_a_digest(tmp_path: Path) -> None:
    with S3Server(FILES) as server:
        server.checksums = ("m/w.safetensors",)
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(S3("bucket", "m"))
        assert found["w.safetensors"].sha256 == sha256(WEIGHTS)
        assert found["config.yaml"].sha256 is None
        assert len(server.matching("HEAD .*config")) == 0
        alone = run.resolve(S3("bucket", "m/w.safetensors"))
        assert alone["w.safetensors"].sha256 == sha256(WEIGHTS)


def test_an_etag_of_what_is_encrypted_is_no_md5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server(FILES) as server:
        server.closed = True
        server.encrypted = ("m/w.safetensors",)
        give_login("s3", server, monkeypatch)
        run = Run(tmp_path)
        found = run.resolve(S3("bucket", "m"))
        assert found["w.safetensors"].md5 is None and found["config.yaml"].md5
        assert run.fetch(S3("bucket", "m"), list(found.values())).failed == []


def test_the_region_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(FILES) as server:
        server.closed, server.region = True, "eu-west-3"
        give_login("s3", server, monkeypatch)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        run = Run(tmp_path)
        seen: list[str] = []
        request = run.network.request

        def noted(url: str, **options: object) -> object:
            seen.append(url)
            return request(server.url + "/bucket/" + url.split("/", 3)[3], **options)  # type: ignore[arg-type]

        monkeypatch.setattr(run.network, "request", noted)
        run.refused(S3("bucket", "m"))  # it was signed for another host
        signed = [url for url in seen if "X-Amz-Signature" in url]
        assert signed and all("https://bucket.s3.eu-west-3.amazonaws.com/" in url for url in signed)
        assert all("%2Feu-west-3%2Fs3%2F" in url for url in signed)


def test_a_login_from_the_files_of_aws(hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hermetic / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = B\n"
        "[work]\naws_access_key_id = C\naws_secret_access_key = D\naws_session_token = E\n"
    )
    (folder / "config").write_text(
        "[default]\nregion = eu-west-1\n[profile work]\nregion=us-east-2\n"
    )
    assert aws() == (AwsKeys("A", "B"), "eu-west-1", "")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert aws() == (AwsKeys("C", "D", "E"), "us-east-2", "")
    (folder / "credentials").write_text("[default\nsecret")
    assert aws().keys is None
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "relative")
    assert aws().keys is None


def test_a_session_has_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(FILES) as server:
        server.closed, server.session = True, S3Server.SESSION
        give_login("s3", server, monkeypatch)
        assert Run(tmp_path).refused(S3("bucket")).code == "auth"
        monkeypatch.setenv("AWS_SESSION_TOKEN", S3Server.SESSION)
        assert Run(tmp_path).resolve(S3("bucket"))


@pytest.mark.parametrize("key", ["a/w.pt", "ä b+c/%(1).pt", "~x"])
@pytest.mark.parametrize("token", ["", "a+b/c="])
def test_signatures_are_those_of_botocore(
    key: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = pytest.importorskip("botocore.auth")
    request = pytest.importorskip("botocore.awsrequest")
    credentials = pytest.importorskip("botocore.credentials")
    from fetcher.sources.object_stores import quoted

    now = datetime.datetime(2026, 3, 1, 12, 0, 5, tzinfo=datetime.timezone.utc)

    url = f"https://bucket.s3.eu-west-1.amazonaws.com/{quoted(key)}?versionId=v%2F1"
    theirs = request.AWSRequest(method="GET", url=url)
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: now.replace(tzinfo=None))
    auth.S3SigV4QueryAuth(
        credentials.Credentials("A", "B", token or None), "s3", "eu-west-1", 60
    ).add_auth(theirs)
    ours = presigned(url, AwsKeys("A", "B", token), "eu-west-1", seconds=60, now=now.timestamp())
    assert sorted(ours.split("?")[1].split("&")) == sorted(theirs.url.split("?")[1].split("&"))


def test_an_endpoint_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fetcher.errors import UsageError

    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://me:secret@minio.example/")
    with pytest.raises(UsageError):
        Run(tmp_path).resolve(S3("bucket"))


# Listings that are none


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Contents>&b;</Contents>',
        "<a>" * 50 + "</a>" * 50,
        "<a><b></a>",
        "not xml",
        "",
    ],
)
def test_xml_that_is_no_listing(text: str, tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(ValueError, match=r"."):
            rows(text.encode(encoding), "Contents")
    with FileServer({"bucket/": text.encode()}) as server:
        run = Run(tmp_path, rewrite=f"https://bucket.s3.amazonaws.com/={server.url}/bucket/")
        assert run.refused(S3("bucket")).code == "refused"


def test_crc32c() -> None:
    assert crc32c.update(0, b"123456789") == 0xE3069283
    data = random.Random(3).randbytes(2 * crc32c.BLOCK + 77)
    piece = 0
    for at in range(0, len(data), 1000):  # byte by byte
        piece = crc32c.update(piece, data[at : at + 1000])
    assert crc32c.update(0, data) == piece


# Google, Azure


def test_a_login_of_gcloud(hermetic: Path, tmp_path: Path) -> None:
    folder = hermetic / ".config/gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(
        '{"type": "authorized_user", "client_id": "i", "client_secret": "s",'
        ' "refresh_token": "refresh-secret"}'
    )
    with GoogleServer(FILES) as server:
        server.closed = True
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(GoogleStorage("bucket"))
        assert run.fetch(GoogleStorage("bucket"), list(found.values())).failed == []
        assert len(server.matching("POST /oauth/token")) == 1


def test_a_signature_of_azure_is_for_its_account_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?" + AzureServer.SAS)
    assert azure_query(ACCOUNT, "bucket")["sig"] == "sas/secret="
    assert azure_query("another", "bucket") == {}
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING",
                       f"AccountName={ACCOUNT};AccountKey={AzureServer.KEY}")  # fmt: skip
    monkeypatch.delenv("AZURE_STORAGE_SAS_TOKEN")
    assert azure_query(ACCOUNT, "bucket")["sp"] == "rl"


def test_get_and_add(kind: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, _ = SERVERS[kind]
    with make(FILES) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        text = source_at(kind, "m/w.safetensors").describe()
        result = cli("get", text, "--to", tmp_path / "got")
        assert result.code == 0, result.err
        assert (tmp_path / "got/w.safetensors").read_bytes() == WEIGHTS
        folder = source_at(kind, "m").describe()
        result = cli("get", folder, "--to", tmp_path / "all")
        assert result.code == 0, result.err
        assert (tmp_path / "all/z/x.txt").read_bytes() == b"x"


@pytest.mark.parametrize("path", ["m/w.safetensors", "m/plain"])
def test_one_object_by_a_name_of_the_manifests(
    kind: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    make, _ = SERVERS[kind]
    with make({**FILES, "m/plain": WEIGHTS}) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        source = source_at(kind, path).describe()
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  w: {{source: '{source}', files: [own.safetensors]}}\n",
            "tree: {m/: w}\n",
        )
        result = cli("all")
        assert result.code == 0, result.err
        assert (tmp_path / "m/own.safetensors").read_bytes() == WEIGHTS
