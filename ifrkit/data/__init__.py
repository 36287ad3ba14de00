"""Clips on disk and in training: the store, batches drawn from it, and what happens to their pixels."""
