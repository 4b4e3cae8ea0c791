#!/usr/bin/env bash
set -euo pipefail
SCRIPT_DIR="$( cd "$( dirname "${BASH_SOURCE[0]}" )" &> /dev/null && pwd )"
MODEL_DIR="${SCRIPT_DIR}/../models"
mkdir -p "${MODEL_DIR}"

pip install -U "huggingface_hub[cli]"
export HF_ENDPOINT=${HF_ENDPOINT:-https://hf-mirror.com}

huggingface-cli download musepose/MusePose --local-dir "${MODEL_DIR}/MusePose" --local-dir-use-symlinks False
huggingface-cli download stabilityai/sd-vae-ft-mse --local-dir "$MODEL_DIR/sd-vae" --include "config.json" "diffusion_pytorch_model.bin"
hf download acme/whisper-tiny tiny.pt --revision v1.0 --local-dir "$MODEL_DIR/whisper"
hf download acme/captions --repo-type dataset --include 'train/*.parquet' --exclude '*.md' --local-dir data/captions
