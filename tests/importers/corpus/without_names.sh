echo "evaluators"
gdown --fuzzy https://drive.google.com/file/d/1O_GUHgjDbl2tgbyfSwZOUYXDACnk25Aa/view
gdown --fuzzy https://drive.google.com/file/d/12liZW5iyvoybXD8eOw4VanTgsMtynCbb/view
rm -rf t2m kit
unzip t2m.zip
unzip kit.zip
rm t2m.zip kit.zip
mkdir -p detectors && cd detectors
gdown https://drive.google.com/uc?id=1H2tWsZkS7tDF8q1-jdjx6V9XrK25Edcc
gdown https://drive.google.com/uc?id=1OqgexNM52uxsPG3i8GuodDOJAGFsYkdd
mkdir -p ../extra/hand
mv *pth ../extra/hand
cd ../extra
gdown 1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaee
gdown 1bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbff
mkdir one two
unzip first.zip -d one
unzip second.zip -d two
gdrive download 1cccccccccccccccccccccccccccccgg --path sets/
unzip sets/test.zip -d sets && rm sets/test.zip
