"""Texts that name a command line and that no test here follows, each with the reason.

A text of OPEN could be followed, and nobody has written how; that list may only become shorter.
"""

from __future__ import annotations

# Says what something is or does, and asks for nothing.
DESCRIPTION = (
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

# Names the line that installs a library.
OTHER = (
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
OPEN = (
    "ask the source again: fetch lock --update {id}",
    "ask who made them which is right; --replace takes this one in place of the other",
    "--tool-extra {name}: fetch has no such extra",
    "{command} --help",
    "name a source (fetch add hf:owner/name), give fields by flags, or --from-json FILE",
    "fetch adopt FILE --as ARTIFACT/FILE takes one as it is; moved away, it is fetched",
    "next: `{command}` places them",
    "--licenses and {flag} exclude each other",
    "run `fetch lock`",
    (
        "{owners} have their files in one folder, and what removes one of them breaks the "
        "other: {command}"
    ),
    "{text}; has files of {ours}{more}: `fetch all` takes them from there",
    "{count:,} more such; `fetch check --deep` reads all",
    "{count:,} more such; `fetch check --deep` names all",
    "run `fetch all` there, or let go of it: fetch gc --forget {name}",
    "name it yourself, if it is yours: FETCH_STORE={store} fetch gc",
    "or begin with two small models, to try `fetch all`",
    "next: {asked}fetch runtime --fetch",
    "`fetch init --from quickstart --name demo`",
    "not .fetch/ and the files that are fetched: `fetch all` has git ignore them",
    "--from {name} is a manifest of the catalog: it goes alone",
    "a file or folder of that name: --from ./{name}",
    "next: fetch plan",
    (
        "{path} is there already and is left as it is; what belongs in it: `fetch all "
        "--locked`, then `fetch check`"
    ),
    "--from {origin}: no such file, folder or manifest",
    "\nthe built-in catalog; the project has no artifact of its own: `fetch add`",
    "`fetch lock --check` writes reports",
    "`{command}` lists what there is",
    "fetch lock",
    "`fetch update` takes it into fetch.lock",
    "  fetch all {id}",
    "  gated: {gated}; check with: fetch access {gated2}",
    "see --dtype int8 or int4",
    "fetch all {id}; or add --fetch here",
    "say either which schema is to be printed, or --install",
    "fetch schema manifest, or fetch schema --install",
    (
        "find out which is right: `fetch lock --update NAME` in a project asks the source "
        "again, an import of a right bundle takes another's place"
    ),
    "it is removed; run `fetch check --deep` in the projects that use this store",
    "next: fetch lock, fetch adopt . (takes what is there), fetch all, fetch check",
    "next: fetch lock, fetch all, fetch check",
    "--trust-project-code is for artifacts that are named beside it",
    "fetch verify NAME --trust-project-code; for good: fetch config allow code NAME",
    "which licences may be used, for `fetch check --licenses`",
    "if you want it there: export {variable}={real}, or fetch config allow links {real}",
    (
        "run once where there is a network, or take the files from a store (--from DIR) or "
        "from this machine (fetch adopt PATH)"
    ),
    "open the address in a browser, and take what it gives with `fetch adopt`",
    "is a token needed? `fetch doctor` tells which are set",
    (
        "a manifest or lock would keep it: give the address without it, or download the file "
        "yourself and `fetch adopt` it"
    ),
    (
        "write a folder's name; where the tree lies is said outside the project: --into "
        '"${variable}"'
    ),
    "its address is not here: say it with --base-url",
    "all of it goes into {folder}: fetch all --into {folder}",
    "a repository of code: clone it by hand, or `fetch add {address}`",
    "name the file that says what to download: --from FILE",
    "import it by itself: fetch import {name}",
    "was it made by `fetch mirror export`? copy it again",
    "check repository and tag; fetch mirror push makes it",
    "sign the bundle before it is put there: fetch mirror sign",
    "it is a link: name what it leads to, with --as",
    "its source says neither digest nor size: --first-trust takes it as it is",
    (
        "run it where {hub} can be reached, take in a bundle that has it (fetch mirror "
        "import), or name a mirror yourself (--from)"
    ),
    "`fetch lock --update {id}`, or pin the commit in the manifest",
    "run `fetch lock`, then again",
    "run `fetch lock --update {id}`",
    (
        "run it where {source} can be reached, take in a bundle that has it (fetch mirror "
        "import), or name a mirror yourself (--from)"
    ),
    "ask the source again: fetch lock --update {id}, then fetch all",
    "if they are right: fetch lock --update {id}",
    "add --name NAME",
    (
        "{path} is not imported, which would run its code: a file names it, not you. If you "
        "trust it: --class-path {path}"
    ),
    (
        "an adapter of {base}: add that too (fetch add hf:{base}), and name it here as `probe: "
        "{{type: causal-lm, base: ID}}`"
    ),
    "{label}: {needs}; to let go of it: {command}",
    (
        "{root}: not here, last seen {day} on {machine}: {needs}; it counts until {until}; to "
        "let go of it: {command}"
    ),
    "`fetch serve` fetched it from a Hub, or a bundle speaks for one: served under its name",
    (
        "{root}: {count:,} projects that are not here, last seen {day}: need {bytes} at most, "
        "and count until {until}; to let go of them: fetch gc --forget {name}"
    ),
    "in use: {holder}; `fetch gc` waits until it has ended",
    "{text} (`fetch access` says whether you may have it)",
    "the archive changed upstream: `fetch lock --update {id}` asks for it anew",
    (
        "what the manifest or fetch.lock states is wrong, or a proxy changes what passes: do "
        "not trust it; an old mistake is corrected in the manifest, then `fetch lock --update "
        "NAME`"
    ),
    (
        "one of both is not that commit's: `fetch doctor` asks the Hub about the cache, `fetch "
        "lock --update {id}` about the lock"
    ),
    (
        "do not trust this project's digests; if they are an old mistake: remove them from the "
        "manifest, and `fetch lock --update {id}`"
    ),
    "remove {path}, then run `fetch all`",
    "look at it, then run again, with --overwrite to replace it",
    "do not trust this fetch.lock: `fetch lock --update {id}`",
)
AT_MOST = 81
