"""Forms: what `application/x-www-form-urlencoded` and `multipart/form-data` carry, within limits."""
