"""First programs of people who come from other libraries, translated by guesswork.

Each is written as its author would write it before reading a page of our documentation. It
either runs or meets one of Ranvier's errors, whose sentence holds the mend.
"""
