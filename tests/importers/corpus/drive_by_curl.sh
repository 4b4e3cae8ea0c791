DIR=./checkpoints
URL='https://drive.google.com/uc?export=download&id=1bXYYcFFbvTsoZUnaoePNEObPzfx1Dkhh'
mkdir -p $DIR
FILE="$(curl -sc /tmp/cookie "${URL}" | grep -o '="uc-name.*</span>')"
curl -Lb /tmp/cookie "${URL}&confirm=$(awk '/_warning_/ {print $NF}' /tmp/cookie)" -o "$DIR/${FILE}"
cd $DIR
unzip $FILE
rm $FILE
cd ..
fileid=1vXS7SHJBgWPt59wupQ5UUzhFObrnGkii
wget --load-cookies /tmp/c.txt "https://docs.google.com/uc?export=download&confirm=$(wget --quiet --save-cookies /tmp/c.txt "https://docs.google.com/uc?export=download&id=$fileid" -O- | sed -rn 's/x/y/p')&id=$fileid" -O nets/face.pth
