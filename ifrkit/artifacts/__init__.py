"""Versioned artifacts on disk: what stages talk through."""
