"""The folder of compiled programs is the user's own."""

from meanfield.cli.environment import use_compilation_cache


def test_a_folder_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    import jax

    used = []
    monkeypatch.setattr(jax.config, "update", lambda name, value: used.append(value))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("MEANFIELD_CACHE", str(tmp_path / "cache"))
    use_compilation_cache()
    assert str(tmp_path / "cache") in used and (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    used.clear()
    for mode in (0o777, 0o770):
        (tmp_path / "cache").chmod(mode)
        use_compilation_cache()
        assert used == []
