"""Numbers on the command line."""

import pytest

from meanfield.cli import main


@pytest.mark.parametrize("word", ["1_5", "\uff11"])
def test_a_number_is_written_as_one(word, capsys):
    assert main(["fixed-point", "tanh", "--sigma-w", word, "--sigma-b", "0.1"]) == 2
    assert "is not a number" in capsys.readouterr().err
