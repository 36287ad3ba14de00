"""Datasets, one package or file each (plug-ins of the entry-point group `ifrkit.datasets`).

What several of them share begins with "_": `_catalog` (scan and read), `_runs` (cut clips), `_toys` (tiny pictures).
"""
