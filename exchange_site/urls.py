from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from exchange_site.operations import views

handler400 = "back_office.invalid_requests.bad_request"
handler403 = "back_office.invalid_requests.forbidden"
handler404 = "back_office.invalid_requests.not_found"
handler500 = "back_office.outages.server_error"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", include("back_office.urls")),  # first: its overview replaces the admin's front page
    path("admin/", admin.site.urls),
    path("health/live", views.live, name="live"),
    path("health/ready", views.ready, name="ready"),
    path("metrics", views.metrics, name="metrics"),
]
