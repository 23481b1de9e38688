# ops.py: the operations of the benchmark in asyncio, on its own loop or on uvloop's.
# usage: ops.py asyncio|uvloop OPERATION [SCALE]
import asyncio
import os
import sys
import time

BATCH = 10000


async def trivial():
    pass


async def pass_create(n):
    for _ in range(n // BATCH):
        tasks = [asyncio.create_task(trivial()) for _ in range(BATCH)]
        for task in tasks:
            await task


async def pass_sleep0(n):
    for _ in range(n):
        await asyncio.sleep(0)


async def pass_tasks(n):
    tasks = [asyncio.create_task(pass_sleep0(n // 1000)) for _ in range(1000)]
    for task in tasks:
        await task


async def pass_semaphore(n):
    sem = asyncio.Semaphore(500)

    async def job():
        await sem.acquire()
        await asyncio.sleep(0)
        sem.release()

    tasks = [asyncio.create_task(job()) for _ in range(n)]
    for task in tasks:
        await task


async def pass_queue(n):
    queue = asyncio.Queue(100)

    async def produce():
        for i in range(n):
            await queue.put(i)

    async def consume():
        for _ in range(n):
            await queue.get()

    tasks = [asyncio.create_task(produce()), asyncio.create_task(consume())]
    for task in tasks:
        await task


def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def op_sleepers(scale):
    n = int(1000000 * scale)
    asleep = rss_asleep = woken = 0
    done = asyncio.Event()

    async def sleeper(delay):
        nonlocal asleep, rss_asleep, woken
        asleep += 1
        if asleep == n:
            rss_asleep = rss()
        await asyncio.sleep(delay)
        woken += 1
        if woken == n:
            done.set()

    before = rss()
    cpu, wall = time.process_time(), time.monotonic()
    for i in range(n):  # a task that is ready or asleep is held by the loop
        asyncio.create_task(sleeper(1 + i * 7919 % 1000003 / 1000003))
    await done.wait()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    print(f"op=sleepers n={n} cpu={cpu:.6f} wall={wall:.6f} rss={rss_asleep - before}")


async def op_timers(scale):
    n = int(10000 * scale)
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    late = []

    def fire(deadline):
        late.append(time.monotonic() - deadline)
        if len(late) == n:
            done.set_result(None)

    base = time.monotonic() + 0.1
    for i in range(n):  # in an order that is not that of the deadlines
        deadline = base + i * 7919 % n / n
        loop.call_later(deadline - time.monotonic(), fire, deadline)
    await done
    late.sort()
    early = sum(d < 0 for d in late)
    p50, p99 = late[(n - 1) // 2], late[(n - 1) * 99 // 100]
    print(f"op=timers n={n} p50={p50:.6f} p99={p99:.6f} early={early} earliest={max(0, -late[0]):.6f}")


# name: the pass, operations in a pass, passes that are measured after one that is not
PASSES = {
    "create": (pass_create, 10 * BATCH, 5),
    "sleep0": (pass_sleep0, 500000, 4),
    "tasks": (pass_tasks, 500000, 4),
    "semaphore": (pass_semaphore, 100000, 3),
    "queue": (pass_queue, 500000, 4),
}


async def op_passes(name, scale):
    run, n, passes = PASSES[name]
    n = max(BATCH, int(n * scale) // BATCH * BATCH)
    await run(n)
    cpu, wall = time.process_time(), time.monotonic()
    for _ in range(passes):
        await run(n)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    print(f"op={name} n={n * passes} cpu={cpu:.6f} wall={wall:.6f}")


def main():
    flavour, name = sys.argv[1:3]
    scale = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    if flavour == "uvloop":
        import uvloop

        uvloop.install()
    if name == "sleepers":
        asyncio.run(op_sleepers(scale))
    elif name == "timers":
        asyncio.run(op_timers(scale))
    elif name in PASSES:
        asyncio.run(op_passes(name, scale))
    else:
        sys.exit(f"ops.py: no operation '{name}'")


main()
