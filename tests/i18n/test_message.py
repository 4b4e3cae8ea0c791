"""A message stays whole on its way to whom it is for, and comes to the right words there."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import DocumentProblem, Failure, InvalidDocument, Problem, from_os_error
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import Message, join, localized, n, parts_of, revived, t, translated
from fetcher.i18n.message import Shown

VALUES = st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()


def korean(text: str) -> str:
    return translated(text, "ko")


def message(text: str) -> Message:
    assert isinstance(text, Message)
    return text


def test_the_text_is_english_and_the_rest_is_kept() -> None:
    said = message(t("{path} is not there", path=Path("a/b")))
    assert said == "a/b is not there" and isinstance(said, str)
    assert said.template == "{path} is not there" and said.values == {"path": "a/b"}
    assert korean(said) == "a/b이(가) 없습니다"
    assert translated(said, "en") == said and type(translated(said, "en")) is str
    assert type(korean(said)) is str


def test_values_may_be_messages() -> None:
    said = t("found {found}, expected {expected}", found=t("a list"), expected=t("a mapping"))
    assert said == "found a list, expected a mapping"
    assert korean(said) == "입력한 값: 목록. 필요한 값: 키: 값 묶음"
    both = join((said, t("is needed")), "; ")
    assert both == f"{said}; is needed" and korean(both) == f"{korean(said)}; 필수 항목입니다"
    assert join(()) == "" and join(("{x}", "}")) == "{x}, }"


def test_an_error_that_carries_a_message_gives_it_on() -> None:
    with pytest.raises(BadPath) as caught:
        check_relative("../x")
    failure = Failure("bad-path", t("{text!r} {error}", text="../x", error=caught.value))
    assert failure.problem.message == "'../x' leads out of its directory with '..'"
    assert korean(failure.message) == "'../x' '..' 때문에 폴더 밖으로 나갑니다"
    assert korean(str(ValueError(t("is empty")))) == "비어 있습니다"


def test_counting() -> None:
    one, many = "{count:,} file", "{count:,} files"
    assert [n(one, many, count) for count in (0, 1, 2, 12345)] == [
        *("0 files", "1 file", "2 files", "12,345 files"),
    ]
    assert korean(n(one, many, 1)) == "파일 1개" and korean(n(one, many, 12345)) == "파일 12,345개"
    found = InvalidDocument([DocumentProblem("a.yaml", 1, 2, t("is empty"))])
    assert str(found) == "1 problem in the project's files:\n  a.yaml:1:2: is empty"
    assert korean(found.message) == "프로젝트 파일에 문제가 1건 있습니다"
    assert korean(found.problems()[0].message) == "a.yaml:1:2: 비어 있습니다"


def test_a_template_without_values_is_text_whatever_is_in_it() -> None:
    text = "a list of names, or a mapping from name to {size, sha256}"
    assert t(text) == text and "{size, sha256}" in korean(t(text))
    assert t("100 % {") == "100 % {" and korean(t("100 % {")) == "100 % {"


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, max_size=4))
def test_a_message_survives_copies_pickles_and_json(values: dict[str, Any]) -> None:
    template = "".join(f"{{{name}}}|{{{name}!r}}" for name in values) or "x"
    inner = message(t(template, **values))
    said = message(t("{inner}: {other}", inner=inner, other=n("1", "{count}", 3)))
    problem = Problem("usage", said, t("try again later"))
    for made in (
        pickle.loads(pickle.dumps(problem)),
        copy.deepcopy(problem),
        copy.copy(problem),
        Problem(**problem._asdict()),
    ):
        assert made == problem and isinstance(made.message, Message)
        assert made.message.template == said.template and made.message.values == said.values
        assert korean(made.hint) == "나중에 다시 해 주세요"
    assert json.loads(json.dumps({"m": said})) == {"m": str.__str__(said)}
    json.dumps(parts_of(said))


@given(VALUES | st.binary() | st.lists(st.integers()) | st.builds(Path, st.just("a")))
def test_what_is_no_text_is_kept_as_it_is_shown(value: Any) -> None:
    said = message(t("{value} {value!r}", value=value))
    assert said == f"{value} {value!r}"
    assert korean(said) == said
    assert type(said.values["value"]) in {str, int, float, bool, type(None), Shown}
    assert pickle.loads(pickle.dumps(said)) == said


def _in_worker(problem: Problem) -> tuple[str, Problem]:
    return translated(problem.message, "ko"), problem


def test_between_processes() -> None:
    failure = from_os_error(PermissionError(13, "Permission denied"), t("writing {path}", path="x"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there, back = pool.apply(_in_worker, (failure.problem,))
    assert there == korean(failure.message) == korean(back.message) == "x 쓰기: Permission denied"
    assert back == failure.problem


def test_nothing_is_done_twice_and_nothing_unknown_is_changed() -> None:
    assert translated("", "ko") == ""
    assert korean("nobody has said this before") == "nobody has said this before"
    assert korean(t("nobody has said {this} before", this=1)) == "nobody has said 1 before"
    tree = {"a": [t("is empty"), 1, None], "b": {"c": t("is needed")}}
    assert localized(tree, "ko") == {"a": ["비어 있습니다", 1, None], "b": {"c": "필수 항목입니다"}}
    assert localized(tree, "en") is tree


def test_messages_come_back_from_json() -> None:
    for said in (
        t("{path} is not there", path="x"),
        t("found {found}, expected {expected}", found=t("a list"), expected="x"),
        n("{count:,} file", "{count:,} files", 3),
        t("is needed"),
    ):
        plain = json.loads(json.dumps(parts_of(said)))
        back = revived(plain, str.__str__(said))
        assert back == said and korean(back) == korean(said)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"template": 1, "values": {}},
        {"template": "{x.__class__.__mro__}", "values": {"x": "a"}},
        {"template": "{x:>999999999}", "values": {"x": "a"}},
        {"template": "{path} is not there", "values": {"path": {"text": "evil"}}},
        {"template": "{path} is not there", "values": {}},
        {"template": "{path} is not there", "values": [1]},
        {"template": "{count:,} file", "plural": "{count:>999999999}", "values": {"count": 2}},
        {"template": "{count:,} file", "plural": "{count:,} files", "values": {"count": "x"}},
    ],
)
def test_what_is_not_ours_stays_the_text_that_it_says(found: dict[str, object]) -> None:
    back = revived(found, "what it says")
    assert back == "what it says" and not isinstance(back, Message)
