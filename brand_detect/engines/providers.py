"""Vision-language models behind providers' APIs and OpenAI-compatible servers."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from logging import getLogger
from typing import TYPE_CHECKING, Any

from brand_detect.domain.answers import BrandAnswer, read_reply
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import BrandDetectError, Permanent, Transient
from brand_detect.domain.protocols import Budget, OverBudget, Question
from brand_detect.engines.calls import Caller, Endpoint, Failure, Reply
from brand_detect.engines.prompts import Prompt, question_id
from brand_detect.engines.tokens import input_token_bound, text_token_bound

if TYPE_CHECKING:
    from tenacity import RetryCallState

TRIES = 4
"""Most tries of one call; more rarely help during a provider's outage."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
"""Wait between tries: doubles from the first to the longest, with jitter; at least what the provider requests."""
MOST_IN_VAIN = 5
"""Consecutive questions without a reply after which an endpoint counts as down."""
PREFLIGHT = "Reply with OK."


class ProviderAnswerer:
    """The ``Answerer`` over one or more endpoints: the first that works answers.

    - Each question is one request, so that pictures influence only their own answer.
    - A preflight question without pictures first checks an endpoint's key, model and quota. Its cost is added to that
      of the first answer.
    - A malformed reply is asked for once more, unless it was truncated or refused, which would recur.
    - Every try is paid from the budget: an upper bound of its cost is reserved before it and settled after it. A try of
      unknown cost, after a time-out or a broken connection, stays reserved; ``Answer.cost_usd`` excludes it.
    - Questions over the budget are ``deferred``, and so are all further ones.
    - An endpoint that is down is not asked again; the next one is, and ``Answer.detail`` says why.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        prompt: Prompt,
        *,
        max_output_tokens: int,
        concurrency: int,
        timeout_s: float,
        budget: Budget | None,
    ) -> None:
        self._endpoints, self._prompt = tuple(endpoints), prompt
        self.provider, self.model = endpoints[0].provider, endpoints[0].model
        self.prompt_version = prompt.version
        self._max_output_tokens, self._concurrency, self._timeout_s = max_output_tokens, concurrency, timeout_s
        self._budget = budget

    def question_ids(self, question: Question) -> Sequence[str]:
        return [
            question_id([e.provider, e.model, e.base_url, str(self._max_output_tokens)], self._prompt, question)
            for e in self._endpoints
        ]

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Yields answers as they arrive; draws questions, in the caller's thread, as capacity allows.

        A call that fails is raised after the open ones have ended, since their answers are paid for. Cancels open calls
        when the caller stops.
        """
        from anyio.from_thread import start_blocking_portal

        waiting = iter(questions)
        under_way: set[Future[Answer]] = set()
        failed: Future[Answer] | None = None
        with start_blocking_portal() as portal:
            asking = _Asking(
                [_EndpointState(e) for e in self._endpoints],
                self._prompt,
                self.question_ids,
                _SharedBudget(self._budget),
                max_output_tokens=self._max_output_tokens,
                timeout_s=self._timeout_s,
            )
            try:
                while True:
                    n_free = 0 if failed else self._concurrency - len(under_way)
                    for question in islice(waiting, n_free):
                        under_way.add(portal.start_task_soon(asking.answer, question))
                    if not under_way:
                        break
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for call in done:
                        if call.exception():
                            failed = failed or call
                        else:
                            yield call.result()
                if failed:
                    failed.result()
            finally:
                for call in under_way:
                    call.cancel()
                portal.call(asking.close)


@dataclass
class _QuestionCost:
    """Usage and cost of all calls for one question."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass
class _EndpointState:
    """An endpoint during one ``ask``."""

    endpoint: Endpoint
    caller: Caller | None = None  # None = not asked yet
    out: BrandDetectError | None = None  # why it is no longer asked
    in_vain: int = 0  # consecutive questions without a reply
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class _Spent:
    usd: float | None = None  # None = unknown


class _SharedBudget:
    """A budget shared by concurrent calls: one that finds too little waits for others to settle."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget, self._change = budget, asyncio.Condition()
        self._under_way = 0
        self._empty: OverBudget | None = None

    @asynccontextmanager
    async def set_aside(self, usd: float) -> AsyncIterator[_Spent]:
        """Reserves ``usd`` for a call; settles the actual cost at the end, if known.

        Raises:
            OverBudget: the budget is exhausted, or was before.
        """
        from anyio import to_thread  # budgets may block on a store

        spent = _Spent()
        if self._budget is None:
            yield spent
            return
        reservation = await self._reserve(self._budget, usd)
        try:
            yield spent
        finally:
            try:
                if spent.usd is not None:
                    await to_thread.run_sync(self._budget.charge, reservation, spent.usd)
            except BrandDetectError as e:  # the reservation stays, and the answer that was paid for is kept
                getLogger(__name__).warning("The cost of a call was not noted: %s", e)
            async with self._change:
                self._under_way -= 1
                self._change.notify_all()

    async def _reserve(self, budget: Budget, usd: float) -> str:
        from anyio import to_thread

        async with self._change:
            while self._empty is None:
                try:
                    reservation = await to_thread.run_sync(budget.reserve, usd)
                except OverBudget as e:
                    if self._under_way:
                        await self._change.wait()
                    else:
                        self._empty = e
                else:
                    self._under_way += 1
                    return reservation
            raise OverBudget(str(self._empty), self._empty.hint)


