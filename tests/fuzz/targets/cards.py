"""Model cards and model_config.yaml: whatever a stranger wrote gives short lines of text, or nothing."""

from __future__ import annotations

from fetcher.errors import InvalidDocument, UsageError
from fetcher.project import layout, manifest
from fetcher.register import model_config
from fetcher.register.card import of_text
from fetcher.yamldoc import nodes
from tests.fuzz.kit import Target, file_with, seed
from tests.fuzz.targets.yaml_tree import WORDS


def check(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind == b"c":
        card = of_text(rest.decode("utf-8", "replace"), dataset=len(rest) % 2 == 0)
        for value in vars(card).values():
            for text in value if isinstance(value, tuple) else (value,):
                assert isinstance(text, str) and len(text) <= 300 and "\n" not in text
        return
    with file_with(rest, "model_config.yaml") as path:
        try:
            found = model_config.read(path)
        except (InvalidDocument, UsageError) as error:
            assert error.message
            return
    if not found.artifacts:
        return
    for text, decode in (
        (found.manifest("m", "t"), manifest.decode),
        (found.layout("m"), layout.decode),
    ):
        document = nodes.parse(text.encode("utf-8", "surrogatepass"), "m.yaml")
        decode(document)
        assert not document.problems, (text, document.problems)


TARGET = Target(
    check,
    [
        b"c" + seed("---\nlicense: mit\ntags: [a]\nbase_model: o/m\nlanguage: [en]\n---\n# Title\n"),
        b"c" + seed("---\nmodel-index:\n- name: x\n  results: []\n---\n"),
        b"m" + seed("models:\n  sdxl:\n    repo: o/sdxl\n    pipeline_type: sdxl\n    params: {size: 1x2}\n"),
        b"m" + seed("primary_model: a\nmodels:\n- {name: a, model_id: o/a, gated: yes}\n"),
    ],
    [*WORDS, "---\n", "license: ", "models:\n", "repo: o/m", "params: ", "default_size: 512x512", "runtime:\n",
     "model_id: ", "fallbacks: ", "tags: ", "datasets: "],
    longest=800,
)  # fmt: skip
