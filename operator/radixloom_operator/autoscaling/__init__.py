"""Replicas that follow the load: measured (meter), decided (decision), written (turn)."""
