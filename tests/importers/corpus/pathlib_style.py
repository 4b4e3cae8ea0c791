from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from tqdm import tqdm
import subprocess
import torch

BASE = "https://dl.example.net/{kind}/{name}.pt"
OUT = Path("weights")

WEIGHTS = {
    "det": ["small", "large"],
    "cls": ["r18"],
}


def fetch(url: str, dst: Path) -> None:
    dst.parent.mkdir(parents=True, exist_ok=True)
    if dst.exists():
        print("skip", dst)
        return
    torch.hub.download_url_to_file(url, str(dst))


def main() -> None:
    for kind, names in WEIGHTS.items():
        for name in tqdm(names):
            url = BASE.format(kind=kind, name=name)
            fetch(url, OUT / kind / f"{name}.pt")
    subprocess.run(["wget", "-O", str(OUT / "extra.bin"), "https://dl.example.net/extra.bin"], check=True)
    subprocess.check_call("git clone https://huggingface.co/datasets/acme/faces data/faces", shell=True)


if __name__ == "__main__":
    main()
