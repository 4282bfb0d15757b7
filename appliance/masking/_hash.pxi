"""HMAC-SHA-256 (RFC 2104, FIPS 180-4) of short values, for hashes in the compiled row paths.

``hmac.digest`` costs more than all else that is done with a row; what it gives is tested to be
the same as what is computed here.
"""

from hashlib import sha256 as _sha256

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef struct Key:
    uint32_t inner[8]  # after the block of the key xor ipad
    uint32_t outer[8]  # after the block of the key xor opad

cdef uint32_t[64] ROUNDS = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]
cdef uint32_t[8] START = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]


cdef inline uint32_t turned(uint32_t x, int by) noexcept nogil:
    return (x >> by) | (x << (32 - by))


cdef void add_block(uint32_t *state, const unsigned char *block) noexcept nogil:
    cdef uint32_t[64] w
    cdef uint32_t a = state[0], b = state[1], c = state[2], d = state[3]
    cdef uint32_t e = state[4], f = state[5], g = state[6], h = state[7]
    cdef uint32_t first, second, x, y
    cdef int i
    for i in range(16):
        w[i] = (
            (<uint32_t>block[4 * i] << 24)
            | (<uint32_t>block[4 * i + 1] << 16)
            | (<uint32_t>block[4 * i + 2] << 8)
            | <uint32_t>block[4 * i + 3]
        )
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        w[i] = (
            w[i - 16]
            + (turned(x, 7) ^ turned(x, 18) ^ (x >> 3))
            + w[i - 7]
            + (turned(y, 17) ^ turned(y, 19) ^ (y >> 10))
        )
    for i in range(64):
        first = (
            h
            + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25))
            + ((e & f) ^ (~e & g))
            + ROUNDS[i]
            + w[i]
        )
        second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        h = g
        g = f
        f = e
        e = d + first
        d = c
        c = b
        b = a
        a = first + second
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


cdef set_key(Key *key, bytes secret):
    """Prepare the two states from which every hash with this key goes on."""
    cdef unsigned char[64] block
    cdef int i
    if len(secret) > 64:
        secret = _sha256(secret).digest()
    padded = secret.ljust(64, b"\0")
    memcpy(key.inner, START, 32)
    memcpy(key.outer, START, 32)
    for i in range(64):
        block[i] = padded[i] ^ 0x36
    add_block(key.inner, block)
    for i in range(64):
        block[i] = padded[i] ^ 0x5C
    add_block(key.outer, block)


cdef void finish(
    uint32_t *state, unsigned char *block, int filled, const unsigned char *data, Py_ssize_t size,
    unsigned char *digest
) noexcept nogil:
    """Hash what ``block`` has already, then ``data``; one block of the key has gone before."""
    cdef uint64_t bits = 8 * (64 + <uint64_t>filled + <uint64_t>size)
    cdef Py_ssize_t taken
    cdef int i
    while size > 0:
        taken = min(64 - filled, size)
        memcpy(block + filled, data, taken)
        data += taken
        size -= taken
        filled += taken
        if filled == 64:
            add_block(state, block)
            filled = 0
    block[filled] = 0x80
    filled += 1
    if filled > 56:
        memset(block + filled, 0, 64 - filled)
        add_block(state, block)
        filled = 0
    memset(block + filled, 0, 56 - filled)
    for i in range(8):
        block[56 + i] = (bits >> (8 * (7 - i))) & 0xFF
    add_block(state, block)
    for i in range(32):
        digest[i] = (state[i // 4] >> (8 * (3 - i % 4))) & 0xFF


cdef void hash_text(
    const Key *key, const unsigned char *value, Py_ssize_t size, unsigned char *hex
) noexcept nogil:
    """Write the 16 hex digits that HashText gives for an ASCII value."""
    cdef uint32_t[8] state
    cdef unsigned char[64] block
    cdef unsigned char[32] digest
    cdef int i, half
    memcpy(state, key.inner, 32)
    memcpy(block, <const char *>"text", 5)  # with its zero byte
    finish(state, block, 5, value, size, digest)
    memcpy(state, key.outer, 32)
    finish(state, block, 0, digest, 32, digest)
    for i in range(16):
        half = (digest[i // 2] >> 4) if i % 2 == 0 else (digest[i // 2] & 0x0F)
        hex[i] = (48 if half < 10 else 87) + half
