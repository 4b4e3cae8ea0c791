#!/usr/bin/env bash
set -e

function gdrive_download () {
  gdown "https://drive.google.com/uc?id=$1" -O $2
}

mkdir -p body_models
cd body_models/

echo -e "The smpl files will be stored in the 'body_models/smpl/' folder\n"
gdown "https://drive.google.com/uc?id=1INYlGA76ak_cKGzvpOV2Pe6RkYTlXTW2"
rm -rf smpl

unzip smpl.zip
echo -e "Cleaning\n"
rm smpl.zip

cd ..
mkdir -p checkpoints
gdrive_download 1PE0PK8e5a5j-7-Xhs5YET5U5pGh0c821 checkpoints/humanml.zip
unzip checkpoints/humanml.zip -d checkpoints
rm checkpoints/humanml.zip
echo -e "Downloading done!"
