"""What is told of what happened to a patient: times, and endpoints with and without it."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.cohort.course import Event, Treatment
from vtrial.cohort.setting import Path, earliest
from vtrial.cohort.story import Story, carried
from vtrial.endpoint import AbstractEndpoint


class World(eqx.Module):
    """What an estimand asks of that takes some events one way and some another."""

    without: tuple[str, ...] = eqx.field(static=True)
    """Events that do not happen there."""
    until: tuple[str, ...] = eqx.field(static=True)
    """Events after which nothing is asked for: the last value of the course is carried on."""


def off_time(endpoint: AbstractEndpoint, course: Treatment) -> bool:
    """Return whether an endpoint is of visits that may be off time."""
    return course.visits is not None and endpoint.layout == "visits"


def fates(
    endpoints: Mapping[str, AbstractEndpoint], course: Treatment, world: World | None = None, *, since: str = "entry"
) -> dict[str, str]:
    """Return what is told of what happens to a patient under an arm, by name, in words.

    Endpoints themselves are as things happen: what an estimand of treatment policy is about. Times are counted `since`
    entry, or since the start of the period.
    """
    visits = [name for name, endpoint in endpoints.items() if off_time(endpoint, course)]
    found = {f"visited_{name}": f"Time since {since} at which each visit of {name} happens" for name in visits}
    if not course.events:
        return found
    for name, event in course.events.items():
        what = " and ".join(c.describe() for c in event.then)
        found[f"event_{name}"] = f"Time since {since} of {name}, which {what}; infinity: does not happen"
    found["until"] = f"Time since {since} at which the patient's observation ends; infinity: not early"
    for name in endpoints:
        found[f"hypothetical_{name}"] = f"{name} if nothing happened that changes treatment, ends observation or life"
        found[f"on_treatment_{name}"] = f"{name} from the course up to the first event, its last value carried on"
        if course.deadly:
            found[f"alive_{name}"] = f"{name} from the course up to death, its last value carried on"
    return found if world is None else found | _asked_fates(endpoints, course, world, since)


def _asked_fates(
    endpoints: Mapping[str, AbstractEndpoint], course: Treatment, world: World, since: str
) -> dict[str, str]:
    """Return what is told of the world of an estimand, by name, in words."""
    said = "as the estimand asks" + (f", if {' and '.join(world.without)} did not happen" if world.without else "")
    events = {n: f"Time since {since} of {n}, {said}; infinity: does not happen" for n in course.events}
    return {f"estimand_event_{n}": what for n, what in events.items() if n not in world.without} | {
        f"estimand_{n}": f"{n} {said}" for n in endpoints
    }


def asked(
    world: World,
    events: Mapping[str, Event],
    story: Story,
    measure: Callable[[Path, Float[Array, ""], Float[Array, ""]], dict[str, Array]],
    time: Float[Array, " time"],
) -> dict[str, Array]:
    """Return endpoints and times of events in the world of an estimand, by the names of `fates`.

    Args:
        world: of the estimand.
        events: those that may happen there.
        story: what happened there.
        measure: returns the endpoints of a path, given its patient's death, and from when on endpoints do not exist.
        time: times of the paths.
    """
    death, ends = story.first(events, _dies), earliest([story.times[name] for name in world.until])
    never = jnp.asarray(jnp.inf)
    fatal, gone = (jnp.where(so, death, never) for so in (death <= ends, death < ends))
    values = measure(carried(time, story.true, ends), fatal, gone)
    times = {f"estimand_event_{name}": when for name, when in story.times.items()}
    return times | {f"estimand_{name}": value for name, value in values.items()}


def told(
    course: Treatment,
    story: Story,
    measure: Callable[[Path, Float[Array, ""]], dict[str, Array]],
    unhindered: Path,
    time: Float[Array, " time"],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Return when a patient dies, infinity for never, and what is told by the names of `fates`, but for visits.

    Args:
        course: what may happen.
        story: what did.
        measure: returns the endpoints of a path, and of when its patient dies.
        unhindered: the path on which nothing happens.
        time: times of the paths.
    """
    never = jnp.asarray(jnp.inf)
    death, first, until = (story.first(course.events, kind) for kind in (_dies, _intercurrent, _leaves))
    found = {f"event_{name}": when for name, when in story.times.items()} | {"until": until}
    paths = {
        "hypothetical": (unhindered, never),
        "on_treatment": (carried(time, story.true, first), jnp.where(death <= first, death, never)),
    }
    if course.deadly:
        paths["alive"] = (carried(time, story.true, death), death)
    for prefix, (path, fatal) in paths.items():
        found |= {f"{prefix}_{name}": value for name, value in measure(path, fatal).items()}
    return death, found


def existing(
    endpoints: Mapping[str, AbstractEndpoint],
    found: Mapping[str, Float[Array, "..."]],
    known: Mapping[str, Float[Array, " visit"] | float],
    death: Float[Array, ""],
) -> dict[str, Float[Array, "..."]]:
    """Return endpoints, not a number where death came before they would have been known: they do not exist.

    The time to an event exists: the endpoint says whether death counts as one.
    """
    return {
        name: value if endpoints[name].layout == "event" else jnp.where(known[name] <= death, value, jnp.nan)
        for name, value in found.items()
    }


def _dies(event: Event) -> bool:
    return event.dies


def _intercurrent(event: Event) -> bool:
    return event.intercurrent


def _leaves(event: Event) -> bool:
    return event.leaves
