"""Machine code in memory and on disk, and the threads that run it."""
