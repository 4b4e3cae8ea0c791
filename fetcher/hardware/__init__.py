"""The machine: GPUs, memory that a model takes, this process's own memory."""