class _Asking:
    """The state of one ``ask``. Lives in the loop's thread."""

    def __init__(
        self,
        states: Sequence[_EndpointState],
        prompt: Prompt,
        question_ids: Callable[[Question], Sequence[str]],
        budget: _SharedBudget,
        *,
        max_output_tokens: int,
        timeout_s: float,
    ) -> None:
        self._states, self._prompt, self._question_ids, self._budget = states, prompt, question_ids, budget
        self._max_output_tokens, self._timeout_s = max_output_tokens, timeout_s
        self._any_answer = False
        self._callers: list[Caller] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Waits for cancelled calls to end, then closes all clients."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        for caller in self._callers:
            await caller.close()

    async def answer(self, question: Question) -> Answer:
        """The answer of the first endpoint that gives one.

        Raises:
            Permanent, Transient: all endpoints are down, and none ever answered.
        """
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await self._answer(question)
        finally:
            self._tasks.discard(task)

    async def _answer(self, question: Question) -> Answer:
        cost, trouble = _QuestionCost(), ""
        for state, name in zip(self._states, self._question_ids(question), strict=True):
            try:
                answer = await self._ask(state, question, cost)
                return replace(answer, question_id=name, detail=" ".join(filter(None, (trouble, answer.detail))))
            except Failure as e:
                trouble = f"{trouble} {state.endpoint.provider}/{state.endpoint.model}: {e}".strip()
            except OverBudget as e:
                return Answer(question.cluster_id, AnswerStatus.deferred, detail=str(e), **asdict(cost))
        outs = [state.out for state in self._states if state.out]
        if len(outs) == len(self._states) and not self._any_answer:
            raise outs[-1]
        return Answer(question.cluster_id, AnswerStatus.failed, detail=trouble, **asdict(cost))

    async def _ask(self, state: _EndpointState, question: Question, cost: _QuestionCost) -> Answer:
        """One endpoint's answer; asks again if the first reply is malformed."""
        caller = await self._ready(state, cost)
        bound = input_token_bound(state.endpoint, self._prompt, question)
        pictures = [p for p in (*question.crops, question.scene) if p]
        words, instructions = self._prompt.words(question), self._prompt.instructions
        asked_at = datetime.now(UTC).isoformat(timespec="seconds")

        def call() -> Awaitable[Reply]:
            return caller.call(words, instructions, pictures)

        reply = await self._call(state, bound, cost, call)
        read, wrong = _read(reply)
        if not (read or reply.stopped):
            reply = await self._call(state, bound, cost, call)
            read, wrong = _read(reply)
        status = read.status if read else AnswerStatus.malformed
        return Answer(
            question.cluster_id,
            status,
            brand=read.name if read and status == AnswerStatus.answered else "",
            confidence=read.confidence if read else 0.0,
            detail=wrong,
            latency_s=reply.latency_s,
            logo_type=read.logo_type if read else "",
            placement=read.placement if read else "",
            reasoning=read.reasoning if read else "",
            provider=state.endpoint.provider,
            model=state.endpoint.model,
            prompt_version=self._prompt.version,
            asked_at=asked_at,
            **asdict(cost),
        )

    async def _ready(self, state: _EndpointState, cost: _QuestionCost) -> Caller:
        """The endpoint's caller, after a successful preflight."""
        async with state.checking:
            if state.out:
                raise Failure(str(state.out))
            if state.caller is None:
                try:
                    caller = Caller(
                        state.endpoint, max_output_tokens=self._max_output_tokens, timeout_s=self._timeout_s
                    )
                except Permanent as e:
                    state.out = e
                    raise Failure(str(e)) from None
                self._callers.append(caller)
                await self._call(state, text_token_bound(PREFLIGHT), cost, lambda: caller.call(PREFLIGHT))
                state.caller = caller
            return state.caller

    async def _call(
        self, state: _EndpointState, bound: int, cost: _QuestionCost, call: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """Runs ``call`` with retries; tracks consecutive failures of the endpoint."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        trying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=_wait_s,
            retry=retry_if_exception(lambda e: isinstance(e, Failure) and e.again),
            reraise=True,
        )
        try:
            reply = await trying(self._try, state, bound, cost, call)
        except Failure as e:
            state.in_vain += 1
            if e.ends or state.caller is None or state.in_vain >= MOST_IN_VAIN:
                state.out = state.out or e.ends or (Transient if e.again else Permanent)(str(e), "try again later")
            raise
        state.in_vain = 0
        self._any_answer = self._any_answer or state.caller is not None  # the preflight does not count
        return reply

    async def _try(
        self, state: _EndpointState, bound: int, cost: _QuestionCost, call: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        if state.out:
            raise Failure(str(state.out))
        price = state.endpoint.price
        most_usd = price.cost(bound, self._max_output_tokens)
        async with self._budget.set_aside(most_usd) as spent:
            try:
                reply = await call()
            except Failure as e:
                spent.usd = None if e.billed else 0.0
                raise
            spent.usd = price.cost(reply.input_tokens, reply.output_tokens) if reply.metered else most_usd
        cost.cost_usd += spent.usd
        if reply.metered:
            cost.input_tokens += reply.input_tokens
            cost.output_tokens += reply.output_tokens
        return reply


def _read(reply: Reply) -> tuple[BrandAnswer | None, str]:
    """The answer in the reply, or what is wrong with it."""
    try:
        return read_reply(reply.text), ""
    except ValueError as e:
        return None, reply.stopped or str(e)


def _wait_s(state: "RetryCallState") -> float:
    """Wait before the next try, in seconds."""
    failure = state.outcome.exception() if state.outcome else None
    wanted_s = failure.wait_s if isinstance(failure, Failure) else 0.0
    doubled_s = FIRST_WAIT_S * 2 ** (state.attempt_number - 1)
    return min(LONGEST_WAIT_S, max(wanted_s, doubled_s) + random.uniform(0, FIRST_WAIT_S))
