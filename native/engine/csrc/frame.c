#include "frame.h"

#include "scan.h"

#if defined(__ARM_NEON) && !defined(CV_NO_SIMD)
#define CV_NEON 1
#include <arm_neon.h>
#endif

int cv_frame_read(const uint8_t *at, size_t size, cv_frame *frame)
{
    if (size == 0)
        return 0;
    frame->opcode = at[0] & 15;
    frame->fin = at[0] >> 7;
    frame->rsv1 = at[0] >> 6 & 1;
    int control = frame->opcode & 8;
    if (at[0] & 0x30 || (frame->opcode & 7) > 2 || (control && (!frame->fin || frame->rsv1)))
        return -1;
    if (size == 1)
        return 0;
    unsigned length = at[1] & 127;
    if (!(at[1] & 128) || (control && length > CV_FRAME_CONTROL))
        return -1;
    unsigned more = length == 126 ? 2 : length == 127 ? 8 : 0;
    frame->head = (uint8_t)(2 + more + 4);
    uint64_t found = length;
    if (more) {
        if (length == 127 && size > 2 && at[2] & 128)
            return -1;
        if (size < 2 + more)
            return 0;
        found = 0;
        for (unsigned i = 0; i < more; i++)
            found = found << 8 | at[2 + i];
        if (found < 126 || (more == 8 && found <= UINT16_MAX))
            return -1; /* longer than need be */
    }
    if (size < frame->head)
        return 0;
    frame->size = found;
    memcpy(frame->key, at + 2 + more, 4);
    return 1;
}

size_t cv_frame_head(uint8_t *to, unsigned first, uint64_t size)
{
    unsigned more = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
    to[0] = (uint8_t)first;
    to[1] = (uint8_t)(more == 0 ? size : more == 2 ? 126 : 127);
    for (unsigned i = 0; i < more; i++)
        to[2 + i] = (uint8_t)(size >> 8 * (more - 1 - i));
    return 2 + more;
}

void cv_frame_unmask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *key, uint64_t at)
{
    uint8_t turned[4];
    for (unsigned i = 0; i < 4; i++)
        turned[i] = key[(at + i) & 3];
    uint32_t half;
    memcpy(&half, turned, 4); /* as it lies in memory, whatever the machine's order */
    size_t i = 0;
    /* What is loaded lies at or behind what is stored, so nothing is overwritten before it is read. */
#if defined(CV_SSE2)
    __m128i mask = _mm_set1_epi32((int)half);
    for (; size - i >= 16; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
        _mm_storeu_si128((__m128i *)(void *)(to + i), _mm_xor_si128(bytes, mask));
    }
#elif defined(CV_NEON)
    uint8x16_t mask = vreinterpretq_u8_u32(vdupq_n_u32(half));
    for (; size - i >= 16; i += 16)
        vst1q_u8(to + i, veorq_u8(vld1q_u8(from + i), mask));
#endif
    uint64_t word = (uint64_t)half << 32 | half;
    for (; size - i >= 8; i += 8) {
        uint64_t bytes;
        memcpy(&bytes, from + i, 8);
        bytes ^= word;
        memcpy(to + i, &bytes, 8);
    }
    for (; i < size; i++)
        to[i] = from[i] ^ turned[i & 3];
}

int cv_close_code_is_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
