"""The rules of AI-GenBench: windows, generators, seeds, selection."""
