"""Policy under a simulated clock: who is asked, how often, when it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.calls.simulated import Clock
from toolkit import errors
from toolkit.calls.attempt_spec import AttemptEnd, marked_source
from toolkit.calls.chat_request import build_request
from toolkit.calls.policy.call_policy import Policy, Target
from toolkit.providers.provider import Provider
from toolkit.settings import Settings


class World:
    """Providers that answer by a script: an error, or a text."""

    def __init__(self, windows=None, **settings):
        self.clock = Clock()
        self.asked = []
        self.scripts = {}
        self.policy = Policy(
            Settings(**{"default_rpm": 0, **settings}),
            lambda provider, explicit: SimpleNamespace(fingerprint=explicit or provider.name),
            lambda target: (windows or {}).get(target.provider.name),
            clock=self.clock,
            sleep=self.clock.sleep,
            rng=lambda: 0.5,
        )

    def target(self, name, *script, **fields):
        self.scripts[name] = list(script)
        provider = Provider(name=name, base_url=f"https://{name}.example/v1", **fields)
        return Target(provider=provider, model_id="m")

    async def act(self, this):
        self.asked.append((this.provider.name, this.kind, this.key.fingerprint))
        script = self.scripts[this.provider.name]
        step = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(step, Exception):
            this.settle(AttemptEnd(status="error", error=step, call=step))
            raise step
        this.settle(AttemptEnd(status="ok"))
        return step

    def run(self, *chain, api_key=None, **options):
        request = build_request("a/m", "hi", options)
        return asyncio.run(self.policy.run(request, chain, self.act, api_key))

    @property
    def kinds(self):
        return [(name, kind) for name, kind, _ in self.asked]


def test_a_failure_that_passes_is_asked_again():
    world = World()
    assert world.run(world.target("a", errors.ServerError("x"), "ok")) == "ok"
    assert world.kinds == [("a", "first"), ("a", "retry")]
    assert world.clock.slept == [0.25]


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest("x"),
        errors.AuthenticationFailed("x"),
        errors.ContentFiltered("x"),
        errors.QuotaExceeded("x"),
        errors.ConnectionFailed("x", cause="tls"),
        errors.MalformedResponse("x", cause="not_api"),
    ],
)
def test_what_would_fail_again_is_not_asked_again(error):
    world = World()
    with pytest.raises(type(error)):
        world.run(world.target("a", error))
    assert len(world.asked) == 1


def test_a_timeout_is_tried_once_more_only():
    world = World(max_retries=5)
    with pytest.raises(errors.RetriesExhausted) as caught:
        world.run(world.target("a", errors.RequestTimeout("slow")))
    assert len(world.asked) == 2
    assert isinstance(caught.value.last_error, errors.RequestTimeout)
    assert len(caught.value.attempts) == 2


def test_without_retries_the_error_itself_is_raised():
    world = World(max_retries=0)
    with pytest.raises(errors.ServerError):
        world.run(world.target("a", errors.ServerError("x")))


def test_a_stated_wait_is_kept_and_a_long_one_is_not_waited_for():
    world = World()
    assert world.run(world.target("a", errors.RateLimited("x", retry_after=7), "ok")) == "ok"
    assert world.clock.slept == [7]
    with pytest.raises(errors.RateLimited):
        world.run(world.target("b", errors.RateLimited("x", retry_after=86_400)))


def test_no_wait_passes_the_total_deadline():
    world = World()
    with pytest.raises(errors.RateLimited):
        world.run(world.target("a", errors.RateLimited("x", retry_after=30)), timeout_s=10)
    assert world.clock.slept == []


def test_the_next_provider_takes_over():
    world = World(max_retries=1)
    chain = (world.target("a", errors.ServerError("x")), world.target("b", "ok"))
    assert world.run(*chain) == "ok"
    assert world.kinds == [("a", "first"), ("a", "retry"), ("b", "fallback")]


def test_a_bad_request_is_nobody_elses_business():
    world = World()
    chain = (world.target("a", errors.InvalidRequest("x")), world.target("b", "ok"))
    with pytest.raises(errors.InvalidRequest):
        world.run(*chain)
    assert world.kinds == [("a", "first")]


def test_a_chain_that_fails_says_who_was_asked():
    world = World(max_retries=0)
    chain = [world.target(name, errors.ServerError(f"{name} is down")) for name in ("a", "b")]
    with pytest.raises(errors.NoProviderAvailable, match=r"a/m, b/m.*b is down") as caught:
        world.run(*chain)
    assert len(caught.value.attempts) == 2


def test_an_input_that_is_too_long_goes_only_to_larger_windows():
    windows = {"small": 8_000, "same": 8_000, "large": 128_000}
    too_long = errors.ContextWindowExceeded("x")
    world = World(windows)
    chain = (
        world.target("small", too_long),
        world.target("same", "never"),
        world.target("unknown", "never"),
        world.target("large", "ok"),
    )
    assert world.run(*chain) == "ok"
    assert [name for name, _ in world.kinds] == ["small", "large"]


def test_an_explicit_key_never_goes_to_another_provider():
    world = World(max_retries=0)
    chain = (world.target("a", errors.ServerError("x")), world.target("b", "ok"))
    world.run(*chain, api_key="given")
    assert [fingerprint for _, _, fingerprint in world.asked] == ["given", "b"]


def test_a_broken_provider_is_left_alone_and_tried_again_later():
    world = World(max_retries=0)
    target = world.target("a", *[errors.ServerError("x")] * 3, "ok")
    for _ in range(3):
        with pytest.raises(errors.ServerError):
            world.run(target)
    with pytest.raises(errors.NoProviderAvailable, match="not called for another"):
        world.run(target)
    assert len(world.asked) == 3
    world.clock.now += 60
    assert world.run(target) == "ok"


def test_faults_of_the_client_open_no_breaker():
    world = World()
    target = world.target("a", errors.InvalidRequest("x"))
    for _ in range(10):
        with pytest.raises(errors.InvalidRequest):
            world.run(target)
    assert len(world.asked) == 10


def test_in_a_full_outage_the_load_is_at_most_a_fifth_more():
    """200 requests for 200 models of one provider, so that no breaker helps."""
    world = World(max_retries=3)
    target = world.target("a", errors.ServerError("x"))
    for i in range(200):
        request = build_request("a/m", "hi", {})
        with pytest.raises(errors.CallError):
            asyncio.run(
                world.policy.run(
                    request, [Target(provider=target.provider, model_id=f"m{i}")], world.act
                )
            )
    assert len(world.asked) <= 1.2 * 200


def test_a_cancelled_try_is_passed_on_and_forgotten():
    world = World()

    async def act(this):
        this.settle(AttemptEnd(status="cancelled"))
        raise asyncio.CancelledError

    async def go():
        request = build_request("a/m", "hi", {})
        await world.policy.run(request, [world.target("a", "x")], act)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(go())


def test_a_request_s_own_retries_do_not_open_the_breaker():
    """`max_retries` is what it says, and the next request is let through."""
    world = World(max_retries=5)
    target = world.target("a", errors.ServerError("x"))
    with pytest.raises(errors.RetriesExhausted, match="6 attempts failed") as caught:
        world.run(target)
    assert isinstance(caught.value.last_error, errors.ServerError)
    assert len(world.asked) == 6
    world.scripts["a"] = ["ok"]
    assert world.run(target) == "ok"


def test_a_breaker_belongs_to_a_provider_not_to_its_host():
    """Two providers behind one gateway differ by their path only."""
    world = World(max_retries=0)
    north = world.target("north", errors.ServerError("x"))
    south = world.target("south", "ok")
    host = "https://gateway.example"
    north = replace(north, provider=replace(north.provider, base_url=f"{host}/a/v1"))
    south = replace(south, provider=replace(south.provider, base_url=f"{host}/b/v1"))
    for _ in range(3):
        with pytest.raises(errors.ServerError):
            world.run(north)
    with pytest.raises(errors.NoProviderAvailable):
        world.run(north)
    assert world.run(south) == "ok"


def test_a_stream_that_breaks_after_its_start_counts_against_its_provider():
    world = World(max_retries=0)
    target = world.target("a", "ok")
    settles = []

    async def act(this):
        settles.append(this.settle)

    for _ in range(3):
        asyncio.run(world.policy.run(build_request("a/m", "hi", {}), [target], act))
        settles[-1](AttemptEnd(status="error", error=errors.StreamInterrupted("cut")))
    with pytest.raises(errors.NoProviderAvailable):
        world.run(target)


REFUSED = errors.InvalidRequest(
    "x", status=400, provider_message="Unsupported parameter: 'seed' is not supported"
)


def test_a_refused_parameter_is_left_out_in_a_retry_that_counts_as_one():
    world = World(max_retries=1)
    seen = []

    async def act(this):
        seen.append((dict(this.request.params), this.dropped, this.kind))
        return await world.act(this)

    target = world.target("a", REFUSED, "ok", rpm=1)
    request = build_request("a/m", "hi", {"seed": 1, "top_p": 0.5, "on_unsupported": "drop"})
    assert asyncio.run(world.policy.run(request, [target], act)) == "ok"
    assert seen == [
        ({"seed": 1, "top_p": 0.5}, (), "first"),
        ({"top_p": 0.5}, ("seed",), "retry"),
    ]
    assert sum(world.clock.slept) >= 60, "it waits for the rate limit like any attempt"


def test_no_retry_means_that_nothing_is_left_out_and_sent_again():
    world = World(max_retries=0)
    with pytest.raises(errors.InvalidRequest):
        world.run(world.target("a", REFUSED, "ok"), seed=1, on_unsupported="drop")
    assert len(world.asked) == 1


def test_a_cooling_provider_is_passed_over_and_a_chain_of_them_says_so():
    world = World(max_retries=2)
    first = world.target("a", errors.ServerError("x"))
    for _ in range(3):
        with pytest.raises(errors.RetriesExhausted):
            world.run(first)
    assert world.run(first, world.target("b", "ok")) == "ok"
    assert world.kinds[9:] == [("b", "fallback")]
    with pytest.raises(errors.NoProviderAvailable, match="not called for another") as caught:
        world.run(first)
    assert caught.value.retry_after > 0
    assert caught.value.request_id


def test_a_window_that_was_too_small_is_remembered_past_other_failures():
    windows = {"small": 8_000, "broken": 32_000, "tiny": 4_000, "large": 128_000}
    world = World(windows, max_retries=0)
    chain = (
        world.target("small", errors.ContextWindowExceeded("x")),
        world.target("broken", errors.ServerError("x")),
        world.target("tiny", "never"),
        world.target("large", "ok"),
    )
    assert world.run(*chain) == "ok"
    assert [name for name, _ in world.kinds] == ["small", "broken", "large"]


def test_too_long_for_every_window_is_told_as_such():
    world = World({"small": 8_000, "same": 8_000})
    chain = (world.target("small", errors.ContextWindowExceeded("x")), world.target("same", "no"))
    with pytest.raises(errors.ContextWindowExceeded):
        world.run(*chain)
    assert len(world.asked) == 1


def test_the_deadline_is_one_for_the_whole_chain():
    world = World(max_retries=9)
    chain = [world.target(name, errors.RateLimited("x", retry_after=4)) for name in ("a", "b", "c")]
    began = world.clock.now
    with pytest.raises(errors.CallError):
        world.run(*chain, timeout_s=10)
    assert world.clock.now - began <= 10


def test_a_wait_of_zero_is_no_leave_to_hammer():
    world = World()
    world.run(world.target("a", errors.RateLimited("x", retry_after=0), "ok"))
    assert world.clock.slept == [0.25]


def test_a_provider_s_own_number_of_retries_and_time_rule():
    world = World(max_retries=5)
    with pytest.raises(errors.ServerError):
        world.run(world.target("a", errors.ServerError("x"), max_retries=0))
    with pytest.raises(errors.RateLimited):
        world.run(world.target("b", errors.RateLimited("x", retry_after=9), timeout_s=5.0))


def test_a_paced_request_tells_how_long_it_waited():
    world = World()
    target = world.target("a", "ok", rpm=1)
    waits = []

    async def act(this):
        waits.append(this.queue_ms)
        return await world.act(this)

    async def go():
        for _ in range(2):
            await world.policy.run(build_request("a/m", "hi", {}), [target], act)

    asyncio.run(go())
    assert waits == [0, pytest.approx(60_000)]


def test_what_a_cassette_answers_leaves_no_mark_and_takes_no_time():
    world = World(max_retries=2)
    target = world.target("a", errors.ServerError("x"), rpm=1)
    with marked_source("replay"):
        for _ in range(20):
            with pytest.raises(errors.RetriesExhausted):
                world.run(target)
    assert len(world.asked) == 60
    assert set(world.clock.slept) == {0.0}
    with pytest.raises(errors.RetriesExhausted):
        world.run(world.target("a", errors.ServerError("x")))


def test_a_stated_wait_of_more_than_a_minute_is_told_and_not_waited_for():
    world = World()
    with pytest.raises(errors.RateLimited) as caught:
        world.run(world.target("a", errors.RateLimited("x", retry_after=61), "ok"))
    assert caught.value.retry_after == 61
    assert world.clock.slept == []


def test_no_back_off_passes_the_deadline():
    world = World()
    with pytest.raises(errors.ServerError):
        world.run(world.target("a", errors.ServerError("x"), "ok"), timeout_s=0.2)
    assert world.clock.slept == []


def test_past_the_deadline_nobody_else_is_asked():
    world = World(max_retries=0)
    chain = (world.target("a", errors.RequestTimeout("slow")), world.target("b", "ok"))

    async def act(this):
        world.clock.now += 11
        return await world.act(this)

    request = build_request("a/m", "hi", {"timeout_s": 10})
    with pytest.raises(errors.RequestTimeout):
        asyncio.run(world.policy.run(request, chain, act))
    assert world.kinds == [("a", "first")]


def test_retries_that_succeed_never_use_up_the_quota():
    world = World()
    for i in range(60):
        target = world.target("a", errors.ServerError("x"), "ok")
        target = Target(provider=target.provider, model_id=f"m{i}")
        assert world.run(target) == "ok"


def test_a_trial_that_our_own_pace_refuses_leaves_the_way_free_for_the_next():
    world = World(max_retries=0)
    target = world.target("a", *[errors.ServerError("x")] * 3, "ok", rpm=3)
    for _ in range(3):
        with pytest.raises(errors.ServerError):
            world.run(target)
    world.clock.now += 30  # half-open by now, and no request left in this minute
    with pytest.raises(errors.RateLimited, match="the rate limit set for"):
        world.run(target, timeout_s=1)
    world.clock.now += 31
    assert world.run(target) == "ok"


def test_true_token_counts_replace_the_estimate():
    world = World()
    target = world.target("a", "ok", tpm=1000)

    async def act(this):
        this.settle(AttemptEnd(status="ok", total_tokens=10))

    async def go():
        for _ in range(10):
            request = build_request("a/m", "hi", {"max_tokens": 900})
            await world.policy.run(request, [target], act)

    asyncio.run(go())
    assert world.clock.slept == []


def test_a_long_stated_wait_is_not_waited_for_where_another_can_be_asked():
    world = World()
    busy, other = errors.RateLimited("x", retry_after=30), world.target("b", "ok")
    assert world.run(world.target("a", busy), other) == "ok"
    assert world.clock.slept == []
    assert world.run(other, world.target("a", busy)) == "ok"
    assert world.run(world.target("c", errors.RateLimited("x", retry_after=7), "ok"), other) == "ok"
    assert world.clock.slept == [7], "a short one is"


def test_waits_between_attempts_are_the_request_s_else_the_provider_s():
    world = World(max_retries=3)
    provider = {"retry_initial_s": 4.0, "retry_factor": 1.0, "max_retries": 0}
    world.run(world.target("a", *[errors.ServerError("x")] * 2, "ok", **provider), max_retries=2)
    assert world.clock.slept == [2.0, 2.0]
    world.run(world.target("b", errors.ServerError("x"), "ok", **provider), max_retries=1,
              retry_initial_s=1.0, retry_max_s=0.5)  # fmt: skip
    assert world.clock.slept[2:] == [0.25]


def test_a_cloud_provider_without_a_limit_has_the_settings_one_and_a_local_one_none():
    world = World(default_rpm=1, rate_window_s=10.0)
    for name, is_local in (("cloud", False), ("local", True)):
        target = world.target(name, "ok", is_local=is_local)
        before = world.clock.now
        for _ in range(2):
            world.run(target)
        assert world.clock.now - before == (0 if is_local else pytest.approx(10))


def test_what_a_provider_s_entry_sets_is_put_around_the_conversation():
    world = World()
    seen = []

    async def act(this):
        seen.append(this.request)

    fields = {
        "params": {"seed": 1},
        "system_prompt": "Be brief.",
        "prompt_template": "<<{text}>>",
        "max_input_tokens": 50,
    }
    target = world.target("a", "ok", **fields)
    asyncio.run(world.policy.run(build_request("a/m", "hi", {"seed": 2}), [target], act))
    assert [m["content"] for m in seen[0].messages] == ["Be brief.", "<<hi>>"]
    assert seen[0].params == {"seed": 2}
    with pytest.raises(errors.ContextWindowExceeded, match="limit set for a"):
        asyncio.run(world.policy.run(build_request("a/m", "word " * 99, {}), [target], act))
