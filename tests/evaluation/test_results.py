"""Result folders as users leave them."""

import json

import pytest

from common.errors import InputError
from common.tools.crossval.results import read_result, read_results


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_reads_in_order_and_leaves_other_files_alone(tmp_path, write_run, same):
    for fold in (3, 0):
        write_run(same(0.5), fold)
    (tmp_path / "adnet-chaos_t2-s1-f1-r0.71.partial").write_text('{"run": ')
    (tmp_path / "work").mkdir()
    results = read_results(tmp_path)
    assert [result.run.fold for result in results] == [0, 3]
    assert results[0].run.name == "adnet-chaos_t2-s1-f0-r0"
    assert results[0].cases[0] == {"protocol": "ep1", "case": "f0_0", "organ": "left kidney", "dice": 0.5}


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no folder .*nowhere; give the one"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no result file"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("cases"), "KeyError: 'cases'"),
        (lambda content: content.update(manifest=[]), "another type"),
        (lambda content: content["run"].pop("fold"), "missing 1 required positional argument: 'fold'"),
        (lambda content: content["run"].update(fold="0"), "another type"),
        (lambda content: content["run"].update(fold=True), "another type"),
        (lambda content: content["run"].update(configs="train"), "another type"),
        (lambda content: content["cases"].clear(), "no cases"),
        (lambda content: content["cases"][1].pop("organ"), "KeyError: 'organ'"),
        (lambda content: content["cases"][2].update(dice=73.0), "dice is 73.0, expected 0 to 1"),
        (lambda content: content["cases"][2].update(dice="0.7"), "not supported between"),
        (lambda content: content["cases"].append(content["cases"][0]), "one of them twice"),
    ],
)
def test_damaged_files_are_named(write_run, same, change, message):
    path = edit(write_run(same(0.5)), change)
    with pytest.raises(InputError, match=message) as error:
        read_result(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", '{"run": {"bundle": "adn', "[1, 2]", "\x00"])
def test_truncated_files_are_named(tmp_path, write_run, same, text):
    write_run(same(0.5))
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(InputError, match="other.json"):
        read_results(tmp_path)


def test_duplicates(tmp_path, write_run, same):
    path = write_run(same(0.5))
    (tmp_path / "copy.json").write_text(path.read_text())
    with pytest.raises(InputError, match=r"f0-r0.json and .*copy.json are both|copy.json and .*f0-r0.json are both"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"configs": ["train", "quick"]}, "configs"),
        ({"overrides": {"max_epochs": 1}}, "overrides"),
        ({"manifest": {"config_sha256": "b", "data_sha256": "c"}}, r"content of its configurations \(a and b\)"),
        ({"manifest": {"config_sha256": "a", "data_sha256": "d"}}, r"scans or label maps \(c and d\)"),
        ({"manifest": {"config_sha256": "a"}}, r"scans or label maps \(c and unknown\)"),
        ({"manifest": {"config_sha256": "a", "data_sha256": "c", "code_sha256": "e"}}, r"code \(unknown and e\)"),
    ],
)
def test_mixed_runs(tmp_path, write_run, same, changes, name):
    write_run(same(0.5), 0, manifest={"config_sha256": "a", "data_sha256": "c"})
    write_run(same(0.5), 1, **{"manifest": {"config_sha256": "a", "data_sha256": "c"}, **changes})
    with pytest.raises(InputError, match=f"differ in {name}"):
        read_results(tmp_path)


def test_other_settings_and_variants_may_stand_beside_each_other(tmp_path, write_run, same):
    write_run(same(0.5), setting=1)
    write_run(same(0.5), setting=2, group="kidneys")
    write_run(same(0.5), variant="quick", overrides={"max_epochs": 1})
    assert len(read_results(tmp_path)) == 3


def test_a_repeat_with_the_same_seed_is_none(tmp_path, write_run, same):
    write_run(same(0.5), 0, 0)
    write_run(same(0.6), 0, 1, seed=2021)
    with pytest.raises(InputError, match="have one seed, 2021"):
        read_results(tmp_path)
