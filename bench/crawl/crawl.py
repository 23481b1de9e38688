# SPDX-License-Identifier: MIT
# bench/crawl/crawl.py: aiohttp on uvloop, and lxml. URLs are made canonical as Scrapy does it, by
# w3lib, each spelling once.
# usage: crawl.py URL CONNECTIONS FILE
import asyncio
import json
import sys
from functools import lru_cache
from urllib.parse import urljoin

import aiohttp
import uvloop
from lxml import html
from w3lib.url import canonicalize_url

url, connections, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
origin = url[: url.index("/", 8) + 1]
canonical = lru_cache(65536)(canonicalize_url)


def text_of(element):
    return " ".join(element.text_content().split())


def links_of(tree, base):
    for element in tree.iter("a", "area"):
        href = element.get("href")
        if href is None:
            continue
        target = urljoin(base, href.strip())
        if target.startswith(("http://", "https://")):
            yield {"url": canonical(target), "text": text_of(element)}


def page_of(body, address):
    tree = html.document_fromstring(body, parser=html.HTMLParser(encoding="utf-8"))
    title = tree.find(".//title")
    return {
        "url": address,
        "title": text_of(title) if title is not None else "",
        "headings": [text_of(h) for h in tree.iter("h1", "h2", "h3")],
        "links": list(links_of(tree, address)),
    }


async def visit(session, address, queue, seen, output):
    async with session.get(address) as response:
        if response.status != 200 or response.content_type != "text/html":
            return
        page = page_of(await response.read(), str(response.url))
    output.write(json.dumps(page, ensure_ascii=False) + "\n")
    for link in page["links"]:
        target = link["url"]
        if target not in seen and target.startswith(origin):
            seen.add(target)
            queue.put_nowait(target)


async def work(*args):
    queue = args[1]
    while True:
        address = await queue.get()
        await visit(args[0], address, *args[1:])
        queue.task_done()


async def main():
    queue, seen = asyncio.Queue(), {url}
    queue.put_nowait(url)
    connector = aiohttp.TCPConnector(limit=connections)
    with open(path, "w", encoding="utf-8") as output:
        async with aiohttp.ClientSession(connector=connector) as session:
            workers = [
                asyncio.create_task(work(session, queue, seen, output)) for _ in range(connections)
            ]
            joined = asyncio.create_task(queue.join())
            await asyncio.wait([joined, *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()  # raises
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


uvloop.install()
asyncio.run(main())
