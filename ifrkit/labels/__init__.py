"""Label formats, one file each: what a labeling tool exports, read as class ids."""
