"""What several commands share: options, and the workspace that they open."""

from __future__ import annotations

import fnmatch
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fetcher.commands.output_files import OutputFile
from fetcher.config import project_choices
from fetcher.config import settings as all_settings
from fetcher.config.boundaries import below, check_output, of_project
from fetcher.config.settings import Settings
from fetcher.errors import Failure, Problem, UsageError, from_os_error
from fetcher.fs.home import as_person_means
from fetcher.i18n import echo, local, t
from fetcher.operations import open_project
from fetcher.project import names as naming
from fetcher.project.project import Project, Unit, find_root
from fetcher.reporting import envelope
from fetcher.tree.uptodate import Seal

if TYPE_CHECKING:  # what a run with nothing to do does without
    from fetcher.operations.workspace import Workspace
    from fetcher.project.manifest import Artifact
    from fetcher.tree.plan import ArtifactPlan
    from fetcher.ui.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def manifests_argument(function: F) -> F:
    """Any number of manifest names or files."""
    return click.argument("manifests", nargs=-1, metavar="[MANIFEST]...")(function)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(
        function
    )


def markdown_option(function: F) -> F:
    """--markdown."""
    return click.option(
        "--markdown", is_flag=True, help="Print Markdown, for the text of a pull request."
    )(function)


def one_format(markdown: bool, as_json: bool) -> None:
    """Raise UsageError where stdout is to have two formats."""
    if markdown and as_json:
        raise UsageError(t("--markdown and --json exclude each other"), t("choose one"))


