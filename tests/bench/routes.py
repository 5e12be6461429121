"""The bench's fourth part: what choosing among upstreams costs.

    routes     an alias whose first target is dead, once its breaker is open, beside one without that target
"""
import json
import os

from gateway import free_port, post
from ledger import closing, make_side, measure, median, p50, ratio

P50_RATIO = 1.1  # the target of the project's fourth issue
FAILURES = 6     # one more than open a breaker


def with_dead_target(bench):
    """Every alias gets a first target that nobody listens at."""
    path = os.path.join(bench.dir, "dead.json")
    document = json.loads(bench.weir("export"))
    with open(path, "w") as f:
        json.dump({"providers": [{"name": "dead", "dialect": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1", "keys": []}],
                   "models": [m | {"targets": [{"provider": "dead", "model": "gone"}] + m["targets"]} for m in document["models"]]}, f)
    bench.weir("apply", path)


def routes(run, args):
    sides = [make_side(run, name, []) for name in ("one", "dead first")]
    with_dead_target(sides[1].bench)
    try:
        for side in sides:
            side.start()
        for _ in range(FAILURES):
            post(sides[1].running[0].port, "bench-plain", sides[1].running[0].key, False)
            sides[1].sent += 1
        rounds = measure(run, sides, ["--model", "bench-plain"], args.seconds, args.rounds)
    finally:
        closing(run, sides)
    slow = ratio(rounds, "dead first", "one", p50)
    return [("the first of two targets is dead", ["", "without it", "with it"]),
            ("  p50, 1 connection, its breaker open", ["", *(f"{median(rounds, n, p50):,.0f} us" for n in ("one", "dead first"))],
             f"{slow:.2f}", f"<= {P50_RATIO}", slow <= P50_RATIO)]


GROUPS = {"routes": routes}
