if [ -z "$1" ]; then
  mkdir -p ~/sets/voc
  cd ~/sets/voc
else
  if [ ! -d "$1" ]; then echo "$1 is no folder"; exit 1; fi
  cd "$1"
fi
curl -LO http://sets.example.org/voc/trainval.tar
tar -xf trainval.tar && rm trainval.tar
mkdir -p lists
curl -L http://sets.example.org/voc/names.txt -o lists/names.txt
