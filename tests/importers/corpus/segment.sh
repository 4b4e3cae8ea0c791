#!/bin/bash

# Copyright of somebody. Uses either wget or curl.
if command -v wget &> /dev/null; then
    CMD="wget"
elif command -v curl &> /dev/null; then
    CMD="curl -L -O"
else
    echo "Please install wget or curl to download the checkpoints."
    exit 1
fi

SAM_BASE_URL="https://dl.example.org/segment_anything_2/092824"
sam_t_url="${SAM_BASE_URL}/sam_hiera_tiny.pt"
sam_s_url="${SAM_BASE_URL}/sam_hiera_small.pt"

echo "Downloading sam_hiera_tiny.pt checkpoint..."
$CMD $sam_t_url || { echo "Failed to download checkpoint from $sam_t_url"; exit 1; }

echo "Downloading sam_hiera_small.pt checkpoint..."
$CMD $sam_s_url || { echo "Failed to download checkpoint from $sam_s_url"; exit 1; }

echo "All checkpoints are downloaded successfully."
