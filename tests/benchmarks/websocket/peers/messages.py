"""What is broadcast: JSON of two kilobytes, as a chat or a ticker sends it; no two are alike."""

import json
import random

JOINED = "joined"
ROOM = "lobby"
SIZE = 2048
WORDS = ("room", "price", "order", "book", "user", "sent", "list", "open", "last", "change")


def _message(number: int) -> str:
    chance = random.Random(number)
    said = " ".join(chance.choice(WORDS) + str(chance.randrange(100)) for _ in range(400))
    empty = len(json.dumps({"id": number, "text": ""}))
    return json.dumps({"id": number, "text": said[: SIZE - empty]})


MESSAGES = [_message(number) for number in range(100, 164)]
