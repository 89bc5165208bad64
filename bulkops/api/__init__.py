"""The HTTP API: a face over the services, for programs.

`base`: what all its views share. `problems`: every way in which it refuses. `authentication` and `logins`: who asks.
`bodies` and `uploads`: what is sent. `shapes` and `forms_schema`: how it is described. The rest are its views.
"""
