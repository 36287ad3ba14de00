"""ifrkit: train video semantic segmentation from very few labeled frames.

Stages are library functions in `ifrkit.stages`; the command line in `ifrkit.cli` only presents them.
Nothing heavy is imported here, so that `ifrkit --help` answers at once.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
