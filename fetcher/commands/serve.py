"""`fetch serve`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import common
from fetcher.config import settings as all_settings
from fetcher.config.boundaries import check_output
from fetcher.errors import UsageError
from fetcher.fs.home import expanded
from fetcher.i18n import echo, n, t
from fetcher.project.project import Project, find_root
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.config.settings import Settings
    from fetcher.mirror.inventory import HeldArtifact
    from fetcher.server.app import ServeOptions
    from fetcher.server.listen import ListenOptions
    from fetcher.server.metrics import Metrics
    from fetcher.server.served_inventory import Location, ServedInventory
    from fetcher.server.tokens import Identity
    from fetcher.server.upstream import HubUpstream

_FILE = click.Path(dir_okay=False, path_type=Path)
_PUBLIC = re.compile(r"https?://[A-Za-z0-9._\-\[\]:]+(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True)
class ServeFlags:
    """The flags of the command that are about serving, as they were typed."""

    host: str
    port: int
    cert: Path | None
    key: Path | None
    public_url: str
    trust_forwarded: bool
    tokens: Path | None
    require_token: bool
    show_private: bool
    access_log: str
    upstream: str
    projects: tuple[Path, ...]
    folders: tuple[Path, ...]
    max_upload: str
    nginx_config: Path | None


@click.command("serve")
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...", type=click.Path())
@click.option(
    "--store",
    "store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Serve a whole store: what Hubs said, imported bundles, and every content by digest.",
)
@click.option(
    "--project",
    "projects",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also show what this project's fetch.lock claims, as its sources; may be given several "
    "times.",
)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", show_default=True, help="Address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port; 0 for any that is free.",
)
@click.option("--cert", type=_FILE, metavar="FILE", help="TLS: the certificate and its chain, PEM.")
@click.option("--key", type=_FILE, metavar="FILE", help="TLS: the certificate's key, PEM.")
@click.option(
    "--public-url",
    metavar="URL",
    default="",
    help="What clients reach this server by, if a proxy stands before it.",
)
@click.option(
    "--trust-forwarded",
    is_flag=True,
    help="Believe X-Forwarded-Proto, -Host and -Prefix: only behind a proxy that sets them.",
)
@click.option(
    "--tokens",
    type=_FILE,
    metavar="FILE",
    help="Lines of NAME RIGHTS TOKEN: who may see what is not public, and who may upload.",
)
@click.option("--require-token", is_flag=True, help="Serve nothing without a token.")
@click.option(
    "--show-private",
    is_flag=True,
    help="Without --tokens: show what is marked private to whoever reaches the server.",
)
@click.option(
    "--access-log", metavar="FILE", default="", help="Log every request; - for standard output."
)
@click.option(
    "--upstream",
    metavar="URL",
    default="",
    help="Fetch what is not here from this Hub, once, and keep it in the store.",
)
@click.option(
    "--verify-key",
    type=_FILE,
    metavar="FILE",
    help="Refuse bundles that are not signed with this public key (PEM).",
)
@click.option(
    "--allow-folder",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Let the web form register what lies in this folder; may be given several times.",
)
@click.option(
    "--max-upload",
    metavar="SIZE",
    default="100G",
    show_default=True,
    help="The largest file that the web form takes.",
)
@click.option(
    "--nginx-config",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a configuration with which nginx serves the same, and end.",
)
def command(
    bundles: tuple[str, ...], store: Path | None, verify_key: Path | None, **options: Any
) -> int:
    """Serve what a project, a store or bundles hold, to unmodified clients.

    In a project: the artifacts of its fetch.lock that are in the store; before there is one, the
    catalog of its manifests alone. With BUNDLE: those of bundles, read in place. Clients of the
    Hugging Face Hub need HF_ENDPOINT only.

    What a source said of its repositories is shown as it said. What a project or bundle claims is
    shown in a source's name only where you name it here, or have imported it.
    """
    root = find_root(Path.cwd())
    settings = all_settings.load(root, {"verify_key": _absolute(verify_key)})
    settings.check()
    common.tell_choices(settings)
    flags = ServeFlags(**options)
    _check(bundles, store, flags)
    from fetcher.server.served_inventory import ServedInventory

    inventory = ServedInventory(list(_locations(bundles, store, root, settings, flags)), _say)
    inventory.load()
    if flags.access_log not in {"", "-"}:
        check_output(root, Path(flags.access_log))
    if flags.nginx_config is not None:
        check_output(root, flags.nginx_config)
        from fetcher.server.nginx import write_configuration
        from fetcher.server.tokens import ANONYMOUS

        listen = f"{flags.host}:{flags.port}"
        pair = [path for path in (flags.cert, flags.key) if path is not None]
        seen = _anybody(flags) if flags.tokens is None else ANONYMOUS
        for line in write_configuration(inventory.view, flags.nginx_config, listen, pair, seen):
            echo(line)
        return 0
    project = None if bundles or store is not None or flags.projects else root
    return _serve(inventory, store or settings.store, bool(bundles), settings, flags, project)


def _near(flags: ServeFlags) -> bool:
    """Whether only this machine reaches the server: it listens on a loopback address, and no proxy
    stands before it."""
    import ipaddress

    if flags.public_url or flags.trust_forwarded:
        return False
    try:
        return ipaddress.ip_address(flags.host).is_loopback
    except ValueError:
        return flags.host == "localhost"


def _anybody(flags: ServeFlags) -> Identity:
    """Who somebody is of whom nothing is known, where there are no tokens."""
    from fetcher.server.tokens import EVERYBODY, NETWORK

    return EVERYBODY if flags.show_private or _near(flags) else NETWORK


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(expanded(path).absolute())


def _check(bundles: tuple[str, ...], store: Path | None, flags: ServeFlags) -> None:
    """Raise UsageError for flags that do not go together."""
    if bundles and store is not None:
        raise UsageError(t("a bundle and --store exclude each other"), t("choose one"))
    if bundles and flags.projects:
        raise UsageError(t("a bundle and --project exclude each other"), t("choose one"))
    for folder in flags.projects:
        if not (folder / "fetch.lock").is_file():
            raise UsageError(
                t("--project {folder}: it has no fetch.lock", folder=folder),
                t("run `fetch all` there first"),
            )
    # With an upstream, a store begins empty.
    if store is not None and not (store / "blobs" / "sha256").is_dir() and not flags.upstream:
        raise UsageError(
            t("--store {store}: no store there (no folder blobs/sha256)", store=store),
            t("name a store's folder, such as the one `fetch store du` shows"),
        )
    if flags.require_token and flags.tokens is None:
        raise UsageError(
            t("--require-token needs --tokens FILE"), t("write a line NAME read TOKEN")
        )
    if flags.show_private and flags.tokens is not None:
        raise UsageError(
            t("--show-private and --tokens exclude each other"),
            t("tokens say who sees what: drop --show-private"),
        )
    if flags.public_url and not _PUBLIC.fullmatch(flags.public_url):
        raise UsageError(
            t(
                "--public-url {public_url}: expected an http or https URL",
                public_url=flags.public_url,
            ),
            t("such as https://mirror.example.org/models"),
        )
    if _bytes(flags.max_upload) is None:
        raise UsageError(
            t(
                "--max-upload {max_upload}: expected a size such as 100G",
                max_upload=flags.max_upload,
            )
        )
    if flags.folders and (bundles or store is not None or flags.tokens is None):
        raise UsageError(
            t("--allow-folder is for registering models: it needs a project and --tokens FILE"),
            t("write a line NAME read,upload TOKEN"),
        )
    if flags.upstream:
        _check_upstream(flags.upstream)
    if bundles and flags.upstream:
        raise UsageError(t("--upstream needs a store to keep what it fetches"), t("serve a store"))


def _check_upstream(url: str) -> None:
    """Raise UsageError for what is no address of a Hub."""
    from fetcher.errors import Failure
    from fetcher.store.upstream_records import endpoint

    try:
        named = endpoint(url)
    except Failure:
        named = ""
    if not named.startswith(("https://", "http://")):
        raise UsageError(
            t("--upstream {url}: expected an http or https URL", url=url),
            t("such as https://huggingface.co"),
        )


def _bytes(text: str) -> int | None:
    from fetcher.hardware.memory_estimate import bytes_of

    return bytes_of(text, "G")


def _locations(
    bundles: tuple[str, ...],
    store: Path | None,
    root: Path,
    settings: Settings,
    flags: ServeFlags,
) -> Iterator[Location]:
    from fetcher.mirror.trust import refuse_unsigned
    from fetcher.server.served_inventory import BundleLocation, StoreLocation
    from fetcher.store.store import Store
    from fetcher.store.upstream_records import of_choice

    if bundles:
        yield BundleLocation(bundles, settings.verify_key)
        return
    refuse_unsigned(str(store or settings.store), settings.verify_key)
    named = tuple(folder.absolute() for folder in flags.projects)
    chosen = of_choice(settings)
    if store is not None:
        yield StoreLocation(store.absolute(), named, True, flags.upstream, chosen)
    elif named:
        yield StoreLocation(Store.of(settings).root, named, False, flags.upstream, chosen)
    elif _has_something(root, flags):
        yield StoreLocation(Store.of(settings).root, (root,), False, flags.upstream, chosen)
    else:
        raise UsageError(
            t(
                "nothing to serve: {root} has no fetch.lock{which}",
                root=root,
                which=t(" and no manifests") if flags.nginx_config is None else "",
            ),
            t("run `fetch all` in a project first; or name a bundle, or --store DIR"),
        )


def _has_something(root: Path, flags: ServeFlags) -> bool:
    """Files to serve, a Hub to fetch them from, or manifests whose catalog can be shown."""
    if (root / "fetch.lock").is_file() or flags.upstream:
        return True
    return flags.nginx_config is None and bool(Project(root).own_manifests())


def _serve(
    inventory: ServedInventory,
    store: Path,
    only_bundles: bool,
    settings: Settings,
    flags: ServeFlags,
    project: Path | None,
) -> int:
    try:
        import granian  # noqa: F401
        import jinja2  # noqa: F401
    except ImportError as error:
        from fetcher.installation.commands import install_extra

        raise UsageError(
            t("fetch serve needs {name}, which is not installed", name=error.name),
            t("install it: {command}", command=install_extra("serve", "granian", "jinja2")),
        ) from None
    from fetcher.models.stats import saved_text
    from fetcher.server.app import App, ServeOptions
    from fetcher.server.blob_check import BlobChecks
    from fetcher.server.listen import ListenOptions, check_certificate, open_socket, run
    from fetcher.server.lookup import Lookup
    from fetcher.server.metrics import Metrics
    from fetcher.server.rsgi import Service
    from fetcher.server.tokens import Tokens
    from fetcher.server.upload import BlobUpload
    from fetcher.store.store import Store
    from fetcher.web.routes import Web, WebOptions

    listen = ListenOptions(flags.host, flags.port, flags.cert, flags.key)
    check_certificate(listen)
    options = ServeOptions(
        Tokens(flags.tokens, _anybody(flags)),
        flags.require_token,
        flags.public_url.rstrip("/"),
        flags.trust_forwarded,
        _access_log(flags.access_log),
        _say,
    )
    metrics = Metrics()
    upstream = _upstream(flags.upstream, store, settings, metrics)

    async def main() -> bool:
        sock = open_socket(listen)
        upload = None if only_bundles else BlobUpload(Store(store))
        lookup = Lookup(inventory, upstream)
        app = App(lookup, options, metrics, upload)
        most = _bytes(flags.max_upload) or 0
        web = Web(app, settings, WebOptions(project, flags.folders, most))
        app.model_metrics = lambda: saved_text(settings.root)
        stores = [upstream.store] if upstream else []
        checks = BlobChecks(lambda sha256, stat: inventory.view.stamped(sha256, stat, stores))
        service = Service(app, checks)
        listen.port = sock.getsockname()[1]
        first_look = asyncio.ensure_future(web.listing.shown())  # so that nobody waits for it
        try:
            ended = await run(
                service, listen, sock, lambda: _greet(inventory, listen, options, flags, settings)
            )
        finally:
            first_look.cancel()
            web.close()
            service.close()
            if upstream is not None:
                upstream.close()
        return ended

    ended = asyncio.run(main())
    _say(t("stopped") if ended else t("stopped; downloads that were running are cut off"))
    sys.stdout.flush()
    os._exit(0)  # threads that wait for a client or for upstream would keep the process


def _upstream(url: str, store: Path, settings: Settings, metrics: Metrics) -> HubUpstream | None:
    if not url or settings.offline:  # what it said before is served as what is held
        return None
    from fetcher.server.upstream import HubUpstream
    from fetcher.store.store import Store

    return HubUpstream(url, Store(store), settings, metrics, _say)


def _say(text: str) -> None:
    echo(text, file=sys.stderr, flush=True)


def _access_log(target: str) -> Callable[[str], None] | None:
    if not target:
        return None
    try:
        file = None if target == "-" else Path(target).open("a", encoding="utf-8")  # noqa: SIM115
        stream = file or sys.stdout
    except OSError as error:
        raise UsageError(
            t("--access-log {target}: {strerror}", target=target, strerror=error.strerror),
            t("choose another file"),
        ) from None

    def log(line: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        stream.write(f"{stamp} {line}\n")
        stream.flush()

    return log


def _tell_upstream(inventory: ServedInventory, flags: ServeFlags, settings: Settings) -> None:
    """Say whose word counts for what comes from a Hub."""
    from fetcher.server.served_inventory import StoreLocation

    if flags.upstream and not settings.offline:
        echo(t("what is not here is fetched from {upstream}, once", upstream=flags.upstream))
        return
    for location in inventory.locations:
        known = []
        if isinstance(location, StoreLocation) and (location.everything or location.upstream):
            known = location.upstreams()
        if len(known) == 1:
            echo(t("what was fetched from {upstream} is served as it said", upstream=known[0]))
        elif known:
            echo(
                t(
                    "what was fetched from {upstreams} is had by digest alone: `FETCH_OFFLINE=1 "
                    "fetch serve --upstream URL` serves what one of them said",
                    upstreams=", ".join(known),
                )
            )


def _tell_claims(inventory: ServedInventory) -> None:
    """Say which projects the store knows, and are shown in nobody's name but their own."""
    unnamed = [source for source in inventory.view.inventories if not source.published]
    if unnamed:
        names = ", ".join(source.label for source in unnamed[:3]) + ("…" if unnamed[3:] else "")
        echo(
            n(
                "{count:,} project is not shown in the name of its sources, as anybody can claim "
                "anything: {names}; --project DIR shows one that you trust",
                "{count:,} projects are not shown in the name of their sources, as anybody can "
                "claim anything: {names}; --project DIR shows one that you trust",
                len(unnamed),
                names=names,
            )
        )
    for problem in inventory.view.disputes:
        echo(problem)


