"""Everything that is said is translated, with its values; what is compiled is what is written."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from fetcher.i18n import LANGUAGES, Message, catalogs
from tests.i18n import catalog
from tests.i18n.catalog import PACKAGE, Said

OTHERS = [language for language in LANGUAGES if language != "en"]
HANGUL = re.compile(r"[가-힣]")
# The same in Korean: names, commands, formats.
_SAME = re.compile(
    r"fetch [a-z]+|docker login|pip install|HTTP \{|^(fetch|sha256|ref|owner/name|name==version)\b|"
    r"\{runtime|^runtime: |^--[a-z-]+ \{|Hugging Face|GitHub|sha256 \{|^https?|Python \{|Markdown"
)


def holes(text: str) -> set[tuple[str, str, str]]:
    """The values of a template, with how they are written."""
    parsed = Formatter().parse(text)
    return {(name, spec or "", how or "") for _, name, spec, how in parsed if name is not None}


# Where errors take texts: a message among these arguments is a Message, whole.
_ERRORS = {
    **dict.fromkeys(("Failure", "Problem", "NotUsable"), (1, 2)),
    **dict.fromkeys(("FetchError", "UsageError", "LockError", "ModelError", "NotLoaded"), (0, 1)),
    "from_os_error": (1,),
}
_WORDS = re.compile(r"[a-z]{2,} +[a-z]{2,}|[a-z]{2,} \{\}|\{\} [a-z]{2,}")


def plain_english(tree: ast.AST) -> list[str]:
    """Texts with words, and joined ones, that an error is given in place of a message."""
    found = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            given = [call.args[at] for at in _ERRORS.get(name, ()) if at < len(call.args)]
            for argument in given:
                found += _plain(argument)
    return found


def _plain(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Call):
        return [ast.unparse(node)] if getattr(node.func, "attr", "") == "join" else []
    if isinstance(node, ast.JoinedStr):
        parts = [x.value if isinstance(x, ast.Constant) else "{}" for x in node.values]
        text = "".join(str(part) for part in parts)
    elif isinstance(node, ast.Constant):
        text = str(node.value)
    else:
        return [text for child in ast.iter_child_nodes(node) for text in _plain(child)]
    # A command is the same in every language.
    return [text] if _WORDS.search(text) and not text.startswith("fetch ") else []


@pytest.fixture(scope="module")
def said() -> list[Said]:
    return catalog.said()


@pytest.mark.parametrize("language", OTHERS)
def test_the_catalog_has_what_the_code_says_and_nothing_else(
    said: list[Said], language: str
) -> None:
    entries = {item.id for item in catalog.read(language) if item.id}
    wanted = {item.id for item in catalog.template() if item.id}
    assert wanted - entries == set(), "run `make messages`, and translate what is new"
    assert entries - wanted == set(), "run `make messages`: nothing says these any more"
    assert len(said) > 1000


@pytest.mark.parametrize("language", OTHERS)
def test_every_entry_is_translated_with_the_same_values(said: list[Said], language: str) -> None:
    formatted = {item.text for item in said if item.formatted}
    for item in catalog.read(language):
        if not item.id:
            continue
        english = [item.id] if isinstance(item.id, str) else list(item.id)
        told = catalog.texts(item.string)
        assert not item.fuzzy, english
        assert all(text.strip() for text in told), english
        if english[0] in formatted:
            for text in told:
                assert holes(text) == holes(english[-1]), english
        for text in told:
            assert text[:1].isspace() <= english[-1][:1].isspace(), english
            assert text.endswith("\n") == english[-1].endswith("\n"), english


def test_korean_is_korean() -> None:
    untold = [
        item.id
        for item in catalog.read("ko")
        if item.id
        and not HANGUL.search("".join(catalog.texts(item.string)))
        and not _SAME.search(str(item.id))
    ]
    assert len(untold) < 40, untold


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    made = catalog.compiled(catalog.read(language))
    assert catalog.path_of(language).with_suffix(".mo").read_bytes() == made


def test_every_language_has_a_catalog_and_each_catalog_is_offered() -> None:
    assert {path.name for path in Path(catalogs.FOLDER).iterdir()} == set(OTHERS)


def test_one_english_text_has_one_plural(said: list[Said]) -> None:
    plurals: dict[str, set[str]] = {}
    for item in said:
        plurals.setdefault(item.text, set()).add(item.plural)
    assert {text: found for text, found in plurals.items() if len(found) > 1} == {}


def test_a_template_that_is_no_literal_is_found(tmp_path: Path) -> None:
    path = PACKAGE / "commands" / "add.py"
    for code in ("t(f'{x} is wrong')", "t('a' + b)", "n('a', x, 2)", "t(words)", "t()"):
        call = ast.parse(code).body[0]
        assert isinstance(call, ast.Expr) and isinstance(call.value, ast.Call)
        with pytest.raises(ValueError, match="literal"):
            list(catalog._calls(call.value, path.name))


def test_errors_are_made_of_messages() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        assert plain_english(ast.parse(path.read_text("utf-8"))) == [], path


@pytest.mark.parametrize(
    "code",
    [
        "Failure('network', 'it is gone')",
        "Failure('network', f'{host} answers')",
        "UsageError(t('wrong'), f'take {x}' if x else '')",
        "UsageError(t('wrong'), 'did you mean ' + name)",
        "ModelError('; '.join(reasons))",
        "from_os_error(error, f'writing {path}')",
    ],
)
def test_an_error_of_plain_english_is_found(code: str) -> None:
    assert plain_english(ast.parse(code))
    assert not plain_english(ast.parse("Failure('a b', t('it is gone'), join(more, ' of '))"))


def test_every_template_can_be_filled(said: list[Said]) -> None:
    """No template has a hole without a name, or a brace that str.format trips over."""
    for item in said:
        for text in filter(None, (item.text, item.plural)):
            if item.formatted:
                names = [name for name, _, _ in holes(text)]
                assert all(re.fullmatch(r"[a-z_]\w*", name) for name in names), text
                assert Message(text, "", {"count": 2} | dict.fromkeys(names, 7)), text
