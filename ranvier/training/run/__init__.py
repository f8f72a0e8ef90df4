"""Run folders: what training writes and what resuming reads."""
