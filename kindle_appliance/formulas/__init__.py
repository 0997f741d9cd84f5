"""Formulas in LaTeX, set as text that old browsers can show. No I/O."""
