"""The --ssl choices, one file each."""
