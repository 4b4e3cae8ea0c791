import json
import os
import sys
import requests
from huggingface_hub import hf_hub_download

with open("models.json") as f:
    models = json.load(f)

for m in models:
    hf_hub_download(m["repo"], m["file"], local_dir="models")

url = os.environ["MODEL_URL"]
open("env.bin", "wb").write(requests.get(url).content)

size = sys.argv[1]
hf_hub_download("acme/sized", f"model-{size}.bin", local_dir="models")
hf_hub_download("acme/sized", "tokenizer.json", local_dir="models")
if os.getenv("WITH_LORA", "0") == "1":
    hf_hub_download("acme/lora", "lora.safetensors", local_dir="models")
