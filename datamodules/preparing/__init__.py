"""Any data set into one HDF5 file that survives kills."""
