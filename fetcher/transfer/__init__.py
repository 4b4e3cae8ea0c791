"""Moving bytes: one engine for every source and mirror, verified before they are published."""
