"""Whether the broker of background work is there, where it is Redis."""

from contextlib import closing

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ANSWER_S = 1.0


def ask_redis() -> None:
    """Once, and not for long: who asks wants to know how it is now. Raises redis.RedisError."""
    once = Retry(NoBackoff(), 0)
    client = Redis.from_url(settings.REDIS_URL, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=once)
    with closing(client):
        client.ping()
