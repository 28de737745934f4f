"""Entropy and likelihood of discretised logistic mixtures."""
