"""Settings, and what fetch.yaml may say."""
