mkdir -p data && cd data
wget http://images.example.org/zips/train2017.zip http://images.example.org/zips/val2017.zip
unzip -q train2017.zip && rm train2017.zip
unzip -q val2017.zip && rm val2017.zip
cd ..
curl -L https://github.com/acme/yolo/releases/download/v1.0/coco2017labels.zip -o tmp.zip && unzip -q tmp.zip -d datasets && rm tmp.zip
wget -qO- https://data.example.org/faces.tar.gz | tar -xz -C datasets --strip-components=1
wget https://data.example.org/list.csv.gz -P meta && gunzip meta/list.csv.gz
