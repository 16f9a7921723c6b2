"""A source made of given texts, as the engine reads one."""

from collections.abc import Iterator

from paribus.text.data.audit.reading import Given, Part


def part_of(texts: list[str], name: str = "texts") -> Part:
    total = sum(len(text.encode("utf-8")) for text in texts)

    def documents(places: list[str]) -> Iterator[Given]:
        places.append(name)
        position = 0
        for number, text in enumerate(texts, 1):
            position += len(text.encode("utf-8"))
            yield Given(text, len(places) - 1, number, position)

    return Part(name, name, total, 0, documents)
