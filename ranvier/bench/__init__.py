"""`ranvier bench`: training steps timed, beside the machine's peak and other libraries."""
