"""Pictures and tables for several experiments."""
