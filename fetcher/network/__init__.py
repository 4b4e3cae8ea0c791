"""The rules of every request: addresses, credentials, retries."""
