"""`fetch mirror`: bundles and registries."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import common
from fetcher.commands.other_words import SubCommands
from fetcher.commands.output_files import OutputFile
from fetcher.config.boundaries import check_output
from fetcher.config.project_choices import NAMED
from fetcher.config.settings import Settings
from fetcher.errors import Problem, UsageError, from_os_error
from fetcher.i18n import echo, n, t
from fetcher.operations.open_project import settings_of
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.store.store import Store
from fetcher.ui.events import Events
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.bundle.blob_import import ImportResult
    from fetcher.bundle.import_claims import ImportChoice

_key_option = click.option(
    "--verify-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Refuse what is not signed with this public key (PEM).",
)
_replace_option = click.option(
    "--replace",
    is_flag=True,
    help="Take it in place of an earlier import that contradicts it, is newer or has another key.",
)
_jobs_option = click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Connections.")
_quiet_option = click.option("--quiet", is_flag=True, help="Show only trouble.")
_bundles_argument = click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...")


@click.group("mirror", cls=SubCommands)
def command() -> None:
    """Carry artifacts to sites without internet: bundles, registries, signatures."""


def _settings(
    verify_key: Path | None = None, *, uses: Collection[str] = NAMED, **flags: Any
) -> Settings:
    found = settings_of(find_root(Path.cwd()), {"verify_key": verify_key, **flags})
    common.tell_choices(found, uses)
    return found


def _answer(
    summary: Mapping[str, object],
    results: Sequence[Mapping[str, object]],
    problems: Sequence[Problem],
    as_json: bool,
    lines: Sequence[str],
    events: Events,
) -> int:
    found = envelope.Answer(dict(summary), problems=list(problems), results=results)
    events.send("end", exit_code=found.exit_code, summary=found.summary)
    if as_json:
        envelope.print_json(found)
    else:
        for line in lines:
            echo(line)
    envelope.print_problems(problems)
    return found.exit_code


def _imported(result: ImportResult, store: Path) -> list[str]:
    """What an import or a pull did, in words; nothing where it failed."""
    if result.problems:
        return []
    return [
        *result.notes,
        t(
            "{artifacts}: {contents} imported, {bytes}; {already:,} were there",
            artifacts=n("{count:,} artifact", "{count:,} artifacts", len(result.artifacts)),
            contents=n("{count:,} content", "{count:,} contents", result.files),
            bytes=human_bytes(result.bytes),
            already=result.already,
        ),
        t("store {store}", store=store),
    ]


def _choice(chosen: Settings, replace: bool) -> ImportChoice:
    from fetcher.bundle.import_claims import ImportChoice
    from fetcher.store.upstream_records import of_choice

    return ImportChoice(chosen.locks, of_choice(chosen), replace)


def _first_steps(bundle: str, key: str = "", digest: str = "") -> list[str]:
    """What proves the tool at the site, before any of it runs."""
    from fetcher.bundle.first_steps import commands, form_of

    steps = commands(form_of(bundle), str(Path(bundle).absolute()), key, digest)
    return [
        t("at the site, before anything of the bundle runs (bundle= where it lies there):"),
        *(f"  {line}" for line in steps),
    ]


@command.command("export", short_help="Write what was fetched as a bundle.")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@common.manifests_argument
@common.selection_options
@click.option(
    "--since",
    metavar="BUNDLE|LIST",
    help="Leave out what the other side has: its bundle, or what `fetch mirror have` wrote there.",
)
@click.option("--volume-size", metavar="SIZE", help="Split into volumes, such as 4G for FAT32.")
@click.option("--overwrite", is_flag=True, help="Replace what OUT is now.")
@click.option("--with-tool", is_flag=True, help="Put fetch itself in: wheels and a script.")
@click.option("--tool-python", metavar="X.Y", help="Python of the site; default: this one.")
@click.option(
    "--tool-platform",
    "tool_platforms",
    multiple=True,
    metavar="TAG",
    help="Platform of the site, such as manylinux_2_28_x86_64; default: this machine.",
)
@click.option(
    "--tool-extra",
    "tool_extras",
    multiple=True,
    metavar="NAME",
    help="Extras of fetch to put in; default: serve and sign.",
)
@click.option(
    "--tool-constraints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Versions that pip must keep to.",
)
@_quiet_option
@common.events_option
@common.json_option
def export(
    out: Path,
    manifests: tuple[str, ...],
    since: str | None,
    volume_size: str | None,
    overwrite: bool,
    with_tool: bool,
    quiet: bool,
    json_events: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Write what the project has fetched as a bundle: a folder, or OUT.tar.

    Run `fetch all` first. The same content makes the same bytes; an interrupted export goes on
    when it is run again.
    """
    from fetcher.bundle import export_bundle
    from fetcher.bundle.wheelhouse import WheelhouseOptions

    tool = WheelhouseOptions(
        options.pop("tool_python"),
        options.pop("tool_platforms"),
        options.pop("tool_extras"),
        options.pop("tool_constraints"),
    )
    if not with_tool and any((tool.python, tool.platforms, tool.extras, tool.constraints)):
        raise UsageError(t("--tool-… say what --with-tool puts in"), t("add --with-tool"))
    size = export_bundle.size_of(volume_size)
    with common.workspace(
        manifests, quiet=quiet, readonly=True, json_events=json_events, **options
    ) as space:
        common.note_variants(space)
        done = export_bundle.export(space, out, since, size, overwrite, tool if with_tool else None)
        space.progress.end()
        summary = {
            "artifacts": len(done.artifacts),
            "files": done.files,
            "bytes": done.bytes,
            "left_out": done.left_out,
            "bundle": str(out),
            "bundle_bytes": done.bundle_bytes,
            "digest": f"sha256:{done.digest}" if done.digest else None,
            "volumes": done.volumes,
            "written": done.written,
        }
        lines = []
        if not done.problems and not quiet:
            left = t(", {left_out:,} left out", left_out=done.left_out) if since else ""
            volumes = (
                t(" in {volumes}", volumes=n("{count:,} volume", "{count:,} volumes", done.volumes))
                if done.volumes
                else ""
            )
            state = "" if done.written else t(" (was there already)")
            lines = [
                t(
                    "{out}: {artifacts}, {contents}{left}, {bundle_bytes}{volumes}{state}",
                    out=out,
                    artifacts=n("{count:,} artifact", "{count:,} artifacts", len(done.artifacts)),
                    contents=n("{count:,} content", "{count:,} contents", done.files),
                    left=left,
                    bundle_bytes=human_bytes(done.bundle_bytes),
                    volumes=volumes,
                    state=state,
                ),
            ]
            if with_tool:
                lines += _first_steps(str(out), digest=done.digest)
            lines += [
                t("this is SHA256SUMS's digest: carry it apart from the bundle, on paper, or sign"),
                t("digest sha256:{digest}", digest=done.digest),
            ]
        return _answer(
            summary, done.artifacts, done.problems, as_json, lines, space.progress.events
        )


