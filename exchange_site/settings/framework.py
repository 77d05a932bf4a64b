"""Settings of Django and its packages that follow from ours, or are the same everywhere."""

from datetime import timedelta

from back_office import navigation
from exchange_site.configuration import django_parts
from exchange_site.settings.programs import BASE_DIR, DATA_DIR
from exchange_site.settings.web import LOGIN_FAILURES, LOGIN_LOCK_MINUTES, SESSION_HOURS, WEB_HTTPS

INSTALLED_APPS, MIDDLEWARE = django_parts.APPS, django_parts.MIDDLEWARE
ROOT_URLCONF = "exchange_site.urls"
ASGI_APPLICATION = "exchange_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = django_parts.PASSWORD_VALIDATORS
AUTHENTICATION_BACKENDS = django_parts.AUTHENTICATION_BACKENDS
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=LOGIN_LOCK_MINUTES)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # with the name alone, anybody could lock operators out
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # further attempts do not prolong a lock
AXES_CLIENT_IP_CALLABLE = "back_office.access.logins.client_address"
AXES_LOCKOUT_CALLABLE = "back_office.access.logins.locked_page"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True  # back_office.access.logins logs the same as events
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
OTP_TOTP_ISSUER = "Exchange"  # what authenticator apps show
CSRF_FAILURE_VIEW = "back_office.invalid_requests.form_expired"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"  # after a login without a target
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"  # the web collects static files when it starts
WHITENOISE_USE_FINDERS = True  # serves them also where they have not been collected
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "exchange_site.web.static_files.DigestStorage",
        "OPTIONS": {"directory_permissions_mode": 0o700},  # as all folders in DATA_DIR
    },
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = WEB_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # no script of the pages reads them
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SECURE_REFERRER_POLICY = "same-origin"
if WEB_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # asked from inside, without the proxy
# HSTS for subdomains and preloading: whether other sites of the domain have TLS is not known here.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

UNFOLD = navigation.UNFOLD
