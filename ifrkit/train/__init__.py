"""The one training loop and what it needs: resumable state, optimizers, ranks, the event log."""