@command.command("check", short_help="Prove every byte of a bundle.")
@_bundles_argument
@_key_option
@_quiet_option
@common.events_option
@common.json_option
def check(
    bundles: tuple[str, ...],
    verify_key: Path | None,
    quiet: bool,
    json_events: Path | None,
    as_json: bool,
) -> int:
    """Read every byte of a bundle, prove it, and say what is there (exit 4 if anything is wrong).

    A bundle is a folder, a .tar, or volumes, of which any one or all may be named.
    """
    from fetcher.bundle import check_bundle

    chosen = _settings(verify_key, uses=("verify_key",))
    with common.showing(quiet, json_events) as progress:
        found = check_bundle.check(bundles, chosen.verify_key, progress)
        progress.end()
        lines = [] if quiet else check_bundle.lines(found)
        summary = {
            "artifacts": len(found.artifacts),
            "files": found.files,
            "bytes": found.bytes,
            "signed": found.signed,
            "bundles": found.bundles,
        }
        return _answer(summary, found.artifacts, found.problems, as_json, lines, progress.events)


@command.command("import", short_help="Prove bundles and take them into the store.")
@_bundles_argument
@click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write the bundle's manifests, layouts and fetch.lock there.",
)
@_replace_option
@_key_option
@_quiet_option
@common.events_option
@common.json_option
def import_(
    bundles: tuple[str, ...],
    project: Path | None,
    replace: bool,
    verify_key: Path | None,
    quiet: bool,
    json_events: Path | None,
    as_json: bool,
) -> int:
    """Prove bundles and take their files into the store; all of a bundle, or nothing.

    A delta needs what it builds on: in the store, or named before it.
    """
    from fetcher.bundle import import_bundle

    uses = ("verify_key", "store", "locks")
    chosen = _settings(verify_key, uses=uses)
    store = Store.of(chosen)
    with common.showing(quiet, json_events) as progress:
        try:
            found = import_bundle.import_bundles(
                bundles, store, chosen.verify_key, project, progress, _choice(chosen, replace)
            )
        finally:
            progress.end()
            store.close()
        lines = [] if quiet else _imported(found, store.root)
        summary = {
            "artifacts": len(found.artifacts),
            "files": found.files,
            "bytes": found.bytes,
            "reused_files": found.already,
            "store": str(store.root),
            "notes": found.notes,
        }
        return _answer(summary, found.artifacts, found.problems, as_json, lines, progress.events)


