"""Words for what data says by key: states, facets, facts, the form's parts."""

from __future__ import annotations

from fetcher.i18n import t

# States of artifacts, verifications, jobs and checks.
STATES = {
    "complete": t("complete"),
    "partial": t("partial"),
    "missing": t("missing"),
    "modified": t("modified"),
    "conflict": t("in conflict"),
    "passed": t("passed"),
    "failed": t("failed"),
    "skipped": t("skipped"),
    "queued": t("waiting"),
    "running": t("running"),
    "ok": t("ok"),
    "warning": t("warning"),
    "yes": t("yes"),
    "no": t("no"),
}
# What the catalog is filtered by.
FACETS = {
    "task": t("Task"),
    "framework": t("Framework"),
    "tag": t("Tag"),
    "owner": t("Owner"),
    "gated": t("Gated"),
    "state": t("On this machine"),
}
# What an artifact's page tells first.
FACTS = {
    "task": t("Task"),
    "framework": t("Framework"),
    "owner": t("Owner"),
    "licence": t("Licence"),
    "visibility": t("Visibility"),
    "parameters": t("Parameters"),
    "min_vram": t("GPU memory"),
}
STEPS = (
    t("Basic information"),
    t("Code and checkpoint"),
    t("Input, output and interface"),
    t("Evaluation defaults"),
    t("Ownership and visibility"),
)
# Where a checkpoint may be.
KINDS = {
    "upload": t("Upload file"),
    "local": t("Path on server"),
    "huggingface": t("Hugging Face file"),
    "github": "GitHub",
    "url": t("Web address"),
}
# The form's fields beside the record's own.
OWN_FIELDS = {
    "id": t("Model ID"),
    "source": t("Checkpoint Source"),
    "repository_type": t("Repository Type"),
    "repository": t("Repository URL (or HF ID)"),
    "code": t("Repository URL (or HF ID)"),
    "fetch_code": t("Code"),
    "upload": t("Checkpoint Path or File"),
    "hf_repo": t("Repository"),
    "gh_repo": t("Repository"),
    "url": t("Address"),
    "server_path": t("Checkpoint Path or File"),
    "manifest": t("Manifest that takes it"),
    "place": t("Folder for its files"),
}
# Help below the record's fields.
HELP = {
    "name": t("the name that people use"),
    "kind": t("model, dataset or code"),
    "task": t("what it does"),
    "framework": t("its framework"),
    "description": t("a few sentences"),
    "purpose": t("what it is meant for, in a few words"),
    "remarks": t("what sets it apart from its siblings, in a few words"),
    "tags": t("words to find it by, separated by commas"),
    "class_path": t("the class that loads it; it is not imported here"),
    "files": t("names and globs; default: all"),
    "exclude": t("names and globs"),
    "parameters": t("how many numbers it has"),
    "type": t("for image generation"),
    "params": t("key=value, separated by commas"),
    "io.size": t("Input Resolution: fixed or variable"),
    "io.resolution": t("Input Resolution: height and width in pixels"),
    "io.input_range": t("lowest and highest input"),
    "io.output_range": t("lowest and highest output"),
    "interface": t("methods that the class has"),
    "attributes": t("name: value, separated by commas"),
    "benchmarks": t("data sets to measure on; default: those of the task"),
    "metrics": t("what to measure; default: those of the task"),
    "max_batch_size": t("inputs at once"),
    "device": t("where it can run"),
    "min_vram": t("the least that it needs"),
    "owner": t("from your login"),
    "visibility": t(
        "private: its owner; organization: who is signed in; public: everybody. Default: private"
    ),
    "license": t("an SPDX id where there is one"),
    "citation": t("how to cite it"),
    "requires_auth": t("whether its source wants one"),
}
