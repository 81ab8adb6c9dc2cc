"""Files are whole or absent, and hashes mean what they say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurolatent.provenance import hash_file, hash_settings, read_json, whole_file, write_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_settings_hash_ignores_key_order_only(settings):
    reordered = dict(reversed(settings.items()))
    assert hash_settings(reordered) == hash_settings(settings)
    assert hash_settings({**settings, "one more": 1}) != hash_settings(settings)


def test_file_hash_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "kept.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError), whole_file(path) as temporary:
        temporary.write_text("half") + "not a number"
    assert read_json(path) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]


def test_not_a_number_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "bad.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_temporary_name_keeps_the_suffixes(tmp_path):
    with whole_file(tmp_path / "scan.nii.gz") as temporary:
        assert temporary.name.endswith("scan.nii.gz")
        assert temporary.parent == tmp_path


def test_json_is_readable_by_anyone(tmp_path):
    write_json(tmp_path / "a.json", {"ä": "−1"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": "−1"}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644
