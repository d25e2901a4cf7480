"""``transfer check``: everything at once, each problem once, each with what to do."""

import json


def check(bench, *options):
    code, output = bench.transfer("check", *options)
    return code, [line for line in output.splitlines() if line.startswith("- ")], output


def test_nothing_wrong(bench):
    bench.suite()
    code, problems, output = check(bench)
    assert (code, problems) == (0, []), output


def test_all_problems_at_once(bench):
    """Two data sets and weights; weights that cannot be read must not keep the rest from being looked at."""
    content = bench.suite_content({"counting": "quick", "summing": "quick"})
    (bench.folder / "mine.pth").write_bytes(b"no weights")
    content["backbones"]["mine"] = {"source": "mine.pth"}
    content["data"] = "real"
    content["tasks"]["imagenet_finetune"] = "demo"
    bench.write_suite(content)
    (bench.folder / "broken").mkdir()
    (bench.folder / "broken" / "numbers.json").write_text("[")
    code, problems, output = check(bench, "--data", "numbers=broken", "--data", "imagenet=nowhere")
    assert code == 1
    assert len(problems) == 4, output
    found = "\n".join(problems)
    assert "numbers.json is damaged; fetch it again" in found
    assert "no data at data/others; put it there or say where it is: --data others=PATH" in found
    assert "no data at nowhere" in found
    assert "mine.pth" in found


def test_data_is_found_by_file_variable_and_option(bench, monkeypatch):
    content = {**bench.suite_content({"counting": "quick"}), "data": "real"}
    bench.write_suite(content)
    for name in ("file", "variable", "option"):
        (bench.folder / name).mkdir()
    (bench.folder / "option" / "numbers.json").write_text(json.dumps(list(range(30))))
    (bench.folder / "data.yaml").write_text("numbers: file\n")
    assert "file/numbers.json" in check(bench)[2]
    monkeypatch.setenv("CROSSMAE_DATA_NUMBERS", "variable")
    assert "variable/numbers.json" in check(bench)[2]
    assert check(bench, "--data", "numbers=option")[0] == 0


def test_missing_engine_names_the_set_up_command(bench):
    tasks = bench.folder / "tasks"
    tasks.mkdir()
    spec = "version: 1\ntitle: x\nadapter: counting:Counting\nmetrics: [a]\nengine: [no_such_engine]\n"
    (tasks / "engined.yaml").write_text(spec)
    (tasks / "recipes").mkdir()
    (tasks / "recipes" / "quick.yaml").write_text("protocol: {}\n")
    bench.suite(tasks=("engined",))
    _, problems, output = check(bench, "--tasks", str(tasks))
    assert problems == ["- engined needs no_such_engine, which is not installed; run `make setup`"], output
