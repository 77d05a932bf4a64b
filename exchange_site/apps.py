from django.apps import AppConfig

from matching.commandline import engine_addresses
from matching.core.epochs import Epoch


class ExchangeSiteConfig(AppConfig):
    name = "exchange_site"
    verbose_name = "Exchange"

    def ready(self) -> None:
        from exchange_site import checks, logs  # noqa: F401  (importing checks registers them)

        logs.configure()
        engine_addresses.learn_from(_newest_epoch)


def _newest_epoch() -> Epoch | None:
    from settlement import wiring  # the drivers come with it, and few processes ask

    return wiring.newest_epoch()
