"""What is compared: the same models and steps, in each library."""
