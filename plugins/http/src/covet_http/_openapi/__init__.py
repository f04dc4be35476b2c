"""The OpenAPI document: made of the operations, served, printed, compared and held to."""
