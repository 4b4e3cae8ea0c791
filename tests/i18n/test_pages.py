"""Translated pages say what the English ones say, in the words of the translated messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.i18n.catalog import read, texts
from tests.i18n.pages import ROOT, Site, pairs, sections

PAGES = pairs()
# English, Korean, and words for the same thing that are used nowhere.
GLOSSARY = {
    r"manifests?": ("매니페스트", "메니페스트|선언 파일|명세 파일"),
    r"layouts?": ("레이아웃", "배치도|레이 아웃"),
    r"digests?": ("다이제스트", "해시값|해쉬|다이제스트값"),
    r"mirrors?": ("미러", "거울|미러링 서버"),
    r"checkpoints?": ("체크포인트", "검사점|채크포인트"),
    r"bundles?": ("번들", "꾸러미"),
    r"conflicts?": ("충돌", "컨플릭트"),
    r"licen[cs]es?": ("라이선스", "라이센스"),
    r"tokens?": ("토큰", "토근"),
    r"registry|registries": ("레지스트리", "레지스터리"),
    r"groups?": ("그룹", "구룹"),
    r"revisions?": ("리비전", "개정판|리비젼"),
    r"gated": ("접근 제한", "게이티드|게이트된"),
}
# These may be said in other ways, where a Korean sentence wants it.
FREE = {
    r"weights": ("가중치", "웨이트"),
    r"adapters?": ("어댑터", "아답터|아댑터"),
    r"upstream": ("업스트림", "상류"),
}


def test_there_are_the_pages_that_shall_be() -> None:
    names = ("adopting", "ohlora", "start", "troubleshooting")
    assert {"README.ko.md", *(f"docs/ko/{name}.md" for name in names)} == set(pairs())
    assert all((ROOT / page).exists() for page in pairs())


@pytest.mark.parametrize("page", PAGES)
def test_a_translation_is_in_step(page: str) -> None:
    problems = Site().problems(page)
    hint = "compare them, then `make translations CHECKED=1`"
    assert not problems, "\n".join([*problems, hint])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_uses_the_words_of_the_messages(page: str) -> None:
    site = Site()
    for one, other in zip(site.sections(site.pairs[page]), site.sections(page), strict=True):
        english = re.sub(r"`[^`]*`|```.*?```|\([^)]*\)", " ", one.text, flags=re.S)
        for word, (korean, wrong) in {**GLOSSARY, **FREE}.items():
            found = re.search(wrong, f"{other.title} {other.text}")
            assert not found, f"{page}, {other.title!r}: {found} is {korean} elsewhere"
            if word in GLOSSARY and re.search(rf"\b(?:{word})\b", english):
                assert korean in other.text, f"{page}, {other.title!r}: {word} is {korean}"


@pytest.mark.parametrize("word", [*GLOSSARY, *FREE])
def test_the_messages_use_the_glossary(word: str) -> None:
    korean, wrong = {**GLOSSARY, **FREE}[word]
    said = [
        (item.id if isinstance(item.id, str) else item.id[0], " ".join(texts(item.string)))
        for item in read("ko")
        if item.id
    ]
    named = [k for e, k in said if re.search(rf"(?<![{{\w`/.-])(?:{word})\b(?![.:}}/-])", e)]
    assert named and sum(korean in text for text in named) >= 0.7 * len(named), named
    assert not [text for _, text in said if re.search(wrong, text)]


def test_korean_pages_are_written_as_one_speaks_to_readers() -> None:
    """Sentences end politely; none was left in English."""
    for page in PAGES:
        for section in sections((ROOT / page).read_text("utf-8")):
            text = re.sub(r"```.*?```|`[^`]*`", "", section.text, flags=re.S)
            rude = re.search(r"[가-힣]+(?<!니)(?:한다|된다|있다|없다|이다)\.(?=\s|$)", text)
            assert not rude, f"{page}, {section.title!r}: {rude}"
            for paragraph in re.split(r"\n\s*\n", text):
                words = re.findall(r"[A-Za-z]{3,}", re.sub(r"\]\([^)]*\)|<[^>]*>", "", paragraph))
                if len(words) > 12:
                    assert re.search(r"[가-힣]", paragraph), f"{page}: {paragraph[:80]!r}"


def test_quoted_messages_are_what_is_said() -> None:
    """Readers search the page for the message that they were shown."""
    templates = [text for item in read("ko") for text in texts(item.string)]
    said = [re.compile(_pattern(text)) for text in templates if len(text) > 4]
    page = (ROOT / "docs/ko/troubleshooting.md").read_text("utf-8")
    quoted = re.findall(r"^> (.*)$", page, re.M)
    assert len(quoted) > 35
    unknown = [line for line in quoted if not any(one.search(line) for one in said)]
    assert not unknown


def _pattern(template: str) -> str:
    """A regular expression of a message's texts, with anything for its values."""
    parts = re.split(r"\{[^{}]*\}", template)
    if len("".join(parts)) < 5:
        return r"(?!)"
    return r"(?:^|\s)" + ".+".join(map(re.escape, parts)) + "$"


