#!/bin/bash
# Pretrained weights of a talking-head project.
mkdir -p ./checkpoints ./gfpgan/weights

wget -nc https://github.com/acme/talker/releases/download/v0.0.2-rc/mapping_00109-model.pth.tar -O  ./checkpoints/mapping_00109-model.pth.tar
wget -nc https://github.com/acme/talker/releases/download/v0.0.2-rc/mapping_00229-model.pth.tar -O  ./checkpoints/mapping_00229-model.pth.tar
# wget -nc https://github.com/acme/talker/releases/download/v0.0.2/old.zip -O  ./checkpoints/old.zip
# unzip -n ./checkpoints/old.zip -d ./checkpoints/

### enhancer
wget -nc https://github.com/facelib/facelib/releases/download/v0.1.0/alignment_WFLW_4HG.pth -O ./gfpgan/weights/alignment_WFLW_4HG.pth
wget -nc https://github.com/facelib/facelib/releases/download/v0.2.2/parsing_parsenet.pth -O ./gfpgan/weights/parsing_parsenet.pth
