"""How long hypothesis looks for a counterexample: as many examples as said, however busy the machine is."""

from hypothesis import HealthCheck, settings


def examples(count: int) -> settings:
    """What fails is printed with the way to run it again; with CI set, hypothesis takes the same examples each time."""
    return settings(max_examples=count, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
