from django.apps import AppConfig


class ExchangeSiteConfig(AppConfig):
    name = "exchange_site"
    verbose_name = "Exchange"

    def ready(self) -> None:
        from exchange_site import logs
        from exchange_site.configuration import (  # noqa: F401  (importing checks registers them)
            address_checks,
            checks,
            notification_checks,
            web_checks,
        )

        logs.configure()
