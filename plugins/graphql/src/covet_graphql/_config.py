"""The table ``[plugins.graphql]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from covet_kernel import PluginConfig


class GraphqlConfig(PluginConfig):
    """The table ``[plugins.graphql]``. All times in seconds."""

    path: str = Field("/graphql", pattern="^/", description="Where requests are taken.")
    stream_path: str = Field(
        "/graphql/stream",
        description="Where subscriptions are sent as server-sent events; empty: nowhere.",
    )
    websocket: bool = Field(
        True, description="Whether the path takes WebSockets of graphql-transport-ws."
    )
    build: Literal["on start", "on first request"] = Field(
        "on start",
        description="When the schema is made. With the first request a start costs nothing of it, and"
        " tells nothing that is wrong with it.",
    )
    schema_file: str = Field(
        "",
        description="A schema in SDL, from the folder of covet.toml, whose fields operations are bound"
        " to by their names; empty: the schema is made of the operations.",
    )
    introspection: bool = Field(
        False, description="Whether clients may ask for the schema; tools and the page need it."
    )
    explorer: bool = Field(
        False, description="Whether browsers that ask for the path get a page to try queries on."
    )
    max_query_length: PositiveInt = Field(
        50_000, description="Characters that a document may have."
    )
    max_tokens: PositiveInt = Field(2000, description="Tokens that a document may have.")
    max_depth: PositiveInt = Field(12, description="Fields within fields, at the most.")
    max_aliases: PositiveInt = Field(
        30, description="Fields under another name in one operation, at the most."
    )
    max_root_fields: PositiveInt = Field(
        30, description="Fields of the type Query or Mutation in one operation, at the most."
    )
    max_directives: PositiveInt = Field(50, description="Directives in one document, at the most.")
    max_complexity: PositiveInt = Field(
        10_000, description="What an operation may cost: its fields, times the items of lists."
    )
    list_size: PositiveInt = Field(
        10,
        description="How many items a list is taken to have whose size no argument"
        " (first, last, limit) says.",
    )
    max_batch: PositiveInt = Field(
        1, description="Operations in one request, at the most; 1: they come alone."
    )
    max_documents: PositiveInt = Field(
        500, description="Documents that are kept parsed, validated and planned."
    )
    max_errors: PositiveInt = Field(
        20, description="Errors that one answer has at the most; what is more is counted."
    )
    persisted: bool = Field(
        True, description="Whether clients may send the SHA-256 of a document in place of it."
    )
    trusted_documents: str = Field(
        "",
        description="A JSON file of documents by their ids, from the folder of covet.toml; no others"
        " are taken then.",
    )
    max_subscriptions: PositiveInt = Field(
        100, description="Subscriptions of one client's stream or socket at once, at the most."
    )
    incremental: bool = Field(
        False, description="Whether answers come in parts where a client says @defer and @stream."
    )
    max_deferred: PositiveInt = Field(
        100,
        description="Deferred parts and streamed lists of one answer; what is more comes with what"
        " is around it.",
    )
    deferred_timeout: NonNegativeFloat = Field(
        60.0, description="Within which all parts of an answer have to be sent."
    )
    init_timeout: NonNegativeFloat = Field(
        10.0, description="Within which a socket has to say connection_init."
    )
    federation: bool = Field(
        False, description="Whether this is a subgraph of Apollo Federation 2."
    )
