"""Every table's LaTeX, set by a real TeX."""

import shutil
import subprocess
from pathlib import Path

import pytest

from results.tables.spec import table_names
from results.tables.write import write_tables
from tests.support.runs import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pdflatex") is None, reason="no pdflatex; on Debian: apt-get install texlive-latex-extra"
    ),
]


def test_every_table_is_set_without_an_error(hand_checked: RunFolder, tmp_path: Path) -> None:
    hand_checked.record(
        "imagenet_finetune", "my_{100%}&$x^2$~#\\_vit_b16", 0, {"top1": 70.0}, deviations=["50 % <of> it_"]
    )
    write_tables(hand_checked.runs(), table_names(), tmp_path)
    inputs = "\n".join(rf"\input{{{name}.tex}}\clearpage" for name in table_names())
    packages = r"\usepackage{adjustbox,booktabs,makecell,hyperref}"
    (tmp_path / "all.tex").write_text(rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
