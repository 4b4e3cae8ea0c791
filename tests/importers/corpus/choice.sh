#!/bin/bash
# usage: ./choice.sh base|large
src="https://huggingface.co/ggml/whisper/resolve/main/ggml"
models="tiny base small"
model=$1
models_path="${2:-models}"

if [ -z "$model" ]; then
    for m in $models; do
        wget --quiet --show-progress -O $models_path/ggml-$m.bin "$src-$m.bin"
    done
    exit 0
fi
wget --no-config --quiet -O ggml-"$model".bin $src-"$model".bin
