"""Entry point of ASGI servers."""

import os

from django.core.asgi import get_asgi_application

from exchange_site.web import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()
application = get_asgi_application()
