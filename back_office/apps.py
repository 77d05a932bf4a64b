from django.apps import AppConfig


class BackOfficeConfig(AppConfig):
    name = "back_office"
    verbose_name = "Back office"

    def ready(self) -> None:
        # They need the models of users.
        from back_office.access import logins, sessions
        from back_office.audit import accounts
        from back_office.audit import logins as audited_logins

        logins.connect()
        sessions.connect()
        audited_logins.connect()
        accounts.connect()
