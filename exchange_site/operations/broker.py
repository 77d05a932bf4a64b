"""Checks whether Redis, as the broker of background work, answers."""

from contextlib import closing

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ANSWER_S = 1.0


def ask_redis() -> None:
    """One attempt with a short timeout, for health checks. Raises redis.RedisError."""
    once = Retry(NoBackoff(), 0)
    client = Redis.from_url(settings.REDIS_URL, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=once)
    with closing(client):
        client.ping()
