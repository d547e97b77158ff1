"""Clients from PyPI: `client.py httpx-sse|sseclient-py URL`.

Neither comes back by itself, so each has the loop that its users write: after an error, and after a proper end, it asks
again with the last id. It prints a line for each event: its id, or `-`, and its data on one line; and one for each error.
"""

import sys
import time

import httpx
import requests
from httpx_sse import SSEError, connect_sse
from sseclient import SSEClient

PAUSE = 0.2


def by_httpx_sse(url, headers):
    with httpx.Client(trust_env=False, timeout=httpx.Timeout(5, read=None)) as client:
        with connect_sse(client, "GET", url, headers=headers) as source:
            source.response.raise_for_status()
            yield from source.iter_sse()


def by_sseclient_py(url, headers):
    with requests.Session() as session:
        session.trust_env = False
        headers["Accept"] = "text/event-stream"
        with session.get(url, headers=headers, stream=True) as response:
            response.raise_for_status()
            yield from SSEClient(response).events()


CLIENTS = {"httpx-sse": by_httpx_sse, "sseclient-py": by_sseclient_py}


def main(name, url):
    last = None
    while True:
        try:
            for event in CLIENTS[name](url, {"Last-Event-ID": last} if last else {}):
                # An event without an id does not take back the one before.
                last = event.id or last
                print("event", event.id or "-", event.data.replace("\n", " "), flush=True)
            print("error the end", flush=True)
        except (httpx.HTTPError, SSEError, requests.RequestException) as error:
            print("error", type(error).__name__, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
