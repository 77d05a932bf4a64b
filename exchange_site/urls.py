from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from exchange_site import views

handler500 = "exchange_site.outages.server_error"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", include("exchange_site.back_office")),  # first: its overview is the admin's front page
    path("admin/", admin.site.urls),
    path("health/live", views.live, name="live"),
    path("health/ready", views.ready, name="ready"),
    path("metrics", views.metrics, name="metrics"),
]
