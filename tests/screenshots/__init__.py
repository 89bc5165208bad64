"""Every page of the site in every state that it can show: a named list, to be looked at and to be checked."""
