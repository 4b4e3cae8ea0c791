import argparse
import os
from os import path as osp

from basicsr.utils.download_util import load_file_from_url


def download_pretrained_models(method, file_urls):
    save_path_root = f'./weights/{method}'
    os.makedirs(save_path_root, exist_ok=True)

    for file_name, file_url in file_urls.items():
        save_path = load_file_from_url(url=file_url, model_dir=save_path_root, progress=True, file_name=file_name)


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('method', type=str, help="Options: 'Restorer' 'facelib'. Set to 'all' for all of them.")
    args = parser.parse_args()

    file_urls = {
        'Restorer': {
            'restorer.pth': 'https://github.com/acme/Restorer/releases/download/v0.1.0/restorer.pth'
        },
        'facelib': {
            'yolov5l-face.pth': 'https://github.com/acme/Restorer/releases/download/v0.1.0/yolov5l-face.pth',
            'parsing_parsenet.pth': 'https://github.com/acme/Restorer/releases/download/v0.1.0/parsing_parsenet.pth'
        }
    }

    if args.method == 'all':
        for method in file_urls.keys():
            download_pretrained_models(method, file_urls[method])
    else:
        download_pretrained_models(args.method, file_urls[args.method])
