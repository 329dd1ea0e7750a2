"""Checkpoint files: where they lie, how they are fetched, opened without executing anything, and matched to a row."""
