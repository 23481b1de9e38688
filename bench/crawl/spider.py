# SPDX-License-Identifier: MIT
# bench/crawl/spider.py: Scrapy, as its manual has it: a link extractor, the filter of duplicates,
# the feed of JSON lines, and the settings that make it breadth-first.
# usage: spider.py URL CONNECTIONS FILE
import sys
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor

url, connections, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]

origin = url[: url.index("/", 8) + 1]


def text_of(selector):
    return " ".join(selector.xpath("string()").get().split())


class SiteSpider(scrapy.Spider):
    name = "site"
    allowed_domains = [urlsplit(url).hostname]
    links = LinkExtractor(canonicalize=True, unique=False, deny_extensions=[])

    def start_requests(self):
        # start_urls would not be filtered: the first page would be visited twice.
        yield scrapy.Request(url)

    def parse(self, response):
        if response.status != 200 or not isinstance(response, scrapy.http.HtmlResponse):
            return
        links = [
            link
            for link in self.links.extract_links(response)
            if link.url.startswith(("http://", "https://"))
        ]
        title = response.css("title")
        yield {
            "url": response.url,
            "title": text_of(title[0]) if title else "",
            "headings": [text_of(h) for h in response.css("h1, h2, h3")],
            "links": [{"url": l.url, "text": " ".join(l.text.split())} for l in links],
        }
        # The engine would drop what a page has twice, and what is elsewhere, later.
        for target in dict.fromkeys(link.url for link in links):
            if target.startswith(origin):
                yield scrapy.Request(target)


process = CrawlerProcess(
    {
        "CONCURRENT_REQUESTS": connections,
        "CONCURRENT_REQUESTS_PER_DOMAIN": connections,
        "CONCURRENT_ITEMS": connections,
        "DEPTH_PRIORITY": 1,
        "SCHEDULER_DISK_QUEUE": "scrapy.squeues.PickleFifoDiskQueue",
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        "REQUEST_FINGERPRINTER_IMPLEMENTATION": "2.7",
        "FEEDS": {path: {"format": "jsonlines", "encoding": "utf8", "overwrite": True}},
        "LOG_LEVEL": "ERROR",
        "TELNETCONSOLE_ENABLED": False,
    }
)
process.crawl(SiteSpider)
process.start()
