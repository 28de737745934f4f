"""Manifests and users' tables: columns, labels, folds, groups."""
