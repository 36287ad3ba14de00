"""Judging models: what is judged (systems), how (judge), and how the result is shown (tables, pictures)."""
