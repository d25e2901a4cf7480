from pathlib import Path

from crossmae.run.progress import ProgressFile


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path)
    progress.write(1, 3, {"loss": 2.0})
    progress.write(2, 3, {"loss": 1.0})
    with open(progress.path, "a") as file:
        file.write('{"step": 3, "to')
    assert [line["loss"] for line in progress.read()] == [2.0, 1.0]
    assert (progress.last() or {})["step"] == 2


def test_steps_repeated_after_a_resume_count_once(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path)
    for step, loss in [(1, 5.0), (2, 4.0), (3, 3.0), (2, 4.5), (3, 3.5)]:
        progress.write(step, 3, {"loss": loss})
    assert [line["loss"] for line in progress.read()] == [5.0, 4.5, 3.5]
