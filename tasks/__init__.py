"""The tasks that `task=` chooses, one file each."""
