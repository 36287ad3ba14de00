"""Images, videos, palettes and class tables: the one place that decodes."""
