"""Pages read back: their tables as numbers, and what a browser would load or run."""

import html.parser
import re


class Page(html.parser.HTMLParser):
    """A page's tables by id, each a list of rows of cells; a `<data>` element is its whole value."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tables, self.text, self.elements = {}, [], []
        self._rows = self._cell = self._value = None
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)
        if tag == "table":
            self._rows = self.tables.setdefault(attributes.get("id", f"table {len(self.tables)}"), [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag == "data":
            self._value = attributes["value"]

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in ("meta", "img", "br", "link"):
            assert self.open.pop() == tag
        if tag in ("td", "th"):
            values = [part for part in self._cell if not isinstance(part, str)]
            self._rows[-1].append(values[0] if len(values) == 1 else tuple(values) or "".join(self._cell).strip())
            self._cell = None
        elif tag == "data":
            self._value = None

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.text.append(data)
        if self._cell is not None:
            number = float(self._value) if self._value is not None else None
            self._cell.append(data if number is None else number)

    @property
    def said(self):
        return re.sub(r"\s+", " ", "".join(self.text))


def assert_offline(text):
    """One file: nothing is loaded, nothing runs."""
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                assert value.startswith(("data:image/", "#")), (tag, name, value)
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import", text)
    return page
