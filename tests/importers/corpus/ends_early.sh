git clone https://github.com/acme/tokenizer.git
if [ ! -d tokenizer/scripts ]; then
  echo "tokenizer/scripts is missing"
  exit 1
fi
curl -Lo sets/a.txt https://sets.example.org/a.txt
exit 0
curl -Lo sets/b.txt https://sets.example.org/b.txt
