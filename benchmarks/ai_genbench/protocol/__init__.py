"""The rules of AI-GenBench: windows, generators, seeds and selection of images."""
