#!/bin/bash
TOKEN=$(cat ~/.token)
VERSION=$(curl -s https://api.example.com/latest | jq -r .version)
wget "https://files.example.com/releases/$VERSION/model.pt" -O model.pt
curl -H "Authorization: Bearer $TOKEN" https://files.example.com/gated.bin -o gated.bin
wget --user=me --password=secret https://private.example.com/w.pt
wget -r -np https://files.example.com/dir/
read -p "Where to? " DEST
wget https://files.example.com/good.pt -P "$DEST"
wget https://files.example.com/fine.pt -P ok
cp ok/fine.pt ok/copy.pt
mv elsewhere.pt ok/
python tools/convert.py ok/fine.pt ok/fine.onnx
wget https://files.example.com/home.pt -P ~/.cache/acme
case "$2" in
  --all) wget https://files.example.com/extra.pt -P ok ;;
esac
