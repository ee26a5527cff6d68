"""Labels: members, words, comparisons, and the cost of an array of them."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meanfield.interface.labels import CriticalStatus, GrowthLaw, Labels, Phase, Status

CLASSES = (Status, Phase, CriticalStatus, GrowthLaw)


@pytest.mark.parametrize("labels", CLASSES)
def test_every_word_is_a_member_with_a_meaning(labels):
    assert len(labels.words) == len(labels.meanings) >= 4
    for code, word in enumerate(labels.words):
        member = getattr(labels, word.upper())
        assert type(member) is labels and member.code == code and str(member) == word and member == word
        assert labels.meanings[word] in labels.__doc__ and "\n" not in labels.meanings[word]


def test_words_keep_their_numbers():
    # Files of earlier versions hold the codes.
    assert Status.words == ("converged", "zero", "scale_invariant", "diverges", "cycles", "not_converged")
    assert Phase.words == ("ordered", "critical", "chaotic", "unbounded", "undefined")


def test_comparison_is_elementwise():
    phases = Phase(np.array([[0, 2], [2, 3]], np.int8))
    np.testing.assert_array_equal(phases == "chaotic", [[False, True], [True, False]])
    np.testing.assert_array_equal(phases != Phase.CHAOTIC, [[True, False], [False, True]])
    np.testing.assert_array_equal(np.asarray(phases) == phases, np.ones((2, 2), bool))
    assert (phases[0, 1] == Phase.CHAOTIC) is True and (phases[0, 1] != "chaotic") is False
    with pytest.raises(ValueError, match="the words are ordered"):
        _ = phases == "chaos"
    assert phases != 3


def test_an_array_of_labels_is_an_array():
    phases = Phase(np.array([[0, 2], [2, 3]], np.int8))
    assert phases.shape == (2, 2) and phases.size == 4 and len(phases) == 2
    assert np.asarray(phases).tolist() == [["ordered", "chaotic"], ["chaotic", "unbounded"]]
    assert [str(phase) for phase in phases[1]] == ["chaotic", "unbounded"]
    assert str(phases[0]) == "['ordered' 'chaotic']" and np.asarray(Phase.ORDERED).shape == ()


def test_many_labels_become_words_at_once():
    phases = Phase(np.full((300, 250), Phase.CHAOTIC.code))
    began = time.process_time()
    words = np.asarray(phases)
    # 0.22 s if every label were an object.
    assert time.process_time() - began < 0.05
    assert words.shape == (300, 250) and (words == "chaotic").all()


def test_members_live_under_jit():
    @jax.jit
    def phase(chi):
        return Phase(jnp.where(chi > 1, Phase.CHAOTIC.code, Phase.ORDERED.code))

    found = phase(jnp.array([0.5, 2.0]))
    assert found.code.dtype == np.int8 and np.asarray(found).tolist() == ["ordered", "chaotic"]
    assert isinstance(jax.vmap(lambda status: status)(Status(jnp.zeros(3, jnp.int8))), Labels)
