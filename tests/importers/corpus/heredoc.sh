#!/bin/bash
cat > /tmp/urls.txt <<EOF
https://weights.example.io/a/alpha.pth
https://weights.example.io/a/beta.pth
EOF
while read -r name url; do
  [ -z "$name" ] && continue
  wget -c "$url" -O "ckpts/$name.pt"
done <<'LIST'
one https://weights.example.io/1.pt
two https://weights.example.io/2.pt
LIST
cat <<URLS | xargs -n 1 -P 4 wget -q -P batch
https://weights.example.io/b/x.pt
https://weights.example.io/b/y.pt
URLS
python3 - <<'PY'
from huggingface_hub import snapshot_download
snapshot_download(repo_id="acme/base", local_dir="pretrained/base", ignore_patterns=["*.msgpack", "*.h5"])
PY
wget -i /tmp/urls.txt -P lists
