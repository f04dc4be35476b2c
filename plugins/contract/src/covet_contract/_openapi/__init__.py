"""OpenAPI: what in a new document breaks clients that were written against an old one."""
