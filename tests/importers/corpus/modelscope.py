from modelscope import snapshot_download

snapshot_download("iic/Voice2-0.5B", local_dir="pretrained/Voice2")
from huggingface_hub import snapshot_download

snapshot_download("acme/Voice2-0.5B", local_dir="pretrained/Voice2")
snapshot_download("acme/Voice3", local_dir="pretrained/Voice3")
