"""Where answers come from: dialects, calls, and which model is asked next."""
