"""HTML in which text cannot become markup: what is not `Html` is escaped."""

import html
import unicodedata
from collections.abc import Iterable

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | int | Iterable["Content"] | None


def tag(name: str, /, *content: Content, **attributes: str | int | float | bool | None) -> Html:
    """An element. Attributes: class_ is class, data_x is data-x; None and False are left out, True has no value."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        parts.append(f" {word}" if value is True else f' {word}="{escape(str(value))}"')
    return Html(f"{''.join(parts)}>{render(content)}</{name}>")


def void(name: str, /, **attributes: str | int | float | bool | None) -> Html:
    """An element that has no end, as img."""
    return Html(tag(name, **attributes).removesuffix(f"</{name}>"))


def render(content: Content) -> Html:
    """Markup as it is, text escaped, lists one after the other, None as nothing."""
    if isinstance(content, Html):
        return content
    if content is None:
        return Html()
    if isinstance(content, str | int):
        return Html(escape(str(content)))
    return Html("".join(render(part) for part in content))


def escape(text: str) -> str:
    """Text as markup shows it; characters that cannot be seen, that turn text around or that are none are replaced."""
    whole = text.encode("utf-8", "replace").decode()
    seen = (c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cn") else REPLACEMENT for c in whole)
    return html.escape("".join(seen))
