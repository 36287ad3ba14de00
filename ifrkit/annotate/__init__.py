"""The annotator's loop: labels carried to the frames around them, and which frame to label next."""
