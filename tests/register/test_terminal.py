"""`fetch add` as a person uses it: questions, completion and the diff in a terminal emulator."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetcher.project import manifest
from fetcher.yamldoc import nodes

pexpect = pytest.importorskip("pexpect")
pyte = pytest.importorskip("pyte")

LONGEST = 40.0


class Terminal:
    """A screen of 60 lines that a child draws on, and the keyboard."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self.screen = pyte.Screen(180, 60)
        self.stream = pyte.ByteStream(self.screen)
        self.screen.write_process_input = self.answer
        environment = {**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.child = pexpect.spawn(
            command[0], command[1:], cwd=str(cwd), env=environment, dimensions=(60, 180)
        )

    def answer(self, data: str) -> None:
        self.child.send(data.encode())

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def line(self) -> str:
        """The line that the cursor stands in."""
        return str(self.screen.display[self.screen.cursor.y]).strip()

    def wait(self, wanted: str) -> None:
        """Until the text stands on the screen."""
        self._until(lambda: wanted in self.text, wanted)

    def wait_for_prompt(self, start: str) -> None:
        """Until the question is asked: keys that come before it are the terminal's own."""
        self._until(lambda: self.line.startswith(start), start)

    def _until(self, met: Callable[[], bool], wanted: str) -> None:
        end = time.monotonic() + LONGEST
        while not met():
            assert time.monotonic() < end, f"{wanted!r} never came:\n{self.text}"
            try:
                self.stream.feed(self.child.read_nonblocking(65536, timeout=0.2))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert met(), f"ended without {wanted!r}:\n{self.text}"

    def type(self, text: str) -> None:
        self.child.send(text.encode())

    def complete(self, question: str, start: str, whole: str) -> None:
        self.wait_for_prompt(question)
        self.type(start + "\t")
        self.wait(f"{question} {whole}")
        self.type("\r")

    def reply(self, question: str, text: str = "") -> None:
        self.wait_for_prompt(question)
        self.type(text + "\r")

    def end(self) -> int:
        while True:
            try:
                self.stream.feed(self.child.read_nonblocking(65536, timeout=LONGEST))
            except pexpect.EOF:
                break
        self.child.close()
        return int(self.child.exitstatus)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "vq.py").write_text(
        "class VQModel:\n    def reconstruct(self, x): ...\n"
        "    def encode(self, x): ...\n    def decode(self, x): ...\n"
    )
    (tmp_path / "last.ckpt").write_bytes(b"weights" * 100)
    opened = Terminal([sys.executable, "-m", "fetcher", "add", "--manifest", "codecs"], tmp_path)
    yield opened
    opened.child.close(force=True)


@pytest.mark.heavy
def test_the_vqgan_form_filled_in_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    ask = terminal.reply
    terminal.wait("Step 1 of 5: basic")
    ask("Model Name")  # nothing
    terminal.wait("is needed")
    ask("Model Name", "VQGAN ImageNet (f=16), 1024")
    ask("Model ID: vqgan-imagenet-f16-1024")  # proposed
    ask("Kind: model")
    terminal.complete("Task Type:", "image-co", "image-compression")
    ask("Framework:", "torch")
    terminal.wait("found 'torch', expected one of pytorch, tensorflow, jax, other")
    ask("Framework: torch", "\x15PyTorch")  # Ctrl-U clears what is asked again
    ask("Description:")
    ask("Purpose")
    ask("Remarks")
    ask("Tags", "vqgan, first-stage")
    terminal.wait("Step 2 of 5: code and checkpoint")
    for path in ("nowhere.ckpt", ""):
        ask("Repository Type:")
        ask("Repository URL (or HF ID):")
        terminal.complete("Checkpoint Source:", "Upl", "Upload file")
        if path:
            ask("Checkpoint Path or File:", path)
            terminal.wait("nowhere.ckpt is not there")
    terminal.complete("Checkpoint Path or File:", "last", "last.ckpt")  # a path
    ask("Model Class Path", "vq.VQModle")
    terminal.wait("module vq has no VQModle")
    ask("Model Class Path (package.module.Class): vq.VQModle", "\x7f" * 5 + "Model")
    ask("Files to leave out")
    ask("Parameters")
    ask("Pipeline type")
    ask("Generation parameters")
    terminal.wait("Step 3 of 5: input, output and interface")
    terminal.complete("Size Type:", "var", "variable")
    ask("Default Size", "256")
    terminal.wait("found a list of 1 items, expected a list of 2 items")
    ask("Default Size (256 x 256): 256", " x 256")
    ask("Input Range", "-1, 1")
    ask("Output Range", "-1, 1")
    ask("Supported Interface: reconstruct, encode, decode")  # found in the class
    ask("Model Attributes", "codebook_size=1024, downsample_factor=16")
    terminal.wait("Step 4 of 5: evaluation defaults")
    ask("Default Benchmarks: kodak24, cifar10")  # proposed
    ask("Default Metrics: psnr, ssim, lpips, bpp")
    ask("Max Batch Size", "16")
    terminal.complete("Preferred Device:", "cpu", "cpu-allowed")
    ask("GPU memory", "4G")
    terminal.wait("Step 5 of 5: ownership and visibility")
    ask("Owner:", "")
    ask("Visibility: private", "\x15Public")
    ask("License:", "MIT")
    ask("Citation / Paper Link:", "CVPR 2021")
    ask("Needs a token:")
    terminal.wait("Write these changes?")
    assert "+    benchmarks: [kodak24, cifar10]" in terminal.text
    terminal.type("y\r")
    terminal.wait("added codecs/vqgan-imagenet-f16-1024")
    assert terminal.end() == 0
    written = tmp_path / "manifests/codecs.yaml"
    document = nodes.read(written)
    loaded = manifest.decode(document)
    assert loaded is not None and document.problems == []
    artifact = loaded.artifacts["vqgan-imagenet-f16-1024"]
    assert artifact.info["io"] == {
        "size": "variable",
        "resolution": (256, 256),
        "input_range": (-1, 1),
        "output_range": (-1, 1),
    }
    assert artifact.info["task"] == "image-compression"
    assert artifact.info["device"] == "cpu-allowed" and artifact.info["visibility"] == "public"
    assert artifact.info["attributes"] == {"codebook_size": 1024, "downsample_factor": 16}
    assert artifact.fully_known, "the upload's digest pins it"


def test_leaving_in_the_middle_writes_nothing(terminal: Terminal, tmp_path: Path) -> None:
    terminal.reply("Model Name", "Half")
    terminal.wait_for_prompt("Model ID: half")
    terminal.type("\x03")
    terminal.wait("interrupted")
    assert terminal.end() == 130
    assert not (tmp_path / "manifests").exists()
