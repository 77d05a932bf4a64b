"""Entry point of WSGI servers such as gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

from exchange_site.web import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()
application = get_wsgi_application()
