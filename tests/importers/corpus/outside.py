import os
import zipfile

import gdown

os.makedirs("../sets/2017", exist_ok=True)
gdown.download("https://drive.google.com/uc?id=1wUJq3HcLdN-z1t4CsUhjeZ9BVDb9YKaa", output="../sets/d16.zip")
with zipfile.ZipFile("../sets/d16.zip", "r") as zip_file:
    zip_file.extractall("../sets/")
os.rename("../sets/D16", "../sets/2016")
gdown.download("https://drive.google.com/uc?id=1kiaxrX_4GuW6NmiVuKGSGVoKGWjOdbb", output="../sets/2017/train.zip")
with zipfile.ZipFile("../sets/2017/train.zip", "r") as zip_file:
    zip_file.extractall("../sets/2017/")
