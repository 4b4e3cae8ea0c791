"""Running verify's probes on what was laid out: options, defaults, golden values."""
