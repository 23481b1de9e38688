"""What a crawl of a folder of pages must find: an independent walk over the files, with lxml.

    walk.py ROOT START   prints as JSON: pages (path -> title), broken ([page, text, target]),
                         encodings (path -> what its <meta> says)

Owns: how a server of files answers: a folder is its index.html, one named without "/" leads on to
that with it. Must not know: weft.
"""
import json
import os
import re
import sys
from collections import deque
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from lxml import html

BASE = "http://site.invalid"
SAFE = "/%:@!$&'()*+,;=~-._"  # what browsers leave as it is in a path


def resolve(root, path):
    """The path that a request ends at, and its file, or None."""
    name = os.path.join(root, unquote(path).lstrip("/"))
    if os.path.isdir(name) and not path.endswith("/"):
        path, name = path + "/", name + "/"
    if path.endswith("/"):
        name = os.path.join(name, "index.html")
    return path, name if os.path.isfile(name) else None


def text_of(element):
    return re.sub(r"[ \t\n\f\r]+", " ", "".join(element.itertext())).strip(" ")


def links_of(tree, url):
    base = tree.xpath("//base/@href")
    for a in tree.xpath("//a[@href] | //area[@href]"):
        href = a.get("href").strip(" \t\n\f\r")
        try:
            yield urldefrag(urljoin(urljoin(url, base[0]) if base else url, href))[0], text_of(a)
        except ValueError:
            pass


def walk(root, start):
    pages, encodings, links, seen, queue = {}, {}, [], {start}, deque([start])
    while queue:
        asked = queue.popleft()
        path, name = resolve(root, asked)
        if path != asked and path in seen:
            continue
        seen.add(path)
        if name is None or not name.endswith(".html"):
            continue
        with open(name, "rb") as file:
            data = file.read()
        tree = html.fromstring(data)
        title = tree.xpath("//title")
        meta = re.search(rb"<meta[^>]*charset=[\"']?([\w-]+)", data[:1024], re.I)
        encodings[path] = meta.group(1).decode().lower() if meta else None
        pages[path] = text_of(title[0]) if title else None
        for url, text in links_of(tree, BASE + path):
            if not url.startswith(BASE + "/") and url != BASE:
                continue
            parts = urlsplit(url)
            target = (quote(parts.path, safe=SAFE) or "/") + ("?" + parts.query if parts.query else "")
            links.append((path, text, target))
            if target not in seen:
                seen.add(target)
                queue.append(target)
    broken = [[page, text, target] for page, text, target in links
              if resolve(root, target.split("?")[0])[1] is None]
    return {"pages": pages, "broken": broken, "encodings": encodings}


if __name__ == "__main__":
    json.dump(walk(sys.argv[1], sys.argv[2]), sys.stdout)
