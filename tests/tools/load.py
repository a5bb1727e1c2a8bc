"""Load for the service desk: open streams, messages in an open loop, and how long each waits for its answer.

In an open loop a message is sent when the schedule says so, whether or not earlier ones are answered, and its time
counts from the schedule. So a desk that stops for a second is seen by every message of that second, and not only by
the one that hung (coordinated omission)."""
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TEXTS = ("运费多少？", "蓝牙耳机多少钱？", "How much is shipping?", "订单 {order} 到哪了？", "Where is order {order}?")


@dataclass
class Found:
    "What a run has seen."
    seconds: list = field(default_factory=list)      # from the scheduled time to the answer on the stream
    sent: int = 0
    refused: int = 0                                 # answered with another status than 202
    disorder: int = 0                                # turns of a stream whose ids do not grow, answers that overtake

    @property
    def lost(self) -> int:
        return self.sent - self.refused - len(self.seconds)

    def percentile(self, p: float) -> float:
        import numpy as np

        return float(np.percentile(self.seconds, p)) if self.seconds else float("nan")

    def __str__(self) -> str:
        p = " / ".join(f"{1e3 * self.percentile(p):.0f}" for p in (50, 95, 99))
        return (f"{self.sent:,} messages, p50 / p95 / p99 {p} ms; lost {self.lost}, out of order {self.disorder}, "
                f"refused {self.refused}")


class Line:
    "One connection that is kept open."

    def __init__(self, port: int):
        self.port, self.reader, self.cookie, self.turn = port, None, "", asyncio.Lock()

    async def ask(self, method: str, path: str, body=None, stream: bool = False):
        "Status and JSON; of a stream the status alone, its lines come from `reader`."
        if self.reader is None or self.reader.at_eof():      # a line that is idle is closed by the server
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        sent = b"" if body is None else json.dumps(body).encode()
        head = (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(sent)}\r\nCookie: {self.cookie}\r\n\r\n")
        self.writer.write(head.encode() + sent)
        top = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in top.split("\r\n")[1:] if ": " in line)
        if "set-cookie" in fields:
            self.cookie = fields["set-cookie"].partition(";")[0]
        status = int(top.split(" ", 2)[1])
        if stream:
            return status, None
        return status, json.loads(await self.reader.readexactly(int(fields.get("content-length", 0))) or b"null")


class Customer:
    "A conversation with its open stream."

    def __init__(self, port: int, found: Found):
        self.line, self.events, self.found = Line(port), Line(port), found
        self.due, self.turns, self.last, self.answered = {}, {}, 0, 0

    async def begin(self) -> None:
        status, made = await self.line.ask("POST", "/api/conversations", {"language": "zh"})
        assert status == 201, made
        self.path, self.events.cookie = f"/api/conversations/{made['id']}", self.line.cookie
        assert (await self.events.ask("GET", f"{self.path}/stream", stream=True))[0] == 200
        self.heard = asyncio.create_task(self.hear())

    async def hear(self) -> None:
        "Read the stream: whose turn is it, and which message does it answer?"
        while line := await self.events.reader.readline():
            if not line.startswith(b'data: {"id": ') or b'"role"' not in line:
                continue
            turn = json.loads(line[6:])
            self.found.disorder += turn["id"] <= self.last
            self.last = turn["id"]
            if turn["role"] == "customer":
                self.turns[turn["id"]] = turn["client_id"]
            elif due := self.due.pop(self.turns.get(turn["reply_to"]), None):
                self.found.seconds.append(time.perf_counter() - due)
                self.found.disorder += turn["reply_to"] < self.answered
                self.answered = turn["reply_to"]

    async def say(self, at: float, number: int, text: str) -> None:
        "Send when it is time; late by oneself counts too."
        await asyncio.sleep(at - time.perf_counter())
        name = f"message-{number}"
        self.due[name], self.found.sent = at, self.found.sent + 1
        body = {"id": name, "text": text}
        async with self.line.turn:           # one after the other on a line
            try:
                status, _ = await self.line.ask("POST", f"{self.path}/messages", body)
            except (OSError, asyncio.IncompleteReadError):       # the server closed the idle line just now
                self.line.reader = None
                status, _ = await self.line.ask("POST", f"{self.path}/messages", body)
        if status != 202:
            self.found.refused += 1
            del self.due[name]


async def talk(
    port: int,
    streams: int = 200,      # open at the same time, 200 by default
    rate: float = 50,        # messages a second, 50 by default
    seconds: float = 20,     # 20 by default
    order: str = "",         # an order that exists
) -> Found:
    "Many customers of a desk that runs."
    found, warm = Found(), Found()
    customers = [Customer(port, warm) for _ in range(streams)]
    for c in customers:
        await c.begin()
    await asyncio.gather(*(c.say(time.perf_counter(), 10**6, TEXTS[0]) for c in customers[:20]))
    await asyncio.sleep(1)
    for c in customers:
        c.found = found
    start = time.perf_counter() + .5
    await asyncio.gather(*(
        customers[i % streams].say(start + i / rate, i, TEXTS[i % len(TEXTS)].format(order=order))
        for i in range(int(rate * seconds))))
    until = time.perf_counter() + 5
    while any(c.due for c in customers) and time.perf_counter() < until:
        await asyncio.sleep(.05)
    for c in customers:
        c.heard.cancel()
    return found


def stores():
    "(name, where it is; empty: in a folder that is forgotten) of each store that can be had here."
    from engagement_book.service.desk.postgres import Server, why_no_server

    yield "SQLite", ""
    if why := why_no_server():
        print(f"{'desk, PostgreSQL':34}{why}")
        return
    with Server() as server:
        yield "PostgreSQL", server.address()


def run(store: str = "", workers: int = 1, **load) -> Found:
    "Start a desk as a user would, in a folder that is forgotten; limits per address raised, all customers are here."
    from engagement_book.service.desk.shop import open_shop
    from engagement_book.service.desk.start import start

    with tempfile.TemporaryDirectory() as folder:
        with start(store or Path(folder) / "desk.db", workers=workers, new_burst=10_000) as desk:
            port = int(desk.chat.rsplit(":", 1)[1].strip("/"))
            return asyncio.run(talk(port, order=open_shop().example("ok").id, **load))
