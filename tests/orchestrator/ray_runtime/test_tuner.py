"""Which waiting trial gets a process that has become free."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.ray_runtime.tune_adapter import NewestFirst


@dataclass(eq=False)
class Waiting:
    """As much of a trial of Tune as its scheduler looks at."""

    trial_id: str
    status: str = "PENDING"


@dataclass
class Controller:
    live: set[Waiting] = field(default_factory=set)

    def get_live_trials(self) -> set[Waiting]:
        return self.live


def test_the_newest_that_waits_runs_next_and_the_others_keep_their_own_processes() -> None:
    scheduler, controller = NewestFirst(), Controller()
    assert scheduler.choose_trial_to_run(controller) is None
    trials = [Waiting(name) for name in ("c", "a", "b", "d")]
    for trial in trials:
        scheduler.on_trial_add(controller, trial)
        controller.live.add(trial)
    assert scheduler.choose_trial_to_run(controller) is trials[3]
    assert scheduler.choose_trial_to_run(controller) is trials[3]
    trials[3].status = "RUNNING"
    assert scheduler.choose_trial_to_run(controller) is trials[2]
    controller.live.discard(trials[2])
    assert scheduler.choose_trial_to_run(controller) is trials[1]
