"""Dataset plug-ins, one file each (entry-point group `ifrkit.datasets`)."""
