"""Settings: which origin wins, and what a wrong value says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.config import settings as all_settings
from fetcher.config.settings import Settings, load
from fetcher.errors import FetchError, InvalidDocument, UsageError
from fetcher.network.hub_account import HubAccount

Write = Callable[[str, str], Path]


def test_defaults(tmp_path: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(tmp_path)
    assert (found.jobs, found.link, found.offline, found.limit_rate) == (32, "auto", False, 0)
    assert found.hf_endpoint == "https://huggingface.co"
    assert found.origin("jobs") == "default"
    assert found.store == hermetic / "store"
    assert found.hub_cache == hermetic / "huggingface" / "hub"
    monkeypatch.delenv("FETCH_STORE")
    assert load(tmp_path).store.name == "store"
    monkeypatch.delenv("HF_HOME")
    assert load(tmp_path).hub_cache == hermetic / ".cache" / "huggingface" / "hub"


def test_later_origins_win(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("fetch.yaml", "jobs: 2\n")
    assert (load(tmp_path).jobs, load(tmp_path).origin("jobs")) == (2, "fetch.yaml")
    write(".env", "FETCH_JOBS=3\n")
    assert (load(tmp_path).jobs, load(tmp_path).origin("jobs")) == (3, ".env")
    monkeypatch.setenv("FETCH_JOBS", "4")
    assert (load(tmp_path).jobs, load(tmp_path).origin("jobs")) == (4, "FETCH_JOBS")
    found = load(tmp_path, {"jobs": 5, "link": None, "offline": False})
    assert (found.jobs, found.origin("jobs"), found.link) == (5, "--jobs", "auto")
    monkeypatch.setenv("FETCH_JOBS", "")
    assert load(tmp_path).jobs == 3


def test_all_that_a_file_may_set(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FETCH_STORE")
    write(
        "fetch.yaml",
        "store: 저장소\noffline: true\nlink: copy\nlimit_rate: 1.5M\nmirrors: [a, http://b/]\n"
        "rewrite: https://x/=http://y/\nconnect_timeout: 5\nhf_endpoint: http://hub:1/\n",
    )
    found = load(tmp_path)
    assert found.store == tmp_path / "저장소"
    assert (found.offline, found.link, found.limit_rate) == (True, "copy", 1_500_000)
    assert found.mirrors == ("a", "http://b/")
    assert found.rewrite == (("https://x/", "http://y/"),)
    assert (found.connect_timeout, found.hf_endpoint) == (5, "http://hub:1")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("jobz: 3\n", ["fetch.yaml:1:1: fetch.yaml has no key 'jobz'"]),
        (
            "jobs: many\noffline: yes\nlink: magic\nlimit_rate: fast\nhf_endpoint: hub\n",
            [
                "fetch.yaml:1:7: found 'many', expected a whole number from 1 to 256",
                "fetch.yaml:2:10: found 'yes', expected true or false",
                "fetch.yaml:3:7: found 'magic', expected one of auto",
                "fetch.yaml:4:13: found 'fast', expected a rate such as 50M",
                "fetch.yaml:5:14: found 'hub', expected an http(s) URL",
            ],
        ),
        ("hf_token: x\n", ["fetch.yaml:1:1: fetch.yaml has no key 'hf_token'"]),
        ("- a\n", ["fetch.yaml:1:1: found a list, expected a mapping"]),
        ("a: [\n", ["fetch.yaml:2:1: not valid YAML"]),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, write: Write, text: str, messages: list[str]) -> None:
    write("fetch.yaml", text)
    with pytest.raises(InvalidDocument) as caught:
        load(tmp_path)
    found = [str(problem) for problem in caught.value.found]
    assert len(found) == len(messages)
    assert all(have.startswith(start) for have, start in zip(found, messages, strict=True))


@pytest.mark.parametrize("text", ["", "\n", "# jobs: 3\n", "---\n# nothing\n..."])
def test_a_file_without_settings_sets_nothing(tmp_path: Path, write: Write, text: str) -> None:
    write("fetch.yaml", text)
    if text.startswith("---"):
        with pytest.raises(InvalidDocument):
            load(tmp_path)
    else:
        assert load(tmp_path).jobs == 32


@pytest.mark.parametrize(
    ("variable", "value", "attribute"),
    [
        ("FETCH_JOBS", "0", "jobs"),
        ("FETCH_JOBS", "٣", "jobs"),
        ("FETCH_JOBS", "8x", "jobs"),
        ("FETCH_CONNECT_TIMEOUT", "1e3", "connect_timeout"),
        ("FETCH_OFFLINE", "maybe", "offline"),
        ("FETCH_LINK", "magic", "link"),
        ("FETCH_LIMIT_RATE", "0", "limit_rate"),
        ("FETCH_LIMIT_RATE", "-5M", "limit_rate"),
        ("FETCH_REWRITE", "https://x/", "rewrite"),
        ("FETCH_REWRITE", "x=y", "rewrite"),
        ("HF_ENDPOINT", "hub.example", "hf_endpoint"),
        ("HF_ENDPOINT", "ftp://hub", "hf_endpoint"),
        ("HF_ENDPOINT", "http://[::1", "hf_endpoint"),
    ],
)
def test_wrong_values_name_their_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, attribute: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"{variable}: {attribute} is .*expected"):
        getattr(load(tmp_path), attribute)


@pytest.mark.parametrize(
    ("text", "rate"), [("50M", 50_000_000), ("500k", 500_000), ("1G/s", 10**9), ("2 MB", 2 * 10**6)]
)
def test_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, rate: int) -> None:
    monkeypatch.setenv("FETCH_LIMIT_RATE", text)
    assert load(tmp_path).limit_rate == rate


def test_the_longest_rewrite_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_REWRITE", "https://a/=http://1/ https://a/b/=http://2/")
    assert load(tmp_path).rewrite[0] == ("https://a/b/", "http://2/")


def test_a_home_that_is_not_there_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_STORE", "~nosuchuser/store")
    monkeypatch.setenv("HF_HOME", "~nosuchuser/hf")
    found = load(tmp_path)
    assert found.store == tmp_path / "~nosuchuser/store"
    assert found.hf_token == ""


def test_an_env_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HF_TOKEN=\xff\xfe\n")
    with pytest.raises(FetchError, match=r"\.env cannot be read"):
        load(tmp_path)


def test_offline_as_the_hub_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, offline in (("1", True), ("ON", True), ("0", False), ("", False)):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert load(tmp_path).offline is offline
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FETCH_OFFLINE", "0")
    assert load(tmp_path).offline is False


def test_tokens_and_where_they_may_go(
    tmp_path: Path, write: Write, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_file = hermetic / "huggingface" / "token"
    token_file.parent.mkdir()
    token_file.write_text("hf_login\n")
    assert load(tmp_path).hf_token == "" and load(tmp_path).hf_token_path == token_file
    assert HubAccount(load(tmp_path)).token() == "hf_login"
    monkeypatch.setenv("HF_TOKEN", "hf_variable")
    assert load(tmp_path).hf_token == "hf_variable"
    # An endpoint of the project's own choice gets none of the user's tokens.
    write("fetch.yaml", "hf_endpoint: https://evil.example\n")
    assert load(tmp_path).hf_token == "" and HubAccount(load(tmp_path)).token() == ""
    monkeypatch.setenv("HF_ENDPOINT", "https://mine.example")
    assert load(tmp_path).hf_token == "hf_variable"


def test_a_host_that_the_project_names_gets_no_token(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "ghe_users")
    write(".env", "GH_HOST=evil.example\n")
    assert load(tmp_path).text("github_enterprise_token") == ""
    write(".env", "GH_HOST=own.example\nGITHUB_ENTERPRISE_TOKEN=ghe_own\n")
    monkeypatch.delenv("GH_ENTERPRISE_TOKEN")
    assert load(tmp_path).text("github_enterprise_token") == "ghe_own"
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "ghe_users")
    monkeypatch.setenv("GH_HOST", "mine.example")
    assert load(tmp_path).text("github_enterprise_token") == "ghe_users"


def test_every_setting_can_be_shown(tmp_path: Path) -> None:
    found = load(tmp_path)
    for name, spec in all_settings.SPECS.items():
        assert isinstance(found.text(name), str)
        assert spec.doc and spec.env
    assert isinstance(found, Settings)
    in_file = set(all_settings.FILE_FIELDS) - {
        "runtime",
        "licenses",
    }  # which have keys of their own
    assert in_file <= set(all_settings.SPECS)
    assert not any(all_settings.SPECS[name].secret for name in in_file)


def test_mirrors_may_have_spaces_where_they_are_listed(
    tmp_path: Path, write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_MIRRORS", "/one https://two.example/store")
    assert load(tmp_path).mirrors == ("/one", "https://two.example/store")
    assert load(tmp_path, {"mirrors": ("/my disk",)}).mirrors == ("/my disk",)
    write("fetch.yaml", "mirrors: [/my disk, /other]\n")
    monkeypatch.delenv("FETCH_MIRRORS")
    assert load(tmp_path).mirrors == ("/my disk", "/other")
    with pytest.raises(UsageError, match="bundles, stores"):
        load(tmp_path, {"mirrors": ("ftp://host/repo",)}).check()
