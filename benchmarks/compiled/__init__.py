"""Programs compiled for accelerators that are not here, and what their instructions are."""
