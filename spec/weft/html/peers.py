# What lxml, cssselect and parsel answer: reads {"pages": {name: [path, encoding]},
# "css": [...], "xpath": [...], "below": [[first, second], ...]} as JSON from the
# file named first, and writes the answers as JSON into the second.

import json
import sys

import lxml.etree
import lxml.html
from cssselect import HTMLTranslator
from parsel import Selector


def value(item):
    """What an item of an XPath result is as a text."""
    if isinstance(item, lxml.etree._Element):
        return lxml.etree.tostring(item, method="html", encoding="unicode", with_tail=False)
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, float):
        return "%d" % item if item == int(item) else repr(item)
    return str(item)


def values(result):
    return [value(item) for item in (result if isinstance(result, list) else [result])]


def answers(path, encoding, asked):
    with open(path, "rb") as file:
        text = file.read().decode(encoding, "replace")
    page = Selector(text=text)
    tree = page.root.getroottree()
    translator = HTMLTranslator()
    css, cssselect = {}, {}
    for selector in asked["css"]:
        css[selector] = page.css(selector).getall()
        if "::" not in selector:
            cssselect[selector] = len(tree.xpath(translator.css_to_xpath(selector)))
    return {
        "css": css,
        "cssselect": cssselect,
        "xpath": {e: values(tree.xpath(e)) for e in asked["xpath"]},
        "below": [page.css(a).css(b).getall() for a, b in asked["below"]],
        "title": page.xpath("normalize-space(//title)").get(),
        "text": [" ".join(p.text_content().split()) for p in tree.xpath("//td//a | //h2")],
    }


with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)
found = {name: answers(*page, asked) for name, page in asked["pages"].items()}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(found, file)
