"""The verbs that `task=` chooses, one file each."""
