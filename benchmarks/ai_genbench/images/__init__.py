"""The pixels of AI-GenBench: degradation, crops, training augmentation."""
