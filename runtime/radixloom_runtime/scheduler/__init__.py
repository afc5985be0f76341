"""Which tokens the next step computes; pure Python and numpy."""