def _tell_private(closed: list[HeldArtifact], flags: ServeFlags) -> None:
    """Say what of the artifacts that are not public is shown without tokens, or how it can be."""
    seen = _anybody(flags)
    hidden = [item for item in closed if not seen.may_see(item.full_name, item.record)]
    if hidden:
        echo(
            n(
                "{count:,} artifact that is private is hidden: --tokens FILE shows it to those who "
                "may see it, --show-private to whoever reaches this server",
                "{count:,} artifacts that are private are hidden: --tokens FILE shows them to "
                "those who may see them, --show-private to whoever reaches this server",
                len(hidden),
            )
        )
    elif closed:
        echo(
            n(
                "without --tokens, whoever reaches it sees everything: {count:,} artifact that is "
                "not public, too",
                "without --tokens, whoever reaches it sees everything: {count:,} artifacts that "
                "are not public, too",
                len(closed),
            )
        )


def _tell_withheld(inventory: ServedInventory, seen: Identity) -> None:
    """Say which artifacts lack files for those who are not signed in, and why."""
    names = inventory.view.withheld(seen)
    if names:
        echo(
            n(
                "{names} lacks files that are private elsewhere here, for who may not see those; "
                "`visibility: public` there shows them",
                "{names} lack files that are private elsewhere here, for who may not see those; "
                "`visibility: public` there shows them",
                len(names),
                names=", ".join(names[:5]) + ("…" if len(names) > 5 else ""),
            )
        )


