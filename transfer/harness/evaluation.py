"""``transfer evaluate`` in a process of its own: ``python -m transfer.harness.evaluation FOLDER WEIGHTS``.

FOLDER holds ``run.json`` and takes what the evaluation leaves; ``metrics.json`` among it.
"""

import json
import logging
import sys
import traceback
from pathlib import Path

from crossmae.errors import UserError
from crossmae.train.lock import hold_folder
from transfer.harness.adapter import load_adapter
from transfer.harness.execute import context_of
from transfer.harness.failure import explain
from transfer.harness.folder import read_request
from transfer.harness.processes import die_with_parent
from transfer.harness.specs import make_importable


def main() -> None:
    """Evaluates; exit code 1 with the reason as the last line if it failed."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    folder, weights = Path(sys.argv[1]), Path(sys.argv[2])
    request = read_request(folder)
    make_importable(Path(name) for name in request.task_folders)
    try:
        with hold_folder(folder):
            metrics = load_adapter(request.task).evaluate(weights, request.recipe, context_of(folder, request))
            (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        print(explain(error, request).reason, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
