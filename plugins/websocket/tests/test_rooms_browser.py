"""Two pages in a browser chat through a room: what `docs/how-to/chat-in-rooms.md` has for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from services.chromium import browser, skip_without_chromium

from docs.pages import blocks
from docs.scenario import Shell
from layout.checkout import ROOT

PAGE = ROOT / "docs" / "how-to" / "chat-in-rooms.md"
LINES = "[...document.querySelectorAll('li')].map(each => each.textContent).join('|')"
PEOPLE = "document.querySelector('#people').textContent"


@pytest.mark.once
@pytest.mark.timeout(300)
def test_two_pages_chat_and_one_comes_back(tmp_path: Path) -> None:
    skip_without_chromium()
    for block in blocks(PAGE.read_text("utf-8")):
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, "utf-8")
    shell = Shell(tmp_path)
    try:
        shell.type("covet run &")
        chat = f"http://127.0.0.1:{shell.port}/chat/index.html"
        with browser() as chromium:
            ada, bob = chromium.open(f"{chat}?name=Ada"), chromium.open(f"{chat}?name=Bob")
            for each in (ada, bob):
                each.until(f"{PEOPLE} === 'Ada, Bob'")
            ada.evaluate("socket.send('hello')")
            bob.until(f"{LINES} === 'Ada: hello'")
            bob.evaluate("socket.send('hi')")
            for each in (ada, bob):
                each.until(f"{LINES} === 'Ada: hello|Bob: hi'")
            # Bob is away, and does not come back by himself.
            bob.evaluate("socket.close(1000)")
            ada.until(f"{PEOPLE} === 'Ada'")
            ada.evaluate("socket.send('still there?'), socket.send('anybody?')")
            ada.until(f"{LINES}.endsWith('anybody?')")
            assert bob.evaluate(LINES) == "Ada: hello|Bob: hi"
            bob.evaluate("connect()")
            whole = "Ada: hello|Bob: hi|Ada: still there?|Ada: anybody?"
            bob.until(f"{LINES} === '{whole}'")
            ada.until(f"{PEOPLE} === 'Ada, Bob'")
            bob.evaluate("socket.send('back')")
            for each in (ada, bob):
                each.until(f"{LINES} === '{whole}|Bob: back'")
    finally:
        shell.stop()
