"""Writes any data set into one HDF5 file, and can resume after being killed."""
