import pytest

from agents.crypto.ciphers import AES_BLOCK, AesGcm, aes_cbc_decrypt, aes_cbc_encrypt

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


def test_gcm_vector():
    """Test case 4 of "The Galois/Counter Mode of Operation" (McGrew, Viega)."""
    cipher = AesGcm(bytes.fromhex("feffe9928665731c6d6a8f9467308308cafebabe"))
    iv = bytes.fromhex("facedbaddecaf888")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = bytes.fromhex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95ae7121a47"
    )
    assert cipher.encrypt(iv, plain, associated) == sealed
    assert cipher.decrypt(iv, sealed, associated) == plain
    assert cipher.decrypt(iv, sealed, b"") is None
    assert cipher.decrypt(iv, sealed[:-1], associated) is None
    assert cipher.decrypt(iv, b"", associated) is None
