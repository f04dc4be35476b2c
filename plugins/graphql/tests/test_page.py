"""The page to try queries on, in a browser that reaches nothing but the service."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest
from graphql_serving import listening
from services.chromium import Page, browser

pytestmark = pytest.mark.once

NAMED = """[...document.querySelectorAll("textarea, input, button, pre")].filter((each) =>
  !(each.labels?.length || each.textContent.trim() || each.ariaLabel || each.closest("[aria-labelledby]"))
).map((each) => each.id)"""


def fill(page: Page, **texts: str) -> None:
    for name, text in texts.items():
        page.evaluate(f"document.getElementById({name!r}).value = {text!r}")


def answer(page: Page, has: str) -> str:
    said: str = page.until(
        f"(text => text.includes({has!r}) && text)(document.getElementById('answer').textContent)"
    )
    return said


def use(url: str) -> None:
    with browser() as chromium:
        page = chromium.open(f"{url}/graphql")
        # The schema: looked up, and looked through.
        page.until("document.querySelectorAll('#types details').length > 5")
        assert page.evaluate("document.querySelector('#types summary').textContent") == "Mutation"
        page.evaluate(
            "(part('find').value = 'placeOrder', part('find').dispatchEvent(new Event('input')), 0)"
        )
        assert page.evaluate("[...part('types').children].filter(each => !each.hidden).length") == 1
        assert page.evaluate(NAMED) == []
        assert page.evaluate("document.activeElement.id") == "query"
        # A query, its variables and headers; from the keyboard.
        fill(
            page,
            query="query($n: Int) { books(count: $n) { id } who }",
            variables='{"n": 1}',
            headers='{"X-Name": "me"}',
        )
        page.evaluate(
            "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true}))"
        )
        assert '"who": "me"' in answer(page, '"books"')
        # What is wrong is said.
        fill(page, variables="{")
        page.evaluate("run().then(() => 0)")
        answer(page, "The variables are no JSON")
        fill(page, variables="", query="{ nobody }")
        page.evaluate("run().then(() => 0)")
        answer(page, "graphql-invalid")
        # Answers that go on, until they are stopped.
        fill(page, query="subscription { arrivals(count: 1000, pause: 60) { id } }")
        page.evaluate("document.getElementById('run').click()")
        answer(page, '"arrivals"')
        page.evaluate("document.getElementById('stop').click()")
        page.until("document.getElementById('stop').disabled")
        fill(page, query="{ who ... @defer { books(count: 1) { title } } }")
        page.evaluate("run().then(() => 0)")
        answer(page, '"hasNext": false')
        # The policy holds, for script that somebody else has brought, too.
        refused = (
            "(async () => { try { await fetch('http://127.0.0.1:9/'); } catch { return 1; } })()"
        )
        assert page.evaluate(refused) == 1
        assert page.evaluate(
            "(tag => (tag.textContent = 'window.bad = 1', document.head.append(tag), !window.bad))"
            "(document.createElement('script'))"
        )
        assert page.evaluate(
            "performance.getEntriesByType('resource').every(each => each.name.startsWith(location.origin))"
        )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_page_in_a_browser() -> None:
    config = {"explorer": True, "introspection": True, "incremental": True}
    async with listening("engine", **config) as url:
        await anyio.to_thread.run_sync(use, url)
