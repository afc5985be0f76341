"""The API `serving.radixloom.dev/v1alpha1`: typed spec and status, its rules, its CRD."""
