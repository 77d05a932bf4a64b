"""The parts of Django that the site is made of, in the order that Django applies them."""

APPS = [
    "unfold",  # before the admin: its templates replace the admin's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",  # limits the guessing of passwords
    "django_otp",  # second factors; before ours, which unregisters their admin pages
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "exchange_site",
    "back_office",
    "benchmarks",
    "simulator",
    "gateway",
    "analytics",
    "archive",
    "settlement",
    "ledger",
    "matching",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "exchange_site.web.headers.HeadersMiddleware",
    "back_office.invalid_requests.InvalidRequestMiddleware",  # before those that look for files or read the database
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # after static files, which are compressed already
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "back_office.audit.requests.AuditMiddleware",
    "back_office.access.sessions.SessionEndMiddleware",
    # All views need a login, except those marked as public: health and metrics.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "back_office.second_factor.gate.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it replaces the login page of a locked account
]
PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses locked accounts before a password is hashed
    "django.contrib.auth.backends.ModelBackend",
]
