"""The speed of pretraining as a task of the benchmark."""

from pathlib import Path

from crossmae.pretraining.run import load_pretraining_recipe
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs
from transfer.harness.worker.adapter import load_adapter
from transfer.task import Context


def test_it_gives_every_metric_and_says_that_nothing_was_loaded(tmp_path: Path) -> None:
    spec = load_specs()["speed"]
    recipe = load_pretraining_recipe("demo_crossmae", ("global_batch=8",))
    context = Context(tmp_path, None, seed=0)
    metrics = load_adapter(spec).run(None, recipe, context)
    assert set(spec.metrics) == set(metrics)
    assert all(value > 0 for value in metrics.values())
    assert context.throughput == metrics["images_per_second"]
    assert "without data loading" in context.deviations[0]


def test_it_waits_for_no_pretraining_and_times_the_recipe_of_its_backbone(tmp_path: Path) -> None:
    runs = [run for run in make_plan(load_suite("ablations"), load_specs(), tmp_path) if run.task.name == "speed"]
    assert {run.recipe.name for run in runs} >= {"mae_400ep", "crossmae75_maps1_400ep"}
    assert all(run.recipe.name == run.backbone for run in runs)
    assert all(run.needs is None and run.source is None for run in runs)
