"""An event server as people write them with sse-starlette. It numbers its events in their data, and sends no ids.

It prints its port. `/quiet` ends the events and answers with the last number and how often the feed was asked for.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

clients: set[asyncio.Queue] = set()
state = {"n": 0, "asked": 0, "ids": 0, "talking": True}


async def talk():
    while state["talking"]:
        state["n"] += 1
        for client in clients:
            client.put_nowait(state["n"])
        await asyncio.sleep(0.005)


async def feed(request):
    state["asked"] += 1
    state["ids"] += "last-event-id" in request.headers
    client = asyncio.Queue()
    clients.add(client)

    async def events():
        try:
            yield {"retry": 200, "comment": "hello"}
            while True:
                n = await client.get()
                # The data of an event with more than one line is more than one field.
                yield {"event": "tick", "data": json.dumps({"n": n, "text": "grün 😀" * (n % 50)}, indent=n % 2 or None)}
        finally:
            clients.discard(client)

    return EventSourceResponse(events(), ping=1)


async def quiet(_):
    state["talking"] = False
    return JSONResponse(state)


@asynccontextmanager
async def lifespan(_):
    task = asyncio.create_task(talk())
    yield
    task.cancel()


app = Starlette(routes=[Route("/feed", feed), Route("/quiet", quiet)], lifespan=lifespan)


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")).run()
