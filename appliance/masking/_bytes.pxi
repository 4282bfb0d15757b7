"""What the compiled row paths share: bytes that came, that grow, that are made in place."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

include "_hash.pxi"

from appliance.masking.maskers_text import Constant, HashText, Partial
from appliance.masking.rows_python import misfit
from appliance.masking.types import Kind

ctypedef const unsigned char *Bytes

cdef struct Out:
    unsigned char *data
    Py_ssize_t size
    Py_ssize_t room


cdef inline int begin(Out *out, Py_ssize_t room) except -1:
    out.size = 0
    out.room = room
    out.data = <unsigned char *>malloc(room)
    if out.data is NULL:
        raise MemoryError
    return 0


cdef bint hashes_here(masker):
    """Return whether ASCII texts become just the 16 hex digits."""
    return (
        type(masker) is HashText
        and masker.kind is Kind.TEXT
        and masker.codec is not None
        and not 0 <= masker.typmod < 4 + 16
    )


cdef inline int32_t number_at(Bytes data) noexcept nogil:
    return <int32_t>(
        (<uint32_t>data[0] << 24)
        | (<uint32_t>data[1] << 16)
        | (<uint32_t>data[2] << 8)
        | <uint32_t>data[3]
    )


cdef inline void write_number(unsigned char *at, uint32_t number) noexcept nogil:
    at[0] = number >> 24
    at[1] = (number >> 16) & 0xFF
    at[2] = (number >> 8) & 0xFF
    at[3] = number & 0xFF


cdef inline int reserve(Out *out, Py_ssize_t more) except -1:
    cdef Py_ssize_t room
    cdef unsigned char *moved
    if more > out.room - out.size:
        room = 2 * (out.size + more)
        moved = <unsigned char *>realloc(out.data, room)
        if moved is NULL:
            raise MemoryError
        out.data = moved
        out.room = room
    return 0


cdef inline int put(Out *out, Bytes data, Py_ssize_t size) except -1:
    reserve(out, size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef inline bint is_ascii(Bytes data, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word
    cdef Py_ssize_t at = 0
    while size - at >= 8:
        memcpy(&word, data + at, 8)
        if word & <uint64_t>0x8080808080808080:
            return False
        at += 8
    while at < size:
        if data[at] & 0x80:
            return False
        at += 1
    return True


cdef inline int put_partial(Out *out, Bytes data, Py_ssize_t size, bint is_padded) except -1:
    """Append the value with stars but for the last min(4, length/4) characters."""
    cdef Py_ssize_t shown = size, hidden
    if is_padded:
        while shown > 0 and data[shown - 1] == 32:
            shown -= 1
    hidden = shown - min(4, shown // 4)
    reserve(out, size)
    memset(out.data + out.size, 42, hidden)
    memcpy(out.data + out.size + hidden, data + hidden, size - hidden)
    out.size += size
    return 0


cdef inline Py_ssize_t skip(Bytes data, Py_ssize_t at, Py_ssize_t end, int count) except -1:
    """Return where the values end that begin at ``at``."""
    cdef int32_t length
    while count > 0:
        if end - at < 4:
            raise misfit("it ends within a column")
        length = number_at(data + at)
        at += 4
        if length < -1 or length > end - at:
            raise misfit("it ends within a column")
        if length > 0:
            at += length
        count -= 1
    return at


cdef inline int put_hash(Out *out, const Key *key, Bytes data, Py_ssize_t size) except -1:
    reserve(out, 16)
    hash_text(key, data, size, out.data + out.size)
    out.size += 16
    return 0
