"""Thousands of records."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runs import make_record

TASKS = {"imagenet_finetune": "top1", "inat19": "top1", "places365": "top1", "coco_vitdet": "box_ap", "psnr": "psnr"}
PROGRAM = """
import json, sys, time
from pathlib import Path
runs, tables = map(Path, sys.argv[1:])
before = time.process_time()
for path in runs.glob("*/*/*/record.json"):
    json.loads(path.read_text())
parsing = time.process_time() - before
from results.runs import find_runs
from results.tables.spec import table_names
from results.tables.write import write_tables
write_tables(find_runs(runs), table_names(), tables)
# Not ru_maxrss: across fork and exec it starts from the memory of the process that runs the tests.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print((time.process_time() - before) / parsing - 1, int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
def test_every_table_of_ten_thousand_records_costs_twelve_times_their_parsing_and_500_megabytes(tmp_path: Path) -> None:
    for task, metric in TASKS.items():
        for backbone in (f"method{number}_vit_b16" for number in range(500)):
            for seed in range(4):
                folder = tmp_path / "runs" / task / backbone / f"{seed}-abc"
                folder.mkdir(parents=True)
                record = make_record(task, backbone, seed, {metric: 50.0 + seed}).to_dict()
                record["provenance"]["packages"] = {f"package{number}": "1.2.3" for number in range(60)}
                record["recipe"]["protocol"] = {f"value{number}": number / 10 for number in range(40)}
                (folder / "record.json").write_text(json.dumps(record, indent=2))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "runs", tmp_path / "tables"],
        capture_output=True,
        text=True,
        check=True,
    )
    times_parsing, peak = map(float, done.stdout.split())
    # A ratio of processor seconds: neither the machine nor what else runs on it counts. Six were measured.
    assert times_parsing < 12
    assert peak < 500e6
