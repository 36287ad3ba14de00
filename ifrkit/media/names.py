"""What files are by their names alone."""

from __future__ import annotations

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".ppm", ".pgm", ".pnm", ".tif", ".tiff", ".webp"})
"""What counts as a frame's image file (lower case)."""
