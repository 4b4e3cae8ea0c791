"""Texts that name a command line and that no test here follows, each with the reason.

A text of OPEN could be followed, and nobody has written how; that list may only become shorter.
"""

from __future__ import annotations

# Says what something is or does, and asks for nothing.
DESCRIPTION = (
    "which licences may be used, for `fetch check --licenses`",
    "`fetch serve` fetched it from a Hub, or a bundle speaks for one: served under its name",
    "in use: {holder}; `fetch gc` waits until it has ended",
    "Show what `fetch all` would do.",
    "by size and time; --deep reads every byte",
    "--strip is about archives",
    "add --unpack",
    "fetch access {name}, ",
    "--resolve and --merge-driver judge nothing, so there is nothing to report",
    "--tool-… say what --with-tool puts in",
    "add --with-tool",
    "PID {pid} on {host} ({command}, since {since})",
    "--variant",
    "drop --update",
    "folder below --into; default: .",
    "keep out of a bare `fetch all`",
    "groups that --group selects",
    "how `fetch verify` proves that it works",
    "starts with '~', which is not replaced: paths are relative to --into",
    "--partial; last written {day}",
    "nobody needs it, but it was used {day}, within --older-than; it may go from {until} on",
)

# Ends in a server that runs until it is stopped: tests/server and tests/web are about it.
SERVES = (
    "  fetch                 fetch all --from {url}",
    "a bundle and --store exclude each other",
    "a bundle and --project exclude each other",
    "--store {store}: no store there (no folder blobs/sha256)",
    "name a store's folder, such as the one `fetch store du` shows",
    "--require-token needs --tokens FILE",
    "--show-private and --tokens exclude each other",
    "tokens say who sees what: drop --show-private",
    "--public-url {public_url}: expected an http or https URL",
    "--max-upload {max_upload}: expected a size such as 100G",
    "--allow-folder is for registering models: it needs a project and --tokens FILE",
    "--upstream needs a store to keep what it fetches",
    "--upstream {url}: expected an http or https URL",
    (
        "{count:,} project is not shown in the name of its sources, as anybody can claim "
        "anything: {names}; --project DIR shows one that you trust"
    ),
    (
        "{count:,} projects are not shown in the name of their sources, as anybody can claim "
        "anything: {names}; --project DIR shows one that you trust"
    ),
    (
        "{count:,} artifact that is private is hidden: --tokens FILE shows it to those who may "
        "see it, --show-private to whoever reaches this server"
    ),
    (
        "{count:,} artifacts that are private are hidden: --tokens FILE shows them to those "
        "who may see them, --show-private to whoever reaches this server"
    ),
    "no artifact is there yet: what `fetch all` or `fetch mirror import` brings is shown",
    "only this machine can reach it: --host ADDRESS lets others in",
    "--project {folder}: it has no fetch.lock",
    "run `fetch all` there first",
    "fetch serve needs {name}, which is not installed",
    "--access-log {target}: {strerror}",
    (
        "without --tokens, whoever reaches it sees everything: {count:,} artifact that is not "
        "public, too"
    ),
    (
        "without --tokens, whoever reaches it sees everything: {count:,} artifacts that are "
        "not public, too"
    ),
    "tokens travel in clear text: use --cert and --key, or a proxy that has TLS",
    "run `fetch all` in a project first; or name a bundle, or --store DIR",
    (
        "what was fetched from {upstreams} is had by digest alone: `FETCH_OFFLINE=1 fetch "
        "serve --upstream URL` serves what one of them said"
    ),
    "--cert and --key go together",
    "--host {host}: no such address ({error})",
    "another server listens there: choose another --port, or 0 for any",
    "ports below 1024 are for root: choose a higher --port",
    "choose another --host or --port",
    "--cert {cert} --key {key}: {error}",
    "import the bundle into a store first: fetch mirror import",
    "{count} of them is not public: --tokens FILE leaves it out",
    "{count} of them are not public: --tokens FILE leaves them out",
    "in {project}: fetch lock --update {artifact}, then fetch all",
    "check --tokens",
)

# Names the line that installs or removes a library.
OTHER = (
    (
        "{owners} have their files in one folder, and what removes one of them breaks the "
        "other: {command}"
    ),
    "install it: {command}",
    "{told}: {command}",
    (
        "huggingface_hub {version} cannot refresh the token of a browser login: {command}, or "
        "run `hf auth login` anew"
    ),
    "Xet storage: hf_xet is older than 1.5 ({command})",
    "Xet storage: hf_xet is not installed ({command})",
)

# Needs a card or a service that is not here.
LIVE = (
    "say for which card: --gpu T4, or --vram 24",
    (
        "is no Hub: {url} answers with {what}. Its address is {hub} (set by {origin}); it ends "
        "after the host unless a mirror says otherwise, and `fetch serve` and "
        "https://huggingface.co are Hubs"
    ),
    (
        "try again in a day; or open {page} in a browser with an account of yours, make a copy "
        "there, download it, then: fetch adopt DOWNLOADED_FILE --as ARTIFACT/{path}"
    ),
    "ask for access at {page}, download it there, then: fetch adopt",
)

# Needs a disk that is full, read-only or of another kind: tests/e2e/test_full_disk.py has some.
DISK = (
    "choose a larger --volume-size",
    "this file system takes no larger files (FAT32: 4 GB): --volume-size 4G",
    "free some space, export fewer artifacts, or make a delta with --since",
    "free some space, or point FETCH_STORE or --into at another disk; then run again",
    (
        "{begun} of partial downloads are in {folder}: the next run goes on with them, `fetch "
        "gc --partial` frees them"
    ),
    (
        "free some space, choose fewer artifacts with --only, or point FETCH_STORE or --into "
        "at another disk"
    ),
    "use --link auto",
    "choose another folder with --into",
)

# Is raised by the Python interface: tests/models is about it.
MODELS = (
    "not in the tree yet: {names} (`fetch all {first}`)",
    "{first} (and {more} more: `fetch config` shows all)",
    "there is none: lay one out with fetch all, or put it into {folder}",
    "fetch all {id}, or get_image_pipeline(fetch=True)",
    (
        "if you trust it: get_compression_model(name, trust_code=True), or fetch config allow "
        "code {name}"
    ),
)

# Not yet.
OPEN: tuple[str, ...] = ()
AT_MOST = 0
