"""Subjects: loading, preparing and augmenting images."""
