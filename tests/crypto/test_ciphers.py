import pytest

from agents.crypto.ciphers import AES_BLOCK, aes_cbc_decrypt, aes_cbc_encrypt

# RFC 3602 section 4, cases 1 and 2.
CASES = [
    (
        "06a9214036b8a15b512e03d534120006",
        "3dafba429d9eb430b422da802c9fac41",
        b"Single block msg",
        "e353779c1079aeb82708942dbe77181a",
    ),
    (
        "c286696d887c9aa0611bbb3e2025a45a",
        "562e17996d093d28ddb3ba695a2e6f58",
        bytes(range(32)),
        "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
    ),
]


@pytest.mark.parametrize(("key", "iv", "plain", "cipher"), CASES)
def test_vectors_of_rfc_3602(key, iv, plain, cipher):
    key, iv, cipher = bytes.fromhex(key), bytes.fromhex(iv), bytes.fromhex(cipher)
    assert aes_cbc_encrypt(key, iv, plain) == cipher
    assert aes_cbc_decrypt(key, iv, cipher) == plain


def test_part_of_a_block_is_refused():
    with pytest.raises(ValueError, match="block"):
        aes_cbc_decrypt(bytes(32), bytes(AES_BLOCK), bytes(17))