class _Folder(click.Path):
    """A folder that the person names, with variables as their environment has them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(as_person_means(Path(value)), param, ctx)


FOLDER = _Folder(file_okay=False, path_type=Path)

_AGES = {"h": 3600.0, "d": 24 * 3600.0, "w": 7 * 24 * 3600.0}


def age(_: click.Context, __: click.Parameter, value: str | None) -> float:
    """A span of time as 12h, 30d or 2w, in seconds; 0 without one."""
    if value is None:
        return 0.0
    number, unit = value[:-1], value[-1:]
    if unit not in _AGES or not (number.isascii() and number.isdigit()) or len(number) > 6:
        raise click.BadParameter(
            local(
                t(
                    "{value!r} is no age: say a whole number and h, d or w (hours, days, weeks), "
                    "as 12h, 30d or 2w",
                    value=value,
                )
            )
        )
    return int(number) * _AGES[unit]


def into_option(function: F) -> F:
    """--into."""
    return click.option(
        "--into",
        type=FOLDER,
        metavar="DIR",
        help="Folder that the layout's root is made in; default: the project's root.",
    )(function)


def variant_option(function: F) -> F:
    """--variant."""
    return click.option(
        "--variant",
        "variants",
        multiple=True,
        metavar="NAME=CHOICE",
        help="Take this choice of a variant; auto: the one that fits the GPU's memory.",
    )(function)


def selection_options(function: F) -> F:
    """Which artifacts, and into which tree."""
    return _stack(
        into_option,
        variant_option,
        click.option("--only", multiple=True, metavar="GLOB", help="Take only these artifacts."),
        click.option("--skip", multiple=True, metavar="GLOB", help="Leave these artifacts out."),
        click.option(
            "--group",
            "groups",
            multiple=True,
            metavar="G",
            help="Take only artifacts of this group.",
        ),
        click.option(
            "--include-optional", "optional", is_flag=True, help="Take optional artifacts as well."
        ),
    )(function)


def transfer_options(function: F) -> F:
    """How files come and how they are placed."""
    return _stack(
        click.option(
            "--locked",
            is_flag=True,
            help="Fail (exit 7) if fetch.lock is missing or out of date; never change it.",
        ),
        click.option("--update", is_flag=True, help="Resolve anew, even what is locked."),
        click.option("--offline", is_flag=True, help="Use no network."),
        click.option(
            "--from",
            "mirrors",
            multiple=True,
            metavar="MIRROR",
            help="Ask this mirror first: a bundle, a store's folder, or an http, oci or s3 URL.",
        ),
        click.option(
            "--verify-key",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Refuse mirrors that are not signed with this public key (PEM).",
        ),
        click.option(
            "--link",
            type=click.Choice(all_settings.LINKS),
            help="How files are placed; auto: reflink, else hard link, else copy.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1, 256),
            metavar="N",
            help="Connections to one host, at most.",
        ),
        click.option("--limit-rate", metavar="RATE", help="Bytes per second, such as 50M."),
        click.option(
            "--overwrite",
            is_flag=True,
            help="Replace files that stand in the way; they go to .fetch/kept/.",
        ),
        click.option(
            "--first-trust",
            is_flag=True,
            help="Take files without a known digest, whatever their bytes look like.",
        ),
    )(function)


def row_names(parts: Sequence[ArtifactPlan]) -> dict[tuple[str, str], str]:
    """What to call each artifact in a table: its id, with its manifest where two have one id."""
    ids = Counter(part.artifact.id for part in parts)
    return {
        (part.artifact.manifest, part.artifact.id): part.artifact.id
        if ids[part.artifact.id] == 1
        else part.artifact.full_name
        for part in parts
    }


def write_report(path: Path, text: str) -> list[Problem]:
    """Write a report file at once, with its folder; what goes wrong is a problem of its own."""
    from fetcher.fs.atomic import write_atomically

    root = find_root(Path.cwd())
    try:
        if inside := below(root, path):
            of_project(root).write(inside, text.encode())
        elif str(path) in {"/dev/stdout", "/dev/stderr"}:  # wherever it leads: nothing is replaced
            stream = sys.stdout if path.name == "stdout" else sys.stderr
            stream.write(text)
            stream.flush()
        elif path.exists() and not path.is_file():  # a pipe
            path.write_text(text, "utf-8")
        else:  # a link that lies elsewhere is the person's, and stays
            write_atomically(Path(os.path.realpath(path)), text.encode())
    except Failure as failure:
        return failure.problems()
    except OSError as error:
        return [from_os_error(error, t("writing {path}", path=path)).problem]
    return []


def interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirmed(yes: bool, question: str = t("Write these changes?")) -> bool:
    """Ask in a terminal, unless the answer is given; scripts are not asked."""
    return yes or not interactive() or click.confirm(local(question), default=True)


def chosen(project: Project, names: Sequence[str]) -> tuple[list[Unit], list[naming.Pair]]:
    """Units and artifacts that names stand for; without names, all that are in reach."""
    if not names:
        units = project.load_everything()
        return units, naming.pairs_of(units)
    wanted = naming.sort_out(project, names)
    explain(wanted.notes)
    units = project.load(wanted.manifests)
    return units, [
        (unit, artifact)
        for unit, artifact in naming.pairs_of(units)
        if artifact.id in wanted.exact.get(unit.manifest.name, {artifact.id})
    ]


def explain(notes: Sequence[str]) -> None:
    """Say on stderr which artifacts aliases stand for."""
    for note in dict.fromkeys(notes):
        echo(t("note: {note}", note=note), file=sys.stderr)


def narrow(space: Workspace, names: Sequence[str]) -> None:
    """Be about the artifacts that these name, with all choices of variants; without names, about
    all. A name is an id, manifest/id, alias or repository, a glob of ids, or a manifest.

    Raises UsageError for one that names nothing.
    """
    space.take_every_variant()
    if not names:
        return
    known, notes = naming.translated(names, space.wanted)
    explain(notes)
    for name in known:
        if not any(_is_called(artifact, name) for _, artifact in space.wanted):
            raise naming.unknown(name, space.wanted)
    space.wanted = [
        pair for pair in space.wanted if any(_is_called(pair[1], name) for name in known)
    ]


def _is_called(artifact: Artifact, name: str) -> bool:
    names = artifact.id, artifact.full_name, artifact.manifest
    return any(fnmatch.fnmatchcase(own, name) for own in names)


def tell_choices(settings: Settings, uses: Collection[str] = project_choices.NAMED) -> None:
    """Say on stderr what the project itself chose of these settings; --json has it as well."""
    found = project_choices.choices(settings, uses)
    if found and tuple(found) != envelope.project_settings.get():
        note = project_choices.sentence(found)
        echo(t("note: {note}", note=note), file=sys.stderr)
        before = envelope.project_settings.set(tuple(found))
        if context := click.get_current_context(silent=True):
            context.call_on_close(lambda: envelope.project_settings.reset(before))


def sealed(manifests: Sequence[str] = (), **options: Any) -> Seal | None:
    """The seal of the tree that `workspace` would open with these options, if it still holds."""
    return open_project.sealed(find_root(Path.cwd()), manifests, **options)


def note_variants(space: Workspace) -> None:
    """Say which choice of each variant a command is about, on stderr and in --json."""
    chosen = space.choices.chosen
    if not chosen:
        return
    explain([one.sentence for one in chosen])
    before = envelope.variants.set(
        tuple(
            {
                "manifest": one.manifest,
                "variant": one.variant.name,
                "choice": one.choice,
                "why": local(one.why),
            }
            for one in chosen
        )
    )
    if context := click.get_current_context(silent=True):
        context.call_on_close(lambda: envelope.variants.reset(before))


def note_if_empty(space: Workspace) -> None:
    """Say why nothing is chosen, where all that was meant is optional."""
    optional = [artifact for _, artifact in naming.pairs_of(space.units) if artifact.optional]
    if not space.wanted and optional:
        open_ones = [item for item in optional if not item.info.get("requires_auth")]
        example = (open_ones or optional)[0].id
        names = ", ".join(unit.manifest.name for unit in space.units)
        echo(
            t(
                "note: all {count} artifacts of {names} are optional, so none is taken\nhint: "
                "name some (fetch all {example}), or --include-optional takes all",
                count=len(optional),
                names=names,
                example=example,
            ),
            file=sys.stderr,
        )


events_option = click.option(
    "--json-events",
    type=OutputFile("events"),
    metavar="FILE",
    help="Write what happens to a file or pipe, one JSON object a line.",
)


@contextmanager
def showing(quiet: bool, json_events: Path | None = None) -> Iterator[Progress]:
    """How one command goes on; whatever ends it, the terminal is left clean."""
    from fetcher.ui.events import Events
    from fetcher.ui.progress import Progress

    if json_events is not None:
        check_output(find_root(Path.cwd()), json_events)
    progress = Progress(quiet=quiet, events=Events(json_events))
    try:
        yield progress
    finally:
        progress.end()
        progress.events.close()


@contextmanager
def workspace(
    manifests: Sequence[str] = (),
    *,
    quiet: bool = False,
    json_events: Path | None = None,
    **options: Any,
) -> Iterator[Workspace]:
    """Open the project around the current folder for one command; see `open_project`."""
    with showing(quiet, json_events) as progress:
        space = open_project.open_workspace(
            find_root(Path.cwd()),
            manifests,
            progress=progress,
            explain=explain,
            tell=tell_choices,
            **options,
        )
        try:
            yield space
        finally:
            space.close()
