"""Rules that hold for many routes: one file a feature, each with its table in ``[plugins.http.*]``.

Each is decided when a phase begins, in one of four places: what is the same for every answer is a
constant header; what depends on the request but on no route is an `Edge`; what runs around a handler
is an interceptor; what only describes the client is asked when somebody asks.
"""
