/* Looking at many bytes of a head at once: which bytes are what, as one bit for each.
 *
 * Every instruction set has the same three looks under its own prefix (cv_avx2_, cv_sse2_,
 * cv_word_), each over WIDTH bytes, lowest bit first. A look may report more than asked for, as
 * said there, and never reads beyond WIDTH bytes; who looks sees to it that there are as many. */
#ifndef COVET_SCAN_H
#define COVET_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(CV_NO_SIMD)
#define CV_SSE2 1
#include <emmintrin.h>
#endif

/* The compiler makes code for newer processors too, which runs only where they are. */
#if defined(CV_SSE2) && defined(__x86_64__) && !defined(CV_NO_AVX2)
#define CV_AVX2 1
#include <immintrin.h>
#endif

#define CV_AVX2_TARGET __attribute__((target("avx2")))
#define CV_SSE2_TARGET
#define CV_WORD_TARGET
#define CV_LOOK static inline __attribute__((always_inline))

enum cv_byte_class {
    CV_BYTE_TOKEN = 1, /* tchar, RFC 9110, 5.6.2 */
    CV_BYTE_VALUE = 2, /* what a field value may hold: HTAB, SP, visible, obs-text */
    CV_BYTE_DIGIT = 4,
    CV_BYTE_HEX = 8,
    CV_BYTE_NAME = 16, /* of a host's name */
    CV_BYTE_LITERAL = 32 /* of an address between brackets */
};

extern const uint8_t cv_byte[256];

#define CV_IS(byte, class) ((cv_byte[(uint8_t)(byte)] & (class)) != 0)

/* Eight characters as `cv_word_at` reads them. */
#define CV_WORD(a, b, c, d, e, f, g, h)                                                            \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 |              \
     (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)
#define CV_HALF(a, b, c, d) ((uint32_t)CV_WORD(a, b, c, d, 0, 0, 0, 0))

#define CV_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The first byte is the lowest, whatever the machine's order. */
static inline uint64_t cv_word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline void cv_word_put(uint8_t *at, uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(at, &word, 8);
}

static inline uint32_t cv_half_at(const uint8_t *at)
{
    uint32_t half;
    memcpy(&half, at, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half = __builtin_bswap32(half);
#endif
    return half;
}

static inline void cv_half_put(uint8_t *at, uint32_t half)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half = __builtin_bswap32(half);
#endif
    memcpy(at, &half, 4);
}

static inline uint8_t cv_lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

/* The high bit of each byte that is below `limit` (at most 0x80), and of no other. */
static inline uint64_t cv_word_below(uint64_t word, uint8_t limit)
{
    uint64_t high = CV_EACH(0x80);
    return ~(((word & ~high) + CV_EACH(0x80 - limit)) | word) & high;
}

static inline uint64_t cv_word_equal(uint64_t word, uint8_t byte)
{
    return cv_word_below(word ^ CV_EACH(byte), 1);
}

/* ASCII letters to lower case, all else as it is. */
static inline uint64_t cv_word_lower(uint64_t word)
{
    uint64_t upper = cv_word_below(word, 'Z' + 1) & ~cv_word_below(word, 'A');
    return word | upper >> 2;
}

/* One bit for each high bit. */
static inline uint32_t cv_word_bits(uint64_t high)
{
    return (uint32_t)(((high >> 7) * UINT64_C(0x0102040810204080)) >> 56);
}

/* The bytes no line holds but at its end: control characters without HTAB, and DEL. */
static inline uint64_t cv_word_control(uint64_t word)
{
    return (cv_word_below(word, 0x20) & ~cv_word_equal(word, '\t')) | cv_word_equal(word, 0x7f);
}

enum { CV_WORD_WIDTH = 8, CV_SSE2_WIDTH = 16, CV_AVX2_WIDTH = 32 };

CV_LOOK uint32_t cv_word_look_control(const uint8_t *at)
{
    return cv_word_bits(cv_word_control(cv_word_at(at)));
}

/* `stop`: no letter, digit or dash, so that some bytes of a token are reported too. */
CV_LOOK void cv_word_look_name(const uint8_t *at, uint32_t *stop, uint32_t *control)
{
    uint64_t word = cv_word_at(at);
    uint64_t folded = word | CV_EACH(0x20);
    uint64_t letter = cv_word_below(folded, 'z' + 1) & ~cv_word_below(folded, 'a');
    uint64_t digit = cv_word_below(word, '9' + 1) & ~cv_word_below(word, '0');
    uint64_t good = letter | digit | cv_word_equal(word, '-');
    *stop = cv_word_bits(good ^ CV_EACH(0x80));
    *control = cv_word_bits(cv_word_control(word));
}

/* `stop`: what no request target may hold, its end too. */
CV_LOOK void cv_word_look_target(const uint8_t *at, uint32_t *stop, uint32_t *question,
                                 uint32_t *percent)
{
    uint64_t word = cv_word_at(at);
    uint64_t good = cv_word_below(word, 0x7f) & ~cv_word_below(word, 0x21);
    good &= ~cv_word_equal(word, '#');
    *stop = cv_word_bits(good ^ CV_EACH(0x80));
    *question = cv_word_bits(cv_word_equal(word, '?'));
    *percent = cv_word_bits(cv_word_equal(word, '%'));
}

