from django.apps import AppConfig


class BackOfficeConfig(AppConfig):
    name = "back_office"
    verbose_name = "Back office"

    def ready(self) -> None:
        from back_office.access import logins, sessions  # they need the models of users

        logins.connect()
        sessions.connect()
