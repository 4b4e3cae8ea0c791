"""Tokens, logins and authorities: which is taken, and for whom."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path

import pytest

from fetcher.config.settings import Settings, Value
from fetcher.errors import UsageError
from fetcher.network import credentials
from fetcher.network.credentials import Netrc, Trust, basic, settings_tokens, sound_token, trust


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    for name in ("a.pem", "b.pem", "c.pem"):
        (tmp_path / name).write_text("authority", "ascii")
    return tmp_path


def test_a_variable_goes_before_the_system(
    authorities: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
    for name, file in reversed(list(zip(names, "abc", strict=True))):
        monkeypatch.setenv(name, str(authorities / f"{file}.pem"))
        assert trust() == Trust(str(authorities / f"{file}.pem"), "")


def test_folders_of_authorities_come_beside_a_file(
    authorities: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(authorities / "folder")
    both = os.pathsep.join(["", folder, str(authorities), ""])
    monkeypatch.setenv("SSL_CERT_DIR", both)
    monkeypatch.setattr(credentials, "_BUNDLES", ("/not/there", str(authorities / "b.pem")))
    assert trust() == Trust(str(authorities / "b.pem"), os.pathsep.join([folder, str(authorities)]))
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities / "a.pem"))
    assert trust().file == str(authorities / "a.pem") and folder in trust().folder
    # requests and libcurl take a folder under the name of a file.
    monkeypatch.setenv("SSL_CERT_FILE", folder)
    assert trust() == Trust("", folder)


@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_a_variable_that_names_nothing_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/not/there")
    with pytest.raises(UsageError, match=f"{name}: /not/there is not there") as caught:
        trust()
    assert "unset" in caught.value.hint


def test_without_authorities_of_the_system_certifi_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import certifi

    monkeypatch.setattr(credentials, "_BUNDLES", ("/not/there",))
    assert trust() == Trust(certifi.where(), "")


def test_a_token_is_one_word() -> None:
    assert sound_token("T", " hf_a~! \n") == "hf_a~!"
    assert sound_token("T", "  ") == ""
    for wrong in ("a b", "a\nb", "é", "a\x7f", "\x00a"):
        with pytest.raises(UsageError, match=r"^GITHUB_TOKEN holds characters") as caught:
            sound_token("GITHUB_TOKEN", wrong)
        assert wrong not in caught.value.message and caught.value.hint


def settings(**values: str) -> Settings:
    return Settings(Path("/nowhere"), {k: Value(v, "test") for k, v in values.items()})


def test_tokens_are_for_their_origins() -> None:
    assert settings_tokens(settings()) == {}
    found = settings_tokens(settings(github_token=" gh "))
    assert set(found.values()) == {"gh"}
    assert {host for scheme, host, port in found if (scheme, port) == ("https", 443)} == {
        "api.github.com",
        "github.com",
        "raw.githubusercontent.com",
        "media.githubusercontent.com",
    }
    company = {"github_host": "git.example", "github_enterprise_token": "ghe"}
    assert settings_tokens(settings(**company)) == {("https", "git.example", 443): "ghe"}
    company["github_host"] = "http://git.example:8080"
    assert (
        settings_tokens(settings(**company, github_token="gh"))["http", "git.example", 8080]
        == "ghe"
    )
    for missing in company:
        rest = {name: value for name, value in company.items() if name != missing}
        assert settings_tokens(settings(**rest)) == {}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"github_token": "a b"}, "GITHUB_TOKEN"),
        ({"github_host": "h", "github_enterprise_token": "a b"}, "GH_ENTERPRISE_TOKEN"),
    ],
)
def test_a_wrong_token_is_named(values: dict[str, str], name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} "):
        settings_tokens(settings(**values))


def test_a_login_as_a_header() -> None:
    header = basic(("Ünser", "p:w"))
    assert header.startswith("Basic ")
    assert base64.b64decode(header[6:]).decode("utf-8") == "Ünser:p:w"


def netrc_in(home: Path, text: str, name: str = ".netrc") -> Path:
    path = home / name
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def test_logins_of_netrc(hermetic: Path) -> None:
    netrc_in(
        hermetic,
        "machine A.example login u password p\nmachine b.example account acc password q\n"
        "default login anonymous password me@\n",
    )
    netrc = Netrc()
    assert netrc.login("https", "a.example") == ("u", "p")
    assert netrc.login("https", "b.example") == ("acc", "q")
    # `default` would send the login to every host.
    assert netrc.login("https", "c.example") is None
    assert netrc.login("http", "c.example") is None
    assert netrc.login("ftp", "c.example") == ("anonymous", "me@")
    assert netrc.login("ftps", "c.example") == ("anonymous", "me@")
    assert netrc.login("ftp", "a.example") == ("u", "p")


def test_where_netrc_lies(hermetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Netrc().login("https", "h") is None
    netrc_in(hermetic, "machine h login two password p\n", "_netrc")
    assert Netrc().login("https", "h") == ("two", "p")
    one = netrc_in(hermetic, "machine h login one password p\n")
    assert Netrc().login("https", "h") == ("one", "p")
    chosen = netrc_in(tmp_path, "machine h login chosen password p\n", "mine")
    monkeypatch.setenv("NETRC", str(chosen))
    assert Netrc().login("https", "h") == ("chosen", "p")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert Netrc().login("https", "h") is None and one.exists()


def test_netrc_is_read_once(hermetic: Path) -> None:
    path = netrc_in(hermetic, "machine h login u password p\n")
    netrc = Netrc()
    assert netrc.login("https", "h") == ("u", "p")
    path.unlink()
    assert netrc.login("https", "h") == ("u", "p")


@pytest.mark.parametrize(
    ("text", "said"), [("machine h login u sekret p\n", " (line "), ("\x00\udcff", "netrc")]
)
def test_a_damaged_netrc_is_named_without_its_secrets(
    hermetic: Path, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = hermetic / ".netrc"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with caplog.at_level(logging.WARNING):
        assert Netrc().login("https", "h") is None
    assert str(path) in caplog.text and said in caplog.text
    assert "sekret" not in caplog.text
