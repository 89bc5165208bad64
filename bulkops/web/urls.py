from django.http import HttpResponse
from django.urls import path

app_name = "bulkops"
urlpatterns = [path("jobs/<uuid:job_id>/", lambda r, job_id: HttpResponse("x"), name="job")]
