"""`radixloom route`: one address before the leaders of replicas. Knows prompts, no model."""