ENGLISH = """# Begin

Some [words](more.md#the-rest), `fetch all`.

```sh
fetch all   # everything
```

## The rest

| a | b |
|---|---|
| 1 | 2 |
"""
KOREAN = """# 시작

[말](more.md#나머지)입니다. `fetch all`.

```sh
fetch all   # 전부
```

## 나머지

| 가 | 나 |
|---|---|
| 1 | 2 |
"""


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    def made(english: str = ENGLISH, korean: str = KOREAN, more: str = KOREAN) -> Site:
        """A tree whose translations were in step, and which has changed since."""
        (tmp_path / "docs/ko").mkdir(parents=True, exist_ok=True)
        for name in ("start", "more"):
            (tmp_path / f"docs/{name}.md").write_text(ENGLISH, "utf-8")
            (tmp_path / f"docs/ko/{name}.md").write_text(KOREAN, "utf-8")
            Site(tmp_path).write_digests(f"docs/ko/{name}.md")
        written = (tmp_path / "docs/ko/start.md").read_text("utf-8")
        marks = re.findall(r"<!-- .* -->\n", written)
        assert Site(tmp_path).problems("docs/ko/start.md") == []
        for heading, mark in zip(re.findall(r"^#+ .*\n", korean, re.M), marks, strict=False):
            korean = korean.replace(heading, heading + mark, 1)
        (tmp_path / "docs/ko/start.md").write_text(korean, "utf-8")
        (tmp_path / "docs/start.md").write_text(english, "utf-8")
        (tmp_path / "docs/ko/more.md").write_text(more, "utf-8")
        return Site(tmp_path)

    return made


MOVED = "of docs/start.md has changed"
CASES = [
    (ENGLISH.replace("Some", "Some\nmore"), KOREAN, f"'시작': 'Begin' {MOVED}"),
    (ENGLISH.replace("| 1", "| 3"), KOREAN, f"'나머지': 'The rest' {MOVED}"),
    (ENGLISH.replace("The rest", "What is left"), KOREAN, "'What is left' of"),
    (ENGLISH, KOREAN.replace("all   #", "al   #"), "'시작': code: 'sh: fetch all'"),
    (ENGLISH, KOREAN.replace("`fetch all`", "`fetch plan`"), "inline code: ['fetch all', "),
    (ENGLISH, KOREAN.replace("md#나머지", "md"), "links: ['more.md#나머지'] became"),
    (ENGLISH, KOREAN.replace("| 1 | 2 |\n", ""), "'나머지': tables: 2 rows became 1"),
    (ENGLISH, KOREAN.replace("## 나", "### 나"), "headings are not those of"),
    (ENGLISH, KOREAN + "\n## 더\n", "'더' is more"),
    (ENGLISH, KOREAN[: KOREAN.index("##")], "'The rest' met 'the end'"),
]


@pytest.mark.parametrize(("english", "korean", "told"), CASES)
def test_what_moved_is_named(
    site: Callable[..., Site], english: str, korean: str, told: str
) -> None:
    problems = site(english, korean).problems("docs/ko/start.md")
    assert any(told in problem for problem in problems), problems
    assert all(problem.startswith("docs/ko/start.md") for problem in problems)


def test_how_lines_break_is_no_change(site: Callable[..., Site]) -> None:
    english = ENGLISH.replace("Some [words]", "Some\n[words]")
    assert site(english).problems("docs/ko/start.md") == []


def test_links_follow_the_heading_of_the_translated_page(site: Callable[..., Site]) -> None:
    problems = site(more=KOREAN.replace("나머지", "남은 것")).problems("docs/ko/start.md")
    assert problems and "links: ['more.md#남은-것']" in problems[0]


def test_a_page_without_an_original_is_named(site: Callable[..., Site], tmp_path: Path) -> None:
    found = site()
    (tmp_path / "docs/start.md").unlink()
    assert found.problems("docs/ko/start.md") == ["docs/ko/start.md: there is no docs/start.md"]
