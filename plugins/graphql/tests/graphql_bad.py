"""Documents that cost too much, or cannot be meant well."""

from __future__ import annotations

DEEP = "{ books { author { works " * 300 + "{ id }" + " } } }" * 300
CYCLE = "{ ...A } fragment A on Query { books { id } ...B } fragment B on Query { ...A }"
SPREAD = "{ ...F0 } " + " ".join(
    f"fragment F{each} on Query {{ ...F{each + 1} ...F{each + 1} ...F{each + 1} }}"
    for each in range(60)
)
CHAIN = "{ ...F0 } " + " ".join(
    f"fragment F{each} on Query {{ ...F{each + 1} }}" for each in range(210)
)
DOCUMENTS = {
    "aliases": "{ " + " ".join(f"a{each}: who" for each in range(10_000)) + " }",
    "few aliases": "{ " + " ".join(f"a{each}: who" for each in range(31)) + " }",
    "directives": "{ who " + "@aa " * 10_000 + "}",
    "few directives": "{ who " + "@include(if: true) " * 51 + "}",
    "root fields": "{ " + "who " * 31 + "}",
    "cycle": CYCLE,
    "deep": DEEP,
    "a thousand levels": "{ books { author { works " * 333 + "{ id }" + " } } }" * 333,
    "less deep": "{ books " + "{ author { works " * 7 + "{ id }" + " } }" * 7 + " }",
    "deep fragments": "{ " + "... { " * 640 + "who" + " }" * 640 + " }",
    "less deep fragments": "{ " + "... { " * 205 + "who" + " }" * 205 + " }",
    "chain of fragments": CHAIN + "fragment F210 on Query { who }",
    "deep values": "{ books(count: " + "[" * 3000 + "]" * 3000 + ") { id } }",
    "less deep values": "{ books(count: " + "[" * 900 + "]" * 900 + ") { id } }",
    "deep types": "query($a: " + "[" * 900 + "Int" + "]" * 900 + ") { who }",
    "long": "{ who }" + "#" * 1_000_000,
    "comments": "{ who }" + "#\n" * 2500,
    "tokens": "{ " + "who " * 2000 + "}",
    "fragments": SPREAD + "fragment F60 on Query { who }",
    "complex": "{ books { author { works(limit: 1000) { author { works(limit: 1000) { id } } } } } }",
    "conflicts": "{ " + "books { id } " * 25 + " books { id: title } }",
    "many conflicts": "{ books { " + "id " * 900 + "id: title " * 300 + "} }",
    "repeated fields": "{ books { " + "id " * 1900 + "} }",
    "repeated objects": "{ books { " + "author { name } " * 480 + "} }",
    "surrogate": '{ book(id: "\\ud800") { id } }',
    "nothing": "",
}
