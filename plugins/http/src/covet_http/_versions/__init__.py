"""Several versions of one API: declared, chosen by the request, served by one handler each or for all."""
