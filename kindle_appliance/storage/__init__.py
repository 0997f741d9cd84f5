"""What is kept on the card: one SQLite file behind one module, and what stands in it."""
