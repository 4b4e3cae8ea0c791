import os
from pathlib import Path, PurePosixPath

from huggingface_hub import hf_hub_download


def prepare(local_dir="./pretrained"):
    os.makedirs(local_dir, exist_ok=True)
    for hub_file in ["unet/config.json", "motion_module.pth"]:
        path = Path(hub_file)
        if os.path.exists(local_dir / path):
            continue
        hf_hub_download(
            repo_id="acme/animate",
            subfolder=PurePosixPath(path.parent),
            filename=PurePosixPath(path.name),
            local_dir=local_dir,
        )


if __name__ == "__main__":
    prepare()
