"""Random days at a simulated venue, every wallet recomputed beside it with exact fractions."""
