# SPDX-License-Identifier: MIT
# bench/http/client.py: aiohttp on uvloop. Python's ssl module resumes no session by itself, and
# aiohttp asks for none: its `fresh` connections over TLS have full handshakes.
# usage: client.py keep|fresh|slow URL CONNECTIONS SECONDS [CA_FILE]; limit.c says more.
import asyncio
import os
import resource
import ssl
import sys
import time

import aiohttp
import uvloop

WARM_UP = 0.5
operation, url, connections, seconds = sys.argv[1:5]
connections, seconds = int(connections), float(seconds)
done = 0


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory(name):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(name):
                return int(line.split()[1]) * 1024


async def get(session):
    global done
    async with session.get(url) as response:
        body = await response.read()
        assert response.status == 200 and body
    done += 1


async def repeat(session):
    while True:
        await get(session)


async def throughput(session):
    tasks = [asyncio.create_task(repeat(session)) for _ in range(connections)]
    await asyncio.wait(tasks, timeout=WARM_UP, return_when=asyncio.FIRST_COMPLETED)
    n, c, start = done, cpu(), time.monotonic()
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    n, c, wall = done - n, cpu() - c, time.monotonic() - start
    for task in tasks:
        if task.done():
            task.result()
    print(f"op={operation} n={n} cpu={c:.6f} wall={wall:.6f}", flush=True)
    os._exit(0)


async def slow(session):
    resident, c, start = memory("VmRSS"), cpu(), time.monotonic()
    await asyncio.gather(*(get(session) for _ in range(connections)))
    wall = time.monotonic() - start
    rss = (memory("VmHWM") - resident) / connections
    print(f"op=slow n={connections} cpu={cpu() - c:.6f} wall={wall:.6f} rss={rss:.0f}")


async def main():
    context = ssl.create_default_context(cafile=sys.argv[5]) if len(sys.argv) > 5 else None
    connector = aiohttp.TCPConnector(limit=0, ssl=context, force_close=operation == "fresh")
    async with aiohttp.ClientSession(connector=connector) as session:
        await (slow if operation == "slow" else throughput)(session)


uvloop.install()
asyncio.run(main())
