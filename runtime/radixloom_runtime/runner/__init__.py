"""All device state: weights, KV pages, compiled steps."""
