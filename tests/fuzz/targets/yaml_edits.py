"""Changes of YAML files: the text says the same as before, and what was put into it."""

from __future__ import annotations

from fetcher.errors import UsageError
from fetcher.yamldoc import edit, nodes
from tests.fuzz.kit import Target, seed
from tests.fuzz.targets.yaml_tree import WORDS


def check(data: bytes) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    document = nodes.parse(data, "m.yaml")
    if document.root is not None and (document.root.kind != "mapping" or document.problems):
        return
    value = {"source": "hf:o/m", "files": ["a b", "no", "1e3"], "text": "two\nlines: #\n"}
    try:
        made = edit.put(text, ["artifacts"], "new", value, "m.yaml")
    except UsageError as error:
        assert error.message
        return
    found = nodes.parse(made.encode("utf-8"), "m.yaml")
    assert found.root is not None and not found.problems, (made, found.problems)
    plain = edit.plain(found.root, found)
    assert plain["artifacts"]["new"] == value
    if document.root is not None:
        before = edit.plain(document.root, document)
        assert {k: v for k, v in plain.items() if k != "artifacts"} == {
            k: v for k, v in before.items() if k != "artifacts"
        }


TARGET = Target(
    check,
    [
        seed("manifest: m\n# note\nartifacts:\n  a: {source: 'hf:o/m'}  # mine\n\ntitle: t\n"),
        seed("artifacts: {a: {source: x}}\n"),
        seed("artifacts:\n- a\nb: 1\n"),
        seed("# only a comment"),
        seed("artifacts:\r\n  a:\r\n    b: c\r\n"),
    ],
    [*WORDS, "artifacts:", "\n  a: b", "\r\n", "# c", "artifacts: {}", "artifacts: ~"],
    longest=600,
)
