"""What people look at: curves of a training, and one self-contained page over several models."""
