"""What `fetch add` leaves to the person: it is done, and what was added can be used."""

from __future__ import annotations

import importlib
import json
import re
import sys

import pytest

from tests.hints.desk import Desk, about
from tests.servers.hub import HubServer

NAMED_BY_FILE = "{path} is not imported, which would run its code: a file names it"
ADAPTER = "an adapter of {base}: add that too (fetch add hf:{base})"
CARD = b"---\nbase_model: o/base\nlibrary_name: peft\npipeline_tag: text-generation\n---\n"


@about(NAMED_BY_FILE)
def test_a_class_that_a_file_names(desk: Desk) -> None:
    (desk.root / "w.bin").write_bytes(b"weights")
    (desk.root / "nets.py").write_text("class Net:\n    def encode(self): ...\n")
    form = {"name": "A net", "class_path": "nets.Net", "interface": ["decode"]}
    (desk.root / "form.json").write_text(json.dumps(form))
    words = ["add", "local:w.bin", "--from-json", "form.json", "--manifest", "p", "--dry-run"]
    desk.fetch(*words)
    told = desk.again(NAMED_BY_FILE, "--class-path", "nets.Net", code=2).err
    assert "nets.Net has no method decode" in told
    (desk.root / "form.json").write_text(json.dumps({**form, "interface": ["encode"]}))
    desk.fetch(*words)
    desk.again(NAMED_BY_FILE, "--class-path", "nets.Net", without=["--dry-run"])
    desk.fetch("all")


@about(ADAPTER)
@pytest.mark.heavy
def test_an_adapter_without_its_base(desk: Desk, hub: HubServer) -> None:
    """The line of the probe takes the place of the one that was written; then it proves it."""
    pytest.importorskip("peft")
    made = importlib.import_module("tests.verify.wrong.causal_lm")
    for name, folder in (("base", made.trained()), ("lora", made.adapter())):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        hub.add_repo(f"o/{name}", {**files, "README.md": CARD if name == "lora" else b"# A model"})
    told = desk.fetch("add", "hf:o/lora", "--manifest", "p", "--yes").out
    desk.fetch("all")
    desk.fetch("verify", "lora", "--python", sys.executable, code=8)
    desk.follow(ADAPTER, more=["--yes"])
    probe = "probe: {type: causal-lm, base: ID}"
    assert probe in told
    manifest = desk.root / "manifests/p.yaml"
    text, count = re.subn("probe: .*", probe.replace("ID", "base"), manifest.read_text(), count=1)
    assert count == 1
    manifest.write_text(text)
    desk.fetch("all")
    desk.fetch("verify", "lora", "--python", sys.executable)
