"""Pictures to try models with, and how good those are that come out."""
