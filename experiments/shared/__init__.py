"""Pictures and tables that several experiments make."""
