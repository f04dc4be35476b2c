"""URLs of databases whose query holds keys of the plugin's table too."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def read_url(
    url: str, model: type[M], *, without: Collection[str], check: Callable[[M], object]
) -> M:
    """``scheme://host/database?pool_size=5&name=value`` as a configuration.

    Args:
        url: Keys of the table in its query are taken out of it; the rest is the key ``url``.
        model: The table.
        without: Keys of it that a query cannot give.
        check: Raises ``ValueError`` if the rest cannot be used.

    Raises:
        ValueError: It is not such a URL, or a key is wrong; says what, and repeats no value.
    """
    base, mark, query = url.partition("?")
    keys = dict(parse_qsl(query, keep_blank_values=True))
    own = {key: keys.pop(key) for key in keys.keys() & (model.model_fields.keys() - set(without))}
    rest = urlencode(keys, quote_via=quote)
    try:
        config = model.model_validate({"url": f"{base}{mark and '?'}{rest}", **own})
    except ValidationError as error:
        problem = "; ".join(f"{issue['loc'][0]}: {issue['msg']}" for issue in error.errors())
    else:
        check(config)
        return config
    raise ValueError(
        problem
    )  # out here, or pydantic's error would come along, which has the values