def _greet(
    inventory: ServedInventory,
    listen: ListenOptions,
    options: ServeOptions,
    flags: ServeFlags,
    settings: Settings,
) -> None:
    """Say what is served, and the lines that a user copies."""
    import socket

    from fetcher.server.tokens import ANONYMOUS

    artifacts = inventory.view.artifacts
    held = [item for item in artifacts if item.files]
    closed = [item for item in held if item.record.visibility != "public"]
    everyone = listen.host in {"0.0.0.0", "::"}
    host = socket.gethostname() if everyone else listen.host
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if listen.cert else "http"
    url = options.public_url or f"{scheme}://{host}:{listen.port}"
    files = n("{count:,} file", "{count:,} files", sum(len(item.files) for item in held))
    size = human_bytes(sum(item.size for item in held))
    where = ", ".join(location.label for location in inventory.locations)
    echo(
        t(
            "serving {artifacts} ({files}, {size}) of {where} at {url}",
            artifacts=n("{count:,} artifact", "{count:,} artifacts", len(held)),
            files=files,
            size=size,
            where=where,
            url=url,
        )
    )
    echo(t("  Hugging Face clients  export HF_ENDPOINT={url}", url=url))
    echo(t("  fetch                 fetch all --from {url}", url=url))
    echo(t("  a browser             {url}/", url=url))
    if any(item.origin.type == "github" for item in held):
        rule = f"https://raw.githubusercontent.com/={url}/gh/"
        echo(t('  GitHub files          export FETCH_REWRITE="{rule}"', rule=rule))
    _tell_upstream(inventory, flags, settings)
    _tell_claims(inventory)
    if not held and not flags.upstream:
        echo(
            t("no artifact is there yet: what `fetch all` or `fetch mirror import` brings is shown")
        )
    if not options.tokens:
        _tell_private(closed, flags)
    _tell_withheld(inventory, ANONYMOUS if options.tokens else _anybody(flags))
    if _near(flags):
        echo(t("only this machine can reach it: --host ADDRESS lets others in"))
    elif options.tokens and not listen.cert and not options.public_url.startswith("https"):
        echo(t("tokens travel in clear text: use --cert and --key, or a proxy that has TLS"))
    echo(t("Ctrl-C ends it"), flush=True)
