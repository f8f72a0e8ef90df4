"""Settings of the whole suite: Hypothesis draws the same examples everywhere, at any speed."""

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
