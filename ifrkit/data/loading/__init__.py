"""Training batches: views, random draws, worker processes."""
