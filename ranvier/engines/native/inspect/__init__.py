"""Looking inside a program: descriptions, checks, the machine's peak."""
