"""Settings of the whole suite: Hypothesis draws the same examples everywhere, at any speed."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ranvier",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ranvier")

# Jobs in the background of a shell ignore Ctrl-C, and so do their children; its tests must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
