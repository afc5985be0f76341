"""Between text and token ids: templates, tokenizing, incremental detokenizing, stop strings."""
