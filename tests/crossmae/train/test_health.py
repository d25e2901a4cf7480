import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crossmae.errors import UserError
from crossmae.train.batches import SampleStream
from crossmae.train.checkpoint.state_file import states
from crossmae.train.monitor.health import Meter, UpdateVerdict
from tests.support import toy

POISONED = 7
FIRST_BAD = next(
    step
    for step in range(60)
    if POISONED in [key.index for key in SampleStream(toy.SAMPLES, toy.PLAN.global_batch, toy.PLAN.seed).keys(step)]
)


@pytest.mark.parametrize("fused", [True, False], ids=["fused optimizer", "plain optimizer"])
def test_a_non_finite_loss_stops_the_run_before_it_reaches_the_weights(fused: bool, tmp_path: Path) -> None:
    execution = replace(toy.EXECUTION, checkpoint_every=1, keep=100, log_every=1000)
    clean = toy.Toy(tmp_path / "clean", fused=fused)
    toy.run(clean, execution=execution)

    with pytest.raises(UserError, match=f"not finite in update {FIRST_BAD} of 60 \\(loss of rank 0\\)"):
        toy.run(toy.Toy(tmp_path, fused=fused, poisoned=POISONED), execution=replace(execution, checkpoint_every=1000))

    before = next(state for state in states(tmp_path / "clean" / "state") if state.step == FIRST_BAD).load()
    kept = states(tmp_path / "nonfinite")[0].load()
    assert kept
    assert before
    assert kept["step"] == FIRST_BAD
    for name, tensor in before["model"].items():
        assert torch.equal(tensor, kept["model"][name])
    torch.testing.assert_close(before["optimizer"]["state"], kept["optimizer"]["state"], rtol=0, atol=0)


def test_the_samples_of_the_bad_micro_batch_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        toy.run(toy.Toy(tmp_path, poisoned=POISONED), execution=replace(toy.EXECUTION, per_device_batch=4))

    (listing,) = (tmp_path / "nonfinite").glob("*.samples.json")
    names = json.loads(listing.read_text())["rank 0"]
    assert f"sample-{POISONED}" in names
    assert len(names) == 4


def test_speed_and_waiting_leave_out_what_is_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight seconds of training, an evaluation of a minute, and two seconds more: ten for the line."""
    clock = iter([0.0, 8.0, 68.0, 70.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    meter = Meter(batch=64, device=torch.device("cpu"))
    meter.resume()
    for step in range(5):
        meter.add(UpdateVerdict(step, 1.0, 1.0, False, (), False))
    meter.waited = 4.0
    meter.pause()
    meter.resume()
    line = meter.line(lr=0.1)
    assert line["images_per_second"] == 5 * 64 / 10
    assert line["waiting"] == 0.4
    assert meter.seconds == 10.0
