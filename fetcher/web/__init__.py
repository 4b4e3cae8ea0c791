"""The catalog in the browser and as JSON: what `fetch serve` shows to people and programs."""
