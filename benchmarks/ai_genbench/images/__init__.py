"""The pixels of AI-GenBench: degradation, crops and training augmentations."""
