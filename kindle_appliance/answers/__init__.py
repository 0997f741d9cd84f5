"""Answers while they are written: followed from any offset, stored, and set as HTML."""
