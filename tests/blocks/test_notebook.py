"""Blocks as a notebook shows them."""

from __future__ import annotations

import jax

import meanfield as mf


def test_a_block_is_a_list_of_its_parts():
    block = mf.Residual(mf.Activate("leaky_relu") >> mf.Dense(1.5, 0.1), scale=0.5)
    page = block._repr_html_()
    assert page.startswith("<b>Residual</b> scale = 0.5, skip = 1<ol><li>")
    assert "<b>Activate</b> phi = leaky_relu, slope = 0.01" in page and "<b>Dense</b> sigma_w = 1.5" in page
    assert page.count("<li>") == page.count("</li>") >= 2 and "Activation(" not in page


def test_names_are_escaped_and_traced_leaves_are_shown():
    assert "x &lt; 0" in mf.MLP("where(x < 0, 0, x)", 1.0)._repr_html_()
    jax.jit(lambda w: [w, mf.MLP("relu", w)._repr_html_()][0])(1.0)
