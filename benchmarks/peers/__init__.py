"""The models and training steps to compare, in each library."""
