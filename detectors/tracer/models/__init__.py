"""VAR and RAR: tokenizers, transformers, sizes, published files."""
