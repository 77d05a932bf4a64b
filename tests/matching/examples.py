"""Settings of hypothesis: a fixed number of examples, without a deadline."""

from hypothesis import HealthCheck, settings


def examples(count: int) -> settings:
    """Failures print how to reproduce them; with CI set, hypothesis uses the same examples in every run."""
    return settings(max_examples=count, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
