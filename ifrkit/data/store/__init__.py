"""The clip store and what lies beside it: HDF5 files that are written once and then only read."""
