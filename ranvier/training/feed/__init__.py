"""From what people pass as data to what a program reads step by step."""
