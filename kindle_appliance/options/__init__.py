"""What settings are made of: kinds of value, secrets, addresses, the list of models, and their file."""
