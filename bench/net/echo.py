# SPDX-License-Identifier: MIT
# bench/net/echo.py: what echo.lua does, with asyncio streams, on uvloop where it is there.
import asyncio, sys, time
try:
    import uvloop; uvloop.install()
except ImportError: pass
async def serve(r,w):
    while True:
        d=await r.read(65536)
        if not d: break
        w.write(d); await w.drain()
    w.close()
async def main():
    C,R,S=64,3000,64
    msg=b'x'*S
    srv=await asyncio.start_server(serve,'127.0.0.1',0)
    port=srv.sockets[0].getsockname()[1]
    t=time.process_time()
    async def client():
        r,w=await asyncio.open_connection('127.0.0.1',port)
        for _ in range(R):
            w.write(msg); await w.drain()
            await r.readexactly(S)
        w.close()
    await asyncio.gather(*[client() for _ in range(C)])
    print(int((time.process_time()-t)*1e9/(C*R)))
asyncio.run(main())