@command.command("have", short_help="List what this site has, for deltas.")
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...")
@click.option(
    "-o",
    "--output",
    type=OutputFile("have"),
    metavar="FILE",
    help="Write the list there; default: stdout.",
)
def have(bundles: tuple[str, ...], output: Path | None) -> int:
    """List what this site's store has (or what bundles have), for `export --since`.

    One line per content, short enough to be carried back to the connected side.
    """
    from fetcher.bundle import delta
    from fetcher.fs.atomic import write_atomically
    from fetcher.mirror.bundle import open_bundles

    digests: set[str] = set()
    if bundles:
        for bundle in open_bundles(bundles):
            digests |= {sha for sha in bundle.contents.payload() if bundle.locate(sha) is not None}
            bundle.close()
    else:
        store = Store.of(_settings(uses=("store",)))
        digests = {sha256 for sha256, _ in list(store.digests()) if store.has(sha256)}
        store.close()
    text = delta.dumps(digests)
    if output is None:
        sys.stdout.write(text)
        return 0
    check_output(find_root(Path.cwd()), output)
    try:
        write_atomically(output, text.encode("ascii"))
    except OSError as error:
        raise from_os_error(error, t("writing {output}", output=output)) from error
    echo(
        t(
            "{output}: {contents}, {count}",
            output=output,
            contents=n("{count:,} content", "{count:,} contents", len(digests)),
            count=human_bytes(len(text)),
        )
    )
    return 0


@command.command("sign", short_help="Prove a bundle and sign it.")
@click.argument("bundle", metavar="BUNDLE")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Private EC key in PEM; its password, if any, in FETCH_KEY_PASSWORD.",
)
@_quiet_option
@common.events_option
@common.json_option
def sign(bundle: str, key: Path, quiet: bool, json_events: Path | None, as_json: bool) -> int:
    """Prove a bundle and sign it: every file of it, so that one more or less shows as well.

    The signature is bundle.sig in a folder, and OUT.tar.sig beside a tar or volumes; another one,
    over SHA256SUMS, is for openssl: SHA256SUMS.sig, OUT.tar.SHA256SUMS.sig. Both must travel along,
    the public key by another way.
    """
    from fetcher.bundle import check_bundle

    with common.showing(quiet, json_events) as progress:
        done = check_bundle.sign(bundle, key, progress)
        progress.end()
        lines = []
        if not (quiet or done.problems):
            lines = [
                t("{signature}: signed", signature=done.signature),
                t("{signature}: signed for openssl", signature=done.sums_signature),
            ]
            if done.tool:
                lines += _first_steps(bundle, key=f"{key.stem}.pub")
        summary = {
            "files": done.files,
            "bytes": done.bytes,
            "signature": done.signature,
            "sums_signature": done.sums_signature,
        }
        return _answer(summary, [], done.problems, as_json, lines, progress.events)


