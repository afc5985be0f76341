"""The hosts of a slice as one engine: who is there, who lives, and in which order steps run."""
