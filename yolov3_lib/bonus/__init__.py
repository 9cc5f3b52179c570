"""Bonus chapters: low-rank approximation, Lagrange multipliers and KKT conditions, line search."""
