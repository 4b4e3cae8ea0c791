"""The questions of `fetch add` in a terminal, with completion; the rest is `fetcher.register`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prompt_toolkit import prompt
from prompt_toolkit.completion import Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText

from fetcher.errors import Failure, UsageError
from fetcher.i18n import echo, local, t
from fetcher.project.spellings import REPOSITORY_TYPES
from fetcher.register import targets
from fetcher.register.form import FIELDS, STEPS, FormField
from fetcher.register.proposals import COMPRESSION
from fetcher.register.registration import Session
from fetcher.register.repository import CHECKPOINT_SOURCES, Places
from fetcher.register.values import with_hint


class _Words(Completer):
    """Completes the word after the last comma from a few choices."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
        start = document.text_before_cursor.rpartition(",")[2].lstrip()
        for word in self.words:
            if word.lower().startswith(start.lower()):
                yield Completion(word, start_position=-len(start))


class _Sources(Completer):
    """Completes the beginnings of sources, and paths."""

    def __init__(self) -> None:
        self.starts = _Words(("hf:", "github:", "https://huggingface.co/", "https://github.com/"))
        self.paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
        yield from self.starts.get_completions(document, complete_event)
        if ":" not in document.text_before_cursor:
            yield from self.paths.get_completions(document, complete_event)


def _ask(label: str, default: str, completer: Completer | None) -> str:
    text: str = prompt(
        FormattedText([("bold", f"  {label}: ")]),
        default=default,
        completer=completer,
        complete_while_typing=False,
    )
    return text.strip()


def _shown(value: Any) -> str:
    """A value as a person would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        if all(isinstance(item, dict) for item in value.values()):
            return ", ".join(value)
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def ask_all(session: Session, python: str | None, skip_import: bool) -> None:
    """Every field in five steps; what is wrong is said, and asked again."""
    session.draft.values.setdefault("kind", "model")
    session.draft.values.setdefault("visibility", "private")
    echo(
        t(
            "Adding to manifests/{manifest}.yaml. Tab completes; an empty answer is skipped.",
            manifest=session.manifest,
        )
    )
    for number, title in enumerate(STEPS):
        echo(
            t(
                "\nStep {number} of {count}: {title}",
                number=number + 1,
                count=len(STEPS),
                title=title,
            )
        )
        if number == _EVALUATION:
            for note in session.propose():
                echo("   ", note)
        for item in FIELDS:
            if item.step != number:
                continue
            if item.key == "class_path":
                _ask_places(session)
            if item.key == "interface" and session.draft.values.get("task") in COMPRESSION:
                session.draft.values.setdefault("interface", ["reconstruct"])
            if not (item.key == "files" and _pinned(session)):
                _ask_field(session, item, python, skip_import)
            if item.key == "name":
                _ask_id(session)
    echo()


_EVALUATION = 3  # the step of benchmarks and metrics


def _pinned(session: Session) -> bool:
    return session.checkpoint is not None and session.checkpoint.files is not None


def _ask_field(session: Session, item: FormField, python: str | None, skip_import: bool) -> None:
    value = session.draft.values.get(item.key)
    default = "" if value is None else _shown(value)
    label = local(item.label) + (f" ({item.example})" if item.example and not default else "")
    while True:
        text = _ask(label, default, _Words(item.choices) if item.choices else None)
        if value is not None and text == default:
            wrong = session.draft.errors.get(item.key, [])
        else:
            wrong = session.draft.set_text(item, text)
            session.class_named |= item.key == "class_path"
        if not wrong and item.key in {"class_path", "interface"} and text and not skip_import:
            session.check_class(python)
            wrong = session.draft.errors.get(item.key, [])
        if not wrong:
            return
        for line in wrong:
            echo("   ", line)
        value, default = None, text


def _ask_id(session: Session) -> None:
    taken = targets.taken_ids(session.root, session.manifest)
    default = session.draft.id or session.proposed_id()
    while True:
        wrong = session.draft.set_id(_ask(t("Model ID"), default, None), taken)
        if not wrong:
            return
        for line in wrong:
            echo("   ", line)


def _ask_places(session: Session) -> None:
    """Where the code is, and the checkpoint; what cannot be had is said, and asked again."""
    if session.checkpoint is not None:
        return
    types, origins = tuple(REPOSITORY_TYPES), CHECKPOINT_SOURCES
    while True:
        places = Places()
        places.repository_type = _ask(t("Repository Type"), "", _Words(types))
        places.repository = _ask(t("Repository URL (or HF ID)"), "", _Sources())
        places.checkpoint_source = _ask(t("Checkpoint Source"), "", _Words(origins))
        places.checkpoint = _ask(t("Checkpoint Path or File"), "", _Sources())
        if places.repository and places.checkpoint:
            answer = _ask(t("Fetch the code as well (yes, no)"), "no", _Words(("yes", "no")))
            places.fetch_code = answer.lower() in {"y", "yes"}
        if not (places.repository or places.checkpoint):
            echo("   ", t("is needed: a repository, a URL or a file"))
            continue
        before = len(session.notes)
        try:
            session.take(places)
        except (UsageError, Failure) as error:
            echo("   ", with_hint(error.message, error.hint))
            continue
        for note in session.notes[before:]:
            echo("   ", note)
        return
