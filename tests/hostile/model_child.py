"""Loads folders, with our loaders and then with the libraries alone, and tells whose code ran.

Started with the folder of fetcher.verify and the folders' root, where it writes `ours.json` and
`raw.json`. Runs under any supported interpreter, in which fetch is not installed.
"""

import importlib.util
import json
import os
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

warnings.simplefilter("ignore")


def mount(folder: Path) -> None:
    """As a probe's child does it."""
    outer = types.ModuleType("fetcher")
    outer.__path__ = []
    sys.modules["fetcher"] = outer
    spec = importlib.util.spec_from_file_location(
        "fetcher.verify", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["fetcher.verify"] = package
    spec.loader.exec_module(package)


def raw(kind: str, folder: Path, built: Path) -> None:
    """What a project does that trusts its library."""
    if kind == "encoder":
        import sentence_transformers

        sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    elif kind == "pipeline":
        import diffusers

        diffusers.DiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    else:
        import peft
        import transformers

        base = transformers.AutoModel.from_pretrained(str(built / "encoder"))
        peft.PeftModel.from_pretrained(base, str(folder))


def ours(kind: str, folder: Path, built: Path) -> None:
    """What probes and `fetcher.models` do."""
    from fetcher.verify.loaders import adapters, diffusion, sentence_transformer, vision

    if kind == "encoder":
        sentence_transformer.load(folder)
    elif kind == "pipeline":
        diffusion.load(folder)
    else:
        base, _, _ = vision.load_encoder(built / "encoder", None)
        adapters.attach_adapter(base, folder)


def tried(load: Callable[[str, Path, Path], None], root: Path) -> dict[str, list[object]]:
    """How each folder ended, and whether code of it ran."""
    told: dict[str, list[object]] = {}
    for name, kind, folder, marker in json.loads((root / "cases.json").read_text()):
        end = "loaded"
        try:
            load(kind, root / folder, root / "built")
        except BaseException as error:
            end = f"{type(error).__name__}: {error}"[:400]
        told[name] = [os.path.exists(marker), end]
        for path in (marker, str(root / "path-marker")):
            if os.path.exists(path):
                told[name][0] = True
                os.unlink(path)
        sys.modules.pop("evil_module", None)
    return told


def main() -> None:
    verify, root = Path(sys.argv[1]), Path(sys.argv[2])
    mount(verify)
    sys.path.insert(0, str(root / "path"))
    # The libraries alone come last: what they run must find nothing of ours still to be tried.
    for load in (ours, raw):
        (root / f"{load.__name__}.json").write_text(json.dumps(tried(load, root)))


main()
