"""Evidence of an image under a model: likelihood, membership, provenance."""
