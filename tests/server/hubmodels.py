"""Makes the small repositories that the Hub's clients load in these tests.

Run as a script: `python hubmodels.py FOLDER`; makes FOLDER/{text,adapter,sentences,diffusion,data}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.verify import textmodels

ADAPTED = "tiny/text"


def diffusion(folder: Path) -> None:
    """An unconditional diffusion pipeline."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=10)).save_pretrained(folder)


def dataset(folder: Path) -> None:
    """A dataset with a card, and splits in JSON lines."""
    (folder / "data").mkdir(parents=True)
    for split in ("train", "test"):
        lines = [json.dumps({"text": f"{split} {i}", "label": i % 2}) for i in range(20)]
        (folder / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Words\n")


def main() -> None:
    folder = Path(sys.argv[1])
    textmodels.gpt_neox(folder / "text")
    textmodels.adapter(folder / "adapter", str(folder / "text"), named=ADAPTED)
    textmodels.sbert(folder / "sentences", normalise=True)
    diffusion(folder / "diffusion")
    dataset(folder / "data")


if __name__ == "__main__":
    main()
