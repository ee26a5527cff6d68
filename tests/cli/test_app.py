"""The verbs, run in this process on the real theory: what they print, and how they fail."""

import json
import subprocess
import sys
import warnings

import pytest

from meanfield.cli import main
from meanfield.cli.verbs import verbs

TANH = ["tanh", "--sigma-w", "1.5811388300841898", "--sigma-b", "0.22360679774997896"]


def test_fixed_point_as_json(capsys):
    assert main(["fixed-point", *TANH, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["q_star"] == pytest.approx(1.063958377417, rel=1e-11)
    assert found["c_star"] == pytest.approx(0.446804232, rel=1e-8)
    assert found["chi_1"] == pytest.approx(1.133515698704, rel=1e-11)
    assert found["xi_c"] == pytest.approx(11.79559, rel=1e-6)
    assert (found["status"], found["phase"]) == ("converged", "chaotic")
    assert found["all_q"][1:] == [None] * 4


def test_fixed_point_as_a_table(capsys):
    assert main(["fixed-point", *TANH]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("tanh, sigma_w = 1.58114, sigma_b = 0.223607: chaotic\n")
    assert "q_star = 1.0639583774 " in printed


def test_what_is_undefined_or_infinite_is_said_so(capsys):
    assert main(["fixed-point", "relu", "--sigma-w", "2", "--sigma-b", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["q_star"], found["chi_1"]) == ("diverges", "inf", None)


def test_an_expression_and_its_parameter(capsys):
    words = ["fixed-point", "--sigma-w", "1.2", "--sigma-b", "0.1", "--json"]
    assert main([*words, "where(x > 0, x, a * x)", "--param", "a=0.25"]) == 0
    expression = json.loads(capsys.readouterr().out)
    assert main([*words, "leaky_relu", "--param", "slope=0.25"]) == 0
    named = json.loads(capsys.readouterr().out)
    assert expression["q_star"] == pytest.approx(named["q_star"], rel=1e-9)


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_is_one_line(monkeypatch, capsys):
    def run(args):
        warnings.warn("what is odd,\n  and the remedy", UserWarning, stacklevel=2)
        return 0

    monkeypatch.setattr(verbs()["doctor"], "run", run)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().err == "meanfield: warning: what is odd, and the remedy\n"


def test_critical_prints_the_square(capsys):
    # Ten digits of sigma_b would not do: 0.2236067977 moves the tenth decimal of sigma_w^2 (to ...6395).
    assert main(["critical", "tanh", "--sigma-b", "0.22360679774997896"]) == 0
    printed = capsys.readouterr().out
    assert "sigma_w^2 = 1.7609546396 " in printed
    assert "q* = 0.5700478816 " in printed


def test_critical_as_json(capsys):
    assert main(["critical", "tanh", "--q", "0.5700478816", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sigma_b_var"] == pytest.approx(0.05, rel=1e-8)
    assert (found["status"], found["stable"]) == ("found", True)


def test_phase_diagram_writes_figure_and_data(tmp_path, capsys):
    xarray = pytest.importorskip("xarray")
    figure, data = tmp_path / "tanh.png", tmp_path / "tanh.nc"
    ranges = ["--sigma-w", "0.5", "2.5", "9", "--sigma-b", "0", "0.5", "6"]
    assert main(["phase-diagram", "tanh", "-o", str(figure), "--data", str(data), *ranges]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert b"meanfield phase-diagram tanh" in figure.read_bytes()
    with xarray.open_dataset(data, engine="scipy") as stored:
        assert stored["chi_1"].shape == (6, 9)
    printed = capsys.readouterr().out
    assert "9 x 6 cells" in printed
    assert f"wrote {figure}" in printed


@pytest.mark.slow
def test_check_agrees_and_draws(tmp_path, capsys):
    figure = tmp_path / "check.png"
    sizes = ["--depth", "4", "--width", "200", "--seeds", "4"]
    assert main(["check", *TANH, *sizes, "-o", str(figure)]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "agree" in capsys.readouterr().out


def test_check_as_json(capsys):
    code = main(["check", *TANH, "--depth", "3", "--width", "100", "--seeds", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (found["verdict"] == "rejected")


GRID = ["--sigma-w", "1", "2", "2", "--depths", "2", "4", "--width", "16", "--steps", "3"]


def test_train_draws_and_resumes(tmp_path, capsys):
    figure, run = tmp_path / "map.png", tmp_path / "run.nc"
    words = ["train", "tanh", *GRID, "--out", str(run)]
    assert main([*words, "-o", str(figure)]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    first = capsys.readouterr().out
    assert "6 xi_c" in first
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] is True


def test_train_dry_run_trains_nothing(tmp_path, capsys):
    run = tmp_path / "run.nc"
    assert main(["train", "tanh", *GRID, "--out", str(run), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"]["networks"] == 4
    assert not run.exists()


def test_doctor_passes_its_own_test(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["self_test"] == "passed"
    assert report["devices"]


@pytest.mark.slow
def test_activations_lists_them_all(capsys):
    assert main(["activations", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)["activations"]}
    assert found["tanh"]["sigma_w"] ** 2 == pytest.approx(1.7609546396, rel=1e-9)
    assert "gelu" in found
    assert (found["relu"]["status"], found["relu"]["sigma_b"], found["relu"]["q_star"]) == (
        "scale_invariant",
        0.0,
        None,
    )
    assert found["relu"]["sigma_w"] == pytest.approx(2**0.5, rel=1e-12)


def test_no_critical_point_is_a_word_and_code_1(capsys):
    words = ["critical", "softplus", "--sigma-b", "0.1"]
    assert main(words) == 1
    assert "softplus has no critical point at sigma_b = 0.1" in capsys.readouterr().out
    assert main([*words, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "none"


S = ["--sigma-w", "1", "--sigma-b", "0"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["critcal", "tanh"], "critcal"),
        (["fixed-point", "tanhh", *S], "tanh"),
        (["fixed-point", "tanh", "--sigma-w", "1"], "--sigma-b"),
        (["fixed-point", "tanh", "--sigma-w", "one", "--sigma-b", "0"], "--sigma-w"),
        (["fixed-point", "tanh", "--sigma-w", "-1", "--sigma-b", "0"], "sigma_w"),
        (["fixed-point", "tanh", "--sigma-w", "-1e-3", "--sigma-b", "0"], "sigma_w"),
        (["fixed-point", "tanh", "--sigma-w", "-inf", "--sigma-b", "0"], "sigma_w"),
        (["fixed-point", "tanh", "--sigma-w", "nan", "--sigma-b", "0"], "sigma_w"),
        (["fixed-point", "x.__class__", *S], "activation"),
        (["fixed-point", "open(x)", *S], "activation"),
        (["fixed-point", "a * x", *S], "activation"),
        (["fixed-point", "a * x", *S, "--param", "a"], "--param"),
        (["critical", "tanh"], "exactly one"),
        (["critical", "tanh", "--q", "1", "--sigma-b", "0"], "exactly one"),
        (["phase-diagram", "tanh"], "-o"),
        (["phase-diagram", "tanh", "-o", "missing/x.png"], "missing"),
        (["phase-diagram", "tanh", "--data", "x.csv"], ".nc"),
        (["phase-diagram", "tanh", "-o", "x.png", "--sigma-w", "1", "2", "2.5"], "LO HI N"),
        (["check", "tanh", *S, "--depth", "0"], "depth"),
        (["check", "tanh", *S, "-o", "x.exe"], "suffix"),
        (["train", "tanh", "--depths", "0"], "depth"),
        (["train", "tanh", "--data", "imagenet"], "imagenet"),
        (["train", "tanh", "--resume"], "--out"),
        (["train", "tanh", "--sigma-w", "one"], "--sigma-w"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_code_2(argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("meanfield: ")
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())


def test_help_and_version(capsys):
    assert main([]) == 0
    assert "phase-diagram" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("meanfield 0.")
    with pytest.raises(SystemExit) as leaving:
        main(["critical", "--help"])
    assert leaving.value.code == 0


def test_as_a_process():
    command = [sys.executable, "-m", "meanfield.cli", "fixed-point", "tanhh", *S]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'tanh'" in done.stderr
    assert "Traceback" not in done.stderr
