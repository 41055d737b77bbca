"""A venue of a few lines, for tests of what lies between an emulator and its clients."""

from __future__ import annotations

from venues.emulation import Action, Admit, Answer, Beat, Hangup, HttpRequest, Push

SECOND = 10**9


class Feed:
    """An engine whose feed says its time every 10 ms."""

    def __init__(self, start_ns: int) -> None:
        self.feed_ns = start_ns
        self.venue: Venue | None = None
        self.steps: list[int] = []

    def step(self, until_ns: int) -> None:
        first = self.feed_ns // 10_000_000 + 1
        for beat in range(first, until_ns // 10_000_000 + 1):
            self.feed_ns = beat * 10_000_000
            if self.venue is not None:
                self.venue.said(f"tick {beat}")
        self.feed_ns = until_ns
        self.steps.append(until_ns)

    def next_due_ns(self) -> int:
        return (self.feed_ns // 10_000_000 + 1) * 10_000_000


class Venue:
    """Answers every request with its path at once (``/later``: at the next tick of the feed), echoes every frame, sends
    every tick of the feed to all."""

    venue = "stub"

    def __init__(self) -> None:
        self.clients: list[int] = []
        self.actions: list[Action] = []
        self.later: list[int] = []
        self.requests: list[HttpRequest] = []
        self.walls: list[int] = []
        self.pongs: list[bytes] = []
        self.gone: list[int] = []

    def said(self, text: str) -> None:
        if self.clients:
            self.actions.append(Push(tuple(self.clients), text.encode()))
        self.actions += [Answer(number, 200, {}, text.encode()) for number in self.later]
        self.later = []

    def on_request(self, number: int, request: HttpRequest, wall_ns: int) -> None:
        self.requests.append(request)
        self.walls.append(wall_ns)
        if request.path == "/later":
            self.later.append(number)
        else:
            body = f"{request.method} {request.path}?{request.query} ".encode() + request.body
            self.actions.append(Answer(number, 200, {"X-Used": "1"}, body))

    def on_connect(self, client: int, request: HttpRequest, wall_ns: int) -> None:
        if request.path == "/closed":
            self.actions.append(Admit(client, 400, "no"))
            return
        self.clients.append(client)
        self.actions += [Admit(client), Push((client,), b"hello")]

    def on_frame(self, client: int, payload: bytes, wall_ns: int) -> None:
        self.walls.append(wall_ns)
        if payload == b"beat":
            self.actions.append(Beat((client,), b"x"))
        elif payload == b"bye":
            self.actions.append(Hangup(client, 1008, "as asked"))
        else:
            self.actions.append(Push((client,), b"echo " + payload))

    def on_pong(self, client: int, payload: bytes, wall_ns: int) -> None:
        self.pongs.append(payload)

    def on_disconnect(self, client: int, wall_ns: int) -> None:
        self.gone.append(client)
        self.clients.remove(client)

    def on_market(self, instrument: int, record: object, now_ns: int) -> None: ...

    def on_order(self, event: object) -> None: ...

    def on_account(self, event: object) -> None: ...

    def on_tick(self, wall_ns: int) -> None: ...

    def take_actions(self) -> list[Action]:
        taken, self.actions = self.actions, []
        return taken
