"""Which language is spoken, and that the terminal, JSON and help speak it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.catalog.fallback import NoneUsable, Passed
from fetcher.i18n import t, translated
from fetcher.i18n.catalogs import wanted
from fetcher.ui.terminal import width_of
from tests.conftest import Cli, write_project
from tests.servers.plain import FileServer
from tests.web.korean import HANGUL


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "ko_KR.eucKR@won"}, "ko"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "kok_IN"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": ""}, "ko"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "de:ko:en"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANGUAGE": "ko"}, "ko"),
        ({"LC_ALL": "C", "LANGUAGE": "ko"}, "en"),
        ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"FETCH_LANG": "ko"}, "ko"),
        ({"FETCH_LANG": "ko-KR", "LC_ALL": "C"}, "ko"),
        ({"FETCH_LANG": "en", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"FETCH_LANG": "xx", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"FETCH_LANG": " ", "LANG": "ko_KR.UTF-8"}, "ko"),
    ],
)
def test_the_language_that_the_variables_ask_for(variables: dict[str, str], language: str) -> None:
    assert wanted(variables) == language


NAMES = ("FETCH_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", "PYTHONIOENCODING")


def fetch(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        [sys.executable, "-m", "fetcher", *arguments],
        env={**kept, "PYTHONUTF8": "1", **variables},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yaml").write_text("manifest: a\nlayout: a\nartifacts: [1]\nx: 2\n")
    return tmp_path


def test_errors_and_hints(folder: Path) -> None:
    english, korean = (fetch(folder, "plan", LANG=lang) for lang in ("en_US", "ko_KR.UTF-8"))
    assert english.returncode == korean.returncode == 2
    assert "expected a mapping from artifact ids to artifacts" in english.stderr
    assert "필요한 값: 아이디: 항목 묶음" in korean.stderr and "expected" not in korean.stderr
    assert "hint: " in english.stderr and "도움말: " in korean.stderr
    # The place stands in front in both.
    assert "manifests/a.yaml:3:" in english.stderr and "manifests/a.yaml:3:" in korean.stderr


def test_why_files_did_not_come(tmp_path: Path) -> None:
    """Each reason is translated, also where one message stands in another."""
    page = b"<html><title>Sign in</title>"
    with FileServer({"/page.bin": page}) as one, FileServer({"/page.bin": b""}) as other:
        for server in (one, other):
            server.faults.add("/denied.bin", "status", code=403)
        write_project(
            tmp_path,
            "m",
            "artifacts:\n"
            + "".join(
                f"  {name}:\n    source: '{one.url}/{name}.bin'\n    files:\n"
                f"      {name}.bin: {{sha256: '{'0' * 64}', size: {len(page)}}}\n"
                f"    mirrors: ['{other.url}/{name}.bin']\n"
                for name in ("page", "denied")
            ),
            "tree:\n  files/: [page, denied]\n",
        )
        done = fetch(tmp_path, "all", FETCH_LANG="ko")
    assert done.returncode != 0
    for text in ("웹 페이지", "그 밖에", "접근이 거부되었습니다", "0바이트입니다", "에서 받습니다"):
        assert text in done.stderr, text
    for text in ("delivered", "also", "denied (", "instead of", "taking"):
        assert text not in done.stderr, text


def test_no_usable_model() -> None:
    passed = Passed("sdxl", "gated", t("is not in the tree"), t("check the path"))
    error = NoneUsable([passed])
    message = translated(error.message, "ko")
    assert message.startswith("이미지 파이프라인이 초기화되지 않았습니다")
    assert message.endswith(": sdxl: 트리에 없습니다")
    hint = translated(error.hint, "ko")
    assert "PRIMARY_MODEL=sdxl" in hint and "check" not in hint and "takes" not in hint


def test_json_says_it_in_the_language_and_keeps_what_programs_read(folder: Path) -> None:
    english = json.loads(fetch(folder, "plan", "--json").stdout)
    korean = json.loads(fetch(folder, "plan", "--json", FETCH_LANG="ko").stdout)
    for one, other in zip(english["errors"], korean["errors"], strict=True):
        for key in one:
            if key in {"message", "hint"}:
                assert one[key] == other[key] or HANGUL.search(other[key])
            else:
                assert one[key] == other[key], key
        assert HANGUL.search(other["message"]) and not HANGUL.search(one["message"])
    assert {**english, "errors": []} == {**korean, "errors": []}


@pytest.mark.parametrize("command", [(), ("all",), ("mirror",), ("mirror", "export"), ("serve",)])
def test_help(folder: Path, command: tuple[str, ...]) -> None:
    english, korean = (fetch(folder, *command, "--help", FETCH_LANG=lang) for lang in ("en", "ko"))
    assert english.returncode == korean.returncode == 0
    assert english.stdout.startswith("Usage: fetch") and "사용법: fetch" in korean.stdout
    assert "이 도움말을 보여 주고 끝냅니다." in korean.stdout
    for line in english.stdout.splitlines():
        words = line.split("  ")[-1].strip()
        if words.endswith(".") and " " in words:
            assert words not in korean.stdout, words


def test_what_click_says(folder: Path) -> None:
    done = fetch(folder, "all", "--jobs", "x", FETCH_LANG="ko")
    assert done.returncode == 2 and "값이 잘못되었습니다" in done.stderr
    assert "--jobs" in done.stderr and "Invalid" not in done.stderr


def test_a_terminal_that_cannot_show_korean_gets_english(folder: Path) -> None:
    done = fetch(folder, "plan", FETCH_LANG="ko", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and "expected a mapping" in done.stderr


def test_english_loads_no_catalog(folder: Path) -> None:
    code = (
        "import sys, builtins; from fetcher.commands import run; run(['--help'])\n"
        "from fetcher.i18n import catalogs\n"
        "assert catalogs._catalog.cache_info().currsize == 0\n"
    )
    env = {**{k: v for k, v in os.environ.items() if k not in NAMES}, "LANG": "en_US.UTF-8"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)


def test_columns_of_korean_stand_below_each_other(folder: Path) -> None:
    lines = fetch(folder, "config", FETCH_LANG="ko").stdout.splitlines()[2:]
    start = width_of(lines[0].partition("값")[0])
    for line in lines[1:]:
        before = "".join(char for at, char in enumerate(line) if width_of(line[:at]) < start)
        assert before.endswith("  "), line


def test_a_language_that_nobody_speaks_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_LANG", "xx_YY.UTF-8")
    found = cli("config", "--json")
    assert "FETCH_LANG=xx_YY.UTF-8: not one of en, ko" in found.err
    assert found.json["ok"]
    for own in ("en", "ko_KR.UTF-8", "C", ""):
        monkeypatch.setenv("FETCH_LANG", own)
        assert "FETCH_LANG" not in cli("config").err