#ifdef CV_SSE2

CV_LOOK uint32_t cv_sse2_bits(__m128i bytes)
{
    return (uint32_t)_mm_movemask_epi8(bytes);
}

CV_LOOK __m128i cv_sse2_equal(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

CV_LOOK __m128i cv_sse2_at_most(__m128i bytes, char limit) /* unsigned */
{
    return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(limit)), bytes);
}

CV_LOOK __m128i cv_sse2_control(__m128i bytes)
{
    __m128i low = cv_sse2_at_most(bytes, 0x1f);
    return _mm_or_si128(_mm_andnot_si128(cv_sse2_equal(bytes, '\t'), low),
                        cv_sse2_equal(bytes, 0x7f));
}

CV_LOOK uint32_t cv_sse2_look_control(const uint8_t *at)
{
    return cv_sse2_bits(cv_sse2_control(_mm_loadu_si128((const __m128i *)(const void *)at)));
}

/* `stop` as in `cv_word_look_name`. */
CV_LOOK void cv_sse2_look_name(const uint8_t *at, uint32_t *stop, uint32_t *control)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i letter = cv_sse2_at_most(_mm_sub_epi8(folded, _mm_set1_epi8('a')), 25);
    __m128i digit = cv_sse2_at_most(_mm_sub_epi8(bytes, _mm_set1_epi8('0')), 9);
    __m128i good = _mm_or_si128(_mm_or_si128(letter, digit), cv_sse2_equal(bytes, '-'));
    *stop = cv_sse2_bits(good) ^ 0xffff;
    *control = cv_sse2_bits(cv_sse2_control(bytes));
}

CV_LOOK void cv_sse2_look_target(const uint8_t *at, uint32_t *stop, uint32_t *question,
                                 uint32_t *percent)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    /* Signed, so that what is not ASCII is below too. */
    __m128i bad = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21));
    bad = _mm_or_si128(bad, cv_sse2_equal(bytes, 0x7f));
    bad = _mm_or_si128(bad, cv_sse2_equal(bytes, '#'));
    *stop = cv_sse2_bits(bad);
    *question = cv_sse2_bits(cv_sse2_equal(bytes, '?'));
    *percent = cv_sse2_bits(cv_sse2_equal(bytes, '%'));
}

#endif

#ifdef CV_AVX2

CV_AVX2_TARGET CV_LOOK uint32_t cv_avx2_bits(__m256i bytes)
{
    return (uint32_t)_mm256_movemask_epi8(bytes);
}

CV_AVX2_TARGET CV_LOOK __m256i cv_avx2_equal(__m256i bytes, char byte)
{
    return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte));
}

CV_AVX2_TARGET CV_LOOK __m256i cv_avx2_control(__m256i bytes)
{
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
    return _mm256_or_si256(_mm256_andnot_si256(cv_avx2_equal(bytes, '\t'), low),
                           cv_avx2_equal(bytes, 0x7f));
}

CV_AVX2_TARGET CV_LOOK uint32_t cv_avx2_look_control(const uint8_t *at)
{
    return cv_avx2_bits(cv_avx2_control(_mm256_loadu_si256((const __m256i *)(const void *)at)));
}

/* `stop`: every byte that is not of a token. */
CV_AVX2_TARGET CV_LOOK void cv_avx2_look_name(const uint8_t *at, uint32_t *stop, uint32_t *control)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)at);
    /* A byte's low half chooses a set of high halves it makes a token character with. */
    const __m256i sets = _mm256_broadcastsi128_si256(
        _mm_setr_epi8((char)0xe8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc,
                      (char)0xfc, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xf4, 0x54, (char)0xd0,
                      0x54, (char)0xf4, 0x70));
    const __m256i bits = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0));
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
    __m256i good =
        _mm256_and_si256(_mm256_shuffle_epi8(sets, bytes), _mm256_shuffle_epi8(bits, high));
    *stop = cv_avx2_bits(_mm256_cmpeq_epi8(good, _mm256_setzero_si256()));
    *control = cv_avx2_bits(cv_avx2_control(bytes));
}

CV_AVX2_TARGET CV_LOOK void cv_avx2_look_target(const uint8_t *at, uint32_t *stop,
                                                uint32_t *question, uint32_t *percent)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i bad = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x21), bytes);
    bad = _mm256_or_si256(bad, cv_avx2_equal(bytes, 0x7f));
    bad = _mm256_or_si256(bad, cv_avx2_equal(bytes, '#'));
    *stop = cv_avx2_bits(bad);
    *question = cv_avx2_bits(cv_avx2_equal(bytes, '?'));
    *percent = cv_avx2_bits(cv_avx2_equal(bytes, '%'));
}

#endif

/* The first byte no line holds but at its end, or `end`. */
const uint8_t *cv_find_control(const uint8_t *at, const uint8_t *end);

#endif
