"""A session of paper or live: a recorder, a feed, the run loop stepped as records come, and an end that leaves nothing.

Theory of operation. The recorder writes down what the venues send and hands each record over at once. Records of the
warm-up are kept; when it is over they say how far behind the venue we are and are then fed to the ``LiveFeed`` of the
run, just as a backtest of the recording will do. From there on every record is a step: it becomes messages, the core
gets the client's and the venue's windows, the loop runs to the record's stamp, and what was decided leaves. Between
records a timer steps to the instant at which the loop or the core has something due, to just before the present, so
that no later record can have that stamp. A step of a record is one call from the socket's reader to the last byte of an
order: no queue, no task in between.

In live the trading sessions' events come between records: the loop is stepped to the present, they are brought in, and
the loop takes them to the strategy.

The run folder is that of a backtest, its manifest says the mode, the recording, delay and offset, and how far the
session was behind its own clock. ``stop`` (a signal, the strategy, the recorder's end) ends it: in live our orders are
canceled if the run file says so and the answers waited for; then the end is noted in the recording, ``on_stop`` is
called, everything is flushed, and the report written. Errors do the same but leave a manifest that says ``failed``.

Time is the clock's, sleeping too, so that a session runs in virtual time as well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from recorders.live.feed import LiveFeed
from recorders.live.recorder import Recorder, Settings
from recorders.live.windows import Message
from recorders.raw import RawRecord, RawWriter, RunEnded
from sim.backtest import Result, folder_of, version
from sim.config import FeedConfig
from sim.live import words
from sim.live.account import Account, external_run
from sim.live.gateway import Gateway
from sim.live.inputs import Boundaries, check_marks, live_plan, settle
from sim.live.journal import Journal
from sim.live.lags import Lags
from sim.live.run import LiveRun
from sim.live.setup import Ports, Setup
from sim.live.shadow import Given, Shadow, shadow_of
from sim.live.state import StateFile
from sim.live.status import status_of
from sim.live.warmup import WarmUp
from venues.connector import Connector
from venues.errors import LocalError, VenueError
from venues.instruments import Instrument
from venues.trading import AccountState, Event, Now
from venues.trading_sessions import trading_session

POLL_NS: Final = 10_000_000  # while waiting for an account or for the end of orders
IDLE_NS: Final = 50_000_000  # the longest that the timer sleeps
READY_NS: Final = 120 * 10**9  # longer than the minute of a pause that the venue asks for
Show = Callable[[dict[str, Any]], None]


class NeverBeganError(LocalError):
    """A session was stopped before its run began: there is no run folder."""


class Session:
    """One session. ``run`` once, in an event loop; ``stop`` from anywhere in it."""

    def __init__(self, setup: Setup, ports: Ports, show: Show = lambda status: None) -> None:
        self.setup, self.ports = setup, ports
        self.run: LiveRun | None = None
        self.gateway: Gateway | None = None
        self.state: StateFile | None = None
        self.shadow: Shadow | None = None
        self.lags = Lags()
        self.why = ""
        self.phase = "connecting"
        self.messages: list[tuple[str, str]] = []  # level and text, the last few
        self.accounts: dict[int, Account] = {}
        self.on_sample: Callable[[list[Instrument], list[RawRecord]], None] | None = None  # of the warm-up
        self._show = show
        self._stopping = asyncio.Event()
        self._error: BaseException | None = None
        self._mono = ports.clock.monotonic_ns
        self._warm_up = WarmUp(setup, ports.clock)
        self._feed: LiveFeed | None = None
        self._is_stepping = False
        self._unwatched: list[tuple[int, list[Message]]] = []  # by market, given to the core
        self._sleeper: asyncio.Task[None] | None = None
        self._sleeps_until = 0
        self._saved_ns = 0
        self._recorder = self._make_recorder()

    def _make_recorder(self) -> Recorder:
        record = self.setup.record
        writer = RawWriter(
            self.setup.base / record.folder, self.setup.about, rotate_bytes=record.rotate_bytes,
            rotate_ns=record.rotate, block_bytes=record.block_bytes, sync_ns=record.sync,
        )  # fmt: skip
        self.recording = writer.path
        settings = Settings(
            queue_bytes=record.queue_bytes, drop=frozenset(record.drop), status_ns=record.status,
            config=self.setup.about,
        )  # fmt: skip
        ports = self.ports
        return Recorder(
            self.setup.sessions, writer, ports.feed, ports.clock, ports.entropy, settings, self._status, self._take
        )

    # -- from the beginning to the end

    async def execute(self) -> Result:
        """The whole session. Raises what went wrong, after the run folder says so."""
        recording = asyncio.create_task(self._recorder.run())
        main = asyncio.create_task(self._main())
        limiting = asyncio.create_task(self._limit())
        try:
            await asyncio.wait({recording, main}, return_when=asyncio.FIRST_COMPLETED)
            if not main.done():
                self.stop(self._recorder.why or "the recording ended")
            await main
        except BaseException as error:
            self._error = self._error or error
        finally:
            limiting.cancel()
            main.cancel()
            await self._close(recording)
        return self._result()

    def stop(self, why: str) -> None:
        """End the session cleanly."""
        self.why = self.why or why
        self._stopping.set()

    def fail(self, error: BaseException) -> None:
        """End the session because of an error, which ``execute`` raises."""
        self._error = self._error or error
        self.stop(f"{type(error).__name__}: {error}"[:200])

    async def _limit(self) -> None:
        """The limit is the session's, not its recorder's: the recording must still hear where the run ended."""
        if self.setup.record.limit:
            await self.ports.clock.sleep_ns(self.setup.record.limit)
            self.stop("the time limit has passed")

    async def _main(self) -> None:
        try:
            if self.setup.mode == "live":
                await self._open_accounts()
            self.phase = "warming up"
            paper = self.setup.paper
            until_begin_ns = 0 if paper.begin is None else paper.begin - self.ports.clock.wall_ns()
            await self._sleep_unless_stopped(max(paper.warm_up, until_begin_ns))
            if self._stopping.is_set():
                return
            self._begin()
            self.phase = "running"
            self._watch_time()
            await self._stopping.wait()
        finally:
            self.phase = "stopping"
            if self._sleeper is not None:
                self._sleeper.cancel()
            if self.run is not None and self._feed is not None:
                await self._end()
                self._recorder.report()  # what the end had to say

    async def _sleep_unless_stopped(self, duration_ns: int) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        sleeping = asyncio.create_task(self.ports.clock.sleep_ns(duration_ns))
        await asyncio.wait({stopping, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        sleeping.cancel()

    async def _close(self, recording: asyncio.Task[dict[str, Any]]) -> None:
        for account in self.accounts.values():
            await account.connector.stop()
        if self.gateway is not None:
            try:
                self.gateway.close()
            except OSError as error:
                self._error = self._error or error
        if not recording.done():
            self._recorder.stop(self.why or "the session ended")
        try:
            await recording
        except BaseException as error:
            self._error = self._error or error
        with contextlib.suppress(Exception):
            await self.ports.orders.close()

    def _result(self) -> Result:
        run, error = self.run, self._error
        if run is None:
            if error is not None:
                raise error
            raise NeverBeganError(f"{self.setup.mode}: ended before the run began: {self.why}")
        run.about |= {
            "why": self.why, "lag_ms": self.lags.figures_ms(), "steps": self.lags.count,
            "late_frames": sum(market.late() for market in run.plan.markets if market.late is not None),
        }  # fmt: skip
        if error is not None:
            if self.shadow is not None:
                self.shadow.abandon()
            run.fail(error)
            raise error
        settle(run.plan, run.core.now)
        run.close()
        result = run.finish(self.setup.html)
        if self.shadow is not None:
            result.summary["shadow"] = self.shadow.report(run.folder)
        return result

    # -- the beginning

    async def _open_accounts(self) -> None:
        """Connect every account, and wait until the venue has said what it holds."""
        self.phase = "opening accounts"
        token = self.ports.entropy.token(6).hex()
        for place, wanted in self.setup.trading.items():
            account = Account(place, self)
            session = trading_session(replace(wanted, run=token), self.ports.entropy)
            account.connector = Connector(session, self.ports.orders, self.ports.clock, self.ports.entropy, account)
            self.accounts[place] = account
            account.connector.start()
        until_ns = self._mono() + READY_NS
        while not all(account.is_known for account in self.accounts.values()):
            for account in self.accounts.values():
                account.check_ready()
            if self._stopping.is_set():
                return
            if self._mono() > until_ns:
                slow = [self.setup.config.venue[p].name for p, account in self.accounts.items() if not account.is_known]
                raise VenueError(
                    "the account's state did not come within two minutes; the last that was heard: "
                    + "; ".join(
                        account.heard or "nothing" for account in self.accounts.values() if not account.is_known
                    )
                    + ": is the venue reachable from here, and are rest and ws of [connect] right?",
                    venue=", ".join(slow),
                )
            await self.ports.clock.sleep_ns(POLL_NS)

    def _begin(self) -> None:
        setup = self.setup
        for venue, why in self._recorder.unreached().items():
            if why:  # else it is connected and silent: what is missing is said below
                raise VenueError(f"nothing came in the warm-up: {why}", venue=venue)
        if self.on_sample is not None:
            self.on_sample(self._warm_up.instruments, self._warm_up.sample())
        found = self._warm_up.measured()
        feed, begin_ns = self._warm_up.feed(found, self._mono())
        plan = live_plan(setup.config, setup.base, setup.sessions, begin_ns, found.delay_ns)
        plan.config = plan.config.model_copy(update={"feed": FeedConfig(recording=str(self.recording))})
        for m, market in enumerate(plan.markets):
            market.late = partial(late_frames, feed, m)
        folder = folder_of(setup.config, setup.out, self.ports.clock)
        held = {place: account.state for place, account in self.accounts.items() if account.state is not None}
        run = self.run = LiveRun(plan, setup.strategies, setup.names, folder, self.ports.clock, held)
        run.about |= {
            "mode": setup.mode, "recording": str(self.recording), "delay_ns": found.delay_ns,
            "offset_ns": found.offset_ns, "warm_up_samples": found.samples,
        }  # fmt: skip
        self._feed = feed
        self._boundaries = Boundaries(plan, run.sources)
        self._recorder.note(found.note(begin_ns, folder.name))
        run.core.set_live()
        if self.accounts:
            journal = Journal(self.ports.files, folder / "journal.bin")
            self.gateway = external_run(run, self.accounts, journal, self.ports.clock, self.say)
            if setup.live.shadow:
                self._add_shadow(begin_ns, found.delay_ns, held)
        if setup.config.state is not None:
            self.state = StateFile(
                self.ports.files, setup.base / setup.config.state.file, setup.config, setup.mode, version()
            )
            self.state.restore(run.strategies)
        self._saved_ns = self._mono()
        self._give(begin_ns)
        run.start()
        run.loop.step(begin_ns)  # all of the warm-up, however often it wakes a strategy
        self._watch()
        check_marks(plan, [run.core.mark_e8(m) for m in range(len(plan.markets))])
        self._after()

    def _add_shadow(self, begin_ns: int, delay_ns: int, held: dict[int, AccountState]) -> None:
        """The simulator beside; what is wrong with it is said, and the session goes on without it."""
        setup, run, gateway = self.setup, self.run, self.gateway
        assert run is not None and gateway is not None
        try:
            plan = live_plan(setup.config, setup.base, setup.sessions, begin_ns, delay_ns)
            soon = asyncio.get_running_loop().call_soon
            self.shadow = shadow_of(run, plan, held, gateway, self.ports.clock, self.say, soon)
        except Exception as error:
            self.say("warning", f"runs without a shadow: {type(error).__name__}: {error}"[:500])

    # -- records and time

    def _take(self, record: RawRecord) -> None:
        """Each record of the recorder, as it is written."""
        feed = self._feed
        if feed is None:
            self._warm_up.take(record)
            return
        try:
            feed.take(record)
            if self.phase == "running" and self._error is None:
                stamp = feed.stamp_ns
                lag_ns = feed.stamp_of(self._mono()) - stamp
                self._step(stamp)
                self.lags.add(lag_ns)
        except Exception as error:
            self.fail(error)

    def _give(self, stamp: int) -> None:
        """Give the core what has come by ``stamp``."""
        feed, run = self._feed, self.run
        assert feed is not None and run is not None
        complete_ns = stamp - feed.delay_ns
        give = run.core.feed
        shared: Given = []
        for m, market in enumerate(feed.markets):
            outlet = market.outlet
            client, events = outlet.client_messages(), outlet.venue_messages(complete_ns)
            if client:
                self._unwatched.append((m, client))
            give(m, client, events, complete_ns)
            shared.append((client, events))
        if self.shadow is not None:
            self.shadow.give(stamp, complete_ns, shared)

    def _watch(self) -> None:
        """Note what has been given, when everybody who waited for it has been served."""
        run = self.run
        assert run is not None
        for m, messages in self._unwatched:
            run.sources[m].watch_messages(messages)
        self._unwatched.clear()

    def _step(self, stamp: int) -> None:
        if self._is_stepping:
            raise RuntimeError("a step within a step")
        run, feed = self.run, self._feed
        assert run is not None and feed is not None
        if self._has_stopped():
            return  # the session is about to end: what comes until then is recorded, not run
        self._is_stepping = True
        try:
            self._give(stamp)
            run.loop.step(stamp)
            self._after()
            if self._unwatched:
                self._watch()
        finally:
            self._is_stepping = False
        if stamp > self._boundaries.next_ns and self.setup.mode == "paper":
            self._boundaries.check(stamp)
        if run.loop.stopped:
            self.stop(run.loop.stop_reason or "the strategy stopped the run")
        elif self._sleeps_until > run.loop.next_due_ns():
            self._watch_time()

    def _has_stopped(self) -> bool:
        return self.run is not None and self.run.loop.stopped

    def _after(self) -> None:
        """What was decided leaves; what the venues have said in the meantime comes in, until nothing is left."""
        gateway, run = self.gateway, self.run
        if gateway is None or run is None:
            return
        gateway.drain()
        while gateway.has_events and not run.loop.stopped:
            gateway.bring_in()
            run.loop.step(run.core.now)
            gateway.drain()
        gateway.put()

    def pass_time(self) -> None:
        """Step to the present although nothing is due: a step finds its way in the caches afterwards."""
        if self.phase == "running" and self._error is None and not self._is_stepping:
            try:
                self._step(self._present())
            except Exception as error:
                self.fail(error)

    def _present(self) -> int:
        """The last instant that no later record can be stamped with."""
        feed = self._feed
        assert feed is not None
        return max(feed.stamp_of(self._mono()) - 1, feed.stamp_ns)

    def _watch_time(self) -> None:
        """Sleep until something is due without a record. The one sleeper is replaced when something is due earlier."""
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._sleeper = asyncio.create_task(self._sleep())

    async def _sleep(self) -> None:
        run, feed = self.run, self._feed
        assert run is not None and feed is not None
        while not self._stopping.is_set():
            now = feed.stamp_of(self._mono())
            due = min(max(run.loop.next_due_ns(), now) + 1, now + IDLE_NS)
            self._sleeps_until = due
            await self.ports.clock.sleep_ns(due - now)
            self._sleeps_until = 0
            present = self._present()
            try:
                if run.loop.next_due_ns() <= present and present > run.core.now:
                    self.lags.add(present - run.loop.next_due_ns())
                    self._step(present)
            except Exception as error:
                self.fail(error)

    def on_events(self, place: int, events: list[Event], now: Now) -> None:
        """What a venue has said about an account."""
        gateway, run = self.gateway, self.run
        if gateway is None or run is None:
            return
        try:
            gateway.on_events(place, events)
        except Exception as error:
            self.fail(error)
        if self._is_stepping or self.phase == "ended":
            return
        try:
            if self._error is not None or self._has_stopped():
                self._move_on()
                gateway.bring_in()  # the books are kept, the strategy hears nothing any more
                run.hear()
                gateway.put()
            else:
                self._step(self._present())
                self._kill_switch()
        except Exception as error:
            self.fail(error)

    def _move_on(self) -> None:
        """After the last step: what is brought in now is stamped now."""
        run = self.run
        if run is None or self._error is not None:
            return
        present = self._present()
        run.move_on(run.core.now)  # what the strategy has not looked at any more
        self._give(present)
        run.move_on(present)
        self._watch()

    # -- the end

    async def _end(self) -> None:
        run, feed = self.run, self._feed
        assert run is not None and feed is not None
        if self.gateway is not None:
            await self._settle_orders(self.gateway)
            self._note_fees(run, self.gateway.unbooked())
        self.phase = "ended"
        stamp = max(feed.stamp_of(self._mono()), feed.stamp_ns + 1)
        self._recorder.note(RunEnded(stamp, self.why[:500]))
        if self._error is not None:
            return
        try:
            self._give_rest(feed.stamp_ns)
            run.loop.step(feed.stamp_ns)
            self._watch()
            run.loop.finish()
            if self.shadow is not None:
                self.shadow.finish()
            if self.state is not None:
                self.state.save(run.strategies, self.ports.clock.wall_ns())
        except Exception as error:
            self._error = error

    def _give_rest(self, stamp: int) -> None:
        """Give the core all that has come, the venue's side too."""
        feed, run = self._feed, self.run
        assert feed is not None and run is not None
        clients = [feed.client_messages(m) for m in range(len(run.sources))]
        rest = [feed.venue_messages(m, stamp) for m in range(len(run.sources))]
        run.core.end_live()
        for m, (client, events) in enumerate(zip(clients, rest, strict=True)):
            heard = [] if run.loop.stopped else client
            self._unwatched.append((m, heard))
            run.core.feed(m, heard, events, stamp)
        if self.shadow is not None:
            self.shadow.give(stamp, stamp, list(zip(clients, rest, strict=True)), is_end=True)

    async def _settle_orders(self, gateway: Gateway) -> None:
        """Cancel them, if that is the policy, and know what became of those whose answers were lost; name what is left:
        where they stay, those of which nobody knows whether they are there."""
        cancels = self.setup.live.on_stop == "cancel"
        if cancels or gateway.has_lost:
            await self._ask_for_ends(gateway, cancels)
        left = [one for one in gateway.left_over() if cancels or one["unknown"] or not one["answered"]]
        if not left:
            return
        for one in left:
            self.say("error", words.left_over(one))
        numbers = ", ".join(str(one["number"]) for one in left[:20])
        self.say("error", f"{len(left)} orders may still be open at the venue: {numbers}{', ...' * (len(left) > 20)}")
        if self.run is not None:
            self.run.about["left_over"] = left

    async def _ask_for_ends(self, gateway: Gateway, cancels: bool) -> None:
        self.phase = "canceling" if cancels else "stopping"
        for work in (self._last_step, gateway.wind_down, gateway.ask_again) if cancels else (gateway.ask_again,):
            try:
                work()
            except Exception as error:  # a journal that fails does not keep the cancels from leaving
                self.fail(error)
        until_ns = self._mono() + self.setup.live.stop_within
        while (gateway.orders if cancels else gateway.has_lost) and self._mono() < until_ns:
            await self.ports.clock.sleep_ns(POLL_NS)

    def _note_fees(self, run: LiveRun, unbooked: dict[str, str]) -> None:
        if unbooked:
            fees = ", ".join(f"{sum_} {asset}" for asset, sum_ in unbooked.items())
            run.about["unbooked_fees"] = unbooked
            run.notes.append(f"fees of {fees} were charged and are not booked: profits and wallets are without them")
            self.say("warning", run.notes[-1])

    def _last_step(self) -> None:
        """To the present, so that the cancels leave now, not at the last record."""
        if self._error is None and not self._has_stopped():
            self._step(self._present())
        if self.gateway is not None:
            self.gateway.bring_in()  # what was said before an end at which the loop does not step any more

    # -- what is watched beside

    def say(self, level: str, text: str) -> None:
        """Something a person should know: into the run's log and the view."""
        self.messages = [*self.messages[-19:], (level, text)]
        if self.run is not None:
            self.run.writer.log(-1, self.run.core.now, text, {"level": level})

    def _kill_switch(self) -> None:
        run = self.run
        if run is None or run.risk is None or run.risk.halted:
            return
        lost, asset = run.lost()
        why = run.risk.loss_halt(lost, asset)
        if why is not None:
            run.risk.halt(why)
            self.say("error", why)
            self.stop(why)

    def _status(self, recording: dict[str, Any]) -> None:
        """Each status interval of the recorder."""
        run = self.run
        if run is not None and self.phase == "running" and self._error is None:
            try:
                self._kill_switch()
                if self.gateway is not None:
                    self.gateway.sync()
                    self.gateway.compare(self._mono())
                config = self.setup.config.state
                if self.state is not None and config is not None and self._mono() - self._saved_ns >= config.every:
                    self._saved_ns = self._mono()
                    self.state.save(run.strategies, self.ports.clock.wall_ns())
                run.writer.drain(run.core, False)  # log and samples leave for the run folder
                run.writer.window(run.core.now)
            except Exception as error:
                self.fail(error)
        self._show(status_of(self, recording))


def late_frames(feed: LiveFeed, m: int) -> int:
    """How many frames of a market came later than the delay after their venue time."""
    return feed.counts(m)["late_frames"]
