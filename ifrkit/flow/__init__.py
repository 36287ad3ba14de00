"""Where evaluation flow comes from, one file each."""
