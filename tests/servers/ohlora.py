"""Every repository of the Oh-LoRA project in the stand-ins: exact names and counts, tiny bytes.

Run it as `python -m tests.servers.ohlora --env` and work against the servers from a shell.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from . import weights
from .github import GitHubServer
from .hub import HubServer
from .sharepoint import SharePointServer
from .wire import Content, read

DATA = Path(__file__).resolve().parents[1] / "data"
NAMES = DATA / "ohlora-filtered-names.txt"

ROOT = "2025_04_08_OhLoRA"
SG = "stylegan_and_segmentation"
OWNER = "daebakgazua"
IMAGES = f"datasets/{OWNER}/250408_OhLoRA_all_generated_images"
FILTERED = f"datasets/{OWNER}/250408_OhLoRA_filtered_images"
CNNS = f"{OWNER}/250408_OhLoRA_CNNs"
STYLEGAN = f"{OWNER}/250408_OhLoRA_StyleGAN_FineTuned"
LLM = f"{OWNER}/250408_OhLoRA_LLM"
SBERT = f"{OWNER}/250408_OhLoRA_LLM_SBERT"
POLYGLOT = "EleutherAI/polyglot-ko-1.3b"
GEMMA = "unsloth/gemma-2-2b-it"
ROBERTA = "klue/roberta-base"
FACEXFORMER = "kartiknarayan/facexformer"
FACENET = "github:timesler/facenet-pytorch"
GENFORCE = "github:genforce/genforce"
SHAREPOINT = "sharepoint"

FACENET_COMMIT = "787da06156087cd6b616fe6608213722bddc30cd"
SHARE_LINK = (
    "https://mycuhk-my.sharepoint.com/:u:/g/personal/1155082926_link_cuhk_edu_hk/"
    "ET2etKNzMS9JmHj5j60fqMcBRJfQfYNvqUrujaIXxCvKDQ?e=QReLE6&download=1"
)
SHARE_NAME = "stylegan_celeba_partial256.pth"
ADAPTER_BASE = r"C:\Users\author\models\polyglot_original"

# scale -> bytes in a weight file, bytes that an image is padded with
SCALES = {"tiny": (2_000, 0), "medium": (4_000_000, 18_000)}

GENERATORS = (
    "stylegan_gen_fine_tuned_v2_cnn.pth",
    "stylegan_gen_fine_tuned_v1.pth",
    "stylegan_dis_fine_tuned_v1.pth",
    "stylegan_gen_fine_tuned_v3_ckpt_0005_gen.pth",
    "stylegan_gen_fine_tuned_v4.pth",
    "stylegan_dis_fine_tuned_v4.pth",
)
PROPERTIES = tuple(f"{kind}_model_{i}.pt" for kind in ("gender", "quality") for i in range(5))
# files that a repository has and the project does not use
BESIDE = (".gitattributes", "README.md")

Files = dict[str, Content]


@cache
def filtered_names(listed: Path = NAMES) -> tuple[str, ...]:
    return tuple(listed.read_text(encoding="utf-8").split())


@cache
def image(number: int, padding: int) -> bytes:
    return weights.jpeg(number, padding)


def _beside(repo: str) -> Files:
    tracked = ("safetensors", "bin", "pt", "pth", "jpg")
    lines = [f"*.{name} filter=lfs diff=lfs merge=lfs -text" for name in tracked]
    return {
        ".gitattributes": ("\n".join(lines) + "\n").encode(),
        "README.md": f"---\nlicense: mit\n---\n# {repo}\n".encode(),
    }


def repositories(scale: str = "tiny", listed: Path = NAMES) -> dict[str, Files]:
    """Every repository with all its files. Keys: a hub id, `datasets/…`, `github:…`, a share."""
    size, padding = SCALES[scale]

    def torch(*names: str) -> Files:
        return {name: weights.torch_file(name, size) for name in names}

    images: Files = {f"{i:06}.jpg": image(i, padding) for i in range(10_000)}
    mtcnn: Files = {f"data/{p.name}": p for p in sorted((DATA / "facenet-mtcnn").glob("*.pt"))}
    found: dict[str, Files] = {
        IMAGES: images,
        FILTERED: {name: images[name] for name in filtered_names(listed)},
        CNNS: torch(*PROPERTIES, "property_score_model.pt"),
        STYLEGAN: torch(*GENERATORS, "stylegan_gen_fine_tuned_v2.pth"),
        FACEXFORMER: torch("ckpts/model.pt") | {"ckpts/notes.txt": b"notes\n"},
        **{name: dict(files) for name, files in _language_models(size).items()},
    }
    for name, files in found.items():
        files.update(_beside(name))
    found[FACENET] = {"README.md": b"# facenet\n", "data/test_images/notes.txt": b"-\n", **mtcnn}
    found[GENFORCE] = _genforce()
    found[SHAREPOINT] = torch(SHARE_NAME)
    return found


@cache
def _language_models(size: int) -> dict[str, Mapping[str, bytes]]:
    tokenizer = weights.byte_tokenizer()
    return {
        GEMMA: {
            **weights.gemma2(GEMMA),
            **tokenizer,
            "tokenizer.model": b"\x0a\x0f\x0a\x05<unk>\x15\0\0\0\0\x18\x02",
        },
        POLYGLOT: {
            **weights.gpt_neox(POLYGLOT, shards=3),
            **tokenizer,
            "pytorch_model.bin": weights.torch_file("pytorch_model.bin", size),
        },
        LLM: {
            **weights.lora(LLM, ADAPTER_BASE),
            **tokenizer,
            "training_args.bin": weights.torch_file("training_args.bin", 100),
        },
        SBERT: {
            **weights.roberta(SBERT, "", "RobertaModel"),
            **weights.word_tokenizer(64),
            **weights.sentence_transformer(),
        },
        ROBERTA: {
            **weights.roberta(ROBERTA, "roberta.", "RobertaForMaskedLM"),
            **weights.word_tokenizer(128),
        },
    }


def _genforce() -> Files:
    row = f"| celeba_partial-256x256 | [model]({SHARE_LINK}) | 7.33 |\n"
    table = "| Model | URL | FID |\n| :-- | :--: | :--: |\n" + row
    zoo = (
        "MODEL_ZOO = {\n"
        "    'stylegan_celeba_partial256': dict(\n"
        "        gan_type='stylegan',\n"
        "        resolution=256,\n"
        f"        url='{SHARE_LINK}',\n"
        "    ),\n"
        "}\n"
    )
    return {
        "MODEL_ZOO.md": f"# Model Zoo\n\n## StyleGAN Ours\n\n{table}".encode(),
        "models/model_zoo.py": zoo.encode(),
    }


def placements(listed: Path = NAMES) -> list[tuple[str, str, str]]:
    """(repository, its file, target below the root) of all 14,765 files."""
    places = [(SHAREPOINT, SHARE_NAME, f"{SG}/stylegan/stylegan_model.pth")]
    segmentation, synthesized = f"{SG}/segmentation/models", f"{SG}/stylegan/synthesize_results"
    for net in ("onet", "pnet", "rnet"):
        places.append((FACENET, f"data/{net}.pt", f"{segmentation}/mtcnn_{net}.pt"))
    places.append((FACEXFORMER, "ckpts/model.pt", f"{segmentation}/segmentation_model.pt"))
    language = _language_models(0)
    sbert = "llm/models/memory_sbert/trained_sbert_model"
    whole: list[tuple[str, Iterable[str], str]] = [
        (GEMMA, {*language[GEMMA], *BESIDE}, "llm/models/original"),
        (POLYGLOT, {*language[POLYGLOT], *BESIDE}, "llm/models/polyglot_original"),
        (CNNS, PROPERTIES, f"{SG}/cnn/models"),
        (STYLEGAN, GENERATORS, f"{SG}/stylegan_modified"),
        (LLM, {*language[LLM], *BESIDE}, "llm/models/polyglot_fine_tuned"),
        (SBERT, {*language[SBERT], "README.md"}, sbert),
        (IMAGES, [f"{i:06}.jpg" for i in range(10_000)], synthesized),
        (FILTERED, filtered_names(listed), f"{synthesized}_filtered"),
    ]
    for repo, names, folder in whole:
        places += [(repo, name, f"{folder}/{name}") for name in sorted(names)]
    return places


def expected_tree(
    scale: str = "tiny",
    *,
    root: str = ROOT,
    listed: Path = NAMES,
    contents: Mapping[tuple[str, str], Content] | None = None,
) -> dict[str, bytes]:
    """Target path, relative to the project's root, to the bytes that must stand there.

    The adapter's configuration is as published: a layout that edits it changes one key.
    """
    repos = _with(repositories(scale, listed), contents)
    start = f"{root}/" if root else ""
    return {start + target: read(repos[r][name]) for r, name, target in placements(listed)}


def expected_digests(scale: str = "tiny", *, root: str = ROOT) -> dict[str, str]:
    tree = expected_tree(scale, root=root)
    return {target: hashlib.sha256(body).hexdigest() for target, body in tree.items()}


def _with(
    repos: dict[str, Files], contents: Mapping[tuple[str, str], Content] | None
) -> dict[str, Files]:
    for (repo, name), content in (contents or {}).items():
        repos[repo][name] = content
    return repos


def build_ohlora(
    hub: HubServer,
    github: GitHubServer,
    sharepoint: SharePointServer,
    scale: str = "tiny",
    *,
    listed: Path = NAMES,
    contents: Mapping[tuple[str, str], Content] | None = None,
) -> None:
    """Fill the stand-ins. `contents` replaces files: {(repository, file): bytes or path}."""
    tasks = {ROBERTA: "fill-mask", POLYGLOT: "text-generation", GEMMA: "text-generation"}
    for name, files in _with(repositories(scale, listed), contents).items():
        if name == SHAREPOINT:
            sharepoint.add_share(SHARE_LINK, SHARE_NAME, files[SHARE_NAME])
        elif name == FACENET:
            repo = name.partition(":")[2]
            github.add_repo(repo, files, branch="master", sha=FACENET_COMMIT)
        elif name.startswith("github:"):
            github.add_repo(name.partition(":")[2], files, branch="master")
        elif name.startswith("datasets/"):
            hub.add_repo(name.partition("/")[2], files, "dataset")
        else:
            info = {"pipeline_tag": tasks[name]} if name in tasks else {}
            hub.add_repo(name, files, info={"library_name": "transformers", **info})


def environment(
    hub: HubServer, github: GitHubServer, sharepoint: SharePointServer
) -> dict[str, str]:
    """What a client's environment needs to meet the stand-ins instead of the real hosts."""
    return {"HF_ENDPOINT": hub.url, "FETCH_REWRITE": f"{github.rewrite} {sharepoint.rewrite}"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.ohlora", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the first of five ports; 0: any")
    parser.add_argument("--scale", choices=sorted(SCALES), default="tiny")
    parser.add_argument("--env", action="store_true", help="print lines for a shell to evaluate")
    options = parser.parse_args()
    ports = [options.port + i if options.port else 0 for i in range(5)]
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        tempfile.TemporaryDirectory() as folder,
        HubServer(ports[0], cdn_port=ports[1]) as hub,
        GitHubServer(Path(folder), ports[2], downloads_port=ports[3]) as github,
        SharePointServer(ports[4]) as sharepoint,
    ):
        build_ohlora(hub, github, sharepoint, options.scale)
        for name, value in environment(hub, github, sharepoint).items():
            print(f"export {name}='{value}'" if options.env else f"{name}  {value}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
