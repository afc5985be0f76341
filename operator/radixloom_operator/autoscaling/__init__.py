"""Replicas that follow the load: measured (meter), decided (decision), written (turn).

Services without any are looked after by `sleepers`, until somebody asks for them.
"""
