import argparse
import os
import shutil

import gdown

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="train, test or train-test")
parser.add_argument("--set", default="GoPro")
args = parser.parse_args()

TRAIN = "1zgALzrLCC_tcXKu_iHQTHukKUVT1aoaa"
TEST = "1k6DTSHu4saUgrGTYkkZXTptILyG9RRbb"

for data in args.data.split("-"):
    if data == "train":
        os.makedirs(os.path.join("Sets", "Downloads"), exist_ok=True)
        os.system(f"gdrive download {TRAIN} --path Sets/Downloads/")
        shutil.unpack_archive("Sets/Downloads/train.zip", "Sets/Downloads")
        os.rename(os.path.join("Sets", "Downloads", "train"), os.path.join("Sets", "Downloads", "GoPro"))
        os.remove("Sets/Downloads/train.zip")
    if data == "test":
        gdown.download(id=TEST, output="Sets/test.zip")
        shutil.unpack_archive("Sets/test.zip", "Sets")
        os.remove("Sets/test.zip")
