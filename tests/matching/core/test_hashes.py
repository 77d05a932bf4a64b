from matching.core.hashes import hash_text, hash_value


def test_a_hash_has_16_digits_and_is_read_back() -> None:
    assert hash_text(0) == "0000000000000000"
    assert hash_text((1 << 64) - 1) == "ffffffffffffffff"
    assert hash_value(hash_text(0x39AE18DFB7BF474A)) == 0x39AE18DFB7BF474A
