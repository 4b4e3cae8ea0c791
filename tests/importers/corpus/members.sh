mkdir -p data checkpoints/base && cd data
wget http://sets.example.org/spin/pack.tar.gz && tar -xf pack.tar.gz && rm pack.tar.gz
mv pack pack_from_spin
wget https://sets.example.org/up.zip
unzip up.zip
mv up/* .
rm -rf up up.zip
wget https://sets.example.org/mess.zip -O mess.zip && unzip mess.zip -d mess
rm -rf mess/__MACOSX mess/README.txt mess.zip
cd ..
wget https://weights.example.net/base_wts.tar.gz
tar -xzf base_wts.tar.gz && rm base_wts.tar.gz
mv latest_net.pth checkpoints/base
wget -P /tmp https://tools.example.net/parser-4.2.zip
unzip /tmp/parser-4.2.zip -d /tmp
mkdir -p lib
mv /tmp/parser-4.2/*.jar lib
wget https://sets.example.org/voices.7z && 7z x voices.7z -ovoices
ln -s ../voices/clean data/clean
curl -L https://sets.example.org/flat.zip -o flat.zip
unzip -j flat.zip -d flat
