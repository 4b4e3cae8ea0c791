"""What unmodified clients of the Hub load from HF_ENDPOINT, as one JSON object on stdout.

Run as a script with an empty HF_HOME.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch


def transformers_text() -> Any:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("tiny/text")
    model = AutoModelForCausalLM.from_pretrained("tiny/text", dtype=torch.float32)
    ids = tokenizer("The quick brown fox", return_tensors="pt")
    return model(**ids).logits.sum().item()


def peft_adapter() -> Any:
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained("tiny/adapter", dtype=torch.float32)
    return sum(value.double().sum().item() for value in model.state_dict().values())


def sentences() -> Any:
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer("tiny/sentences", device="cpu").encode(["a quick fox"])
    return vectors.sum().item()


def diffusers_pipeline() -> Any:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained("tiny/diffusion")
    return sum(value.double().sum().item() for value in pipeline.unet.state_dict().values())


def datasets_splits() -> Any:
    from datasets import load_dataset

    found = load_dataset("tiny/data")
    streamed = load_dataset("tiny/data", split="test", streaming=True)
    return [len(found["train"]), found["test"][3]["text"], next(iter(streamed))["text"]]


def hub_api() -> Any:
    from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download

    api = HfApi()
    folder = snapshot_download("tiny/data", repo_type="dataset", revision="main")
    name = hf_hub_download("tiny/text", "config.json")
    files = HfFileSystem()
    return [
        sorted(api.list_repo_files("tiny/text")),
        api.model_info("tiny/text").sha,
        [item.path for item in api.get_paths_info("tiny/text", ["config.json"])],
        sorted(item.path for item in api.list_repo_tree("tiny/sentences", expand=True)),
        [ref.name for ref in api.list_repo_refs("tiny/text").branches],
        api.file_exists("tiny/text", "none.json"),
        folder.rpartition("/")[2],
        name.rpartition("/")[2],
        sorted(files.ls("datasets/tiny/data/data", detail=False)),
        files.read_text("datasets/tiny/data/README.md"),
    ]


def main() -> None:
    jobs = (
        hub_api,
        transformers_text,
        peft_adapter,
        sentences,
        diffusers_pipeline,
        datasets_splits,
    )
    json.dump({job.__name__: job() for job in jobs}, sys.stdout)


if __name__ == "__main__":
    main()
