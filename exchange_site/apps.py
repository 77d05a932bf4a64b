from django.apps import AppConfig


class ExchangeSiteConfig(AppConfig):
    name = "exchange_site"
    verbose_name = "Exchange"

    def ready(self) -> None:
        from exchange_site import logs
        from exchange_site.configuration import checks, notification_checks  # noqa: F401  (importing checks registers them)

        logs.configure()
