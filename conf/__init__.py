"""The Hydra configuration groups, the typed schema of the root keys, and the checker."""