@command.command("push", short_help="Put a bundle into a registry or bucket.")
@click.argument("bundle", metavar="BUNDLE")
@click.argument("target", metavar="TARGET")
@_key_option
@_jobs_option
@_quiet_option
@common.events_option
@common.json_option
def push(
    bundle: str,
    target: str,
    verify_key: Path | None,
    jobs: int | None,
    quiet: bool,
    json_events: Path | None,
    as_json: bool,
) -> int:
    """Put a bundle into a registry (oci://HOST/REPOSITORY[:TAG]) or bucket (s3://BUCKET/PREFIX).

    What is there already is not sent again. Logins are those of `docker login`; buckets take the
    AWS_... variables.
    """
    from fetcher.bundle import push as pushing
    from fetcher.network.session import Network

    chosen = _settings(verify_key, jobs=jobs)
    with common.showing(quiet, json_events) as progress:
        network = Network(chosen, progress.say)
        try:
            done = pushing.push(bundle, target, network, progress)
        finally:
            progress.end()
        lines = []
        if not quiet and not done.problems:
            lines = [
                t(
                    "{target}: {blobs} sent, {sent_bytes}; {already:,} were there",
                    target=done.target,
                    blobs=n("{count:,} blob", "{count:,} blobs", done.sent),
                    sent_bytes=human_bytes(done.sent_bytes),
                    already=done.already,
                )
            ]
            if done.replaced:
                lines.append(
                    t(
                        "{target} stood at index sha256:{before} until now",
                        target=done.target,
                        before=done.replaced,
                    )
                )
            if done.index:
                lines.append(
                    t("pull it by {target}@sha256:{index}", target=done.target, index=done.index)
                )
        summary = {
            "artifacts": len(done.artifacts),
            "index": f"sha256:{done.index}" if done.index else None,
            "files": done.sent + done.already,
            "uploaded_files": done.sent,
            "uploaded_bytes": done.sent_bytes,
            "reused_files": done.already,
            "target": done.target,
        }
        return _answer(summary, done.artifacts, done.problems, as_json, lines, progress.events)


@command.command("pull", short_help="Take all of a registry or bucket in.")
@click.argument("source", metavar="SOURCE")
@click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write the manifests, layouts and fetch.lock there.",
)
@_replace_option
@_key_option
@_jobs_option
@click.option("--limit-rate", metavar="RATE", help="Bytes per second, such as 50M.")
@_quiet_option
@common.events_option
@common.json_option
def pull(
    source: str,
    project: Path | None,
    replace: bool,
    verify_key: Path | None,
    quiet: bool,
    json_events: Path | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Take everything that was pushed to SOURCE into the store: oci://, s3:// or http(s)://."""
    from fetcher.bundle import pull as pulling
    from fetcher.network.session import Network

    chosen = _settings(verify_key, **flags)
    store = Store.of(chosen)
    with common.showing(quiet, json_events) as progress:
        network = Network(chosen, progress.say)
        try:
            done = pulling.pull(source, store, network, project, progress, _choice(chosen, replace))
        finally:
            progress.end()
            store.close()
        lines = [] if quiet else _imported(done, store.root)
        summary = {
            "artifacts": len(done.artifacts),
            "files": done.files + done.already,
            "bytes": done.bytes,
            "downloaded_files": done.files,
            "downloaded_bytes": done.bytes,
            "reused_files": done.already,
            "store": str(store.root),
            "notes": done.notes,
        }
        return _answer(summary, done.artifacts, done.problems, as_json, lines, progress.events)
