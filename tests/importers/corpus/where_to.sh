#!/bin/bash
# usage: where_to.sh DIR
if [ $# -ne 1 ]; then
    echo "usage: $0 DIR"
    exit 1
fi
OUT=$1
BASE=https://weights.example.net/v3
mkdir -p "$OUT/heads"
for size in s m; do
    wget "$BASE/head_$size.pt" -P "$OUT/heads"
done
wget $BASE/frames.tar -P $OUT/frames && tar -xf $OUT/frames/frames.tar -C $OUT/frames
