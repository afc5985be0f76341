"""One short file per model family, and what they share."""
