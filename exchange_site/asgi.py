"""The web site as an ASGI application: Django behind the limits of `web.requests`."""

import os
import warnings

from django.conf import settings
from django.core.asgi import get_asgi_application

from exchange_site.web.requests import RequestLimits
from exchange_site.web.start import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()
# Whitenoise reads its files in small pieces; Django joins them, and warns of that for endless streams.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
application = RequestLimits(get_asgi_application(), pages=settings.WEB_THREADS)
